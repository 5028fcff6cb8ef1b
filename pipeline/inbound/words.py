"""Subjects and names by which machines write, in eight languages and some more. Pure.

They are guesses: a person can write such a subject, too. English, German, French, Spanish, Italian, Portuguese, Dutch
and Polish; Swedish, Russian and Japanese where a vendor's own words are known (docs/inbox.md names the sources).
"""

from __future__ import annotations

import re

_I = re.IGNORECASE

#: How an automatic answer's subject begins.
AUTOMATIC_SUBJECT = re.compile(
    r"\s*(?:(?-i:AUTO|OOO|OOF)\s*:|\[(?:auto|ooo|oof|out of office)\]"
    r"|auto(?:mat(?:ic|ed))?[ -]?(?:reply|response|respon[sd]e[rd]?\w?|answer|acknowledge?ment)\b|autorespons|autoreply"
    r"|out[ -]of[ -](?:the[ -])?office|away from (?:the|my) (?:office|desk)|(?:i am|i'm) (?:away|on vacation|out of)"
    r"|vacation (?:reply|response|notice|auto)|on (?:vacation|leave|holiday)\b|away until"
    r"|automatische antwort|abwesenheits|abwesend|automatische rückantwort|(?:ich bin )?(?:nicht im büro|im urlaub)"
    r"|réponse automatique|r[ée]ponse d'absence|absence (?:du bureau|:)|absent(?:e)? (?:du bureau|jusqu)|hors du bureau"
    r"|respuesta autom[áa]tica|fuera de (?:la )?oficina|ausencia\b|ausente\b"
    r"|risposta automatica|fuori (?:ufficio|sede)|assenza\b|assente\b"
    r"|resposta autom[áa]tica|fora do escrit[óo]rio|aus[êe]ncia tempor[áa]ria"
    r"|automatisch antwoord|automatisch bericht|afwezigheid|afwezig\b"
    r"|automatyczna odpowied[źz]|odpowied[źz] automatyczna|autoodpowied[źz]|nieobecno[śs][ćc]|poza biurem"
    r"|autosvar|automatiskt? svar|frånvaro|автоматический ответ|автоответ|自動応答|自動返信|自动答复|自動回覆|不在)",
    _I,
)

#: That the person does not work there any more; it is looked for in automatic answers alone.
HAS_LEFT = re.compile(
    r"\b(?:has|have|had|'s|'ve) (?:now |since |recently )?left (?:the |our |my )?"
    r"(?:company|organi[sz]ation|firm|business|employ)\b"
    r"|\bno longer (?:(?:works?|working) (?:here|at|for|with)\b|employed|with (?:us|the|our)\b"
    r"|part of the (?:team|company))"
    r"|\b(?:left|leaving) (?:the )?(?:company|organi[sz]ation|firm)\b|\bis not (?:employed"
    r"|working) (?:here )?any ?(?:more|longer)\b"
    r"|nicht mehr (?:bei|für|in) [^.\n]{1,60}(?:tätig|beschäftigt|angestellt)|(?:unternehmen|firma) verlassen"
    r"|arbeitet nicht mehr (?:bei|für|hier)|ausgeschieden"
    r"|(?:a|ai) quitté (?:l['’]entreprise|la société|notre (?:société|entreprise)|mes fonctions)|ne (?:travaille"
    r"|fait) plus (?:partie|chez|au|à|pour|dans)"
    r"|ne fais plus partie"
    r"|ya no (?:trabaj[ao] (?:en|aquí|con|para)|forma parte|pertenece|se encuentra laborando)"
    r"|ha dejado (?:la empresa|de trabajar)"
    r"|non (?:lavor[ao]|fa) più (?:parte|in|per|presso)|ha lasciato (?:l['’]azienda|la società)"
    r"|(?:já )?não (?:trabalh[ao]|faz parte|faço parte) mais|já não trabalh[ao]|deixou a empresa"
    r"|niet (?:meer|langer) (?:werkzaam|in dienst)|(?:is|ben) uit dienst|werkt niet (?:meer|langer)"
    r"|nie pracuj[eę] już|już nie pracuj[eę]|zakończył[ao]? prac[ęy]",
    _I,
)
#: That the address is given up: nobody reads what is sent there.
ADDRESS_GIVEN_UP = re.compile(
    r"\b(?:mail ?box|inbox|(?:e-?mail )?address|e-?mail account|account)\b[^\n]{0,80}?"
    r"\b(?:no longer (?:in use|monitored|active|used|valid)|not (?:in use|monitored) any ?more)\b"
    r"|(?:adresse|postfach)[^.\n]{0,80}nicht mehr (?:aktiv|gültig|genutzt|verwendet|gelesen)",
    _I,
)

#: Who sends delivery reports: the local part, or the name before it.
MAILER_ADDRESS = re.compile(
    r"\b(?:mailer[-_. ]?daemon|mail[-_.]?daemon|post[-_. ]?master|smtp_mail_service|ndr|mdaemon"
    r"|mail[-_.]?delivery|bounces?|devnull|dsn)\b[^@]{0,20}@",
    _I,
)
MAILER_NAME = re.compile(
    r"mail(?:er)?[- ]?(?:delivery|daemon)|delivery (?:sub)?system|mail administrator|mail system|postmaster"
    r"|system administrator|microsoft outlook|mail router|internet mail delivery|\bmta\b|smtp agent|mail gateway"
    r"|mail service|returned mail",
    _I,
)
#: How a delivery report's subject reads.
BOUNCE_SUBJECT = re.compile(
    r"undeliver|un ?delivered|non[- ]?deliver|not (?:be )?delivered|returned (?:e?mail|to sender)|return(?:ed)? mail"
    r"|(?:mail|delivery|message)\b.{0,30}\b(?:fail|unsuccess|problem|error|aborted|rejected)"
    r"|fail(?:ure|ed)\b.{0,30}\b(?:notice|delivery|deliver|mail)|delivery (?:status|report|notification)"
    r"|(?:could|can|was) ?not (?:be )?(?:sent|deliver)|couldn't be delivered|unable to deliver|user unknown|bounce"
    r"|rejected\b.{0,20}(?:mail|message)|(?:mail|message) (?:was )?(?:blocked|rejected)|(?:mail"
    r"|message) you sent blocked"
    r"|unzustellbar|nicht zugestellt|zustellung|rückläufer|fehlgeschlagen"
    r"|non remis|échec de (?:la )?(?:remise|livraison|distribution)|non distribu|non d[ée]livr|n'a pas pu être"
    r"|no (?:se pudo|se ha podido|se puede) entregar|no entregad|fallo (?:en|de) (?:la )?entrega|error de entrega"
    r"|devuelto"
    r"|mancat[ao] (?:consegna|recapito)|non recapitabil|impossibile recapitare|non consegnat|errore di consegna"
    r"|não (?:foi )?(?:é possível )?entreg|falha (?:na|de|no) entrega|não entregue"
    r"|onbestelbaar|niet (?:bezorgd|afgeleverd)|mislukt"
    r"|niedostarcz|nie dostarczono|błąd dostarcz|zwrot"
    r"|недоставлен|не доставлен|не может быть доставлено|メールエラー通知|配信(?:不能|エラー|できません)"
    r"|送信(?:エラー|できません)"
    r"|退信|无法投递|未送达|回送|返送",
    _I,
)
#: The surest words of a notice.
NOT_DELIVERED = re.compile(r"(?:could|can) ?not be delivered to\b", _I)
#: A report that keeps the "Re:" of what was sent, and says behind it what it is.
OF_A_REPLY = re.compile(r":\s*(?:non remis\b|undeliverable$|not delivered$)", _I)
#: That it is not over: the server goes on trying.
DELAY = re.compile(
    r"\bdelay(?:ed)?\b|notification: warning|still being retried|will (?:continue|keep) (?:to )?(?:try|retry)"
    r"|not yet been delivered"
    r"|will be retried|no action is required on your part|you do not need to (?:resend|do anything)"
    r"|could not send (?:message|mail) for (?:the )?past|verzögert|retard[ée]|retrasad|ritardat|atrasad|vertraagd"
    r"|opóźnion",
    _I,
)
#: The same in a notice's own words: surer ones than those of a subject.
STILL_TRYING = re.compile(
    r"still being retried|will (?:continue|keep) (?:to )?(?:be )?(?:try|retr|attempt)|not yet been delivered"
    r"|will be retried"
    r"|no action is required on your part|you do not need to (?:resend|do anything)|no need to resend"
    r"|could not send (?:message|mail) for (?:the )?past|this is (?:only )?a(?: delay)? warning"
    r"|delivery attempts will continue"
    r"|has been delayed|delivery is delayed|wird (?:weiter|erneut) versucht|(?:nous|on) (?:continue|réessai)",
    _I,
)
#: "Confirm that you are human", and other doors that want a knock.
CHALLENGE = re.compile(
    r"(?:verify|confirm|prove)\b[^.\n]{0,60}\b(?:you(?:'re| are) (?:a )?(?:human|person|not a (?:robot|spammer))"
    r"|your (?:e-?mail )?"
    r"(?:address|identity|message))|challenge[/ -]?response|spam ?arrest|boxbe|sender verification|bluebottle"
    r"|choicemail"
    r"|(?:waiting|held|pending) (?:list )?(?:for|in|until)[^.\n]{0,60}(?:approv|confirm"
    r"|verif)[^.\n]{0,60}(?:click|reply|link)"
    r"|(?:click|follow) [^.\n]{0,60}link[^.\n]{0,60}(?:so that|to (?:have|get|let)) [^.\n]{0,40}(?:message"
    r"|mail)[^.\n]{0,20}delivered"
    r"|bestätigen sie[^.\n]{0,60}(?:mensch|absender)|confirm(?:ez|e) que (?:vous êtes|eres|es) (?:humain|humano"
    r"|une personne)",
    _I,
)
#: A reply's first line that asks not to be written to again; the whole line.
UNSUBSCRIBE_LINE = re.compile(
    r"(?:(?:hi|hello|dear \w+|hey)[,!. ]*)?(?:please|pls|kindly|bitte|por favor|per favore|alstublieft|proszę)?[ ,]*"
    r"(?:(?:un-?subscribe|opt[ -]?out)(?: (?:me|us|this (?:e-?mail|address)))?"
    r"|stop(?: (?:(?:e-?)?mailing|writing(?: to)?|contacting|sending)(?: (?:me|us))?(?: (?:e-?)?mails?)?)?"
    r"|(?:remove|take|delete) (?:me|us|my (?:e-?mail|address|name)|this (?:e-?mail )?address|my e-?mail address)"
    r"|do not (?:contact|e-?mail|write to) (?:me|us)|don't (?:contact|e-?mail|write to) (?:me|us)"
    r"|no more (?:e-?)?mails?"
    r"|(?:mich )?(?:abmelden|austragen|abbestellen)|(?:melden|tragen|nehmen) sie (?:mich|uns) (?:ab|aus|von)"
    r"|keine weiteren (?:e-?)?mails"
    r"|(?:me )?d[ée]s(?:abonner|inscrire)|d[ée]sabonnez[- ]moi|d[ée]sinscri\w+|retirez[- ]moi"
    r"|darme de baja|d[ée]me de baja|baja|cancelar suscripci[óo]n|cancellami|disiscri\w+|cancelar (?:inscri"
    r"|subscri)\w+|descadastrar"
    r"|uitschrijven|afmelden|schrijf (?:me|mij) uit|wypisz mnie|rezygnuj[ęe]|proszę o usunięcie)"
    r"(?: (?:again|any ?(?:more|longer)|off|out|from|of|for|von|aus|de|da|z)\b[^.!?\n]{0,50})?"
    r"(?:[ ,]*(?:please|thanks|thank you|thx|asap|immediately|now|bitte|danke|merci|gracias|grazie|obrigad[oa]"
    r"|dank))*[ .,!]*",
    _I,
)
#: The subject that the mailto of List-Unsubscribe asks for (RFC 2369 3.2), with what stands behind the word.
UNSUBSCRIBE_SUBJECT = re.compile(r"\s*(?:(?:re|aw|fwd?):\s*)?un-?subscribe\b[\s:=-]*(\S{0,300})\s*", _I)
#: How a reply's subject begins, as mail programs write it.
REPLY_SUBJECT = re.compile(
    r"\s*(?:re|aw|sv|antw|odp|res|ref|rif|vs|ynt|回复|答复|返信|ответ)\s*(?:\[\d{1,3}\])?\s*[:：]", _I
)

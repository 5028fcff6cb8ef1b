"""Whose fault a reply is: the one table. Pure.

A row matches by the phase of the dialogue, the reply code, the enhanced status code (RFC 3463) and the words; the
first that matches decides. The order: what names the own account; the recipient's words at RCPT, and after it only
where they name the recipient; what the phase says.

What suppresses a person for ever is a closed list. A row of it never applies where the words also speak of policy,
the sender or a limit (`wording.ABOUT_THE_SENDER`), whatever the code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.smtp import wording
from pipeline.smtp.verdict import TRANSACTION, Phase, Verdict

_LOGIN = frozenset({Phase.CONNECT, Phase.GREETING, Phase.TLS, Phase.AUTH})
_AUTH = frozenset({Phase.AUTH})
_SENDER = frozenset({Phase.MAIL})
_RECIPIENT = frozenset({Phase.RCPT})
_MESSAGE = frozenset({Phase.DATA, Phase.BODY, Phase.DOT})
_FROM_RECIPIENT = _RECIPIENT | _MESSAGE


@dataclass(frozen=True)
class Said:
    """What a row looks at: the reply, taken apart once. `enhanced` is empty where there is none."""

    phase: Phase
    code: str
    enhanced: str
    words: str


@dataclass(frozen=True)
class Row:
    """One rule: the verdict, and what a reply has to be like for it. What is left out matches everything."""

    verdict: Verdict
    phases: frozenset[Phase]
    codes: re.Pattern[str]
    enhanced: re.Pattern[str] | None
    words: re.Pattern[str] | None
    also: re.Pattern[str] | None
    unless: re.Pattern[str] | None

    def matches(self, said: Said) -> bool:
        """Whether this row speaks of that reply."""
        return (
            said.phase in self.phases
            and self.codes.fullmatch(said.code) is not None
            and (self.enhanced is None or self.enhanced.fullmatch(said.enhanced) is not None)
            and (self.words is None or self.words.search(said.words) is not None)
            and (self.also is None or self.also.search(said.words) is not None)
            and (self.unless is None or self.unless.search(said.words) is None)
        )


def _row(
    verdict: Verdict,
    phases: frozenset[Phase] = frozenset(Phase),
    *,
    codes: str = r"[45]\d\d",
    enhanced: str = "",
    words: str = "",
    also: str = "",
    unless: str = "",
) -> Row:
    def compiled(pattern: str) -> re.Pattern[str] | None:
        return re.compile(pattern, re.IGNORECASE) if pattern else None

    return Row(
        verdict, phases, re.compile(codes), compiled(enhanced), compiled(words), compiled(also), compiled(unless)
    )


_OWN_ACCOUNT = (
    # Exchange Online at submission: "554 5.2.2 mailbox full; STOREDRV.Submission…" is the mailbox that sends
    # (learn.microsoft.com/exchange/troubleshoot/email-delivery/ndr/non-delivery-reports-in-exchange-online)
    _row(Verdict.ACCOUNT_FOR_NOW, words=r"STOREDRV\.Submission", enhanced=r"[45]\.2\.2", unless=r"submission ?quota"),
    # RFC 3463 X.2.2 in words: "your mailbox" is the one that sends
    _row(Verdict.ACCOUNT_FOR_NOW, words=r"\byour (mailbox|account)\b[^.;:]{0,40}\b(full|over ?quota)\b"),
    # Google: 550 5.4.5 Daily user sending limit exceeded (knowledge.workspace.google.com, Gmail SMTP errors and codes)
    _row(Verdict.ACCOUNT_QUOTA, codes=r"5\d\d", enhanced=r"5\.4\.5"),
    # Exchange Online: 5.1.90 daily recipients; 5.7.232, 5.7.233, 5.7.236 the tenant's external recipients
    _row(Verdict.ACCOUNT_QUOTA, codes=r"5\d\d", enhanced=r"5\.(1\.90|7\.23[236])"),
    # Google 450 4.2.1 and 550 5.7.1 "… SMTP relay limit exceeded"; Exchange Online 554 5.2.0 SubmissionQuotaExceeded;
    # Amazon SES 454 "Daily message quota exceeded"; cPanel "exceeded the max emails per hour"; IONOS 450 "Mail send
    # limit exceeded"; Oracle 455 "Maximum messages sent per day reached"
    _row(Verdict.ACCOUNT_QUOTA, words=wording.QUOTA, unless=wording.NO_QUOTA),
    # Google: 550 5.7.1 Email quota exceeded
    _row(Verdict.ACCOUNT_QUOTA, enhanced=r"5\.7\.1", words=r"\be-?mail quota exceeded"),
)

_LOGIN_ROWS = (
    # Microsoft: 535 5.7.139 authentication not allowed, 550 5.7.30 basic authentication retired; RFC 4954 section 6:
    # 534 mechanism too weak (Google: application password needed), 538 needs encryption; RFC 5248: X.7.13 disabled
    _row(Verdict.ACCOUNT_FOR_GOOD, _AUTH, codes=r"5\d\d", enhanced=r"5\.7\.(139|30|13)"),
    _row(Verdict.ACCOUNT_FOR_GOOD, _AUTH, codes=r"53[48]"),
    _row(Verdict.ACCOUNT_FOR_GOOD, _AUTH, codes=r"5\d\d", words=wording.LOGIN_SAYS_WHY, unless=wording.FOR_NOW),
    # RFC 4954 section 6: 535 credentials invalid; may be a token that has run out, or a directory that is away
    _row(Verdict.LOGIN_REFUSED, _AUTH, codes=r"535"),
    # RFC 4954 section 6: 530 authentication required; Exchange Online 530 5.7.57
    _row(Verdict.ACCOUNT_FOR_GOOD, codes=r"530"),
    _row(Verdict.ACCOUNT_FOR_NOW, _LOGIN),
)

_SENDER_ROWS = (
    # RFC 3463 X.1.7, X.1.8: the sender's address is bad. Exchange Online: 5.1.8 bad outbound sender; 5.7.60 may not
    # send as this sender; 5.7.501 to 503, 705, 708, 750: account or tenant banned
    _row(Verdict.ACCOUNT_FOR_GOOD, codes=r"5\d\d", enhanced=r"5\.(1\.[78]|7\.(57|60|50[123]|70[58]|750))"),
    # Exchange Online SendAsDenied, OutboundSpamException; Postfix "Sender address rejected"; Amazon SES "Email address
    # is not verified", "Sending paused"; Mailgun "Domain … is not allowed to send"; SendGrid "verified Sender Identity"
    _row(Verdict.ACCOUNT_FOR_GOOD, codes=r"5\d\d", words=wording.OWN_ACCOUNT),
    # any other trouble of Exchange Online in taking a message over
    _row(Verdict.ACCOUNT_FOR_NOW, words=r"STOREDRV\.(Submission|ClientSubmit)"),
    # Google 421 4.7.28 and 550 5.7.1 unusual rate; Zoho 550 5.4.6 unusual sending activity; Postfix too much mail
    _row(Verdict.ACCOUNT_FOR_NOW, words=r"unusual (rate|sending activity)|too much mail"),
    # RFC 3463 X.2.2 in reply to MAIL FROM: the mailbox that sends
    _row(Verdict.ACCOUNT_FOR_NOW, _SENDER, enhanced=r"[45]\.2\.2"),
    # RFC 1870 section 6.1: 552 message size exceeds limit; RFC 3463 X.3.4 and X.2.3 with whatever code
    _row(Verdict.CONTENT, _SENDER, codes=r"552"),
    _row(Verdict.CONTENT, _SENDER, codes=r"5\d\d", enhanced=r"5\.(3\.4|2\.3)"),
    # RFC 5321 4.3.2: MAIL FROM refused for good
    _row(Verdict.ACCOUNT_FOR_GOOD, _SENDER, codes=r"55\d"),
    _row(Verdict.ACCOUNT_FOR_NOW, _SENDER),
)

_RECIPIENT_FOR_NOW_ROWS = (
    # RFC 6647; Postgrey, milter-greylist, cPanel; whatever is named as rejected, it means: later
    _row(Verdict.GREYLISTED, words=r"gr[ea]y-?list"),
    # RFC 6647 section 5.1: such a server may say how long to wait
    _row(
        Verdict.GREYLISTED, _RECIPIENT, codes=r"45\d", words=r"again in \d+ (second|minute|hour)", unless=wording.RATE
    ),
    # RFC 3463 X.2.2 mailbox full; RFC 5321 4.2.3: 552 exceeded storage allocation
    _row(Verdict.MAILBOX_FULL, enhanced=r"[45]\.2\.2"),
    _row(Verdict.MAILBOX_FULL, words=wording.FULL),
    # Google 450 4.2.1 and 550 5.2.1 receiving mail too quickly; Exchange Online 5.2.121 and 5.2.122 receive limits,
    # 432 4.3.2 recipient thread limit; limits that policy servers keep for each recipient
    _row(Verdict.RECIPIENT_FOR_NOW, words=wording.RECIPIENTS_LIMIT),
)

_CLOSED_LIST = (
    # RFC 5321 4.2.1: what is wrong is the command, not the one it names
    _row(Verdict.ACCOUNT_FOR_NOW, _RECIPIENT, codes=r"50[0234]"),
    # Exchange Online: 550 5.4.1 Recipient address rejected: Access denied (no such recipient in the directory;
    # learn.microsoft.com/exchange/mail-flow-best-practices/use-directory-based-edge-blocking)
    _row(
        Verdict.RECIPIENT_FOR_GOOD,
        _RECIPIENT,
        codes=r"5\d\d",
        enhanced=r"5\.4\.1",
        words=r"recipient address rejected: access denied",
        unless=r"spam|block|polic",
    ),
    # RFC 3463 X.1.1 to X.1.3 bad address, X.1.6 has moved, X.2.1 disabled; RFC 7505 and Exchange Online 5.1.10
    _row(
        Verdict.RECIPIENT_FOR_GOOD,
        _RECIPIENT,
        codes=r"5\d\d",
        enhanced=r"5\.(1\.([1236]|10)|2\.1)",
        unless=wording.ABOUT_THE_SENDER,
    ),
    # RFC 7504: 521 host, 556 domain does not accept mail; RFC 7505 null MX
    _row(
        Verdict.RECIPIENT_FOR_GOOD,
        _RECIPIENT,
        codes=r"521|556",
        enhanced=r"(5\.(1\.10|3\.2))?",
        unless=wording.ABOUT_THE_SENDER,
    ),
    # Postfix, Exim, Sendmail, OpenSMTPD, Yahoo, iCloud, mail.ru: no such user; this account has been disabled
    _row(
        Verdict.RECIPIENT_FOR_GOOD,
        _RECIPIENT,
        codes=r"5\d\d",
        words=f"{wording.NO_SUCH_USER}|{wording.CLOSED}",
        unless=wording.ABOUT_THE_SENDER,
    ),
    # Outlook.com and GMX (support.gmx.com, bounce messages) say this, and only this, of an unknown mailbox
    _row(
        Verdict.RECIPIENT_FOR_GOOD,
        _RECIPIENT,
        codes=r"550",
        words=r"requested action not taken: mailbox unavailable",
        unless=wording.ABOUT_THE_SENDER,
    ),
    # After RCPT: a bad destination by its code (RFC 3463), an unknown user, or a closed mailbox where the words say
    # that it is the recipient's (Yahoo 554 "your message to … cannot be delivered", Google 550 5.2.1, mail.ru)
    _row(
        Verdict.RECIPIENT_FOR_GOOD,
        _MESSAGE,
        codes=r"5\d\d",
        enhanced=r"5\.1\.([1236]|10)",
        unless=wording.ABOUT_THE_SENDER,
    ),
    _row(
        Verdict.RECIPIENT_FOR_GOOD,
        _MESSAGE,
        codes=r"5\d\d",
        words=wording.NO_SUCH_USER,
        # "account not found" may be the sender's.
        also=rf"{wording.NAMES_RECIPIENT}|\b(user|recipient|mailbox)\b",
        unless=wording.ABOUT_THE_SENDER,
    ),
    _row(
        Verdict.RECIPIENT_FOR_GOOD,
        _MESSAGE,
        codes=r"5\d\d",
        words=wording.CLOSED,
        also=wording.NAMES_RECIPIENT,
        unless=wording.ABOUT_THE_SENDER,
    ),
)

_OWN_SERVER = (
    # RFC 5321 4.2.2: 421 closes; RFC 5248 432, RFC 4954 454; Google 421 4.7.x, Yahoo 421 4.7.0 [TSS04]
    _row(Verdict.ACCOUNT_FOR_NOW, codes=r"421|432|454"),
    # RFC 3463 X.3.x: trouble of the mail system (Postfix 451 4.3.0 lookup failure, queue file write error); X.1.7,
    # X.1.8 the sender's address; X.5.3 too many recipients, where there is one
    _row(Verdict.ACCOUNT_FOR_NOW, codes=r"4\d\d", enhanced=r"4\.(3\.\d+|1\.[78]|5\.3)"),
    # Postfix cleanup_strerror, smtpd_check; Exim "Temporary local problem"; OpenSMTPD 451 "Temporary failure"
    _row(Verdict.ACCOUNT_FOR_NOW, codes=r"4\d\d", words=wording.SERVERS_TROUBLE),
    _row(Verdict.ACCOUNT_FOR_NOW, codes=r"451", words=r"^temporary (failure|error)"),
    # RFC 5321 4.5.3.1.10: too many recipients; with one recipient it is not the message
    _row(Verdict.ACCOUNT_FOR_NOW, words=r"too many recipients"),
    # Postfix 554 5.7.1 Relay access denied; Exim relay not permitted; Exchange 550 5.7.54 and 5.7.64; Google 550 5.7.0
    # Mail relay denied; Exim Sender verify failed; cPanel Please turn on SMTP Authentication
    _row(Verdict.ACCOUNT_FOR_NOW, words=wording.NO_RELAY),
    # Postfix 450 4.7.1 Client host rejected: cannot find your hostname
    _row(Verdict.ACCOUNT_FOR_NOW, codes=r"4\d\d", words=r"(client host|helo command|sender address) rejected"),
    # Exchange Online 451 4.7.500 server busy, 451 4.7.650 reputation; Amazon SES sending rate; Emailit per second
    _row(Verdict.ACCOUNT_FOR_NOW, codes=r"4\d\d", enhanced=r"4\.7\.(0|28|5\d\d|6\d\d)", words=wording.RATE),
    _row(Verdict.ACCOUNT_FOR_NOW, codes=r"4\d\d", words=r"sending rate|throttl|per (second|minute)"),
    # RFC 5321 4.2.1: what is wrong is the command
    _row(Verdict.ACCOUNT_FOR_NOW, frozenset({Phase.DATA}), codes=r"50[0234]"),
    # After RCPT a block of the IP address is the account's: the recipient's server would have said so at RCPT.
    # Exchange Online 5.7.606 to 5.7.649 banned sending IP
    _row(Verdict.ACCOUNT_FOR_NOW, _MESSAGE, codes=r"5\d\d", words=wording.IP_BLOCKED),
    _row(Verdict.ACCOUNT_FOR_NOW, _MESSAGE, codes=r"5\d\d", enhanced=r"5\.7\.6(0[6-9]|[1-4]\d)"),
    # Amazon SES, mail.ru: an account that is off, and no word of the recipient
    _row(Verdict.ACCOUNT_FOR_GOOD, _MESSAGE, codes=r"5\d\d", words=wording.ACCOUNT_OFF),
)

_MESSAGE_AND_POLICY = (
    # RFC 3463 X.3.4 and X.2.3 too big
    _row(Verdict.CONTENT, TRANSACTION, codes=r"5\d\d", enhanced=r"5\.(3\.4|2\.3)"),
    # Exchange: 5.7.124, 5.7.129, 5.7.133 to 5.7.136, RESOLVER.RST: a recipient or group that takes mail from some only
    _row(Verdict.SITE_BY_POLICY, codes=r"5\d\d", enhanced=r"5\.7\.1(2[349]|3[3-6])"),
    _row(Verdict.SITE_BY_POLICY, codes=r"5\d\d", words=r"RESOLVER\.RST\."),
    # RFC 7372 section 3: 5.7.20 to 5.7.27, DKIM, SPF and authentication; Google 5.7.26 says so after the message
    _row(Verdict.SITE_BY_POLICY, _MESSAGE, codes=r"5\d\d", enhanced=r"5\.7\.2[0-7]"),
    _row(Verdict.SITE_BY_POLICY, _MESSAGE, codes=r"5\d\d", words=r"\b(spf|dmarc)\b"),
    # RFC 3463 X.7.x security or policy, X.1.0; Exchange Online 5.1.0 Sender denied; Yahoo 553 5.7.2 [TSS09]; Postfix
    # 554 5.7.1 Recipient address rejected: Access denied; Exim Administrative prohibition; and what no row knows:
    # RFC 5321 4.2.3 gives 550 to "rejected for policy reasons" too
    _row(Verdict.SITE_BY_POLICY, _RECIPIENT, codes=r"5\d\d"),
    # RFC 3463 X.2.x "mailbox status", X.1.x "addressing", and the rest: the recipient's, for now
    _row(Verdict.RECIPIENT_FOR_NOW, _FROM_RECIPIENT, codes=r"4\d\d"),
    # RFC 3463 X.6.x, X.7.x; Google 5.7.1 unsolicited; and what else is refused with the message
    _row(Verdict.CONTENT, _MESSAGE, codes=r"5\d\d"),
)

#: The first row that matches decides.
TABLE = (
    *_OWN_ACCOUNT,
    *_LOGIN_ROWS,
    *_SENDER_ROWS,
    *_RECIPIENT_FOR_NOW_ROWS,
    *_CLOSED_LIST,
    *_OWN_SERVER,
    *_MESSAGE_AND_POLICY,
)

"""The words by which servers say what a code leaves open, as patterns for `table`. Pure.

Each gap between two words is bounded, so that a hostile reply costs little. A gap never crosses a colon or the end of a
sentence: Postfix's "Recipient address rejected: …" is a frame, and what stands behind the colon is judged.
"""

from __future__ import annotations

_LIMIT = r"\b(limits?|quota)\b"
_SENT = r"\b(daily|hourly|sending|send|submission|relay|outbound)\b"

#: The account has sent what it may for now.
QUOTA = "|".join(
    (
        rf"{_SENT}[^.;]{{0,40}}{_LIMIT}[^.;]{{0,40}}\b(exceeded|reached)",
        rf"\b(exceed\w*|reached)\b[^.;]{{0,40}}{_SENT}[^.;]{{0,30}}{_LIMIT}",
        rf"\byou('ve| have)? (exceeded|reached)\b[^.;]{{0,40}}{_LIMIT}",
        r"\byour( \w+){0,3} (limit|quota) (has been |was |is )?(exceeded|reached)",
        r"can't send any more messages today|SubmissionQuotaExceeded|verdict is RefuseQuota",
        r"exceeded the max (emails|defers)|maximum messages sent per (day|hour)|has sent to too many recipients",
    )
)
#: Limits of another kind: of the recipient, of a moment, of size.
NO_QUOTA = (
    r"receiv|recipient('s)? (mailbox|rate|thread|has|is)\b|per (second|minute)|connection|message-id"
    r"|\bsize\b|attachment"
)

#: A login that is refused, and why: entering the same password again can't help.
LOGIN_SAYS_WHY = (
    r"disabled|deactivated|suspended|banned|basic auth|web browser"
    r"|\b(account|user|mailbox|protocol|login)\b[^.;:]{0,30}\b(locked|blocked|denied)"
    r"|app(lication)?-specific password"
)
#: A refusal that says it will pass.
FOR_NOW = r"temporar|later|too many"

#: The sender's account, address or domain may not send.
OWN_ACCOUNT = "|".join(
    (
        r"send as this sender|SendAsDenied|sender address rejected|not owned by user|OutboundSpam",
        r"address is not verified|domain is not verified|verified sender identity|not authorized to perform",
        r"sending (is |has been |was )?(paused|suspended|disabled|denied)|sending for this account is disabled",
        r"domain [^;:]{0,80}is not allowed to send:|sandbox subdomains|sending from this domain is paused",
        r"\byour (e-?mail )?(account|mailbox|domain|subscription)\b[^.;:]{0,40}"
        r"\b(disabled|suspended|blocked|locked|paused|closed|deactivated)",
    )
)
#: The same, where no word tells whose account is meant.
ACCOUNT_OFF = r"\baccount\b[^.;:]{0,20}\b(disabled|suspended|paused)"

#: The recipient's mailbox is full.
FULL = (
    r"\b(mailbox|inbox|mail ?box|user|recipient|account)\b[^.;:]{0,40}"
    r"\b((is )?full|over ?quota|quota exceeded|out of storage|over its quota)\b"
    r"|\bover ?quota\b|(mailbox|disk|storage|user) quota exceeded|exceeded storage allocation|mailbox full"
    r"|boite du destinataire pleine"
)
#: The recipient gets more mail than it may, from whomever.
RECIPIENTS_LIMIT = (
    r"receiving (e-?)?mail (too quickly|at a rate)|recipient thread limit|recipient rate limit|receive limit"
    r"|can receive per|due to a recipient error"
)

_USER = r"(user|recipient|mailbox|mail ?box|alias|account|person)"
#: The mailbox, or the recipient's domain, does not exist.
NO_SUCH_USER = "|".join(
    (
        rf"\b(unknown|invalid|non-?existent|illegal)( \w+){{0,2}} {_USER}\b",
        rf"\bno such( \w+){{0,2}} ({_USER}|address|domain)\b|unrout\w{{1,4}}ble address",
        rf"\b({_USER}|address)\b[^.,;:]{{0,40}}\b(unknown|not (be )?(found|known|present|exist)|does ?n.t exist)\b",
        rf"\b({_USER}|address)\b[^.,;:]{{0,20}}\bno longer (valid|exists?|active|available|in use|on (this )?server)\b",
        rf"\bno {_USER}\b[^.,;:]{{0,20}}\b(here|found|by that name)\b|no one at this address",
        r"\b(does ?n.t|does not) have an? [^,;:]{0,60}account\b|\bnot our (user|customer)\b",
        r"\bnot a (valid|known|registered)( \w+){0,2} (mailbox|recipient|user)\b",
        r"\b(recipient('s)?|dns) domain\b[^;:]{0,80}\bnot (found|exist)\b|delivery error: dd is no longer valid",
        r"recipient address rejected: domain (\S{1,255} )?(not found|does not (exist|accept mail))",
    )
)
#: The mailbox, or the recipient's domain, was closed.
CLOSED = "|".join(
    (
        r"\b(user|recipient|mailbox|mail ?box|inbox|account|address)\b[^.,;:]{0,40}"
        r"\b(disabled|discontinued|deactivated|suspended|terminated|closed|deleted|inactive)\b",
        r"\b(disabled|deactivated|suspended|inactive|closed|terminated) (e-?mail )?"
        r"(user|recipient|mailbox|account|address)\b",
        r"\bnull ?mx\b|\b(host|domain) does(n.t| not) accept (e-?)?mail\b(?! (from|over|without|unless))",
    )
)
#: Words by which a server shows that it means the one who gets the mail, not the one who sends it.
NAMES_RECIPIENT = r"\b(recipient|you tried to reach|trying to contact|message to|local mailbox)\b"

#: Policy, the sender, a limit or a moment: such a reply is never about a mailbox that does not exist.
ABOUT_THE_SENDER = (
    r"spam|unsolicited|junk|\bbulk\b|block|black|deny ?list|dnsbl|\brbl\b|reputation|polic(y|ies)|\bspf\b|dkim|dmarc"
    r"|authenticat|authori[sz]|permission|permitted|restrict|prohibit|denied|allow|refus|prefer|banned|complain"
    r"|\brate\b|limit|quota|too (many|much|quickly)|later|temporar|quarantin|virus|content|relay"
    r"|reverse|hostname|host address|connection|sender|mail ?from|\bfrom\b|\b(helo|ehlo|ip)\b|client"
    r"|\byour\b(?! message)"
)

#: The account's server can't do its work.
SERVERS_TROUBLE = (
    r"temporary (local|lookup)|local (error|problem)|queue file write|spool file|space shortage|storage error"
    r"|server error|insufficient (system|disk)|server configuration|internal error"
    r"|service (is )?(currently )?unavailable"
)
#: Too much, or too fast, for now.
RATE = r"\brate\b|busy|unusual|reputation|limit|exceeded|too (many|much)"

#: The account's server does not carry mail for us, or not yet.
NO_RELAY = (
    r"relay(ing)?\b[^.;:]{0,20}\b(denied|not permitted|not allowed|prohibited)|unable to relay|not configured to relay"
    r"|credentials for relay|sender verify failed|turn on SMTP authentication"
)
#: The address of the computer that sends is blocked.
IP_BLOCKED = r"\b(client host|ip)\b[^;]{0,80}(block|black ?list|spamhaus|reputation|frequency limited)"

"""Whose fault a reply is: the one table. Everything else passes the verdict on as a value. Pure.

A row matches by the phase of the dialogue, the reply code, the enhanced status code (RFC 3463) and the text; the
first that matches decides. Where none matches, the class of the code and the phase decide: see `_DEFAULTS`.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from models import ChargedTo

#: Characters of a server's text that are kept.
MAX_TEXT = 500


class Phase(StrEnum):
    """How far the dialogue had come."""

    CONNECT = "connect"
    GREETING = "greeting"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"


#: Where a server speaks of a recipient or a message, and of the account only in passing.
IN_PASSING = frozenset({Phase.RCPT, Phase.DATA, Phase.BODY, Phase.DOT})


class Verdict(StrEnum):
    """What a reply, or its absence, means."""

    ACCEPTED = "accepted"
    RECIPIENT_FOR_GOOD = "recipient_for_good"
    SITE_BY_POLICY = "site_by_policy"
    RECIPIENT_FOR_NOW = "recipient_for_now"
    GREYLISTED = "greylisted"
    MAILBOX_FULL = "mailbox_full"
    CONTENT = "content"
    ACCOUNT_FOR_NOW = "account_for_now"
    ACCOUNT_QUOTA = "account_quota"
    LOGIN_REFUSED = "login_refused"
    ACCOUNT_FOR_GOOD = "account_for_good"
    UNKNOWN = "unknown"

    @property
    def charged_to(self) -> ChargedTo:
        """Whose fault it is."""
        return _CHARGED_TO[self]


_CHARGED_TO = {
    Verdict.ACCEPTED: ChargedTo.NOBODY,
    Verdict.RECIPIENT_FOR_GOOD: ChargedTo.RECIPIENT,
    Verdict.SITE_BY_POLICY: ChargedTo.SITE,
    Verdict.RECIPIENT_FOR_NOW: ChargedTo.RECIPIENT,
    Verdict.GREYLISTED: ChargedTo.RECIPIENT,
    Verdict.MAILBOX_FULL: ChargedTo.RECIPIENT,
    Verdict.CONTENT: ChargedTo.CONTENT,
    Verdict.ACCOUNT_FOR_NOW: ChargedTo.ACCOUNT,
    Verdict.ACCOUNT_QUOTA: ChargedTo.ACCOUNT,
    Verdict.LOGIN_REFUSED: ChargedTo.ACCOUNT,
    Verdict.ACCOUNT_FOR_GOOD: ChargedTo.ACCOUNT,
    Verdict.UNKNOWN: ChargedTo.NOBODY,
}


@dataclass(frozen=True)
class Reply:
    """A server's reply; `code` None: there was none, and `text` says what happened instead."""

    code: int | None
    text: str = ""

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code at the start of the text (RFC 2034), such as `5.1.1`."""
        match = re.match(r"\s*([245]\.\d{1,3}\.\d{1,3})\b", self.text)
        return match[1] if match else None

    @property
    def words(self) -> str:
        """The text in one line, without enhanced status codes and addresses (`spam@…` in it does not mean spam)."""
        return " ".join(re.sub(r"(?m)^\s*[245]\.\d{1,3}\.\d{1,3}\b|[^\s@]+@\S+", " ", self.text).split())


@dataclass(frozen=True)
class Result:
    """How a dialogue ended: in which phase, with which reply, and what that means."""

    verdict: Verdict
    phase: Phase
    reply: Reply

    @property
    def words(self) -> str:
        """In which phase the server said what, in at most MAX_TEXT characters."""
        return f"{self.phase}: {self.reply.code or ''} {self.reply.text}".strip()[:MAX_TEXT]


@dataclass(frozen=True)
class _Row:
    verdict: Verdict
    phases: frozenset[Phase] = frozenset(Phase)
    codes: str = r"[45]\d\d"
    enhanced: str = ""
    text: str = ""

    def matches(self, phase: Phase, reply: Reply) -> bool:
        return (
            phase in self.phases
            and re.fullmatch(self.codes, str(reply.code)) is not None
            and (not self.enhanced or re.fullmatch(self.enhanced, reply.enhanced or "") is not None)
            and (not self.text or re.search(self.text, reply.words, re.IGNORECASE) is not None)
        )


def _in(*phases: Phase) -> frozenset[Phase]:
    return frozenset(phases)


_LOGIN = _in(Phase.CONNECT, Phase.GREETING, Phase.TLS, Phase.AUTH)
_SENDER = _in(Phase.MAIL)
_ENVELOPE = _in(Phase.RCPT, Phase.DATA)
_CONTENT = _in(Phase.BODY, Phase.DOT)

#: The first row that matches decides.
TABLE = (
    # --- quotas: the provider says "enough for today" -------------------------------------------------------------
    # Google: 550 5.4.5 Daily user sending limit exceeded (support.google.com/a/answer/3726730)
    _Row(Verdict.ACCOUNT_QUOTA, enhanced=r"[45]\.4\.5"),
    # Google Workspace trial and relay limits: 421 4.7.0 / 550 5.7.1 … sending limit; Exchange Online 5.1.90, 5.2.2
    # submission quota
    _Row(
        Verdict.ACCOUNT_QUOTA,
        text=r"\b(daily|hourly|sending|submission|rate)\b.{0,30}\b(limit|quota)\b.{0,30}(exceeded|reached)"
        r"|exceed\w*.{0,40}(sending|daily|hourly|submission|message rate|recipient rate).{0,20}(limit|quota)"
        r"|can't send any more messages today|SubmissionQuotaExceeded",
    ),
    # 5.1.90 daily recipients; 5.7.232, 5.7.233, 5.7.236: the tenant's external recipients
    # (learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online)
    _Row(Verdict.ACCOUNT_QUOTA, codes="550", enhanced=r"5\.(1\.90|7\.23[236])"),
    # cPanel's Exim: Domain … has exceeded the max emails per hour (150/150 (100%)) allowed
    _Row(Verdict.ACCOUNT_QUOTA, text=r"exceeded the max (emails|defers)"),
    # Amazon SES: 454 Throttling failure: Maximum sending rate exceeded; but Daily message quota exceeded: see above
    # (docs.aws.amazon.com/ses, SMTP errors)
    _Row(Verdict.ACCOUNT_FOR_NOW, codes="454", text=r"throttling|sending rate"),
    # --- the login --------------------------------------------------------------------------------------------------
    # RFC 4954 section 6: 535 5.7.8 credentials invalid; 534 5.7.9 mechanism too weak / application password needed
    _Row(Verdict.ACCOUNT_FOR_GOOD, _in(Phase.AUTH), codes=r"53[458]"),
    _Row(Verdict.ACCOUNT_FOR_GOOD, _in(Phase.AUTH), codes=r"5\d\d", text=r"disabled|suspended|locked|blocked|denied"),
    # SMTP AUTH required, or switched off for the tenant: 530 5.7.0, 530 5.7.57, 535 5.7.139
    _Row(Verdict.ACCOUNT_FOR_GOOD, codes="530"),
    _Row(Verdict.ACCOUNT_FOR_NOW, _LOGIN),
    # --- the sender --------------------------------------------------------------------------------------------------
    # RFC 3463 X.1.7, X.1.8: the sender's address is bad. Exchange: 5.1.8 bad outbound sender; 5.7.60 client does not
    # have permissions to send as this sender; 5.7.501 to 503, 705, 708, 750: account or tenant banned
    _Row(Verdict.ACCOUNT_FOR_GOOD, enhanced=r"5\.(1\.[78]|7\.(57|60|50[123]|70[58]|750))"),
    # SES: 554 … Email address is not verified; 554 Access denied: User … is not authorized to perform ses:SendRawEmail
    _Row(
        Verdict.ACCOUNT_FOR_GOOD,
        codes=r"5\d\d",
        text=r"send as this sender|SendAsDenied|sender address rejected|not owned by user|email address is not verified"
        r"|account.{0,20}(disabled|suspended|paused)|sending paused|OutboundSpamException|not authorized to perform",
    ),
    _Row(Verdict.CONTENT, _SENDER, codes="552"),
    _Row(Verdict.ACCOUNT_FOR_GOOD, _SENDER, codes=r"55\d"),
    _Row(Verdict.ACCOUNT_FOR_NOW, _SENDER),
    # --- greylisting (RFC 6647) says who is rejected in many ways, and always means: later ----------------------------
    _Row(Verdict.RECIPIENT_FOR_NOW, text=r"gr[ea]y-?list"),
    # --- the account's reputation: not the recipient's doing ---------------------------------------------------------
    # Google 421 4.7.0, 421 4.7.28 unusual rate; Exchange Online 451 4.7.500 server busy, 432 4.3.2 sender thread limit;
    # Postfix 421 too many connections
    _Row(Verdict.ACCOUNT_FOR_NOW, codes=r"421|432"),
    # RFC 3463 X.3.1 and X.3.2: the mail system is full or accepts nothing; X.1.7, X.1.8: the sender's address
    _Row(Verdict.ACCOUNT_FOR_NOW, codes=r"4\d\d", enhanced=r"4\.(3\.[12]|1\.[78])"),
    # The account's server does not know us, or not yet: Postfix 554 5.7.1 Relay access denied, 450 4.7.1 Client host
    # rejected; Exim relay not permitted, Sender verify failed; Exchange 550 5.7.54 Unable to relay
    _Row(
        Verdict.ACCOUNT_FOR_NOW,
        text=r"relay(ing)? (access )?(denied|not permitted|prohibited)|unable to relay|too much mail|unusual rate"
        r"|(client host|helo command|sender address) rejected|sender verify failed",
    ),
    # RFC 5321 4.2.1: what is wrong is the command, not the one it names
    _Row(Verdict.ACCOUNT_FOR_NOW, _ENVELOPE, codes=r"50[0234]"),
    _Row(
        Verdict.ACCOUNT_FOR_NOW,
        codes=r"4\d\d",
        enhanced=r"4\.7\.(0|28|5\d\d|650)",
        text=r"rate|busy|unusual|reputation",
    ),
    _Row(
        Verdict.ACCOUNT_FOR_NOW,
        codes=r"5\d\d",
        text=r"(client host|\bIP\b).{0,80}(blocked|blacklist|block list|spamhaus|reputation)",
    ),
    # Exchange 5.7.606 to 5.7.649: banned sending IP
    _Row(Verdict.ACCOUNT_FOR_NOW, codes=r"5\d\d", enhanced=r"5\.7\.6(0[6-9]|[1-4]\d)"),
    # --- the recipient, for now --------------------------------------------------------------------------------------
    # mailbox full (RFC 3463 X.2.2): 552 5.2.2 is for now too: it will be emptied
    _Row(Verdict.RECIPIENT_FOR_NOW, enhanced=r"[45]\.2\.2"),
    _Row(
        Verdict.RECIPIENT_FOR_NOW,
        codes=r"[45]52",
        text=r"mailbox (is )?full|over ?quota|quota exceeded|insufficient.{0,20}storage",
    ),
    # --- the content -------------------------------------------------------------------------------------------------
    # RFC 3463 X.3.4 message too big, X.6.x, X.7.1 policy after DATA; Google 5.7.1 unsolicited, 5.7.26 unauthenticated
    _Row(Verdict.CONTENT, enhanced=r"5\.(3\.4|2\.3|6\.\d+)"),
    _Row(
        Verdict.CONTENT,
        codes=r"5\d\d",
        text=r"spam|unsolicited|junk|virus|malware|phish|content (rejected|blocked)|policy violation",
    ),
    _Row(Verdict.CONTENT, _CONTENT, codes=r"5\d\d", enhanced=r"5\.7\.\d+"),
    _Row(Verdict.CONTENT, codes="552"),
    # --- the recipient, for good -------------------------------------------------------------------------------------
    # RFC 3463 X.1.x bad address, X.2.1 mailbox disabled, X.4.x no route, 5.0.0; Exchange 550 5.4.1 access denied,
    # 5.7.1 rejected by the recipient's rules
    _Row(Verdict.RECIPIENT_FOR_GOOD, codes=r"5\d\d", enhanced=r"5\.(1\.\d+|2\.1|4\.\d+)"),
    _Row(Verdict.RECIPIENT_FOR_GOOD, _ENVELOPE, codes=r"55[0134]"),
    _Row(
        Verdict.RECIPIENT_FOR_GOOD,
        codes=r"5\d\d",
        text=r"(no such|unknown|invalid|unrouteable|disabled).{0,40}(user|recipient|mailbox|address|account)"
        r"|(user|recipient|mailbox|address|account).{0,60}"
        r"(unknown|not found|does not exist|doesn't exist|rejected|unavailable|disabled|inactive)",
    ),
)

#: Where no row of the table matches: the phase says whom the server speaks of, the class of the code for how long.
_DEFAULTS = (
    _Row(Verdict.RECIPIENT_FOR_NOW, _in(Phase.RCPT), codes=r"4\d\d"),
    _Row(Verdict.RECIPIENT_FOR_GOOD, _in(Phase.RCPT), codes=r"5\d\d"),
    _Row(Verdict.RECIPIENT_FOR_NOW, _in(Phase.DATA) | _CONTENT, codes=r"4\d\d"),
    _Row(Verdict.CONTENT, _in(Phase.DATA) | _CONTENT, codes=r"5\d\d"),
)


def judge(phase: Phase, reply: Reply) -> Verdict:
    """Return what a reply to a command of `phase` means.

    A reply that is not allowed there (a 3yz, garbage) is charged to the account before the dot; after the dot it is
    unknown whether the mail was accepted (RFC 1047).
    """
    if phase is Phase.DOT and reply.code is not None and 200 <= reply.code < 300:
        return Verdict.ACCEPTED
    for row in (*TABLE, *_DEFAULTS):
        if reply.code is not None and row.matches(phase, reply):
            return row.verdict
    return Verdict.UNKNOWN if phase is Phase.DOT else Verdict.ACCOUNT_FOR_NOW


def judge_failure(phase: Phase, error: Exception) -> Result:
    """Return what a failure without a reply means, with a text that describes it.

    A failed connection, a certificate that is not trusted or a timeout is charged to the account before the dot; after
    the dot it is unknown whether the mail was accepted.
    """
    kinds: Iterable[tuple[type[Exception] | tuple[type[Exception], ...], str]] = (
        (ssl.SSLCertVerificationError, "the server's certificate is not trusted"),
        (ssl.SSLError, "TLS failed"),
        (TimeoutError, "no answer in time"),
        (ConnectionRefusedError, "the connection was refused"),
        ((ConnectionError, smtplib.SMTPServerDisconnected, EOFError), "the connection was lost"),
        (OSError, "the server can't be reached"),
    )
    what = next((text for kind, text in kinds if isinstance(error, kind)), "the server's answer makes no sense")
    verdict = Verdict.UNKNOWN if phase is Phase.DOT else Verdict.ACCOUNT_FOR_NOW
    return Result(verdict, phase, Reply(None, f"{what}: {error}"[:300]))

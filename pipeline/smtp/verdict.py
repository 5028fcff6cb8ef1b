"""The words of the judgement: how far a dialogue had come, what a reply means, and whom that is charged to. Pure."""

from __future__ import annotations

from enum import StrEnum

from models import ChargedTo


class Phase(StrEnum):
    """How far the dialogue had come; `sign`: not even begun, for the message could not be signed."""

    SIGN = "sign"
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
#: A mail transaction has begun (RFC 5321 3.3).
TRANSACTION = IN_PASSING | {Phase.MAIL}


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

"""What the doctor finds: each finding says what is, why it matters, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is; only an error makes the exit code 1. Unknown: it could not be asked."""

    OK = "ok"
    UNKNOWN = "unknown"
    ADVICE = "advice"
    WARNING = "warning"
    ERROR = "error"


class Check(StrEnum):
    """What is looked at."""

    # the installation
    CLOCK = "clock"
    TIME_ZONE = "time_zone"
    WEEKENDS = "weekends"
    HOLIDAYS = "holidays"
    POSTAL_ADDRESS = "postal_address"
    UNSUBSCRIBE = "unsubscribe"
    PROXIES = "proxies"
    KEY = "key"
    FORGOTTEN = "forgotten"
    DATABASE = "database"
    FILES = "files"
    EHLO_NAME = "ehlo_name"
    ACCOUNTS = "accounts"
    # an account
    PASSWORD = "password"  # noqa: S105  (what is looked at, not a password)
    LOGIN = "login"
    TLS = "tls"
    CERTIFICATE = "certificate"
    DAILY_LIMIT = "daily_limit"
    RATE = "rate"
    BASIC_AUTH = "basic_auth"
    FROM_AND_LOGIN = "from_and_login"
    FROM_PROVIDER = "from_provider"
    SPF_AND_SERVER = "spf_and_server"
    SIGNATURE = "signature"
    ONE_CLICK = "one_click"
    MAILBOX = "mailbox"
    # the domain of a From address
    MX = "mx"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at.
        level: how bad it is; only an `error` makes the exit code 1; `unknown`: it could not be asked.
        found: what there is, or is not.
        why: why that matters; null where all is well.
        remedy: what to do; null where nothing is to be done.
        account_ids: the accounts that it is about; none: it is about all.
        account: the account's name, if it is about one.
        domain: the domain, if it is about a sender's domain.
    """

    check: Check
    level: Level
    found: str
    why: str | None = None
    remedy: str | None = None
    account_ids: tuple[int, ...] = ()
    account: str | None = None
    domain: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, and what is as it should be.

    Attributes:
        hurts: whether there is an error among the findings.
        findings: all of them: about the installation, then account by account, then domain by domain.
    """

    hurts: bool
    findings: tuple[Finding, ...]


def fine(check: Check, found: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, Level.OK, found)


def unasked(check: Check, what: str) -> Finding:
    """Return the finding that DNS could not be asked: nobody's mistake, and nothing is known."""
    return Finding(
        check,
        Level.UNKNOWN,
        f"{what} could not be asked for",
        "DNS did not answer, or had no result; that says nothing about the domain",
        "ask again later; `MAIL_DNS_SERVERS` names other servers to ask",
    )

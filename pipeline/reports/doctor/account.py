"""One account, judged: its login, its limits, whose name it writes in and through whose server. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from models import Auth, Security
from pipeline.dns.spf import Spf
from pipeline.reports.doctor.findings import Check, Finding, Level, fine
from pipeline.rules import providers
from pipeline.smtp.login import is_loopback
from pipeline.smtp.trial import Trial

#: Days before a certificate's end from which on it is said.
CERTIFICATE_SAID = dt.timedelta(days=14)
#: Cold mails a day that a mailbox can send before it is taken for a spammer's, as those who do it for a living say.
COLD_A_DAY = 50


@dataclass(frozen=True)
class Account:
    """What was found out about an account.

    Attributes:
        host, security, username, auth, plain_password: as it is set up.
        from_address, from_domain: whom it writes as; the domain in IDNA.
        limit: mails a day, when its warm-up is over.
        interval: seconds between two of them.
        password_problem: why its password can't be read.
        trial: what came of its login; None: it was not tried.
        spf: of the domain it writes as; None: it was not asked.
    """

    host: str
    security: Security
    username: str | None
    auth: Auth
    plain_password: bool
    from_address: str
    from_domain: str
    limit: int
    interval: float
    password_problem: str | None = None
    trial: Trial | None = None
    spf: Spf | None = None


def judge(account: Account, now: dt.datetime) -> Iterator[Finding]:
    """Yield what there is to say about an account at `now`."""
    yield from login(account)
    yield from _protection(account, now)
    yield from _basic_auth(account)
    yield from _limits(account)
    yield from _from(account)
    yield from _spf_and_server(account)


def login(account: Account) -> Iterator[Finding]:
    """Yield whether its password can be read, and whether its server lets it in, if that was tried."""
    if account.password_problem is not None:
        yield Finding(
            Check.PASSWORD,
            Level.ERROR,
            f"its password can't be read: {account.password_problem}",
            "it can't log in, and sends nothing",
            "put the key back that encrypted it, or give the password again: `slowpost accounts set ID --password`",
        )
    elif account.username is not None and account.auth is Auth.PASSWORD:
        yield fine(Check.PASSWORD, "it can be read")
    if account.trial is None:
        return
    if account.trial.result is None:
        yield fine(Check.LOGIN, f"{account.host} lets it in")
        return
    reply = account.trial.result.reply
    code = "" if reply.code is None else f"{reply.code} "
    yield Finding(
        Check.LOGIN,
        Level.ERROR,
        f"{account.host} does not let it in ({account.trial.result.phase}): {code}{reply.text}",
        "it sends nothing, and is switched off when that goes on",
        "check host, port, security, user and password; some providers want a separate password for programs",
    )


def _protection(account: Account, now: dt.datetime) -> Iterator[Finding]:
    if account.security is Security.PLAIN:
        yield from _unprotected(account)
    trial = account.trial
    if trial is None or trial.tls is None or trial.expires_at is None:
        return
    if trial.tls in ("TLSv1.2", "TLSv1.3"):
        yield fine(Check.TLS, trial.tls)
    else:
        yield Finding(
            Check.TLS,
            Level.WARNING,
            f"the server speaks {trial.tls}",
            "it is deprecated (RFC 8996), and what is sent can be read on the way",
            "ask its provider for TLS 1.2 or newer",
        )
    until = f"the server's certificate is valid until {trial.expires_at:%Y-%m-%d %H:%M} UTC"
    if trial.expires_at - now > CERTIFICATE_SAID:
        yield fine(Check.CERTIFICATE, until)
    else:
        yield Finding(
            Check.CERTIFICATE,
            Level.WARNING,
            until,
            "from then on nothing is sent through it: a certificate that is not valid is never accepted",
            "renew it, or ask whoever runs the server; providers renew theirs in time",
        )


def _unprotected(account: Account) -> Iterator[Finding]:
    if account.username is None or is_loopback(account.host):
        return
    yield Finding(
        Check.TLS,
        Level.WARNING if account.plain_password else Level.ERROR,
        f"its password would go to {account.host} without TLS",
        "everybody on the way can read it, and send in your name (RFC 8314, section 3)",
        "`slowpost accounts set ID --security starttls` (or tls, with port 465)",
    )


def _basic_auth(account: Account) -> Iterator[Finding]:
    """Microsoft: from the end of December 2026 passwords are off unless an administrator switches them on; the end for
    good is to be named in the second half of 2027 (Message Center MC786329, 2026-01-27).
    """
    host = account.host.lower().rstrip(".")
    if host == "smtp.office365.com" and account.username is not None and account.auth is Auth.PASSWORD:
        yield Finding(
            Check.BASIC_AUTH,
            Level.WARNING,
            "it logs in to Microsoft 365 with a password",
            "Microsoft switches this off: by default at the end of December 2026, for good at a date it names in 2027 "
            "(MC786329; refused with 550 5.7.30)",
            "let it log in with an access token (XOAUTH2)",
        )


def _limits(account: Account) -> Iterator[Finding]:
    provider = providers.of_server(account.host)
    a_day = None
    if provider is not None:
        is_public = account.from_domain in provider.mailboxes
        a_day = provider.a_day_public if is_public else provider.a_day
    if provider is not None and a_day is not None and account.limit > a_day:
        yield Finding(
            Check.DAILY_LIMIT,
            Level.ERROR,
            f"its limit is {account.limit} mails a day; {provider.name} allows {a_day} in 24 hours",
            f"above that it is locked, often for a day and for other mail, too ({provider.source})",
            f"`slowpost accounts set ID --daily-limit {COLD_A_DAY}`, or less",
        )
    elif account.limit > COLD_A_DAY:
        yield Finding(
            Check.DAILY_LIMIT,
            Level.WARNING,
            f"its limit is {account.limit} mails a day, over {COLD_A_DAY}",
            "to people who do not know you, a mailbox that sends more is soon taken for a spammer's",
            f"`slowpost accounts set ID --daily-limit {COLD_A_DAY}`, or less, with a warm-up",
        )
    else:
        yield fine(Check.DAILY_LIMIT, f"its limit is {account.limit} mails a day")
    if provider is not None and provider.a_minute and account.interval * provider.a_minute < 60:
        yield Finding(
            Check.RATE,
            Level.ERROR,
            f"MAIL_MIN_INTERVAL={account.interval:g}; {provider.name} allows {provider.a_minute} mails a minute",
            f"more are refused ({provider.source})",
            "MAIL_MIN_INTERVAL=60, or 2 at least",
        )


def _from(account: Account) -> Iterator[Finding]:
    public, server = providers.of_mailbox(account.from_domain), providers.of_server(account.host)
    if public is not None and public is not server:
        yield Finding(
            Check.FROM_PROVIDER,
            Level.ERROR,
            f"it writes as {account.from_address} through {account.host}, which is not {public.name}'s server",
            f"neither SPF nor DKIM of {account.from_domain} passes for such a mail, and most receivers refuse it or "
            "take it for spam (DMARC, RFC 7489; support.google.com/a/answer/81126)",
            f"send it through {public.name}'s own server, or write as an address of your own domain",
        )
    login = (account.username or "").lower()
    if "@" in login and login != account.from_address.lower():
        yield Finding(
            Check.FROM_AND_LOGIN,
            Level.WARNING if server is not None else Level.ADVICE,
            f"it logs in as {login} and writes as {account.from_address}",
            "a server refuses that (Microsoft: 5.7.60) or replaces the From address with the login's (Google), unless "
            "it knows that both are yours",
            "make the From address an alias of the login at its provider, or write as the login",
        )


def _spf_and_server(account: Account) -> Iterator[Finding]:
    provider, spf = providers.of_server(account.host), account.spf
    if provider is None or provider.spf is None or spf is None or not spf.asked or spf.records != 1 or spf.problem:
        return
    if provider.spf in spf.names:
        yield fine(Check.SPF_AND_SERVER, f"the SPF record of {account.from_domain} includes {provider.name}")
    else:
        yield Finding(
            Check.SPF_AND_SERVER,
            Level.WARNING,
            f"the SPF record of {account.from_domain} does not include {provider.spf}",
            f"{provider.name}'s servers send this account's mail, and receivers look there whether they may",
            f"add include:{provider.spf} to the record",
        )

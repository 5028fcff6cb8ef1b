"""The doctor's judgement: of each thing that can be wrong, whether it is said, and how bad it is."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from models import Auth, DomainResult, Role, Security
from pipeline.dns.policies import Dmarc, Key
from pipeline.dns.reverse import Reverse
from pipeline.dns.spf import Spf
from pipeline.imap.folders import Folder
from pipeline.reports.doctor import account, domain, installation, mailbox
from pipeline.reports.doctor.findings import Check, Finding, Level
from pipeline.reports.doctor.mailbox import Mailbox
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from pipeline.smtp.trial import Trial
from pipeline.throttle.window import SendingWindow

NOW = dt.datetime(2026, 6, 2, 14, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)

INSTALLATION = installation.Installation(
    clock_ahead=0.1,
    window="from 08:00 to 17:00 in Europe/Berlin",
    zone_is_set=True,
    weekend_at=None,
    holidays=("DE",),
    without_holidays=(),
    closed_next="Sat 2026-10-03, German Unity Day (DE)",
    postal_address="1 Main Street",
    unsubscribe=("out@a.test",),
    public_url="https://a.test",
    proxies_are_named=True,
    key="SECRET_KEY",
    key_problem=None,
    durability={"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"},
    ehlo_name="mail.a.test",
    reverse=Reverse(("192.0.2.1",), (), asked=True),
)
ACCOUNT = account.Account(
    host="mail.a.test",
    security=Security.STARTTLS,
    username="ann@a.test",
    auth=Auth.PASSWORD,
    plain_password=False,
    from_address="Ann@a.test",
    from_domain="a.test",
    limit=50,
    interval=60,
    trial=Trial(tls="TLSv1.3", expires_at=NOW + 60 * DAY),
    spf=Spf(records=1, names={"_spf.google.com", "spf.protection.outlook.com"}, verdict="~"),
)
DOMAIN = domain.Domain(
    mail=DomainResult.TAKES_MAIL,
    has_mx=True,
    spf=Spf(records=1, lookups=10, verdict="-"),
    given={},
    guessed={"google": Key.NONE, "s1": Key.THERE, "mail": Key.UNKNOWN},
    dmarc=Dmarc(1, "quarantine", "a.test"),
)
REFUSED = Result(Verdict.ACCOUNT_FOR_GOOD, Phase.AUTH, Reply(535, "5.7.8 no"))
GMAIL = {"host": "smtp.gmail.com", "from_address": "ann@gmail.com", "from_domain": "gmail.com", "username": None}
OFFICE = {"host": "smtp.office365.com"}
ON_SQLITE = {"synchronous": "2", "journal_mode": "wal"}


def test_of_what_is_as_it_should_be_nothing_but_good_is_said() -> None:
    found = [*installation.judge(INSTALLATION), *account.judge(ACCOUNT, NOW), *domain.judge(DOMAIN)]
    assert [f for f in found if (f.level, f.why, f.remedy) != (Level.OK, None, None)] == []


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({"clock_ahead": -6}, Check.CLOCK, Level.WARNING),
        ({"clock_ahead": 301}, Check.CLOCK, Level.ERROR),
        ({"forgotten_problem": "no key fits"}, Check.FORGOTTEN, Level.ERROR),
        ({"without_key": 2}, Check.FORGOTTEN, Level.ERROR),
        ({"zone_is_set": False}, Check.TIME_ZONE, Level.ADVICE),
        ({"weekend_at": "Sat 2026-06-06 08:00:00 EDT"}, Check.WEEKENDS, Level.WARNING),
        ({"holidays": (), "closed_next": None}, Check.HOLIDAYS, Level.ADVICE),
        ({"without_holidays": ("LK in 2027",)}, Check.HOLIDAYS, Level.WARNING),
        ({"postal_address": None}, Check.POSTAL_ADDRESS, Level.WARNING),
        ({"unsubscribe": ()}, Check.UNSUBSCRIBE, Level.WARNING),
        ({"proxies_are_named": False}, Check.PROXIES, Level.WARNING),
        ({"key_problem": "there is no SECRET_KEY"}, Check.KEY, Level.ERROR),
        ({"durability": INSTALLATION.durability | {"fsync": "off"}}, Check.DATABASE, Level.ERROR),
        ({"durability": INSTALLATION.durability | {"synchronous_commit": "off"}}, Check.DATABASE, Level.ERROR),
        ({"durability": INSTALLATION.durability | {"full_page_writes": "off"}}, Check.DATABASE, Level.ERROR),
        ({"readable": ("slowpost.db",)}, Check.FILES, Level.WARNING),
        ({"durability": ON_SQLITE | {"synchronous": "1"}}, Check.DATABASE, Level.ERROR),
        ({"durability": ON_SQLITE | {"journal_mode": "memory"}}, Check.DATABASE, Level.ERROR),
        ({"reverse": Reverse((), (), asked=True)}, Check.EHLO_NAME, Level.WARNING),
        ({"reverse": Reverse(("192.0.2.1",), ("192.0.2.1",), asked=True)}, Check.EHLO_NAME, Level.WARNING),
        ({"reverse": Reverse((), (), asked=False)}, Check.EHLO_NAME, Level.UNKNOWN),
    ],
)
def test_what_is_wrong_for_all_accounts_is_said(change: dict[str, Any], check: Check, level: Level) -> None:
    only_one_is_said(installation.judge(replace(INSTALLATION, **change)), check, level)


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({"password_problem": "no key", "trial": None}, Check.PASSWORD, Level.ERROR),
        ({"trial": Trial(REFUSED)}, Check.LOGIN, Level.ERROR),
        ({"trial": Trial(tls="TLSv1.1", expires_at=NOW + 60 * DAY)}, Check.TLS, Level.WARNING),
        ({"trial": Trial(tls="TLSv1.3", expires_at=NOW + 14 * DAY)}, Check.CERTIFICATE, Level.WARNING),
        ({"security": Security.PLAIN, "trial": Trial()}, Check.TLS, Level.ERROR),
        ({"security": Security.PLAIN, "trial": Trial(), "plain_password": True}, Check.TLS, Level.WARNING),
        (OFFICE, Check.BASIC_AUTH, Level.WARNING),
        ({"limit": 51}, Check.DAILY_LIMIT, Level.WARNING),
        (GMAIL | {"limit": 500}, Check.DAILY_LIMIT, Level.WARNING),
        (GMAIL | {"limit": 501}, Check.DAILY_LIMIT, Level.ERROR),
        ({"host": "smtp.gmail.com", "limit": 2_000}, Check.DAILY_LIMIT, Level.WARNING),
        ({"host": "smtp.gmail.com", "limit": 2_001}, Check.DAILY_LIMIT, Level.ERROR),
        (OFFICE | {"auth": Auth.XOAUTH2, "limit": 10_000}, Check.DAILY_LIMIT, Level.WARNING),
        (OFFICE | {"auth": Auth.XOAUTH2, "limit": 10_001}, Check.DAILY_LIMIT, Level.ERROR),
        (OFFICE | {"auth": Auth.XOAUTH2, "interval": 1.9}, Check.RATE, Level.ERROR),
        (GMAIL | {"host": "mail.a.test"}, Check.FROM_PROVIDER, Level.ERROR),
        (GMAIL | {"host": "gmail.com.a.test"}, Check.FROM_PROVIDER, Level.ERROR),
        ({"username": "bob@a.test"}, Check.FROM_AND_LOGIN, Level.ADVICE),
        ({"username": "bob@a.test", "host": "smtp.gmail.com"}, Check.FROM_AND_LOGIN, Level.WARNING),
        ({"host": "smtp.gmail.com", "spf": Spf(records=1, verdict="~")}, Check.SPF_AND_SERVER, Level.WARNING),
    ],
)
def test_what_is_wrong_with_an_account_is_said(change: dict[str, Any], check: Check, level: Level) -> None:
    only_one_is_said(account.judge(replace(ACCOUNT, **change), NOW), check, level)


@pytest.mark.parametrize(
    "change",
    [
        GMAIL,
        OFFICE | {"auth": Auth.XOAUTH2, "interval": 2},
        {"security": Security.PLAIN, "trial": Trial(), "host": "127.0.0.1"},
        {"security": Security.PLAIN, "trial": Trial(), "username": None},
        {"username": "apikey"},
        {"trial": None},
        {"host": "smtp.gmail.com", "spf": None},
    ],
)
def test_what_is_as_its_provider_wants_it_is_not_found_fault_with(change: dict[str, Any]) -> None:
    assert {finding.level for finding in account.judge(replace(ACCOUNT, **change), NOW)} == {Level.OK}


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({"mail": DomainResult.NO_SUCH_DOMAIN}, Check.MX, Level.ERROR),
        ({"mail": DomainResult.NO_MAIL_SERVER}, Check.MX, Level.ERROR),
        ({"mail": DomainResult.NULL_MX}, Check.MX, Level.ERROR),
        ({"has_mx": False}, Check.MX, Level.ADVICE),
        ({"mail": None}, Check.MX, Level.UNKNOWN),
        ({"spf": Spf(records=0)}, Check.SPF, Level.ERROR),
        ({"spf": Spf(records=2)}, Check.SPF, Level.ERROR),
        ({"spf": Spf(records=1, lookups=11, verdict="-")}, Check.SPF, Level.ERROR),
        ({"spf": Spf(records=1, problem="'a;' is no term")}, Check.SPF, Level.ERROR),
        ({"spf": Spf(records=1, verdict="+")}, Check.SPF, Level.ERROR),
        ({"spf": Spf(records=1, verdict="?")}, Check.SPF, Level.ADVICE),
        ({"spf": Spf(records=1)}, Check.SPF, Level.ADVICE),
        ({"spf": Spf(records=1, verdict="-", uses_ptr=True)}, Check.SPF, Level.ADVICE),
        ({"spf": Spf(records=0, asked=False)}, Check.SPF, Level.UNKNOWN),
        ({"spf": Spf(records=1, verdict="-", asked=False)}, Check.SPF, Level.UNKNOWN),
        ({"given": {"x": Key.NONE}}, Check.DKIM, Level.ERROR),
        ({"given": {"x": Key.REVOKED}}, Check.DKIM, Level.ERROR),
        ({"given": {"x": Key.UNKNOWN}}, Check.DKIM, Level.UNKNOWN),
        ({"guessed": {"google": Key.NONE, "s1": Key.REVOKED}}, Check.DKIM, Level.WARNING),
        ({"guessed": {"google": Key.NONE, "s1": Key.UNKNOWN}}, Check.DKIM, Level.UNKNOWN),
        ({"dmarc": Dmarc()}, Check.DMARC, Level.WARNING),
        ({"dmarc": Dmarc(2, None, "a.test")}, Check.DMARC, Level.WARNING),
        ({"dmarc": Dmarc(1, "none", "a.test")}, Check.DMARC, Level.ADVICE),
        ({"dmarc": Dmarc(asked=False)}, Check.DMARC, Level.UNKNOWN),
    ],
)
def test_what_is_wrong_with_a_domain_is_said(change: dict[str, Any], check: Check, level: Level) -> None:
    only_one_is_said(domain.judge(replace(DOMAIN, **change)), check, level)


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (Mailbox(None), Level.WARNING),
        (Mailbox("h.test", problem="refused"), Level.ERROR),
        (Mailbox("h.test", (Folder("INBOX", Role.INBOX), Folder("Sent", Role.SENT))), Level.ADVICE),
    ],
)
def test_what_is_wrong_with_a_mailbox_is_said(facts: Mailbox, level: Level) -> None:
    only_one_is_said(mailbox.judge(facts), Check.MAILBOX, level)


@pytest.mark.parametrize(
    ("days", "closed", "at"),
    [
        ({0, 1, 2, 3, 4}, (), None),
        (set(range(7)), (), (6, 8)),
        ({6}, (), (7, 8)),
        (set(range(7)), (6, 7), None),
        ({4}, (), (6, 0)),
    ],
)
def test_mail_on_weekends_is_found_also_after_midnight(days: set[int], closed: tuple[int, ...], at: Any) -> None:
    zone = ZoneInfo("America/New_York")
    end = dt.time(2) if days == {4} else dt.time(17)  # Friday's window goes on into Saturday
    dates = frozenset(dt.date(2026, 6, day) for day in closed)
    window = SendingWindow(((dt.time(8), end),), zone, frozenset(days), dates)
    found = installation.weekend_of(window.open_time(NOW, NOW + 7 * DAY).spans, zone)
    assert found == (at and dt.datetime(2026, 6, *at, tzinfo=zone))


def only_one_is_said(found: Any, check: Check, level: Level) -> None:
    """Assert that nothing but this is wrong, and that the finding says why it matters and what to do."""
    wrong: list[Finding] = [finding for finding in found if finding.level is not Level.OK]
    assert [(finding.check, finding.level) for finding in wrong] == [(check, level)]
    assert wrong[0].found
    assert wrong[0].why
    assert wrong[0].remedy

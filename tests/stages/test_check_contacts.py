"""Domains that take no mail, roles' and throw-away addresses are left out, with the reason; answers count 30 days."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator

import pytest

from models import Contact, Delivery, DomainCheck, DomainResult, Reason, State
from pipeline import select_contacts
from pipeline.dns.resolver import Ask
from pipeline.operations import check_contacts
from pipeline.reports.why import why
from pipeline.rules.contact import reasons_against
from pipeline.rules.eligible import eligible
from tests.builders import a_contact, a_template
from tests.conftest import Clock
from tests.dns_server import REAL, SERVFAIL, SILENT, DnsServer

#: Of each kind of domain one: what it is called, and what is to be found out about it.
KINDS = {
    "mx.test": DomainResult.TAKES_MAIL,
    "only-a.test": DomainResult.TAKES_MAIL,
    "only-aaaa.test": DomainResult.TAKES_MAIL,
    "www-only.test": DomainResult.NO_MAIL_SERVER,
    "null.test": DomainResult.NULL_MX,
    "gone.test": DomainResult.NO_SUCH_DOMAIN,
    "silent.test": None,
    "servfail.test": None,
    "half.test": None,
}
ZONE = REAL | {
    "mx.test MX": ["10 mx1.mx.test.", "20 mx2.mx.test."],
    "only-a.test A": ["192.0.2.1"],
    "only-aaaa.test AAAA": ["2001:db8::1"],
    "www.www-only.test A": ["192.0.2.2"],
    "null.test MX": ["0 ."],
    "null.test A": ["192.0.2.3"],
    "silent.test MX": SILENT,
    "servfail.test MX": SERVFAIL,
    "half.test A": SERVFAIL,
}


def test_each_kind_of_domain_is_told_and_what_dns_does_not_say_is_not_kept(any_database: str, dns: DnsServer) -> None:
    for domain in KINDS:
        a_contact(email=f"Ann@{domain.upper()}")
    found = check_contacts.check()
    assert {c.domain: c.result for c in DomainCheck.select()} == {d: r for d, r in KINDS.items() if r is not None}
    assert (found.domains, found.asked, found.answered, found.is_dns_away) == (9, 9, 6, False)
    assert [(row.domain, row.result, row.contacts) for row in found.without_mail] == [
        (domain, KINDS[domain], 1) for domain in ("gone.test", "null.test", "www-only.test")
    ]


def test_whom_no_mail_reaches_is_left_out_by_every_stage_with_the_reason(any_database: str, dns: DnsServer) -> None:
    template = a_template()
    contacts = {domain: a_contact(email=f"ann@{domain}") for domain in KINDS}
    without = {"www-only.test", "null.test", "gone.test"}
    everybody = sorted(contact.id for contact in contacts.values())
    assert eligible(template, 100, 0) == everybody

    check_contacts.check()

    assert eligible(template, 100, 0) == sorted(c.id for domain, c in contacts.items() if domain not in without)
    assert [b.reason for b in why(contacts["gone.test"].id).reasons] == [Reason.DOMAIN_TAKES_NO_MAIL]
    select_contacts.select(select_contacts.asked("m1", everybody), template_id=template.id)
    skipped = Delivery.select().where(Delivery.state == State.SKIPPED)
    assert {d.contact_id: d.reason for d in skipped} == {contacts[d].id: "domain_takes_no_mail" for d in without}


def test_an_answer_counts_for_thirty_days_and_is_not_asked_for_again_in_that_time(
    any_database: str, dns: DnsServer, clock: Clock
) -> None:
    gone = a_contact(email="ann@gone.test")
    check_contacts.check()
    dns.asked.clear()
    clock.tick(dt.timedelta(days=29, hours=23).total_seconds())
    assert check_contacts.check().asked == 0
    assert dns.asked == []
    assert reasons_against(gone, clock.at) == [Reason.DOMAIN_TAKES_NO_MAIL]
    assert eligible(a_template(), 1, 0) == []

    clock.tick(3_600)
    assert reasons_against(gone, clock.at) == []
    assert eligible(a_template(), 1, 0) == [gone.id]
    dns.zone["gone.test", "MX"] = ["10 mx.gone.test."]
    assert check_contacts.check().asked == 1
    assert [(c.domain, c.result) for c in DomainCheck.select()] == [("gone.test", DomainResult.TAKES_MAIL)]


def test_asked_again_a_new_answer_takes_the_place_of_the_old_one_and_silence_does_not(
    any_database: str, dns: DnsServer
) -> None:
    for domain in ("gone.test", "null.test"):
        a_contact(email=f"ann@{domain}")
    check_contacts.check()
    dns.zone |= {("gone.test", "A"): ["192.0.2.1"], ("null.test", "MX"): SERVFAIL}
    assert check_contacts.check(again=True).answered == 1
    assert {c.domain: c.result for c in DomainCheck.select()} == {
        "gone.test": DomainResult.TAKES_MAIL,
        "null.test": DomainResult.NULL_MX,
    }


@pytest.mark.parametrize("trouble", ["nobody there", "knows nothing"])
def test_dns_that_is_away_or_knows_nothing_leaves_nobody_out(
    any_database: str, dns: DnsServer, configure: Callable[..., None], trouble: str
) -> None:
    contact = a_contact(email="ann@gone.test")
    if trouble == "nobody there":
        configure(mail_dns_servers="127.0.0.1:1")
    else:
        for known in check_contacts.KNOWN:
            del dns.zone[known, "MX"]
    found = check_contacts.check()
    assert (found.is_dns_away, found.asked, found.answered) == (True, 1, 0)
    assert DomainCheck.select().count() == 0
    assert eligible(a_template(), 1, 0) == [contact.id]


def test_what_is_answered_is_kept_when_the_check_is_stopped(
    any_database: str, dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_contacts, "CHUNK", 2)
    for number in range(6):
        a_contact(email=f"ann@gone{number}.test")

    def stop(done: int, _of: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_contacts.check(on_progress=stop)
    assert sorted(c.domain for c in DomainCheck.select()) == [f"gone{number}.test" for number in range(4)]


def test_dns_that_goes_away_half_way_is_not_asked_for_the_rest(
    any_database: str, dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_contacts, "CHUNK", 2)
    names = [f"gone{number}.test" for number in range(8)]
    for name in names:
        a_contact(email=f"ann@{name}")

    def go_away(_done: int, _of: int) -> None:
        dns.zone |= {(name, "MX"): SILENT for name in (*names, *check_contacts.KNOWN)}

    found = check_contacts.check(on_progress=go_away)
    assert (found.asked, found.answered) == (8, 2)
    assert {name for name, _ in dns.asked} == {*names[:4], *check_contacts.KNOWN}
    assert sorted(c.domain for c in DomainCheck.select()) == names[:2]


def test_many_domains_are_asked_for_at_the_same_time_and_not_more_than_that(
    any_database: str, dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work: list[int] = []
    most: list[int] = []

    def counted(domain: str, _ask: Ask) -> DomainResult:
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.001)
        at_work.pop()
        return DomainResult.TAKES_MAIL

    monkeypatch.setattr(check_contacts, "takes_mail", counted)
    for number in range(450):
        a_contact(email=f"ann@site{number}.test")
    assert check_contacts.check().answered == 450
    assert 2 < max(most) <= check_contacts.THREADS


@pytest.mark.parametrize(
    ("email", "reason"),
    [
        ("abuse@site.test", Reason.ROLE_ADDRESS),
        ("Postmaster@site.test", Reason.ROLE_ADDRESS),
        ("no-reply+shop@site.test", Reason.ROLE_ADDRESS),
        ("mailer-daemon@site.test", Reason.ROLE_ADDRESS),
        ("ann@mailinator.com", Reason.DISPOSABLE_DOMAIN),
        ("ann@sub.mailinator.com", Reason.DISPOSABLE_DOMAIN),
        ("info@site.test", None),
        ("abuse.lawyer@site.test", None),
        ("ann@notmailinator.com.test", None),
    ],
)
def test_roles_and_thrown_away_addresses_are_never_written_to_even_without_a_check(
    any_database: str, email: str, reason: Reason | None, clock: Clock
) -> None:
    contact, template = a_contact(email=email), a_template()
    against = [] if reason is None else [reason]
    assert reasons_against(contact, clock.at) == against
    assert eligible(template, 1, 0) == ([contact.id] if reason is None else [])
    select_contacts.select(select_contacts.asked("m1", [contact.id]), template_id=template.id)
    assert [d.reason for d in Delivery.select()] == [reason]


def test_the_check_lists_whose_addresses_say_something_and_of_info_it_only_says_so(
    any_database: str, dns: DnsServer, clock: Clock
) -> None:
    abuse, info = a_contact(email="abuse@mx.test"), a_contact(email="Info@mx.test")
    thrown = a_contact(email="ann@mailinator.com")
    a_contact(email="ann@mx.test")
    a_contact(email="abuse@gone.test", forgotten_at=clock.at)
    found = check_contacts.check()
    assert [(row.contact_id, row.reason) for row in found.addresses] == [
        (abuse.id, "role_address"),
        (info.id, None),
        (thrown.id, "disposable_domain"),
    ]
    assert found.domains == 2


def test_an_at_sign_in_the_local_part_does_not_hide_the_domain(any_database: str, dns: DnsServer) -> None:
    contact = a_contact(email='"a@mx.test"@gone.test')
    check_contacts.check()
    assert [c.domain for c in DomainCheck.select()] == ["gone.test"]
    assert eligible(a_template(), 1, 0) == []
    assert Contact.get_by_id(contact.id).address == '"a@mx.test"@gone.test'


@pytest.fixture
def dns(configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsServer]:
    """A server with a domain of each kind; it is given up on soon."""
    monkeypatch.setattr("pipeline.dns.resolver.TIMEOUT", 0.5)
    with DnsServer(ZONE) as server:
        configure(mail_dns_servers=server.address)
        yield server

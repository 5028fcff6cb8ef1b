"""What DNS says of a domain's mail: SPF, DKIM, DMARC, MX, PTR; and that nothing is made up where it says nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from models import DomainResult
from pipeline.dns import spf
from pipeline.dns.mail import takes_mail
from pipeline.dns.policies import Key, dmarc_of, key_at
from pipeline.dns.resolver import Dns, Kind
from pipeline.dns.reverse import reverse_of
from tests.dns_server import SERVFAIL, SILENT, DnsServer, Zone

#: Google's and Microsoft's records of 2024, shortened, below names of their own.
INCLUDED: Zone = {
    "google.test TXT": ['"v=spf1 include:net1.google.test include:net2.google.test ~all"'],
    "net1.google.test TXT": ['"v=spf1 ip4:35.190.247.0/24 ip6:2001:4860:4000::/36 ~all"'],
    "net2.google.test TXT": ['"v=spf1 ip4:64.233.160.0/19 ~all"'],
}


def test_look_ups_are_counted_with_those_of_what_is_included(ask: Asking) -> None:
    record = '"v=spf1 include:google.test a mx ptr exists:%{i}.x.test ip4:192.0.2.1" " redirect=net1.google.test"'
    found = spf.read("a.test", ask(INCLUDED | {"a.test TXT": [record, '"other=1"']}))
    # google.test and its two, a, mx, ptr, exists, redirect.
    assert (found.records, found.lookups, found.problem, found.verdict) == (1, 8, None, "~")
    assert found.uses_ptr
    assert found.names == {"google.test", "net1.google.test", "net2.google.test"}


@pytest.mark.parametrize(
    ("record", "lookups"),
    [("v=spf1 a a a a a a a a a a -all", 10), ("v=spf1 a a a a a a a a a a a -all", 11)],
)
def test_ten_look_ups_are_allowed_and_eleven_are_counted(ask: Asking, record: str, lookups: int) -> None:
    assert spf.read("a.test", ask({"a.test TXT": [f'"{record}"']})).lookups == lookups


def test_a_record_that_includes_itself_ends(ask: Asking) -> None:
    found = spf.read("a.test", ask({"a.test TXT": ['"v=spf1 include:a.test include:a.test -all"']}))
    assert found.lookups > spf.MAX_COUNTED


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        ("v=spf1 mx -all", "-"),
        ("v=spf1 mx ~ALL", "~"),
        ("v=spf1 mx ?all", "?"),
        ("v=spf1 mx +all", "+"),
        ("v=spf1 all", "+"),
        ("v=spf1 mx", None),
        ("V=SPF1 exp=x.test redirect=net2.google.test", "~"),
        ("v=spf1 -all redirect=net2.google.test a:%{d}", "-"),
    ],
)
def test_what_a_record_says_of_everybody_else(ask: Asking, record: str, verdict: str | None) -> None:
    found = spf.read("a.test", ask(INCLUDED | {"a.test TXT": [f'"{record}"']}))
    assert (found.verdict, found.problem) == (verdict, None)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        (["v=spf1 include:gone.test -all"], "gone.test, which it includes, has no SPF records"),
        (["v=spf1 include:two.test -all"], "two.test, which it includes, has 2 SPF records"),
        (["v=spf1 ipv4:192.0.2.1 -all"], "'ipv4:192.0.2.1' in the record of a.test is no term of SPF"),
        (["v=spf1 ip4:192.0.2.300 -all"], "'ip4:192.0.2.300' in the record of a.test"),
        (["v=spf1 include: -all"], "'include:' in the record of a.test"),
        (["v=spf1 a; -all"], "'a;' in the record of a.test"),
    ],
)
def test_what_receivers_take_for_an_error_is_told(ask: Asking, records: list[str], says: str) -> None:
    two = {"two.test TXT": ['"v=spf1 -all"', '"v=spf1 ~all"']}
    found = spf.read("a.test", ask(two | {"a.test TXT": [f'"{record}"' for record in records]}))
    assert says in (found.problem or "")


@pytest.mark.parametrize("trouble", [SILENT, SERVFAIL])
def test_what_dns_does_not_say_is_no_error_of_the_domain(ask: Asking, trouble: str) -> None:
    asking = ask({"a.test TXT": ['"v=spf1 include:b.test -all"'], "b.test TXT": trouble, "_dmarc.a.test TXT": trouble})
    found = spf.read("a.test", asking)
    assert (found.asked, found.problem) == (False, None)
    assert not dmarc_of("a.test", asking).asked
    assert not spf.read("b.test", asking).asked


@pytest.mark.parametrize(
    ("record", "key"),
    [
        ("v=DKIM1; k=rsa; p=MIGfMA0GCSq", Key.THERE),
        ("k=rsa; p=MIGf MA0GCSq", Key.THERE),
        ("v=DKIM1; p=", Key.REVOKED),
        ("v=spf1 -all", Key.NONE),
        (None, Key.NONE),
    ],
)
def test_a_dkim_key_is_there_revoked_or_not(ask: Asking, record: str | None, key: Key) -> None:
    zone = {} if record is None else {"s1._domainkey.a.test TXT": [f'"{record}"']}
    assert key_at("s1", "a.test", ask({"a.test A": ["192.0.2.1"]} | zone)) is key


@pytest.mark.parametrize(
    ("domain", "policy", "at"),
    [
        ("own.test", "quarantine", "own.test"),
        ("mail.own.test", "reject", "own.test"),
        ("deep.mail.plain.test", "none", "plain.test"),
        ("two.test", None, "two.test"),
        ("nothing.test", None, None),
    ],
)
def test_a_policy_is_the_domains_own_or_that_above_it(ask: Asking, domain: str, policy: str | None, at: str) -> None:
    zone = {
        "_dmarc.own.test TXT": ['"v=DMARC1; p=quarantine; sp=REJECT"'],
        "_dmarc.plain.test TXT": ['"v=DMARC1; p=none"', '"other"'],
        "_dmarc.two.test TXT": ['"v=DMARC1; p=none"', '"v=DMARC1; p=reject"'],
    }
    found = dmarc_of(domain, ask(zone))
    assert (found.policy, found.at, found.asked) == (policy, at, True)


def test_a_name_and_its_address_name_each_other_or_not(ask: Asking) -> None:
    asking = ask(
        {
            "mail.a.test A": ["192.0.2.1", "192.0.2.2"],
            "mail.a.test AAAA": ["2001:db8::1"],
            "1.2.0.192.in-addr.arpa PTR": ["Mail.a.test."],
            "2.2.0.192.in-addr.arpa PTR": ["host.provider.test."],
        }
    )
    found = reverse_of("mail.a.test", asking)
    assert found.addresses == ("192.0.2.1", "192.0.2.2", "2001:db8::1")
    assert (found.unnamed, found.asked) == (("192.0.2.2", "2001:db8::1"), True)
    assert reverse_of("gone.test", asking).addresses == ()


def test_a_question_is_asked_once(ask: Asking, servers: list[DnsServer]) -> None:
    asking = ask({"a.test MX": ["10 mx.a.test."]})
    assert [takes_mail("a.test", asking) for _ in range(3)] == [DomainResult.TAKES_MAIL] * 3
    assert servers[0].asked == [("a.test", "MX")]


def test_a_dns_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.dns.resolver.TIMEOUT", 0.2)
    with DnsServer({f"a{number}.test MX": SILENT for number in range(100)}) as server:
        asking = Dns([("127.0.0.1", server.port)], max_silent=3)
        began = time.monotonic()
        assert not any(asking(f"a{number}.test", Kind.MX).asked for number in range(100))
        assert time.monotonic() - began < 5
        assert {name for name, _ in server.asked} == {"a0.test", "a1.test", "a2.test"}


@pytest.mark.parametrize("name", ["a..test", "x" * 64 + ".test", ".", "a\x00b.test", "ä.test"])
def test_a_name_that_is_none_raises_nothing(ask: Asking, name: str) -> None:
    assert ask({})(name, Kind.MX).records == ()


Asking = Callable[[Zone], Dns]


@pytest.fixture
def servers() -> Iterator[list[DnsServer]]:
    """The servers of a test; stopped afterwards."""
    started: list[DnsServer] = []
    yield started
    for server in started:
        server.__exit__()


@pytest.fixture
def ask(servers: list[DnsServer], monkeypatch: pytest.MonkeyPatch) -> Asking:
    """`ask(zone)` is a way to ask a DNS server that knows this zone."""
    monkeypatch.setattr("pipeline.dns.resolver.TIMEOUT", 0.5)

    def of(zone: Zone) -> Dns:
        servers.append(DnsServer(zone).__enter__())
        return Dns([("127.0.0.1", servers[-1].port)])

    return of

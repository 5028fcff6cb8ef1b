"""Addresses: what is not asked of a library because its answer is known."""

from __future__ import annotations

import unicodedata

import idna
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from models import address
from models.address import normalise_domain
from tests.unit.random_days import holds_for

_ASCII = st.text(st.characters(max_codepoint=127), max_size=20)
_PARTS = st.lists(_ASCII | st.sampled_from(["xn--", "xn--mnchen-3ya", "xn--a", ".", "-", "ab--c"]), max_size=5)


@holds_for(6000)
@given(_PARTS.map("".join))
def test_idna_leaves_a_lower_case_domain_in_ascii_as_it_is_or_does_not_take_it(written: str) -> None:
    domain = written.strip().lower().rstrip(".")
    try:
        found = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        found = domain
    assert normalise_domain(written) == domain == found


def test_what_is_not_ascii_gets_its_one_form() -> None:
    assert normalise_domain(" BÜCHER.test. ") == "xn--bcher-kva.test"


_LOCALS = [
    "a",
    "a.b",
    "A!#$%&'*+/=?^_`{|}~-",
    "..",
    ".a",
    "a.",
    '"a"',
    '"a b"',
    r'"a\"b"',
    '"a@b"',
    "jörg",
    "jo\u0308rg",
]
_LOCALS += ["\u212a", "ſ", "a b", "a\tb", "a\n", "\x00", "<a", "(a)", "J.D.oe+tag", "x" * 64, "x" * 249, "x" * 252]
_DOMAINS = [
    "x",
    "X-1",
    "com",
    "test",
    "TEST",
    "local",
    "LOCAL",
    "localhost",
    "invalid",
    "onion",
    "arpa",
    "c0m",
    "1",
    "-x",
]
_DOMAINS += [
    "x-",
    "x--y",
    "ab--c",
    "xn--a",
    "XN--bcher-kva",
    "bücher",
    "\u212aelvin",
    "ſ",
    "x_y",
    "x" * 63,
    "y" * 64,
    "",
]
_DOMAINS += ["gmail.com", "GoogleMail.com", "gmail.com.", "1.2.3.4", "[1.2.3.4]", "x\n", " x", "。x"]
_ADDRESSES = st.builds(
    lambda local, at, domain, around: f"{around}{local}{at}{domain}{around}",
    st.lists(st.sampled_from(_LOCALS) | st.text(max_size=3), min_size=1, max_size=2).map(".".join),
    st.sampled_from(["@"] * 8 + ["", "@@", "＠"]),
    st.lists(st.sampled_from(_DOMAINS) | st.from_regex("[a-zA-Z0-9-]{1,5}"), min_size=1, max_size=5).map(".".join),
    st.sampled_from([""] * 4 + [" ", "\n", "\u00a0"]),
)


@example(f"{'x' * 248}@x.test")
@example(f"{'x' * 247}@x.test")
@example("ann@ſ.test")
@example("ann@x.LOCALHOST")
@holds_for(6000)
@given(_ADDRESSES)
def test_what_is_taken_at_a_glance_is_what_the_library_takes_and_has_the_same_form(written: str) -> None:
    try:
        validate_email(written.strip(), check_deliverability=False, test_environment=True, allow_quoted_local=True)
    except EmailNotValidError:
        with pytest.raises(address.AddressError):
            address.check(written)
    else:
        assert address.check(written) == written.strip()
    local, domain = address.split(written)
    mailbox = address.join(unicodedata.normalize("NFC", local.lower()), domain)
    assert address.mailbox(written) == mailbox
    local, domain = address.split(mailbox)
    is_google = domain in address.GOOGLE
    person = address.join(local.partition("+")[0].replace(".", ""), address.GOOGLE[0]) if is_google else mailbox
    assert address.normalise(written) == person
    assert address.forms(person) >= {unicodedata.normalize("NFD", form) for form in address.forms(person)} | {person}


@pytest.mark.parametrize(
    "domain", ["x.local", "X.ONION", "x.ab--c.test", "x.xn--a.test", f"{'x' * 64}.test", "x.c0m", "x"]
)
def test_what_only_looks_plain_is_looked_at_closely(domain: str) -> None:
    assert address._PLAIN.fullmatch("ann@x.test")
    assert not address._PLAIN.fullmatch(f"ann@{domain}")

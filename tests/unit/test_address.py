"""Addresses: what is not asked of a library because its answer is known."""

from __future__ import annotations

import idna
from hypothesis import given
from hypothesis import strategies as st

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

"""The links by which people unsubscribe: nobody else's are taken, and a mail offers what works."""

from __future__ import annotations

import random
import string

import pytest

from pipeline.content.consent import TRIAL, Tokens, Ways
from pipeline.content.message import Unsubscribe
from tests.effort import counts


def test_a_token_says_which_delivery_it_is_for() -> None:
    ours = Tokens(KEY)
    assert [ours.delivery_of(ours.of(number)) for number in (TRIAL, 1, 2**31 - 1)] == [TRIAL, 1, 2**31 - 1]
    assert ours.of(7) == Tokens(KEY).of(7)


def test_a_token_is_made_of_what_no_mail_program_leaves_out_of_a_link() -> None:
    safe = set(string.ascii_letters + string.digits)
    made = [Tokens(KEY).of(number) for number in range(500)]
    assert {token[-1] for token in made} | {token[0] for token in made} <= safe
    assert set("".join(made)) <= safe | set(".-_")
    assert max(map(len, made)) < 60


def test_what_is_forged_cut_off_or_anothers_is_no_token() -> None:
    ours, others, chance = Tokens(KEY), Tokens(b"y" * 32), random.Random(1)  # noqa: S311
    for number in range(counts(2_000, 100_000)):
        token = ours.of(number)
        assert [forged for forged in forgeries(token, others.of(number), chance) if ours.delivery_of(forged)] == []


def forgeries(token: str, anothers: str, chance: random.Random) -> list[str]:
    """Return what somebody might try who has a token: 10 of each kind of mistake."""
    at = chance.randrange(len(token))
    letters = string.ascii_letters + string.digits + "-_=. \x00é\ud800"
    other = chance.choice([c for c in letters if c != token[at]])
    number, _, signature = token.partition(".")
    # The last character has two bits that say nothing: its neighbours are decoded to the same signature.
    neighbour = chr(ord(token[-1]) + 1)
    return [
        anothers,
        f"{number}.{anothers.partition('.')[2]}",
        f"{int(number) + 1}.{signature}",
        f"0{token}",
        f"+{token}",
        token[:at],
        token[:at] + other + token[at + 1 :],
        token[:-1] + neighbour,
        token + chance.choice(letters),
        chance.choice(["", ".", number, signature, token.lower(), token * 2, "9" * 200]),
    ]


@pytest.mark.parametrize(
    ("ways", "token", "link", "offered"),
    [
        (Ways(), "7.x", None, Unsubscribe()),
        (Ways(mailto="stop@a.test"), None, "mailto:stop@a.test", Unsubscribe("stop@a.test")),
        (Ways(url="https://a.test/no"), "7.x", "https://a.test/no", Unsubscribe(None, "https://a.test/no")),
        (
            Ways("https://a.test", "https://b.test/no", "stop@a.test"),
            "7.x",
            "https://a.test/u/7.x",
            Unsubscribe("stop@a.test?subject=unsubscribe%207.x", "https://a.test/u/7.x"),
        ),
        # Rendered before the link was there.
        (Ways("https://a.test", None, "stop@a.test"), None, "mailto:stop@a.test", Unsubscribe("stop@a.test")),
        (Ways("https://a.test", mailto="a@a.test?subject=no"), "7.x", None, None),
    ],
    ids=["none", "mailto", "anothers page", "our page", "without a token", "a subject of one's own"],
)
def test_what_a_mail_offers(ways: Ways, token: str | None, link: str | None, offered: Unsubscribe | None) -> None:
    if offered is None:
        assert ways.mailto_for(token) == "a@a.test?subject=no"
        return
    assert (ways.link_for(token), ways.offered(token)) == (link, offered)


@pytest.mark.parametrize(
    ("ways", "token", "is_covered", "one_click"),
    [
        (Ways("https://a.test"), "7.x", True, True),
        (Ways("https://a.test"), "7.x", False, False),
        (Ways("https://a.test"), None, True, False),
        (Ways(url="https://a.test/no"), "7.x", True, False),
        (Ways(mailto="stop@a.test"), "7.x", True, False),
    ],
)
def test_one_click_is_promised_only_by_a_link_of_ones_own_that_a_signature_covers(
    ways: Ways, token: str | None, is_covered: bool, one_click: bool
) -> None:
    assert ways.offered(token, is_covered=is_covered).one_click is one_click


KEY = b"x" * 32

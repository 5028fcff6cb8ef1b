"""Whose steps get today's room: by weight, follow-ups first, nothing that can't go today."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.throttle.dealing import FollowUp, Wants, deal
from pipeline.throttle.types import Campaign


def test_campaigns_that_share_accounts_take_turns_by_weight() -> None:
    a = Wants(Campaign(1, BOTH), 3, firsts=range(100, 200))
    b = Wants(Campaign(2, BOTH), 1, firsts=range(200, 300))
    picked = deal({1: 10, 2: 10}, {}, [a, b], follow_ups_first=True)
    assert Counter(i // 100 for i in picked) == {1: 15, 2: 5}
    assert picked[:4] == [100, 101, 200, 102]


def test_follow_ups_come_before_first_mails_and_only_from_their_account() -> None:
    due = [FollowUp(1, 1), FollowUp(2, 1), FollowUp(3, 2), FollowUp(4, 1)]
    wants = Wants(Campaign(1, BOTH), 1, due, firsts=(10, 11, 12))
    assert deal({1: 2, 2: 3}, {}, [wants], follow_ups_first=True) == [1, 2, 3, 10, 11]
    assert deal({1: 2, 2: 3}, {}, [wants], follow_ups_first=False) == [1, 10, 2, 11, 3]


def test_a_brand_is_not_given_what_only_the_other_may_send() -> None:
    a = Wants(Campaign(1, frozenset({1})), 1, firsts=range(100, 200))
    b = Wants(Campaign(2, frozenset({2})), 1, firsts=range(200, 300))
    on_its_way = {frozenset({1}): 4, BOTH: 3}
    assert Counter(i // 100 for i in deal({1: 5, 2: 5}, on_its_way, [a, b], follow_ups_first=True)) == {1: 1, 2: 2}


def test_a_campaigns_own_limit_counts_what_is_used_and_on_its_way() -> None:
    wants = Wants(Campaign(1, BOTH, limit=5, used=3), 1, firsts=range(100, 200))
    assert deal({1: 10, 2: 10}, {}, [wants], follow_ups_first=True) == [100, 101]


@settings(deadline=None)
@given(st.data())
def test_never_more_is_picked_than_can_go_and_never_less_where_sets_are_apart(data: st.DataObject) -> None:
    left = {i: data.draw(st.integers(0, 5)) for i in range(1, 7)}
    sets = [frozenset({1, 2}), frozenset({3, 4, 5}), frozenset({6})]
    wants = [
        Wants(Campaign(i, sets[i], data.draw(st.none() | st.integers(0, 8))), data.draw(st.integers(1, 4)),
              firsts=range(100 * i, 100 * i + data.draw(st.integers(0, 12))))
        for i in range(3)
    ]  # fmt: skip
    picked = Counter(i // 100 for i in deal(left, {}, wants, follow_ups_first=data.draw(st.booleans())))
    for number, w in enumerate(wants):
        room = sum(left[i] for i in w.campaign.senders)
        limit = room if w.campaign.limit is None else w.campaign.limit
        assert picked[number] == min(room, limit, len(w.firsts))


BOTH = frozenset({1, 2})

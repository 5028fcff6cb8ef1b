"""The batch publisher's decision: which campaigns get today's room. Pure: room, campaigns, what is due → picks."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.throttle.shares import Senders, shares
from pipeline.throttle.types import Campaign


@dataclass(frozen=True)
class FollowUp:
    """An enrolment whose next step is due, and the account that has to send it; None: any of the campaign's."""

    enrolment_id: int
    sender: int | None


@dataclass(frozen=True)
class Wants:
    """What a campaign could send today.

    Attributes:
        campaign: with its senders, its limit and what uses it up.
        weight: its share of accounts that others want, too.
        follow_ups: what is due, the oldest first.
        firsts: enrolments that wait for their first mail, the best first.
    """

    campaign: Campaign
    weight: int
    follow_ups: Sequence[FollowUp] = ()
    firsts: Sequence[int] = ()


def deal(
    accounts: Mapping[int, int], on_its_way: Mapping[Senders, int], wants: Sequence[Wants], *, follow_ups_first: bool
) -> list[int]:
    """Return the enrolments whose next step is put onto the route today, in the order in which they are picked.

    Campaigns take turns by weight. A pick is made only if it can go today beside all that is on its way and all that is
    picked already.

    Args:
        accounts: how many mails each account may still send today, by id.
        on_its_way: how many deliveries wait on the route that could go today, by the accounts that may send them.
        wants: what each campaign could send.
        follow_ups_first: follow-ups of all campaigns before any first mail; else each campaign's in turn.
    """
    room = _Room(accounts, on_its_way, wants)
    if not follow_ups_first:
        return _take_turns(room, {w.campaign.id: _in_turn(w) for w in wants}, wants)
    due = {w.campaign.id: deque(w.follow_ups) for w in wants}
    first = {w.campaign.id: deque(FollowUp(i, None) for i in w.firsts) for w in wants}
    return _take_turns(room, due, wants) + _take_turns(room, first, wants)


class _Part:
    """Accounts that have senders in common with one another and with no others, and what is to go from them."""

    def __init__(self, accounts: Mapping[int, int]) -> None:
        self._accounts = accounts
        self._wanted: Counter[Senders] = Counter()
        self._granted = 0

    def add(self, senders: Senders, number: int = 1) -> bool:
        """Let so many mails go from these accounts; tell whether more can go then than before."""
        self._wanted[senders] += number
        before, self._granted = self._granted, sum(shares(self._accounts, self._wanted).values())
        return self._granted > before

    def take(self, senders: Senders) -> bool:
        """Let one mail go from these accounts if there is room for it; tell whether there was."""
        if self.add(senders):
            return True
        self._wanted[senders] -= 1
        return False


class _Room:
    """What can still go today."""

    def __init__(self, accounts: Mapping[int, int], on_its_way: Mapping[Senders, int], wants: Sequence[Wants]) -> None:
        self._campaigns = {w.campaign.id: w.campaign for w in wants}
        self._left = {c.id: c.limit - c.used for c in self._campaigns.values() if c.limit is not None}
        self._part_of: dict[int, _Part] = {}
        for together in _apart(accounts.keys() & s for s in (*on_its_way, *(w.campaign.senders for w in wants))):
            self._part_of |= dict.fromkeys(together, _Part({i: accounts[i] for i in together}))
        for senders, number in on_its_way.items():
            if known := senders & self._part_of.keys():
                self._part_of[min(known)].add(frozenset(known), number)

    def take(self, campaign_id: int, sender: int | None) -> bool:
        """Take room for one mail; tell whether there was any."""
        senders = self._campaigns[campaign_id].senders & self._part_of.keys()
        if sender is not None:
            senders &= {sender}
        if not senders or self._left.get(campaign_id, 1) <= 0:
            return False
        if not self._part_of[min(senders)].take(frozenset(senders)):
            return False
        if campaign_id in self._left:
            self._left[campaign_id] -= 1
        return True


def _apart(sets: Iterable[Collection[int]]) -> list[set[int]]:
    """Return the unions of sets that have something in common, directly or through others."""
    found: list[set[int]] = []
    for one in sets:
        together = set(one)
        apart = []
        for other in found:
            if together & other:
                together |= other
            else:
                apart.append(other)
        found = [*apart, together] if together else apart
    return found


def _take_turns(room: _Room, items: Mapping[int, deque[FollowUp]], wants: Sequence[Wants]) -> list[int]:
    """Let campaigns take turns, each as often as its weight says (smooth weighted round robin)."""
    weights = {w.campaign.id: w.weight for w in wants}
    credit = dict.fromkeys(weights, 0)
    picked = []
    while busy := [i for i in sorted(weights) if items[i]]:
        for campaign_id in busy:
            credit[campaign_id] += weights[campaign_id]
        turn = max(busy, key=lambda i: (credit[i], -i))
        credit[turn] -= sum(weights[i] for i in busy)
        item = items[turn].popleft()
        if room.take(turn, item.sender):
            picked.append(item.enrolment_id)
        elif item.sender is None:
            # Nor is there room for the others that any of its accounts may send.
            items[turn].clear()
    return picked


def _in_turn(wants: Wants) -> deque[FollowUp]:
    """Return follow-ups and first mails, one after the other."""
    firsts = deque(FollowUp(i, None) for i in wants.firsts)
    found: deque[FollowUp] = deque()
    for due in wants.follow_ups:
        found.append(due)
        if firsts:
            found.append(firsts.popleft())
    found.extend(firsts)
    return found

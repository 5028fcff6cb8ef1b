"""What the throttle decides by, and what it decides."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.runtime.settings import Settings
from pipeline.throttle.limits import is_resting
from pipeline.throttle.window import Clock

#: Deliveries in one slot with MAIL_SPREAD off and MAIL_MIN_INTERVAL 0, when an account's sends need no gap.
MAX_LIST = 100


#: No clock but the window's own.
ANY_TIME = Clock()


class Group(NamedTuple):
    """What deliveries have in common that may go at the same times, from the same accounts.

    Attributes:
        clock: what has to be open beside the window.
        campaign: its id; None: any account may send them.
        sender: the id of the one account that may send them; None: any of the campaign's.
    """

    clock: Clock = ANY_TIME
    campaign: int | None = None
    sender: int | None = None


#: What any account may send at any time of the window.
PLAIN = Group()


@dataclass(frozen=True)
class Waiting:
    """A delivery that may go now. `failed_by`: accounts that have failed it, each with the time (UTC) before which it
    leaves this delivery alone. `share`: −1 to 1, the jitter's direction and size. `group`: when and from which accounts
    it may go.
    """

    id: int
    priority: int = 0
    failed_by: Mapping[int, dt.datetime] = field(default_factory=dict, hash=False)
    share: float = 0.0
    group: Group = PLAIN

    @property
    def clock(self) -> Clock:
        """What has to be open beside the window."""
        return self.group.clock


@dataclass(frozen=True)
class Campaign:
    """A running campaign: the accounts that may send for it, how many mails of it may go a day (None: no limit of its
    own), how many have gone today, and its own hours (see `Clock`).
    """

    id: int
    senders: frozenset[int]
    limit: int | None = None
    used: int = 0
    hours: str = ""


@dataclass(frozen=True)
class Slot:
    """An account and a time (UTC), for one delivery, or for a list that is due at once."""

    account_id: int
    send_at: dt.datetime
    deliveries: tuple[Waiting, ...]


@dataclass(frozen=True)
class Account:
    """An account that is switched on and not paused: its limit today, how much is used, its slot, its last sends.
    `on_trial`: it has to show by one mail that it works again.
    """

    id: int
    limit: int
    used: int = 0
    last_attempt_at: dt.datetime | None = None
    last_transaction_at: dt.datetime | None = None
    cooling_until: dt.datetime | None = None
    sending: bool = False
    slot: Slot | None = None
    on_trial: bool = False

    @property
    def left(self) -> int:
        """How many more it may send today."""
        return max(0, self.limit - self.used)

    def is_cooling(self, now: dt.datetime) -> bool:
        """Tell whether it rests after failures."""
        return is_resting(self.cooling_until, now)


def senders_of(group: Group, accounts: frozenset[int], campaigns: Mapping[int, Campaign]) -> frozenset[int]:
    """Return which of `accounts` (ids) may send a group's deliveries; of a campaign that is not among `campaigns`
    (those that run, by id) none.
    """
    if group.campaign is not None:
        campaign = campaigns.get(group.campaign)
        accounts = accounts & campaign.senders if campaign is not None else frozenset()
    return accounts if group.sender is None else accounts & {group.sender}


@dataclass(frozen=True)
class Backlog:
    """What waits. `head`: the most urgent of each lane that may go now, or whose clock opens later today. `counts`: for
    each group, how many may go before today's end by their `not_before`, counted up to the capacity. `unseen`: for each
    group whose clock opens later today, how many more there are beyond the head that are more urgent than all that the
    same accounts may send now. `campaigns`: those that run, by id; the head has deliveries of no others.
    """

    head: tuple[Waiting, ...] = ()
    counts: Mapping[Group, int] = field(default_factory=dict)
    unseen: Mapping[Group, int] = field(default_factory=dict)
    next_not_before: dt.datetime | None = None
    campaigns: Mapping[int, Campaign] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many wait in all groups."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Rules:
    """The settings that matter here; `interval` is the least time between two sends of one account."""

    interval: dt.timedelta = dt.timedelta(seconds=60)
    spread: bool = True
    jitter: float = 0.2

    @classmethod
    def from_settings(cls, settings: Settings) -> Rules:
        """Return the rules of the settings."""
        interval = dt.timedelta(seconds=settings.mail_min_interval)
        return cls(interval, settings.mail_spread, settings.mail_jitter)

    @property
    def list_size(self) -> int:
        """How many deliveries one slot can have."""
        return 1 if self.spread or self.interval else MAX_LIST

    def list_size_of(self, account: Account) -> int:
        """Return how many deliveries the next slot of an account can have."""
        return 1 if account.on_trial else min(self.list_size, account.left)


@dataclass(frozen=True)
class Decision:
    """What is to change: new slots, slots advanced, slots pre-empted (with their new deliveries, and perhaps advanced
    too), and when to decide again.
    """

    reserved: tuple[Slot, ...] = ()
    advanced: tuple[Slot, ...] = ()
    pre_empted: tuple[Slot, ...] = ()
    wake_at: dt.datetime | None = None

    @property
    def changes_slots(self) -> bool:
        """Tell whether any slot is new or different."""
        return bool(self.reserved or self.advanced or self.pre_empted)

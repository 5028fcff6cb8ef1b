"""What the throttle decides by, and what it decides."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.runtime.settings import Settings
from pipeline.throttle.limits import is_resting

#: Deliveries in one slot with MAIL_SPREAD off and MAIL_MIN_INTERVAL 0, when an account's sends need no gap.
MAX_LIST = 100


@dataclass(frozen=True)
class Waiting:
    """A delivery that may go now. `failed_by`: accounts that have failed it, each with the time (UTC) before which it
    leaves this delivery alone. `share`: −1 to 1, the jitter's direction and size. `zone`: its contact's own time zone
    (IANA name), whose local time has to be in the window too.
    """

    id: int
    priority: int = 0
    failed_by: Mapping[int, dt.datetime] = field(default_factory=dict, hash=False)
    share: float = 0.0
    zone: str = ""


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


@dataclass(frozen=True)
class Backlog:
    """What waits. `head`: the most urgent of each zone and template that may go now, or whose zone opens later today.
    `counts`: for each zone, how many may go before today's end by their `not_before`, counted up to the capacity.
    `unseen`: for each zone that opens later today, how many more there are beyond the head that are more urgent than
    all that may go now.
    """

    head: tuple[Waiting, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    unseen: Mapping[str, int] = field(default_factory=dict)
    next_not_before: dt.datetime | None = None

    @property
    def count(self) -> int:
        """How many wait in all zones."""
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

"""A campaign at work in a fleet: contacts come into it and reply, and the batch publisher runs again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from models import Campaign, Delivery, Enrolment, EnrolmentState, State
from tests.broker.conftest import until
from tests.faults.fleet import SWEEP_EVERY, Fleet, new_contacts

#: Seconds between two runs of the batch publisher.
PUBLISH_EVERY = 1.0
#: Seconds after which a claim of somebody who was killed is in doubt: until then its account sends nothing.
DOUBT_AFTER = 5


class Sequences:
    """Contacts in a campaign.

    Attributes:
        enrolled: contact ids by the message that enrolled them.
        replied: those that have replied.
    """

    def __init__(self, fleet: Fleet, campaign: Campaign) -> None:
        self._fleet = fleet
        self._campaign = campaign
        self.enrolled: dict[str, list[int]] = {}
        self.replied: set[int] = set()

    @contextmanager
    def published(self) -> Iterator[None]:
        """Let the batch publisher run again and again."""
        done = threading.Event()

        def publish() -> None:
            while not done.wait(PUBLISH_EVERY):
                self._fleet.publish_batch()

        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            yield
        finally:
            done.set()
            publisher.join()

    def enrol(self, number: int) -> None:
        """Import new contacts, and enrol them by a message."""
        source = f"enrolled-{len(self.enrolled)}"
        ids = new_contacts(source, number)
        self.enrolled[source] = ids
        self._fleet.send(source, {"contact_ids": ids, "campaign_id": self._campaign.id})

    def reply(self) -> None:
        """Let the contact that came first, of those whom a mail has been sent to, reply."""
        until(lambda: bool(self._may_reply()), self._fleet.log)
        replies = self._may_reply()[0]
        self.replied.add(replies)
        self._fleet.send(f"reply-{len(self.replied)}", [replies], queue="replied")

    def settle(self, patience: float = 120) -> float:
        """Wait until each has had all its steps, has replied, or is in doubt; return the seconds that took."""
        started = time.monotonic()
        next_sweep = started + SWEEP_EVERY
        while still := self._still_go_on():
            assert time.monotonic() - started < patience, f"{still} go on: {self._fleet.log()[-3000:]}"
            if time.monotonic() > next_sweep:
                self._fleet.sweep_ahead(DOUBT_AFTER)
                next_sweep = time.monotonic() + SWEEP_EVERY
            time.sleep(0.1)
        return time.monotonic() - started

    def _may_reply(self) -> list[int]:
        """Return whom a mail has been sent to and who has not replied, first those whose sequence goes on."""
        written_to = Enrolment.select(Enrolment.contact).where(Enrolment.last_id.is_null(False))
        return [i for (i,) in written_to.order_by(Enrolment.state, Enrolment.id).tuples() if i not in self.replied]

    def _still_go_on(self) -> int:
        not_enrolled = sum(map(len, self.enrolled.values())) - Enrolment.select().count()
        doubtful = Delivery.select(Delivery.id).where(Delivery.state == State.IN_DOUBT)
        active = Enrolment.state == EnrolmentState.ACTIVE
        moving = Enrolment.delivery_id.is_null() | Enrolment.delivery_id.not_in(doubtful)
        to_stop = Enrolment.contact.in_(sorted(self.replied)) & (Enrolment.state != EnrolmentState.REPLIED)
        return int(not_enrolled + Enrolment.select().where((active & moving) | to_stop).count())

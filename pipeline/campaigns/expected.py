"""What the batch publisher is going to pick, for the forecast: campaigns' steps, and contacts beside them.

Reads what waits now, once; then only what the forecast tells. Decides by the same `deal` as the publisher. Writes
nothing.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import count, islice

from models import Campaign, EmailTemplate
from models.campaign import is_within_dates
from pipeline.campaigns import awaited, picking
from pipeline.campaigns.awaited import NOT_MADE, Expected
from pipeline.campaigns.contacted import Contacted
from pipeline.campaigns.due import due_at
from pipeline.campaigns.steps import Steps
from pipeline.capacity.room import Room
from pipeline.flow import MAX_IDS, chunks
from pipeline.rules import duplicates
from pipeline.rules.eligible import template_to_pick
from pipeline.runtime.settings import settings
from pipeline.throttle.dealing import FollowUp, Wants, deal
from pipeline.throttle.forecast import Forecast, Planned
from pipeline.throttle.limits import jitter_share
from pipeline.throttle.types import Campaign as KnownCampaign
from pipeline.throttle.types import Group, Waiting
from pipeline.throttle.window import Clock, SendingWindow

#: The batch publisher runs so often.
EVERY = dt.timedelta(minutes=30)

#: Somebody who waits: campaign, enrolment and contact.
Who = tuple[int | None, int, int]
#: Tells whether it is open by a clock now, or later today.
Opens = Callable[[Clock], bool]


class ExpectedPublisher:
    """The batch publisher in a forecast.

    Attributes:
        picked: who was picked, with the template, by the id that the forecast's delivery has.
        joined: how many come into each campaign.
        finished: how many get its last mail.
    """

    def __init__(
        self,
        now: dt.datetime,
        window: SendingWindow,
        known: Mapping[int, KnownCampaign],
        most: int,
        most_contacts: int | None = None,
    ) -> None:
        """Read what waits at `now`: no more than `most` first mails of each campaign that could go then, and no more
        contacts beside them than `most_contacts` (None: as many).
        """
        self._window = window
        self._campaigns = list(Campaign.select().where(Campaign.id.in_(list(known))).order_by(Campaign.id))
        self._hours = {campaign.id: campaign.hours for campaign in self._campaigns}
        self._steps = Steps.of([c.id for c in self._campaigns])
        self._contacted = Contacted()
        self.joined: Counter[int] = Counter()
        self.finished: Counter[int] = Counter()
        self._firsts = {c.id: self._read_firsts(c, now, most) for c in self._campaigns}
        for newcomer in awaited.newcomers(self._campaigns, now):
            self._enrol(newcomer)
        self._kept_out: dict[int, list[Expected]] = {}
        for one in awaited.kept_out(self._campaigns, now):
            self._kept_out.setdefault(one.contact_id, []).append(one)
        self._due: dict[tuple[int, int | None], list[Expected]] = {}
        for follow_up in awaited.follow_ups(self._campaigns, known, window, now):
            self._add(follow_up)
        self._on_route: dict[int, Expected] = dict(awaited.on_route())
        self._template = template_to_pick()
        self._contacts = list(awaited.contacts(self._template, most if most_contacts is None else most_contacts))
        for people in (*self._firsts.values(), self._contacts, [e for some in self._kept_out.values() for e in some]):
            self._contacted.read(people, now)
        self._ids = count(NOT_MADE + 1)
        self._enrolment_ids = count(2 * NOT_MADE)
        self.picked: dict[int, tuple[Expected, EmailTemplate]] = {}

    def _read_firsts(self, campaign: Campaign, now: dt.datetime, most: int) -> list[Expected]:
        def lets_in(some: Sequence[Expected]) -> int:
            self._contacted.read(some, now)
            return sum(self._contacted.lets_in(e, now, is_plain=False) for e in some)

        return list(awaited.firsts(campaign, now, most, lets_in))

    def _enrol(self, newcomer: Expected) -> None:
        assert newcomer.campaign_id is not None
        self._contacted.enrols(newcomer)
        self.joined[newcomer.campaign_id] += 1
        bisect.insort(self._firsts[newcomer.campaign_id], newcomer, key=_best_first)

    def waits_for(self, campaign_id: int) -> int:
        """Return for how many enrolments of a campaign a mail is still to come, as far as it has been read."""
        due = sum(len(some) for (i, _), some in self._due.items() if i == campaign_id)
        on_route = sum(e.campaign_id == campaign_id for e in self._on_route.values())
        return len(self._firsts[campaign_id]) + due + on_route

    def next_at(self, at: dt.datetime) -> dt.datetime:
        """Return when the publisher runs next after `at` (UTC): at each full and half hour of the window's zone."""
        local = at.astimezone(self._window.zone)
        past = dt.timedelta(minutes=local.minute % 30, seconds=local.second, microseconds=local.microsecond)
        return at - past + EVERY

    def publish(self, forecast: Forecast) -> list[Waiting]:
        """Return what the publisher puts onto the route."""
        now, window = forecast.now, self._window
        if not window.contains(now):
            return []

        @cache
        def opens(clock: Clock) -> bool:
            return window.opens_today(now, *clock)

        usable = [account for account in forecast.accounts.values() if not account.is_cooling(now)]
        today = Room.of(usable, forecast.on_its_way(), forecast.campaigns)
        wants, of_id = self._wants(today, now, opens)
        first = settings().mail_follow_ups_first
        steps = [of_id[i] for i in deal(today.accounts, today.on_its_way, wants, follow_ups_first=first)]
        taken = forecast.on_its_way() + Counter(map(self._group, steps))
        left = Room.of(usable, taken, forecast.campaigns).left
        found = list(self._enter(steps))
        contacts = sorted(islice(self._contacts_for(now, opens), left), key=lambda c: c.contact_id)
        found += self._enter(contacts)
        if found:
            self._forget({_who(e) for e in (*steps, *contacts)})
        return found

    def sent(self, planned: Planned) -> None:
        """Let the next step of an enrolment wait, if there is one."""
        self._contacted.sent(planned.delivery.id, planned.send_at)
        done = self._on_route.pop(planned.delivery.id, None)
        if done is None or done.campaign_id is None:
            return
        following = self._steps.step_of.get((done.campaign_id, done.position + 1))
        self._contacted.goes_on(done, goes_on=following is not None)
        if following is not None:
            due = due_at(planned.send_at, following.days, self._window, working_days=following.working_days)
            self._add(replace(done, position=done.position + 1, sender=planned.account_id, due_at=due))
            return
        self.finished[done.campaign_id] += 1
        if others := self._kept_out.get(done.contact_id):
            self._enrol(replace(others.pop(0), enrolment_id=next(self._enrolment_ids)))

    def _add(self, follow_up: Expected) -> None:
        assert follow_up.campaign_id is not None
        waiting = self._due.setdefault((follow_up.campaign_id, follow_up.sender), [])
        bisect.insort(waiting, follow_up, key=_by_time)

    def _wants(self, room: Room, now: dt.datetime, opens: Opens) -> tuple[list[Wants], dict[int, Expected]]:
        """Return what each campaign could send, and who stands behind the ids in it."""
        of_id: dict[int, Expected] = {}
        wants = []
        picked = duplicates.Picked()
        today = self._window.local_date(now)
        for campaign in self._campaigns:
            known = room.campaigns[campaign.id]
            left, most = picking.room_of(known, room.accounts)
            if not most or not is_within_dates(campaign, today) or not opens(Clock("", campaign.hours)):
                wants.append(Wants(known, campaign.weight))
                continue
            parts = [(i, min(n, most)) for i, n in left.items()] + [(None, most)]
            due = [e for i, n in parts for e in self._due_from(campaign, i, n, now, opens)]
            follow_ups = sorted(due, key=_by_time)
            firsts = list(islice(self._firsts_for(campaign, now, opens, picked), most))
            of_id |= {e.enrolment_id: e for e in (*follow_ups, *firsts)}
            later = [FollowUp(e.enrolment_id, e.sender) for e in follow_ups]
            wants.append(Wants(known, campaign.weight, later, [e.enrolment_id for e in firsts]))
        return wants, of_id

    def _due_from(
        self, campaign: Campaign, sender: int | None, most: int, now: dt.datetime, opens: Opens
    ) -> Iterator[Expected]:
        waiting = self._due.get((campaign.id, sender), [])
        due = waiting[: bisect.bisect_right(waiting, now, key=_due_at)]
        return islice((e for e in due if self._goes(e, opens)), most)

    def _firsts_for(
        self, campaign: Campaign, now: dt.datetime, opens: Opens, picked: duplicates.Picked
    ) -> Iterator[Expected]:
        for e in self._firsts[campaign.id]:
            goes = self._contacted.lets_in(e, now, is_plain=False) and self._goes(e, opens)
            if goes and picked.add(e.address, e.website):
                yield e

    def _contacts_for(self, now: dt.datetime, opens: Opens) -> Iterator[Expected]:
        picked = duplicates.Picked()
        for e in self._contacts:
            goes = self._contacted.lets_in(e, now, is_plain=True) and self._goes(e, opens)
            if goes and picked.add(e.address, e.website):
                yield e

    def _goes(self, expected: Expected, opens: Opens) -> bool:
        return opens(self._group(expected).clock) and self._template_for(expected) is not None

    def _template_for(self, expected: Expected) -> EmailTemplate | None:
        if expected.campaign_id is None:
            return self._template
        return self._steps.template_for(expected.campaign_id, expected.position, expected.contact_id)

    def _group(self, expected: Expected) -> Group:
        hours = "" if expected.campaign_id is None else self._hours[expected.campaign_id]
        return Group(Clock(expected.zone, hours), expected.campaign_id, expected.sender)

    def _enter(self, picked: Sequence[Expected]) -> Iterator[Waiting]:
        """Yield deliveries, with ids in the order in which stage 1 makes them."""
        for chunk in chunks(list(picked), MAX_IDS):
            for expected in sorted(chunk, key=lambda e: e.address):
                template = self._template_for(expected)
                assert template is not None
                delivery_id = next(self._ids)
                self._on_route[delivery_id] = expected
                self._contacted.enters(delivery_id, expected)
                self.picked[delivery_id] = expected, template
                share = jitter_share(expected.contact_id, template.id)
                yield Waiting(delivery_id, expected.priority, share=share, group=self._group(expected))

    def _forget(self, gone: set[Who]) -> None:
        def stay(waiting: list[Expected]) -> list[Expected]:
            return [e for e in waiting if _who(e) not in gone]

        self._firsts = {i: stay(waiting) for i, waiting in self._firsts.items()}
        self._due = {key: stay(waiting) for key, waiting in self._due.items()}
        self._contacts = stay(self._contacts)


def _who(expected: Expected) -> Who:
    return expected.campaign_id, expected.enrolment_id, expected.contact_id


def _best_first(expected: Expected) -> tuple[int, int]:
    return -expected.priority, expected.enrolment_id


def _due_at(expected: Expected) -> dt.datetime:
    assert expected.due_at is not None
    return expected.due_at


def _by_time(expected: Expected) -> tuple[dt.datetime, int]:
    return _due_at(expected), expected.enrolment_id

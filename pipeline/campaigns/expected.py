"""What the batch publisher is going to pick, for the forecast: campaigns' steps, and contacts beside them.

Reads what waits now, once; then only what the forecast tells. Decides by the same `deal` as the publisher. Writes
nothing.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from models import Campaign, Contact, Delivery, EmailTemplate, Enrolment, EnrolmentState, Step
from models.delivery import in_states
from models.states import NOT_CLAIMED, State
from pipeline.campaigns import picking
from pipeline.campaigns.due import due_at
from pipeline.campaigns.steps import Steps
from pipeline.capacity.room import Room
from pipeline.flow import MAX_IDS, chunks
from pipeline.rules import duplicates
from pipeline.rules.eligible import eligible, template_to_pick
from pipeline.runtime.settings import settings
from pipeline.throttle.dealing import FollowUp, Wants, deal
from pipeline.throttle.forecast import Forecast, Planned
from pipeline.throttle.limits import jitter_share
from pipeline.throttle.types import Campaign as KnownCampaign
from pipeline.throttle.types import Group, Waiting
from pipeline.throttle.window import Clock, SendingWindow

#: The batch publisher runs so often.
EVERY = dt.timedelta(minutes=30)
#: Ids of deliveries that are not made yet begin here: behind all that are.
NOT_MADE = 2**40


@dataclass(frozen=True)
class Expected:
    """Somebody who waits for a mail that is not on the route yet. Without a campaign: a contact that is picked beside
    them.
    """

    contact_id: int
    address: str
    website: int | None
    zone: str
    priority: int
    campaign_id: int | None = None
    enrolment_id: int = 0
    position: int = 0
    sender: int | None = None
    due_at: dt.datetime | None = None


class ExpectedPublisher:
    """The batch publisher in a forecast.

    Attributes:
        picked: who was picked, with the template, by the id that the forecast's delivery has.
    """

    def __init__(self, now: dt.datetime, window: SendingWindow, known: Mapping[int, KnownCampaign], most: int) -> None:
        """Read what waits at `now`: no more than `most` first mails of each campaign."""
        self._window = window
        self._campaigns = list(Campaign.select().where(Campaign.id.in_(list(known))).order_by(Campaign.id))
        self._hours = {campaign.id: campaign.hours for campaign in self._campaigns}
        self._steps = Steps.of([c.id for c in self._campaigns])
        self._firsts = {c.id: list(_firsts(c, now, most)) for c in self._campaigns}
        self._due: dict[tuple[int, int | None], list[Expected]] = {}
        for follow_up in _follow_ups(self._campaigns, window, now):
            self._add(follow_up)
        self._on_route: dict[int, Expected] = dict(_on_route())
        self._template = template_to_pick()
        self._contacts = list(_contacts(self._template, most))
        self._next_id = NOT_MADE
        self.picked: dict[int, tuple[Expected, EmailTemplate]] = {}

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
        usable = [account for account in forecast.accounts.values() if not account.is_cooling(now)]
        today = Room.of(usable, forecast.on_its_way(), forecast.campaigns)
        wants, of_id = self._wants(today, now)
        first = settings().mail_follow_ups_first
        steps = [of_id[i] for i in deal(today.accounts, today.on_its_way, wants, follow_ups_first=first)]
        taken = forecast.on_its_way() + Counter(map(self._group, steps))
        left = Room.of(usable, taken, forecast.campaigns).left
        contacts = list(islice((c for c in self._contacts if window.opens_today(now, c.zone)), left))
        found = [*self._enter(steps), *self._enter(sorted(contacts, key=lambda c: c.contact_id))]
        self._forget({(p.campaign_id, p.enrolment_id, p.contact_id) for p in (*steps, *contacts)})
        return found

    def sent(self, planned: Planned) -> None:
        """Let the next step of an enrolment wait, if there is one."""
        done = self._on_route.pop(planned.delivery.id, None)
        if done is None or done.campaign_id is None:
            return
        following = self._steps.step_of.get((done.campaign_id, done.position + 1))
        if following is not None:
            due = due_at(planned.send_at, following.days, self._window, working_days=following.working_days)
            self._add(replace(done, position=done.position + 1, sender=planned.account_id, due_at=due))

    def _add(self, follow_up: Expected) -> None:
        assert follow_up.campaign_id is not None
        waiting = self._due.setdefault((follow_up.campaign_id, follow_up.sender), [])
        bisect.insort(waiting, follow_up, key=_by_time)

    def _wants(self, room: Room, now: dt.datetime) -> tuple[list[Wants], dict[int, Expected]]:
        """Return what each campaign could send, and who stands behind the ids in it."""
        of_id: dict[int, Expected] = {}
        wants = []
        picked = duplicates.Picked()
        for campaign in self._campaigns:
            known = room.campaigns[campaign.id]
            left, most = picking.room_of(known, room.accounts)
            if not self._is_on(campaign, now) or not most:
                wants.append(Wants(known, campaign.weight))
                continue
            due = [e for i, n in (*left.items(), (None, most)) for e in self._due_from(campaign, i, min(n, most), now)]
            follow_ups = sorted(due, key=_by_time)
            fits = (e for e in self._firsts[campaign.id] if self._goes(e, now) and picked.add(e.address, e.website))
            firsts = list(islice(fits, most))
            of_id |= {e.enrolment_id: e for e in (*follow_ups, *firsts)}
            later = [FollowUp(e.enrolment_id, e.sender) for e in follow_ups]
            wants.append(Wants(known, campaign.weight, later, [e.enrolment_id for e in firsts]))
        return wants, of_id

    def _is_on(self, campaign: Campaign, now: dt.datetime) -> bool:
        today = self._window.local_date(now)
        begun = campaign.starts_on is None or campaign.starts_on <= today
        over = campaign.ends_on is not None and campaign.ends_on < today
        return begun and not over and self._window.opens_today(now, "", campaign.hours)

    def _due_from(self, campaign: Campaign, sender: int | None, most: int, now: dt.datetime) -> Iterator[Expected]:
        waiting = self._due.get((campaign.id, sender), ())
        due = (e for e in waiting if e.due_at is not None and e.due_at <= now and self._goes(e, now))
        return islice(due, most)

    def _goes(self, expected: Expected, now: dt.datetime) -> bool:
        opens = self._window.opens_today(now, *self._group(expected).clock)
        return opens and self._template_for(expected) is not None

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
                self._next_id += 1
                self._on_route[self._next_id] = expected
                self.picked[self._next_id] = expected, template
                share = jitter_share(expected.contact_id, template.id)
                yield Waiting(self._next_id, expected.priority, share=share, group=self._group(expected))

    def _forget(self, gone: set[tuple[int | None, int, int]]) -> None:
        def stay(waiting: list[Expected]) -> list[Expected]:
            return [e for e in waiting if (e.campaign_id, e.enrolment_id, e.contact_id) not in gone]

        self._firsts = {i: stay(waiting) for i, waiting in self._firsts.items()}
        self._due = {key: stay(waiting) for key, waiting in self._due.items()}
        self._contacts = stay(self._contacts)


def _by_time(expected: Expected) -> tuple[dt.datetime | None, int]:
    return expected.due_at, expected.enrolment_id


def _firsts(campaign: Campaign, now: dt.datetime, most: int) -> Iterator[Expected]:
    for one in islice(picking.candidates(campaign, now, most), most):
        who = one.contact
        yield Expected(
            who.id,
            who.address,
            who.website_id,
            who.timezone or "",
            one.priority,
            campaign.id,
            one.enrolment_id,
            position=1,
        )


def _follow_ups(campaigns: Sequence[Campaign], window: SendingWindow, now: dt.datetime) -> Iterator[Expected]:
    theirs = Enrolment.campaign.in_([c.id for c in campaigns]) & picking.WAITS & (Enrolment.position > 1)
    rows = list(
        Enrolment.select(Enrolment, Step)
        .join(Step, on=(Step.campaign == Enrolment.campaign) & (Step.position == Enrolment.position), attr="step")
        .where(theirs)
        .order_by(Enrolment.id)
    )
    contacts = picking.may_be_written_to([row.contact_id for row in rows], now)
    for row in rows:
        if (contact := contacts.get(row.contact_id)) is not None:
            due = row.due_at or due_at(row.sent_at, row.step.days, window, working_days=row.step.working_days)
            yield _of(row, contact, row.position, row.account_id, due)


def _on_route() -> Iterator[tuple[int, Expected]]:
    """Yield the enrolments for which something is on its way, by its delivery."""
    on_its_way = in_states(*NOT_CLAIMED, State.SENDING, column=Delivery.state)
    query = (
        Enrolment.select(Enrolment, Contact)
        .join(Contact)
        .switch(Enrolment)
        .join(Delivery, on=(Delivery.id == Enrolment.delivery_id))
        .where((Enrolment.state == EnrolmentState.ACTIVE) & on_its_way)
    )
    for row in query:
        yield row.delivery_id, _of(row, row.contact, row.position, row.account_id, None)


def _of(row: Enrolment, contact: Contact, position: int, sender: int | None, due: dt.datetime | None) -> Expected:
    return Expected(
        contact.id,
        contact.address,
        contact.website_id,
        contact.timezone or "",
        contact.priority,
        row.campaign_id,
        row.id,
        position,
        sender,
        due,
    )


def _contacts(template: EmailTemplate | None, most: int) -> Iterator[Expected]:
    """Yield contacts that are picked beside the campaigns, the best first."""
    if template is None:
        return
    ids = eligible(template, most, settings().mail_publish_min_priority)
    found = {c.id: c for some in chunks(ids, 1000) for c in Contact.select().where(Contact.id.in_(some))}
    for contact_id in ids:
        c = found[contact_id]
        yield Expected(c.id, c.address, c.website_id, c.timezone or "", c.priority)

"""The world of `test_month`: two brands, three campaigns, and what people and mail servers do in a month.

Its calendar and its limits are written down by hand, so that what is sent can be judged by a reckoning that calls none
of the program's code.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from models import AccountTag, Attempt, Campaign, CampaignState, Contact, Delivery, Enrolment, WhenAccountIsOff
from models.enrolment import EnrolmentState
from pipeline import deliver_message, sweep
from pipeline.flow import TRIGGER
from pipeline.operations import accounts, campaign_states, cancel, pause, stops, suppression
from pipeline.operations.done import Done
from pipeline.reports import plan
from pipeline.smtp.reply import Result
from tests.accelerated import Accelerated
from tests.builders import a_campaign, a_contact, a_list, a_template, a_website, an_account
from tests.conftest import Clock
from tests.effort import counts
from tests.stages.route_world import Say


def written(hours: list[tuple[str, str]]) -> str:
    """Return hours as settings and campaigns have them."""
    return ",".join(f"{opens}-{closes}" for opens, closes in hours)


BERLIN = ZoneInfo("Europe/Berlin")
DAY = dt.timedelta(days=1)
#: In this month the clocks change, in Berlin three weeks later than in New York.
FIRST, LAST = dt.date(2026, 3, 23), counts(dt.date(2026, 4, 14), dt.date(2026, 4, 24))
#: Good Friday and Easter Monday, the holidays; and one date more.
CLOSED = {dt.date(2026, 4, 3), dt.date(2026, 4, 6), dt.date(2026, 4, 15)}
#: When the window is open, and the hours of a campaign of its own: few, so that a month is soon over, or a whole day.
HOURS = counts([("08:00", "09:30"), ("15:00", "16:00")], [("08:00", "17:00")])
OWN_HOURS = counts([("08:30", "09:30"), ("15:00", "15:45")], [("09:00", "12:00"), ("13:00", "16:00")])
INTERVAL = dt.timedelta(seconds=300)
SETTINGS = {
    "mail_window_hours": written(HOURS),
    "mail_window_timezone": "Europe/Berlin",
    "mail_window_days": "mon-fri",
    "mail_window_closed_dates": "2026-04-15",
    "mail_window_holidays": "DE",
    "mail_min_interval": 300,
    "mail_dedupe_contact_days": 10,
    "mail_dedupe_website_days": 7,
}
ZONES = (None, None, "Europe/London", None, "America/New_York", None, None, "America/Los_Angeles")
PRIORITIES = (0, 0, 0, 5, 0, 1)
#: Days after the step before, working days.
STEPS = (0, 3, 7)
#: Which of the accounts have which tag, and which campaign has which, with the hours of its own.
BRANDS = counts({"brand-a": range(4), "brand-b": range(4, 6)}, {"brand-a": range(7), "brand-b": range(7, 12)})
BRAND_OF = {"spring": "brand-a", "summer": "brand-a", "autumn": "brand-b"}
HOURS_OF = {"spring": HOURS, "summer": OWN_HOURS, "autumn": HOURS}


def local(date: dt.date, time: str) -> dt.datetime:
    """Return a time in Berlin as UTC."""
    return dt.datetime.combine(date, dt.time.fromisoformat(time), BERLIN).astimezone(dt.UTC)


def is_working_day(date: dt.date) -> bool:
    """Tell whether the window opens on a date."""
    return date.weekday() < 5 and date not in CLOSED


def dates() -> list[dt.date]:
    """Return all dates of the month."""
    return [FIRST + i * DAY for i in range((LAST - FIRST).days + 1)]


def working_day(number: int, after: dt.date = FIRST - DAY) -> dt.date:
    """Return the working day with this number, from 1, after a date."""
    date = after
    while number:
        date += DAY
        number -= is_working_day(date)
    return date


@dataclass(frozen=True, order=True)
class Mail:
    """A mail that is planned or tried: when (UTC), to whom, of which step, from which account."""

    at: dt.datetime
    contact_id: int
    campaign_id: int
    position: int
    account_id: int


@dataclass(frozen=True)
class Plan:
    """What was planned at a time, when so many mails had been tried."""

    at: dt.datetime
    mails: list[Mail]
    tried: int


class Month:
    """Campaigns, accounts and contacts, the route on its calendar, and what comes that no plan can know.

    Attributes:
        accounts: their ids; those of a brand by BRANDS.
        limits: what each account may send a day when it has warmed up, by id.
        campaigns: by name.
        unforeseen: when something came that no plan can know, acts of people and replies of servers.
        stopped: campaign and contact of sequences that somebody has ended, with the time.
        differences: where what was tried was not what was planned.
    """

    def __init__(self, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, contacts: int, limit: int) -> None:
        """Let nothing be sent yet; `limit`: MAIL_DAILY_LIMIT, by which all other limits are measured."""
        self.clock, self.limit = clock, limit
        self.route = Accelerated(clock, takes=0)
        self.unforeseen: list[dt.datetime] = []
        self.stopped: dict[tuple[int, int], dt.datetime] = {}
        self.differences: list[str] = []
        self.clock.at = local(FIRST - DAY, "20:00")
        self._accounts()
        self._contacts(contacts)
        self._campaigns()
        self._says: dict[str, list[Say]] = {}
        self._broken: tuple[int, dt.datetime, dt.datetime] | None = None
        self._plan = Plan(clock.at, [], 0)
        self._acts = sorted(self._what_people_do(), key=lambda act: act[0])

        @contextmanager
        def transaction(endpoint: Any) -> Iterator[Dialogue]:
            yield Dialogue(self, endpoint.account_id)

        monkeypatch.setattr(deliver_message.connections, "transaction", transaction)
        # When campaigns end is asked weeks ahead, and of each plan that is made here.
        monkeypatch.setattr(plan.Watch, "look_ahead", lambda *_: None)
        self.route.put(TRIGGER)
        self.route.publish_every_half_hour()

    def _accounts(self) -> None:
        own = {
            1: {"daily_limit": self.limit + 1},
            3: {"warmup_start": 1, "warmup_step": 1, "warmup_on": FIRST},
            5: {"daily_limit": self.limit - 1},
        }
        made = [an_account(**own.get(i, {})) for some in BRANDS.values() for i in some]
        self.accounts = [account.id for account in made]
        self.limits = {account.id: account.daily_limit or self.limit for account in made}
        for tag, some in BRANDS.items():
            for i in some:
                AccountTag.create(account=self.accounts[i], tag=tag)

    def _contacts(self, number: int) -> None:
        websites = [a_website() for _ in range(number // 6 + 1)]
        self.contacts = [
            a_contact(
                email=f"p{i}@firm{i}.test",
                timezone=ZONES[i % len(ZONES)],
                priority=PRIORITIES[i % len(PRIORITIES)],
                website=websites[i // 6] if i % 6 < 2 else None,
            )
            for i in range(number)
        ]

    def _campaigns(self) -> None:
        everybody, number = self.contacts, len(self.contacts)
        dentists = a_list(*everybody[: number * 5 // 12])
        lawyers = a_list(*everybody[number * 4 // 12 : number * 9 // 12])
        newcomers = a_list(*everybody[number * 8 // 12 :])
        customers = a_list(*everybody[::15])
        given: dict[str, dict[str, Any]] = {
            "spring": {
                "lists": [dentists], "without": [customers], "tags": ["brand-a"], "weight": 2,
                "daily_limit": self.limit * 3, "stops_website": True,
            },
            "summer": {
                "lists": [dentists, lawyers], "without": [customers], "tags": ["brand-a"],
                "hours": written(OWN_HOURS), "when_account_is_off": WhenAccountIsOff.OTHER,
            },
            "autumn": {
                "lists": [lawyers, newcomers], "tags": ["brand-b"], "daily_limit": self.limit * 3,
                "when_account_is_off": WhenAccountIsOff.STOP,
            },
        }  # fmt: skip
        self.campaigns: dict[str, Campaign] = {}
        for name, values in given.items():
            first, *later = STEPS
            steps = [(first, [a_template(), a_template()]), *((days, [a_template(subject="")]) for days in later)]
            draft = a_campaign(*steps, name=name, state=CampaignState.DRAFT, started_at=None, **values)
            campaign_states.start(name, "me", no_footer_because="a test")
            self.campaigns[name] = Campaign.get_by_id(draft.id)

    def limit_of_account(self, account_id: int, date: dt.date) -> int:
        """Return what an account may send on a date."""
        warming_up = 1 + (date - FIRST).days if account_id == self.accounts[3] else self.limit + 1
        return min(self.limits[account_id], warming_up)

    def limit_of_campaign(self, campaign_id: int) -> int:
        """Return what a campaign may send a day."""
        return len(self.accounts) * (self.limit + 1) if campaign_id == self.campaigns["summer"].id else 3 * self.limit

    # what no plan can know

    def _what_people_do(self) -> Iterator[tuple[dt.datetime, Callable[[], Done | None]]]:
        off, refuses = self.accounts[2], self.accounts[-1]
        summer, everything = "summer", pause.Target()
        yield local(working_day(1), "07:30"), self._some_servers_refuse
        yield local(working_day(3), "09:11"), lambda: self._replies("spring", 2)
        yield local(working_day(6), "08:51"), lambda: self._replies("autumn", 2)
        yield local(working_day(6), "15:13"), lambda: self._suppress("summer", 1)
        yield local(working_day(6), "09:11"), lambda: accounts.disable(off, "me")
        yield local(working_day(6), "15:34"), lambda: self._cancel("spring", 2)
        yield local(working_day(10), "15:02"), lambda: accounts.enable(off, "me")
        yield local(working_day(10), "15:32"), lambda: self._is_away(refuses, for_so_long=dt.timedelta(hours=1))
        yield local(working_day(10), "08:35"), lambda: campaign_states.pause(summer, "me")
        yield local(working_day(12), "08:28"), lambda: campaign_states.resume(summer, "me")
        yield local(working_day(12), "15:14"), lambda: pause.pause(everything, "me")
        yield local(working_day(12), "15:44"), lambda: pause.resume(everything, "me")

    def _some_servers_refuse(self) -> None:
        for name in self.campaigns:
            self._says[self._waiting(name, 1)[0].email] = [Say.NO_SUCH_USER]
        self._says[self._waiting("summer", 1)[1].email] = [Say.NOT_NOW, Say.GREYLISTED]

    def _is_away(self, account_id: int, for_so_long: dt.timedelta) -> None:
        self._broken = account_id, self.clock.at, self.clock.at + for_so_long

    def _replies(self, campaign: str, position: int) -> Done:
        who = self._waiting(campaign, position)[0]
        self._is_stopped(campaign, who)
        if self.campaigns[campaign].stops_website and who.website_id is not None:
            for colleague in Contact.select().where(Contact.website == who.website_id):
                self._is_stopped(campaign, colleague)
        return stops.replied([who.id], "me")

    def _suppress(self, campaign: str, position: int) -> Done:
        who = self._waiting(campaign, position)[0]
        for name in self.campaigns:
            self._is_stopped(name, who)
        return suppression.add(who.email.partition("@")[2], "me")

    def _cancel(self, campaign: str, position: int) -> Done:
        who = self._waiting(campaign, position)[0]
        self._is_stopped(campaign, who)
        return cancel.cancel("me", contact=who.id)

    def _is_stopped(self, campaign: str, who: Contact) -> None:
        self.stopped[self.campaigns[campaign].id, who.id] = self.clock.at

    def _waiting(self, campaign: str, position: int) -> list[Contact]:
        """Return who waits for a step of a campaign, best first, those with a slot before the others."""
        waits = (Enrolment.campaign == self.campaigns[campaign].id) & (Enrolment.state == EnrolmentState.ACTIVE)
        query = Contact.select(Contact).join(Enrolment).where(waits & (Enrolment.position == position))
        return list(query.order_by(Enrolment.delivery_id.is_null(), Contact.priority.desc(), Contact.id))

    def says(self, account_id: int, recipient: str) -> Say:
        """Return what an account's server says to a mail."""
        if self._broken is not None:
            broken, since, until = self._broken
            if account_id == broken and since <= self.clock.at < until:
                return Say.NO_CONNECTION
        coming = self._says.get(recipient, [])
        return coming.pop(0) if coming else Say.ACCEPTED

    # the route

    def go_on(self, until: dt.datetime) -> None:
        """Let time pass, and make a new plan after whatever no plan can know."""
        while self._acts and self._acts[0][0] < until:
            at, act = self._acts.pop(0)
            self._pass_time(at)
            done = act()
            # What an act does not trigger itself, the next sweep does; it comes at once here.
            self.route.put(*(done.handoffs if done is not None else ()), *sweep.sweep())
            self.unforeseen.append(self.clock.at)
            self.look_ahead()
        self._pass_time(until)

    def _pass_time(self, until: dt.datetime) -> None:
        for at in self.route.instants(until):
            if self.unforeseen and self.unforeseen[-1] == at:
                self.look_ahead()

    def look_ahead(self) -> None:
        """Make a new plan, after a look at what has become of the last one."""
        self.look_back()
        rows = plan.plan(1).planned
        found = [
            Mail(row.send_at, row.contact_id, row.campaign_id or 0, row.position or 0, row.account_id) for row in rows
        ]
        self._plan = Plan(self.clock.at, found, len(self.tried()))

    def look_back(self) -> None:
        """Note in what the mails that were tried since the last plan are not those that were planned. What is tried at
        the very instant of something unforeseen may be of before or after it.
        """
        tried = [mail for mail, _ in self.tried()]
        since = sorted(mail for mail in tried[self._plan.tried :] if mail.at not in self.unforeseen)
        planned = sorted(mail for mail in self._plan.mails if mail.at not in self.unforeseen)
        there = planned[: len(since)]
        missing = [mail for mail in planned[len(since) :] if mail.at < self.clock.at]
        if since != there or missing:
            self.differences.append(_difference(self._plan.at, since, [*there, *missing]))

    def tried(self) -> list[tuple[Mail, Attempt]]:
        """Return what has been tried, in its order, with what came of it."""
        query = (
            Attempt.select(Attempt, Delivery.contact.alias("contact"), Delivery.position.alias("position"))
            .join(Delivery)
            .order_by(Attempt.id)
            .objects()
        )
        return [
            (Mail(row.claimed_at or row.finished_at, row.contact, row.campaign_id, row.position, row.account_id), row)
            for row in query
        ]


class Dialogue:
    """One transaction with an account's server, as `smtp.transaction.Transaction` is one."""

    def __init__(self, month: Month, account_id: int) -> None:
        self._month, self._account_id = month, account_id
        self._say = Say.ACCEPTED

    def offer(self, envelope: Any) -> Result | None:
        """Take the mail without its dot."""
        self._say = self._month.says(self._account_id, envelope.recipient)
        if self._say is not Say.ACCEPTED:
            self._month.unforeseen.append(self._month.clock.at)
        refused: Result | None = self._say.value[0]
        return refused

    def finish(self) -> Result:
        """Take the dot."""
        reply: Result = self._say.value[1]
        return reply

    def abandon(self) -> None:
        """Forget the mail."""


def _difference(at: dt.datetime, tried: list[Mail], planned: list[Mail]) -> str:
    """Return in what two lists differ, on the clock in Berlin."""
    only = [(mail, "tried") for mail in tried if mail not in planned]
    only += [(mail, "planned") for mail in planned if mail not in tried]
    lines = [f"the plan of {at.astimezone(BERLIN):%a %d %b %H:%M:%S}"]
    for mail, which in sorted(only)[:20]:
        lines.append(
            f"  {which}: {mail.at.astimezone(BERLIN):%a %H:%M:%S.%f} contact {mail.contact_id} campaign "
            f"{mail.campaign_id} step {mail.position} account {mail.account_id}"
        )
    return "\n".join(lines)

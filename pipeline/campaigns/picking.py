"""Whom today's room is for: the enrolments whose next step is put onto the route.

Reads: running campaigns, and their enrolments through indexes, no more of them than could go. Writes: when a step is
due, and what becomes of the enrolments of accounts that are off for good, in the caller's transaction.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from operator import add
from typing import Any

from models import Campaign, CampaignState, Contact, Enrolment, EnrolmentState, SmtpAccount, Website, WhenAccountIsOff
from models.campaign import is_within_dates
from models.enrolment import ends
from pipeline.campaigns import audience, due
from pipeline.campaigns.steps import Steps
from pipeline.capacity import snapshot
from pipeline.capacity.room import Room
from pipeline.flow import chunks
from pipeline.rules import contact as contact_rules
from pipeline.rules import duplicates
from pipeline.rules.suppressed import suppressed_among
from pipeline.runtime.settings import settings
from pipeline.throttle.dealing import FollowUp, Wants, deal
from pipeline.throttle.types import Campaign as KnownCampaign
from pipeline.throttle.window import SendingWindow

#: Enrolments read at a time; of one account; accounts that one statement reads for.
PAGE, PAGE_OF_ACCOUNT, ACCOUNTS_AT_ONCE = 500, 50, 100
#: Why an enrolment ends whose account is off, where the campaign says so.
ACCOUNT_OFF = "account_off"
#: Read beyond what is wanted, in place of those that are passed over.
SLACK = 10
#: An enrolment goes on, and nothing is on its way for it.
WAITS = (Enrolment.state == EnrolmentState.ACTIVE) & Enrolment.delivery_id.is_null()


def prepare(now: dt.datetime) -> None:
    """Bring enrolments up to date, in a transaction of its own before that which picks: it locks contacts behind them.

    Whoever is on a running campaign's lists by now is enrolled; when a next step is due is worked out; and what becomes
    of those whose account is off is done.
    """
    window = SendingWindow.from_settings(settings())
    audience.enrol_running(now)
    due.work_out(window, now)
    campaigns = snapshot.outline(now).backlog.campaigns
    _leave_accounts_that_are_off(running(campaigns, window.local_date(now)), campaigns, now)


def pick(room: Room, now: dt.datetime, *, limit: int | None = None) -> list[int]:
    """Return the enrolments whose next step is put onto the route, in the order in which they are picked.

    Args:
        room: what can still go today.
        now: UTC, inside the window.
        limit: how many at most.
    """
    window = SendingWindow.from_settings(settings())
    today = running(room.campaigns, window.local_date(now))
    reader = _Reader(room, now, window, Steps.of([c.id for c in today]))
    wants = [reader.wants(campaign) for campaign in today]
    picked = deal(room.accounts, room.on_its_way, wants, follow_ups_first=settings().mail_follow_ups_first)
    return picked if limit is None else picked[:limit]


def running(known: Collection[int], today: dt.date) -> list[Campaign]:
    """Return running campaigns that have begun by a local date and are not over, of those that are known."""
    rows = Campaign.select().where(Campaign.state == CampaignState.RUNNING).order_by(Campaign.id)
    return [campaign for campaign in rows if campaign.id in known and is_within_dates(campaign, today)]


def _leave_accounts_that_are_off(
    campaigns: Sequence[Campaign], known: Mapping[int, KnownCampaign], now: dt.datetime
) -> None:
    """Do what each campaign says with enrolments whose account is off for good, or not the campaign's any more."""
    for campaign in campaigns:
        theirs = (Enrolment.campaign == campaign.id) & WAITS & (Enrolment.position > 1) & is_left(known[campaign.id])
        if campaign.when_account_is_off == WhenAccountIsOff.STOP:
            ends(theirs, EnrolmentState.STOPPED, now, ACCOUNT_OFF)
        elif campaign.when_account_is_off == WhenAccountIsOff.OTHER:
            Enrolment.update(account=None, updated_at=now).where(theirs).execute()


def is_left(known: KnownCampaign) -> Any:
    """Return the condition that an enrolment's account is off for good, or not its campaign's any more."""
    off = SmtpAccount.select(SmtpAccount.id).where(~SmtpAccount.enabled | SmtpAccount.removed_at.is_null(False))
    return Enrolment.account.in_(off) | Enrolment.account.not_in(sorted(known.senders))


def room_of(known: KnownCampaign, accounts: Mapping[int, int]) -> tuple[dict[int, int], int]:
    """Return how many mails each account may still send for a campaign today, and how many may go in all."""
    left = {i: n for i, n in accounts.items() if i in known.senders and n}
    most = sum(left.values())
    return left, most if known.limit is None else min(most, max(0, known.limit - known.used))


#: Somebody who waits for a first mail: enrolment, contact, priority.
Waits = tuple[int, int, int]


@dataclass(frozen=True)
class Candidate:
    """An enrolment that waits for its first mail, and its contact, who may be written to."""

    enrolment_id: int
    priority: int
    contact: Contact


def candidates(campaign: Campaign, now: dt.datetime, most: int) -> Iterator[Candidate]:
    """Yield who waits for the first mail and may be written to, in the order of the index `enrolment_first`; read in
    pages for `most` that are wanted.
    """
    conditions = (*contact_rules.conditions(now), *duplicates.conditions(now, is_plain=False))
    for page in waiting_for_first(campaign, most):
        yield from let_in(page, conditions, now)


def waiting_for_first(campaign: Campaign, most: int) -> Iterator[list[Waits]]:
    """Yield who waits for the first mail, page by page, the best first."""
    size = most + SLACK
    waiting = (
        Enrolment.select(Enrolment.id, Enrolment.contact, Enrolment.priority)
        .where((Enrolment.campaign == campaign.id) & WAITS & (Enrolment.position == 1))
        .order_by(Enrolment.priority.desc(), Enrolment.id)
    )
    behind: Any = True
    while page := list(waiting.where(behind).limit(size := min(size, PAGE)).tuples()):
        yield page
        last_id, _, last = page[-1]
        behind = (Enrolment.priority < last) | ((Enrolment.priority == last) & (Enrolment.id > last_id))
        size *= 2


def let_in(page: Sequence[Waits], conditions: Iterable[Any], now: dt.datetime) -> Iterator[Candidate]:
    """Yield those of a page who may be written to by these conditions, suppression, and the rules that have none."""
    query = Contact.select(Contact.id, Contact.address, Contact.website, Contact.timezone)
    # The enrolments first: a planner that sees both would rather begin with all contacts.
    query = query.where(Contact.id.in_([contact_id for _, contact_id, _ in page]))
    for condition in conditions:
        query = query.where(condition)
    contacts = {c.id: c for c in query}
    suppressed = suppressed_among((c.address for c in contacts.values()), now)
    for enrolment_id, contact_id, priority in page:
        contact = contacts.get(contact_id)
        if contact is None or contact.address in suppressed:
            continue
        if not contact_rules.unseen_by_conditions(contact, now):
            yield Candidate(enrolment_id, priority, contact)


def may_be_written_to(contact_ids: Sequence[int], now: dt.datetime) -> dict[int, Contact]:
    """Return those of some contacts that may get a follow-up, by id."""
    # With their websites, or each would be asked for on its own.
    query = Contact.select(Contact, Website).left_outer_join(Website).where(Contact.id.in_(list(contact_ids)))
    contacts = list(query)
    against = contact_rules.reasons_against_each(contacts, now)
    suppressed = suppressed_among((c.address for c in contacts), now)
    return {c.id: c for c in contacts if not against[c.id] and c.address not in suppressed}


@dataclass
class _Reader:
    """Reads what campaigns could send today; nobody's address or website is picked for two of them."""

    room: Room
    now: dt.datetime
    window: SendingWindow
    steps: Steps
    picked: duplicates.Picked = field(default_factory=duplicates.Picked)

    def wants(self, campaign: Campaign) -> Wants:
        """Return what a campaign could send today."""
        known = self.room.campaigns[campaign.id]
        left, most = room_of(known, self.room.accounts)
        if not most or not self.window.opens_today(self.now, "", campaign.hours):
            return Wants(known, campaign.weight)
        follow_ups = self._follow_ups(campaign, {i: min(n, most) for i, n in left.items()} | {None: most})
        return Wants(known, campaign.weight, follow_ups, list(islice(self._firsts(campaign, most), most)))

    def _follow_ups(self, campaign: Campaign, most: Mapping[int | None, int]) -> list[FollowUp]:
        """Return what is due, the oldest first, of each account so many as it has left. It is read page by page: what
        may not go now keeps nothing behind it from going.
        """
        found: list[Any] = []
        wanted, last = dict(most), dict[int | None, Any]()
        while wanted:
            # Most of those that are due may go: the first page is no longer than that takes.
            sizes = {i: PAGE_OF_ACCOUNT if i in last else min(n + SLACK, PAGE_OF_ACCOUNT) for i, n in wanted.items()}
            page = self._due(campaign, sizes, last)
            contacts = may_be_written_to([row.contact for row in page], self.now)
            read: Counter[int | None] = Counter()
            for row in page:
                read[row.account] += 1
                last[row.account] = row
                contact = contacts.get(row.contact)
                if wanted[row.account] and contact is not None and self._goes(campaign, row.position, contact):
                    wanted[row.account] -= 1
                    found.append(row)
            wanted = {i: n for i, n in wanted.items() if n and read[i] == sizes[i]}
        return [FollowUp(row.id, row.account) for row in sorted(found, key=lambda row: (row.due_at, row.id))]

    def _due(self, campaign: Campaign, sizes: Mapping[int | None, int], last: Mapping[int | None, Any]) -> list[Any]:
        """Return the next page of each account, so many rows, behind the `last` that was read of it, if any was."""
        found: list[Any] = []
        for some in chunks(list(sizes), ACCOUNTS_AT_ONCE):
            pages = (self._due_from(campaign, i, last.get(i)).limit(sizes[i]) for i in some)
            found.extend(reduce(add, pages).namedtuples())
        return sorted(found, key=lambda row: (row.due_at, row.id))

    def _due_from(self, campaign: Campaign, account_id: int | None, last: Any) -> Any:
        of_account = Enrolment.account.is_null() if account_id is None else Enrolment.account == account_id
        is_due = (Enrolment.position > 1) & (Enrolment.due_at <= self.now)
        if last is not None:
            later = (Enrolment.due_at == last.due_at) & (Enrolment.id > last.id)
            is_due &= (Enrolment.due_at > last.due_at) | later
        columns = (
            Enrolment.id,
            Enrolment.contact.alias("contact"),
            Enrolment.position,
            Enrolment.account.alias("account"),
            Enrolment.due_at,
        )
        rows = Enrolment.select(*columns).where((Enrolment.campaign == campaign.id) & WAITS & of_account & is_due)
        return rows.order_by(Enrolment.due_at, Enrolment.id)

    def _goes(self, campaign: Campaign, position: int, contact: Contact) -> bool:
        """Tell whether a step can be sent today: its contact's clock opens, and its template is not paused."""
        opens = self.window.opens_today(self.now, contact.timezone or "", campaign.hours)
        return opens and self.steps.template_for(campaign.id, position, contact.id) is not None

    def _firsts(self, campaign: Campaign, most: int) -> Iterator[int]:
        """Yield enrolments that wait for their first mail, the best first; of one website only its best."""
        for one in candidates(campaign, self.now, most):
            contact = one.contact
            if self._goes(campaign, 1, contact) and self.picked.add(contact.address, contact.website_id):
                yield one.enrolment_id

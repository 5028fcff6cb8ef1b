"""A contact in campaigns: its enrolments, and what the next step of each waits for. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from models import Campaign, CampaignState, Contact, Delivery, Enrolment, EnrolmentState, Reason, database
from pipeline.campaigns import audience, picking
from pipeline.campaigns.due import due_of
from pipeline.campaigns.steps import Steps
from pipeline.capacity import snapshot
from pipeline.capacity.room import room
from pipeline.capacity.snapshot import Snapshot
from pipeline.reports import held
from pipeline.reports.reasons import Because, NotYet
from pipeline.runtime.settings import settings
from pipeline.throttle.dealing import FollowUp, Wants, deal
from pipeline.throttle.types import Group
from pipeline.throttle.window import Clock, SendingWindow


@dataclass(frozen=True)
class EnrolmentRow:
    """A contact's enrolment.

    Attributes:
        id: the enrolment.
        campaign_id: the campaign.
        campaign: its name.
        state: whether it goes on, or how it ended.
        position: the step that is next, from 1; if it has ended: the one at which it did.
        due_at: from when on the next step may go (UTC); null: as soon as there is room for it, or it has ended.
        delivery_id: what is on its way for it.
        account_id: the account that has written to the contact.
        reason: why it ended.
        created_at: when the contact came into the campaign (UTC).
        ended_at: when it ended (UTC).
    """

    id: int
    campaign_id: int
    campaign: str
    state: EnrolmentState
    position: int
    due_at: dt.datetime | None
    delivery_id: int | None
    account_id: int | None
    reason: str | None
    created_at: dt.datetime
    ended_at: dt.datetime | None


def of_contact(contact: Contact) -> tuple[EnrolmentRow, ...]:
    """Return a contact's enrolments, in the order of their campaigns."""
    enrolments = _enrolments(contact)
    steps = Steps.of({enrolment.campaign_id for enrolment in enrolments})
    return tuple(
        EnrolmentRow(
            id=enrolment.id,
            campaign_id=enrolment.campaign_id,
            campaign=enrolment.campaign.name,
            state=EnrolmentState(enrolment.state),
            position=enrolment.position,
            due_at=_due_at(enrolment, steps) if enrolment.state == EnrolmentState.ACTIVE else None,
            delivery_id=enrolment.delivery_id,
            account_id=enrolment.account_id,
            reason=enrolment.reason,
            created_at=enrolment.created_at,
            ended_at=enrolment.ended_at,
        )
        for enrolment in enrolments
    )


def _enrolments(contact: Contact) -> list[Enrolment]:
    query = Enrolment.select(Enrolment, Campaign).join(Campaign).where(Enrolment.contact == contact.id)
    return list(query.order_by(Enrolment.campaign))


def _of_person(contact: Contact) -> list[Enrolment]:
    """Return the enrolments of all contacts with the address of this one."""
    query = Enrolment.select().join(Contact).where(Contact.address == contact.address)
    return list(query.order_by(Enrolment.campaign))


def _due_at(enrolment: Enrolment, steps: Steps) -> dt.datetime | None:
    """Return when the next step is due, worked out already or not; None: at once."""
    return due_of(enrolment, steps.step_of.get((enrolment.campaign_id, enrolment.position)), _window())


def next_steps(contact: Contact) -> list[Enrolment]:
    """Return the enrolments of a contact that wait for the batch publisher; also those that it is going to make, which
    are not stored.
    """
    waiting = [e for e in _enrolments(contact) if e.state == EnrolmentState.ACTIVE and e.delivery_id is None]
    coming = audience.newcomers(_open_campaigns(CampaignState.RUNNING), contact.id)
    return waiting + [Enrolment(campaign=campaign, contact=contact) for campaign, _ in coming]


def _open_campaigns(*states: CampaignState) -> list[Campaign]:
    return list(Campaign.select().where(Campaign.state.in_(states)).order_by(Campaign.id))


def outside(contact: Contact) -> Iterator[Because]:
    """Yield why a contact is in none of the campaigns that it could be in: those that run, or could be started."""
    in_it = {enrolment.campaign_id: enrolment for enrolment in _enrolments(contact)}
    goes_on = next((e for e in _of_person(contact) if e.state == EnrolmentState.ACTIVE), None)
    known = False
    for campaign in _open_campaigns(CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.DRAFT):
        is_running = campaign.state == CampaignState.RUNNING
        if campaign.id in in_it:
            known |= is_running
            if is_running and in_it[campaign.id].state != EnrolmentState.ACTIVE:
                yield Because(Reason.SEQUENCE_ENDED, campaign_id=campaign.id)
        elif _is_on(contact, campaign, excluded=False):
            known |= is_running
            if _is_on(contact, campaign, excluded=True):
                yield Because(NotYet.LEFT_OUT, campaign_id=campaign.id)
            elif not is_running:
                yield from held.by_campaign(campaign, _window(), database.now())
            elif goes_on is not None and not campaign.shares_contacts:
                yield Because(NotYet.IN_OTHER_SEQUENCE, campaign_id=goes_on.campaign_id)
    if not known and _open_campaigns(CampaignState.RUNNING):
        yield Because(NotYet.NOT_IN_AUDIENCE)


def _is_on(contact: Contact, campaign: Campaign, *, excluded: bool) -> bool:
    on_list = audience.on_list_of(campaign, excluded=excluded)
    return bool(Contact.select().where((Contact.id == contact.id) & on_list).exists())


def against(enrolment: Enrolment, now: dt.datetime) -> Iterator[Because]:
    """Yield all that keeps the batch publisher from picking the next step of an enrolment, which goes on, now."""
    campaign, contact, window = enrolment.campaign, enrolment.contact, _window()
    seen = snapshot.outline(now)
    steps = Steps.of([campaign.id])
    if seen.paused:
        yield Because(NotYet.EVERYTHING_PAUSED)
    off = list(held.by_campaign(campaign, window, now))
    yield from off
    yield from held.by_rules(contact, _mail(enrolment), now)
    if steps.template_for(campaign.id, enrolment.position, contact.id) is None:
        yield Because(NotYet.TEMPLATE_PAUSED)
    sender = enrolment.account_id
    if sender is not None and campaign.id in seen.backlog.campaigns and _is_left(enrolment, seen):
        yield held.when_sender_is_off(campaign, sender)
    due = _due_at(enrolment, steps)
    if due is not None and due > now:
        yield Because(NotYet.STEP_NOT_DUE, due, campaign_id=campaign.id)
    elif not off:
        yield from _today(enrolment, seen, window)


def _mail(enrolment: Enrolment) -> Delivery:
    """Return the delivery that would be made, as far as the rules ask about it."""
    contact = enrolment.contact
    return Delivery(
        id=0,
        contact=contact.id,
        address=contact.address,
        website=contact.website_id,
        enrolment=enrolment.id,
        position=enrolment.position,
    )


def _is_left(enrolment: Enrolment, seen: Snapshot) -> bool:
    left = picking.is_left(seen.backlog.campaigns[enrolment.campaign_id])
    return bool(Enrolment.select().where((Enrolment.id == enrolment.id) & left).exists())


def _today(enrolment: Enrolment, seen: Snapshot, window: SendingWindow) -> Iterator[Because]:
    """Yield what keeps a step that is due from going today."""
    campaign, zone, now = enrolment.campaign, enrolment.contact.timezone or "", seen.now
    closed = list(held.by_clock(campaign, zone, window, now, window.opens_today))
    yield from closed
    sender = enrolment.account_id
    if sender is not None and _is_left(enrolment, seen):
        return  # what is done about that has been said
    without = list(held.by_accounts(campaign, Group(Clock(zone, campaign.hours), campaign.id, sender), seen))
    yield from without
    if closed or without:
        return
    today = room(now)
    known = today.campaigns[campaign.id]
    if known.limit is not None and known.used >= known.limit:
        yield Because(NotYet.CAMPAIGN_LIMIT_REACHED, campaign_id=campaign.id)
    elif not deal(today.accounts, today.on_its_way, [Wants(known, 1, [FollowUp(0, sender)])], follow_ups_first=True):
        yield Because(NotYet.NO_CAPACITY)


def _window() -> SendingWindow:
    return SendingWindow.from_settings(settings())

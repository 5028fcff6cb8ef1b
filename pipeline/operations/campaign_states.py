"""What a person lets a campaign do: start, pause, resume, stop; and the end that it comes to by itself.

Writes: the campaign's state, enrolments, slots given back and deliveries cancelled in the same transaction, and the
action with its reason. A pause triggers nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import partial

from models import Campaign, CampaignState, Cause, Delivery, Enrolment, EnrolmentState, Reason, database
from models.control import PROGRAM, record_action
from models.enrolment import ends
from pipeline.campaigns import audience, readiness
from pipeline.capacity import pausing
from pipeline.capacity.pausing import Target
from pipeline.flow import TRIGGER, Handoff
from pipeline.operations.campaigns import CampaignDone, CampaignWritten, demand_open, demand_ready, locked
from pipeline.operations.cancel import cancel_where
from pipeline.operations.done import OperationRefusedError
from pipeline.runtime.logs import log
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow


@dataclass(frozen=True)
class CampaignStarted(CampaignWritten):
    """A campaign that was started.

    Attributes:
        enrolled: contacts of its lists that are in it now and were not.
        in_another: contacts of its lists that come into it when another campaign's sequence has ended.
    """

    enrolled: int
    in_another: int


@dataclass(frozen=True)
class CampaignStopped(CampaignDone):
    """A campaign that was stopped for good.

    Attributes:
        stopped: enrolments that had not ended, and have now.
        cancelled: mails that waited, and are not sent.
    """

    stopped: int
    cancelled: int


def start(named: str, who: str, *, no_footer_because: str | None = None, reason: str = "") -> CampaignStarted:
    """Start a draft: its lists' contacts are enrolled, and from now on the batch publisher picks from it.

    Args:
        named: the campaign, by its name or id.
        who: who does it; kept with the action.
        no_footer_because: why its mails may go without unsubscribe or postal address; kept with the campaign.
        reason: why; kept with the action.

    Raises:
        NotThereError: there is no such campaign.
        OperationRefusedError: it is no draft, or it lacks what it needs.
    """
    with database.transaction():
        # Whoever enrols has it.
        database.lock_publisher()
        campaign = locked(named)
        if campaign.state == CampaignState.RUNNING:
            return _started(campaign, audience.Enrolled(), changed=False)
        if campaign.state == CampaignState.PAUSED:
            raise OperationRefusedError(f"campaign {campaign.id} ({campaign.name}) is paused: resume it")
        demand_open(campaign)
        now, subject = database.now(), f"campaign {campaign.id}"
        if no_footer_because is not None:
            campaign.no_footer_because = no_footer_because
            record_action(who, "allow no footer", subject, now, no_footer_because)
        demand_ready(campaign)
        changes = {"state": CampaignState.RUNNING, "started_at": now, "updated_at": now}
        changes["no_footer_because"] = campaign.no_footer_because
        Campaign.update(**changes).where(Campaign.id == campaign.id).execute()
        enrolled = audience.enrol_lists(campaign, now)
        record_action(who, "start", subject, now, reason)
        return _started(Campaign.get_by_id(campaign.id), enrolled, changed=True)


def pause(named: str, who: str, reason: str = "") -> CampaignDone:
    """Pause a running campaign and give its slots back: nothing of it is sent from the commit on, but for what is
    being sent. Raises NotThereError, OperationRefusedError: it has not been started, or is done.
    """
    with database.transaction():
        campaign = _started_one(named)
        changed = pausing.pause(Target(campaign_id=campaign.id))
        if changed:
            record_action(who, "pause", f"campaign {campaign.id}", database.now(), reason)
    return _done(campaign, CampaignState.PAUSED, changed=changed)


def resume(named: str, who: str, reason: str = "") -> CampaignDone:
    """Let a paused campaign run again. Raises NotThereError, OperationRefusedError: it has not been started, is done,
    or could not be started now.
    """
    with database.transaction():
        campaign = _started_one(named)
        demand_ready(campaign)
        changed = pausing.resume(Target(campaign_id=campaign.id))
        if changed:
            record_action(who, "resume", f"campaign {campaign.id}", database.now(), reason)
    return _done(campaign, CampaignState.RUNNING, changed=changed, handoffs=(TRIGGER,) if changed else ())


def stop(named: str, who: str, reason: str = "") -> CampaignStopped:
    """Stop a campaign for good: what waits is cancelled, and all its enrolments end. What is being sent goes on.

    Raises NotThereError.
    """
    with database.transaction():
        # Nobody picks from it between here and the commit.
        database.lock_publisher()
        campaign = locked(named)
        if campaign.state == CampaignState.DONE:
            return CampaignStopped(campaign.id, campaign.name, CampaignState.DONE, False, 0, 0)
        done = _end(campaign, Reason.CANCELLED, database.now())
        record_action(who, "stop", f"campaign {campaign.id}", database.now(), reason)
    return done


def end_over() -> list[CampaignStopped]:
    """End the campaigns whose last date is over, each in one transaction; return them. What is being sent, or in doubt,
    ends by itself.
    """
    ended = []
    today = SendingWindow.from_settings(settings()).local_date(database.now())
    started = Campaign.state.in_([CampaignState.RUNNING, CampaignState.PAUSED])
    is_over = started & (Campaign.ends_on < today)
    for found in list(Campaign.select(Campaign.id).where(is_over).order_by(Campaign.id)):
        with database.transaction():
            # Nobody picks from it between here and the commit.
            database.lock_publisher()
            campaign = database.for_update(Campaign.select().where(is_over & (Campaign.id == found.id))).first()
            # Somebody else has been faster, or has given it another last date.
            if campaign is None:
                continue
            now, reason = database.now(), f"its last date, {campaign.ends_on}, is over"
            done = _end(campaign, Reason.CAMPAIGN_OVER, now)
            record_action(PROGRAM, "end", f"campaign {campaign.id}", now, reason)
            figures = {"stopped": done.stopped, "cancelled": done.cancelled}
            told = partial(log.info, "campaign ended", campaign_id=campaign.id, reason=reason, **figures)
            database.after_commit(told)
        ended.append(done)
    return ended


def _end(campaign: Campaign, reason: Reason, now: dt.datetime) -> CampaignStopped:
    """End a campaign with all its enrolments, and cancel what waits; in the caller's transaction."""
    done = {"state": CampaignState.DONE, "ended_at": now, "updated_at": now}
    Campaign.update(**done).where(Campaign.id == campaign.id).execute()
    active = (Enrolment.campaign == campaign.id) & (Enrolment.state == EnrolmentState.ACTIVE)
    stopped = Enrolment.select().where(active).count()
    cancelled = cancel_where(Delivery.campaign == campaign.id, Cause.CAMPAIGN, reason)
    ends(active, EnrolmentState.STOPPED, now, reason)
    handoffs = (TRIGGER,) if cancelled else ()
    return CampaignStopped(
        campaign.id, campaign.name, CampaignState.DONE, True, stopped, len(cancelled), handoffs=handoffs
    )


def _started_one(named: str) -> Campaign:
    campaign = locked(named)
    demand_open(campaign)
    if campaign.state == CampaignState.DRAFT:
        raise OperationRefusedError(f"campaign {campaign.id} ({campaign.name}) has not been started")
    return campaign


def _done(
    campaign: Campaign, state: CampaignState, *, changed: bool, handoffs: tuple[Handoff, ...] = ()
) -> CampaignDone:
    return CampaignDone(campaign.id, campaign.name, state, changed, handoffs=handoffs)


def _started(campaign: Campaign, enrolled: audience.Enrolled, *, changed: bool) -> CampaignStarted:
    return CampaignStarted(
        id=campaign.id,
        name=campaign.name,
        state=CampaignState(campaign.state),
        changed=changed,
        notes=tuple(readiness.notes(campaign)),
        enrolled=enrolled.enrolled,
        in_another=enrolled.in_another,
    )

"""How far a campaign has come, counted from enrolments and deliveries through the campaign's indexes. Reads only."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from enum import StrEnum
from typing import Any

from peewee import JOIN, SQL, Case, Value, fn

from models import (
    Campaign,
    CampaignState,
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    SmtpAccount,
    State,
)
from models.control import control
from models.delivery import in_states
from models.enrolment import WEBSITE_REPLIED
from models.states import ENDED_BY_ATTEMPT
from pipeline.campaigns import readiness

#: A step and the template that it was sent with; None: no mail of the campaign at all.
StepAndTemplate = tuple[int, int] | None


class WaitsFor(StrEnum):
    """What an enrolment that goes on waits for; the first that applies."""

    OUTCOME = "outcome"
    DECISION = "decision"
    START = "start"
    RESUMPTION = "resumption"
    ACCOUNT = "account"
    ON_ITS_WAY = "on_its_way"
    FIRST_MAIL = "first_mail"
    DUE_TIME = "due_time"
    ROOM = "room"


def stands(campaign: Campaign, now: dt.datetime) -> tuple[Counter[WaitsFor], Counter[EnrolmentState]]:
    """Return for what the enrolments wait that go on, and how the others have ended: one statement, so that together
    they are all there are.
    """
    waits = Case(None, ((Enrolment.state == EnrolmentState.ACTIVE, _waits_for(campaign, now)),), None)
    query = (
        Enrolment.select(Enrolment.state, waits.alias("waits"), fn.COUNT(SQL("*")))
        .join(Delivery, JOIN.LEFT_OUTER, on=(Delivery.id == Enrolment.delivery_id))
        .join(EmailTemplate, JOIN.LEFT_OUTER, on=(EmailTemplate.id == Delivery.template))
        .where(Enrolment.campaign == campaign.id)
        .group_by(Enrolment.state, SQL("waits"))
    )
    waiting: Counter[WaitsFor] = Counter()
    ended: Counter[EnrolmentState] = Counter()
    for state, reason, number in query.tuples():
        if reason is None:
            ended[EnrolmentState(state)] += number
        else:
            waiting[WaitsFor(reason)] += number
    return waiting, ended


def _waits_for(campaign: Campaign, now: dt.datetime) -> Any:
    """Return the expression of what an enrolment that goes on waits for."""
    usable = SmtpAccount.enabled & SmtpAccount.paused_at.is_null()
    senders = [i for (i,) in SmtpAccount.select(SmtpAccount.id).where(readiness.sends(campaign) & usable).tuples()]
    of_campaign = {CampaignState.DRAFT: WaitsFor.START, CampaignState.PAUSED: WaitsFor.RESUMPTION}
    stopped = of_campaign.get(CampaignState(campaign.state))
    if stopped is None and control().paused_at is not None:
        stopped = WaitsFor.RESUMPTION
    has_none = Enrolment.account.is_null(False) & Enrolment.account.not_in(senders) if senders else SQL("1 = 1")
    cases = [
        (Delivery.state == State.IN_DOUBT, WaitsFor.DECISION),
        (Delivery.state == State.SENDING, WaitsFor.OUTCOME),
        *([(SQL("1 = 1"), stopped)] if stopped is not None else []),
        (EmailTemplate.paused_at.is_null(False), WaitsFor.RESUMPTION),
        (has_none, WaitsFor.ACCOUNT),
        (Enrolment.delivery_id.is_null(False), WaitsFor.ON_ITS_WAY),
        (Enrolment.position == 1, WaitsFor.FIRST_MAIL),
        (Enrolment.due_at.is_null() | (Enrolment.due_at > now), WaitsFor.DUE_TIME),
    ]
    return Case(None, tuple((when, Value(word)) for when, word in cases), Value(WaitsFor.ROOM))


def mails(campaign: Campaign) -> dict[tuple[int, int], Counter[State]]:
    """Return of each step and template how many mails were sent, bounced and failed."""
    found: dict[tuple[int, int], Counter[State]] = {}
    of_it = (Delivery.campaign == campaign.id) & in_states(*ENDED_BY_ATTEMPT)
    by = (Delivery.position, Delivery.template, Delivery.state)
    query = Delivery.select(*by, fn.COUNT(SQL("*"))).where(of_it).group_by(*by)
    for position, template_id, state, number in query.tuples():
        found.setdefault((position, template_id), Counter())[State(state)] += number
    return found


def answers(campaign: Campaign) -> dict[StepAndTemplate, Counter[EnrolmentState]]:
    """Return to how many mails of each step and template people have replied, or unsubscribed: each to the last mail of
    the campaign that was sent before. Those whose website's other contact has replied have not.
    """
    found: dict[StepAndTemplate, Counter[EnrolmentState]] = {}
    ended = Enrolment.state.in_([EnrolmentState.REPLIED, EnrolmentState.UNSUBSCRIBED])
    ended &= Enrolment.reason.is_null() | (Enrolment.reason != WEBSITE_REPLIED)
    by = (Delivery.position, Delivery.template, Enrolment.state)
    query = (
        Enrolment.select(*by, fn.COUNT(SQL("*")))
        .join(Delivery, JOIN.LEFT_OUTER, on=(Delivery.id == Enrolment.last_id))
        .where((Enrolment.campaign == campaign.id) & ended)
        .group_by(*by)
    )
    for position, template_id, state, number in query.tuples():
        mail = None if position is None else (position, template_id)
        found.setdefault(mail, Counter())[EnrolmentState(state)] += number
    return found

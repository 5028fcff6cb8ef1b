"""Bounces: a template, a campaign or an account of which too many are refused is paused, and somebody is told. What a
campaign sends counts for the campaign, and pauses none of its templates.

Reads: the last ended deliveries since a person resumed it, and what came back by mail, which counts from when it was
read in place of its delivery's `sent`. Writes: the pause, slots given back, the action. A list of dead addresses is
stopped by it before it costs the mailbox.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models import Campaign, CampaignState, Delivery, EmailTemplate, Event, LateBounce, Reason, SmtpAccount
from models.delivery import in_states
from models.states import ENDED_BY_ATTEMPT
from pipeline.accounts.alerts import Alert
from pipeline.accounts.stopping import stop
from pipeline.capacity.pausing import Target
from pipeline.runtime.settings import settings

#: The last so many ended deliveries are looked at …
LAST = 100
#: … more than this share of them warns; more than MAIL_BOUNCE_LIMIT, and at least so many, pauses.
WARNS_ABOVE, AT_LEAST = 0.02, 4
_BOUNCES = (Reason.RECIPIENT_REFUSED, Reason.REFUSED_BY_POLICY)


@dataclass(frozen=True)
class Bounces:
    """How many of the last ended deliveries bounced: refused for good, or by the policy of the recipient's site."""

    bounced: int
    ended: int

    @property
    def rate(self) -> float | None:
        """Share of bounces, 0 to 1; None before the first end."""
        return self.bounced / self.ended if self.ended else None

    @property
    def warns(self) -> bool:
        """Tell whether there are more than there should be."""
        return self.rate is not None and self.rate > WARNS_ABOVE

    @property
    def too_many(self) -> bool:
        """Tell whether the account, template or campaign with these bounces is to be paused."""
        return self.rate is not None and self.bounced >= AT_LEAST and self.rate > settings().mail_bounce_limit


def of_account(account: SmtpAccount) -> Bounces:
    """Count an account's last ended deliveries since a person resumed it or switched it on."""
    since = max(at for at in (account.resumed_at, account.enabled_at) if at is not None)
    ended = (Event.account == account.id) & in_states(*ENDED_BY_ATTEMPT, column=Event.state) & (Event.at >= since)
    latest = Event.select(Event.delivery, Event.reason, Event.at).where(ended).order_by(Event.id.desc()).limit(LAST * 2)
    return _counted(latest, LateBounce.account == account.id, since)


def of_template(template: EmailTemplate) -> Bounces:
    """Count a template's last ended deliveries beside campaigns, since a person resumed it."""
    plain = (Delivery.template == template.id) & Delivery.campaign.is_null()
    late = (LateBounce.template == template.id) & LateBounce.campaign.is_null()
    return _last_of(plain, late, template.resumed_at)


def of_campaign(campaign: Campaign) -> Bounces:
    """Count a campaign's last ended deliveries since a person resumed it."""
    return _last_of(Delivery.campaign == campaign.id, LateBounce.campaign == campaign.id, campaign.resumed_at)


def _last_of(which: Any, late: Any, resumed_at: dt.datetime | None) -> Bounces:
    ended = which & in_states(*ENDED_BY_ATTEMPT)
    if resumed_at is not None:
        ended &= Delivery.updated_at >= resumed_at
    rows = Delivery.select(Delivery.id, Delivery.reason, Delivery.updated_at).where(ended)
    return _counted(rows.order_by(Delivery.updated_at.desc()).limit(LAST), late, resumed_at)


def check(account_ids: Iterable[int], bounced: Iterable[Delivery]) -> bool:
    """Pause those of these accounts, and of the templates or campaigns of these deliveries, that have too many bounces,
    and alert; tell whether any was.
    """
    # Pausing gives slots back and so takes locks in an order of its own: after the outcome, never within it.
    paused = False
    for account in SmtpAccount.select().where(SmtpAccount.id.in_(list(account_ids)) & SmtpAccount.paused_at.is_null()):
        paused |= _pause(Target(account_id=account.id), of_account(account))
    of = list(bounced)
    plain = EmailTemplate.id.in_({d.template_id for d in of if d.campaign_id is None})
    for template in EmailTemplate.select().where(plain & EmailTemplate.paused_at.is_null()):
        paused |= _pause(Target(template_id=template.id), of_template(template))
    running = Campaign.id.in_({d.campaign_id for d in of}) & (Campaign.state == CampaignState.RUNNING)
    for campaign in Campaign.select().where(running):
        paused |= _pause(Target(campaign_id=campaign.id), of_campaign(campaign))
    return paused


def _pause(target: Target, bounces: Bounces) -> bool:
    reason = f"{bounces.bounced} of the last {bounces.ended} bounced"
    return bounces.too_many and stop(target, Alert.PAUSED_BY_BOUNCES, reason)


def _counted(ended: Any, late: Any, since: dt.datetime | None) -> Bounces:
    """Count the last ends, and what came back by mail: (delivery, reason, when), the latest of `ended` first."""
    came_back = late & LateBounce.reason.is_null(False)
    if since is not None:
        came_back &= LateBounce.at >= since
    query = LateBounce.select(LateBounce.delivery, LateBounce.reason, LateBounce.at).where(came_back)
    rows = [*query.order_by(LateBounce.at.desc()).limit(LAST).tuples(), *ended.tuples()]
    # A delivery counts once, as it ended last: also if a person has replayed it, or its bounce came by mail.
    once: dict[int, str] = {}
    for delivery_id, reason, _at in sorted(rows, key=lambda row: row[2], reverse=True):
        once.setdefault(delivery_id, reason)
    reasons = list(once.values())[:LAST]
    return Bounces(sum(reason in _BOUNCES for reason in reasons), len(reasons))

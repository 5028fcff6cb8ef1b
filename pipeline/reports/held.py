"""What keeps a mail from going now: its campaign, clocks, the accounts that may send it, the rules about its contact.

Each is asked of the function that picking, the throttle and the claim ask. Reads only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

from models import Campaign, CampaignState, Contact, Delivery, Reason, SmtpAccount, WhenAccountIsOff
from models.campaign import is_within_dates
from pipeline.campaigns import readiness
from pipeline.capacity.snapshot import Snapshot
from pipeline.reports.reasons import Because, NotYet
from pipeline.rules import contact as contact_rules
from pipeline.rules import duplicates
from pipeline.throttle.pace import left_of_campaigns
from pipeline.throttle.types import Account, Group, senders_of
from pipeline.throttle.wall_clock import midnight
from pipeline.throttle.window import SendingWindow

_OF_STATE = {
    CampaignState.DRAFT: NotYet.CAMPAIGN_DRAFT,
    CampaignState.PAUSED: NotYet.CAMPAIGN_PAUSED,
    CampaignState.DONE: NotYet.CAMPAIGN_DONE,
}
_WHEN_SENDER_IS_OFF = {
    WhenAccountIsOff.WAIT: NotYet.SENDER_OFF,
    WhenAccountIsOff.OTHER: NotYet.SENDER_OFF_OTHER,
    WhenAccountIsOff.STOP: NotYet.SENDER_OFF_STOP,
}

#: Tells whether a zone and hours (see `Clock`) are open at a time.
IsOpen = Callable[[dt.datetime, str, str], bool]


def stopped(
    campaign: Campaign | None, window: SendingWindow, seen: Snapshot, *, template_is_paused: bool
) -> Iterator[Because]:
    """Yield what keeps back, for more than today, all mails of a campaign or none, and of a template."""
    if seen.paused:
        yield Because(NotYet.EVERYTHING_PAUSED)
    if campaign is not None:
        yield from by_campaign(campaign, window, seen.now)
    if template_is_paused:
        yield Because(NotYet.TEMPLATE_PAUSED)


def today(campaign: Campaign | None, group: Group, window: SendingWindow, seen: Snapshot) -> Iterator[Because]:
    """Yield what keeps back, now or today, all mails of a campaign or none that are of one group."""
    yield from by_clock(campaign, group.clock.zone, window, seen.now, window.is_open)
    yield from by_accounts(campaign, group, seen)
    if campaign is not None and _is_full(campaign.id, seen):
        yield Because(NotYet.CAMPAIGN_LIMIT_REACHED, campaign_id=campaign.id)


def _is_full(campaign_id: int, seen: Snapshot) -> bool:
    """Tell whether a campaign's limit of today is used up, by what has been sent and what has a slot."""
    held_slots = [account.slot for account in seen.accounts if account.slot is not None]
    return left_of_campaigns(seen.backlog, held_slots).get(campaign_id, 1) <= 0


def by_campaign(campaign: Campaign, window: SendingWindow, now: dt.datetime) -> Iterator[Because]:
    """Yield what of a campaign keeps all its mails back: it does not run, has not begun, or is over."""
    if campaign.state != CampaignState.RUNNING:
        yield Because(_OF_STATE[CampaignState(campaign.state)], campaign_id=campaign.id)
    today = window.local_date(now)
    if is_within_dates(campaign, today):
        return
    if campaign.ends_on is not None and campaign.ends_on < today:
        yield Because(NotYet.CAMPAIGN_OVER, campaign_id=campaign.id)
    else:
        begins = window.soonest(midnight(window.zone, campaign.starts_on), "", campaign.hours)
        yield Because(NotYet.CAMPAIGN_NOT_BEGUN, begins, campaign_id=campaign.id)


def by_clock(
    campaign: Campaign | None, zone: str, window: SendingWindow, now: dt.datetime, is_open: IsOpen
) -> Iterator[Because]:
    """Yield the first that is closed: the window, the campaign's hours, or they in the contact's own zone."""
    hours = "" if campaign is None else campaign.hours
    if not window.contains(now):
        yield Because(NotYet.WINDOW_CLOSED, window.next_opening(now))
    elif campaign is not None and not is_open(now, "", hours):
        yield Because(NotYet.CAMPAIGN_HOURS_CLOSED, window.soonest(now, "", hours), campaign_id=campaign.id)
    elif not is_open(now, zone, hours):
        yield Because(NotYet.CONTACT_WINDOW_CLOSED, window.soonest(now, zone, hours))


def by_accounts(campaign: Campaign | None, group: Group, seen: Snapshot) -> Iterator[Because]:
    """Yield what is wrong with the accounts that may send a mail: none is on, they rest, have reached their limits."""
    ids = senders_of(group, frozenset(a.id for a in seen.accounts), seen.backlog.campaigns)
    accounts = [account for account in seen.accounts if account.id in ids]
    if not accounts:
        yield from _without_account(campaign, group)
    elif not (below_limit := [account for account in accounts if account.left]):
        yield Because(NotYet.LIMITS_REACHED)
    elif all(account.is_cooling(seen.now) for account in below_limit):
        yield Because(NotYet.ACCOUNTS_COOLING_DOWN, _first_to_wake(below_limit))


def _first_to_wake(accounts: list[Account]) -> dt.datetime:
    return min(account.cooling_until for account in accounts if account.cooling_until)


def _without_account(campaign: Campaign | None, group: Group) -> Iterator[Because]:
    if campaign is None:
        yield Because(NotYet.NO_ACCOUNT)
    elif campaign.state != CampaignState.RUNNING:
        return  # that it does not run says it all
    elif not SmtpAccount.select().where(readiness.sends(campaign)).exists():
        yield Because(NotYet.CAMPAIGN_WITHOUT_ACCOUNT, campaign_id=campaign.id)
    elif group.sender is None:
        yield Because(NotYet.CAMPAIGN_ACCOUNTS_OFF, campaign_id=campaign.id)
    else:
        sender = SmtpAccount.get_by_id(group.sender)
        is_paused = sender.paused_at is not None and sender.enabled and sender.removed_at is None
        word = NotYet.SENDER_PAUSED if is_paused else NotYet.SENDER_OFF
        yield Because(word, campaign_id=campaign.id, account_id=group.sender)


def when_sender_is_off(campaign: Campaign, account_id: int) -> Because:
    """Return what a campaign does with a next step whose account is off for good, or not the campaign's any more."""
    word = _WHEN_SENDER_IS_OFF[WhenAccountIsOff(campaign.when_account_is_off)]
    return Because(word, campaign_id=campaign.id, account_id=account_id)


def by_rules(contact: Contact, mail: Delivery, now: dt.datetime) -> Iterator[Because]:
    """Yield the rules that keep a mail from being picked for a contact, each with when it passes."""
    for reason in contact_rules.reasons_against(contact, now):
        yield Because(reason)
    reasons = set(duplicates.reasons_against([mail]).get(mail.id, ()))
    if duplicates.is_on_its_way(contact):
        reasons.add(Reason.IN_FLIGHT)
    for reason in sorted(reasons):
        yield Because(reason, duplicates.passes_at(reason, contact))

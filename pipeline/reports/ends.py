"""When campaigns are going to be over: on which date the last mail of each is expected, if nothing changes. Writes
nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from peewee import fn

from models import Campaign, CampaignState, Enrolment, EnrolmentState, Step, database
from pipeline.campaigns.expected import ExpectedPublisher
from pipeline.capacity import snapshot
from pipeline.reports import foreseen, held
from pipeline.reports.reasons import Because, NotYet
from pipeline.runtime.settings import settings
from pipeline.throttle.by_day import run_by_day
from pipeline.throttle.forecast import Forecast, Planned
from pipeline.throttle.types import Group
from pipeline.throttle.wall_clock import midnight
from pipeline.throttle.window import SendingWindow

#: How far ahead an end is looked for …
LOOKS_AHEAD = dt.timedelta(days=366)
#: … and at how many mails in whole days at most.
LOOKS_AT = 50_000
#: What has sent nothing for so long, beyond what steps and rules let it wait for, does not get on by itself.
PATIENCE = dt.timedelta(days=31)


@dataclass(frozen=True)
class End:
    """When a campaign's last mail is expected.

    Attributes:
        date: on which date, in the window's zone; null if that can't be told.
        why: why it can't be told; null where there is a date.
        left: contacts in it who have not got their last mail by then: they wait for something that no time brings.
    """

    date: dt.date | None
    why: Because | None = None
    left: int = 0


def end_of(campaigns: Iterable[Campaign], progress: Callable[[float], object] = lambda _: None) -> dict[int, End]:
    """Return when each of these campaigns is expected to be over, by its id.

    Args:
        campaigns: those. One that is a draft counts as started now, with the contacts of its lists; beside all that
            run.
        progress: is told how many seconds of `LOOKS_AHEAD` the forecast has come to.
    """
    asked, now = list(campaigns), database.now()
    drafts = [campaign for campaign in asked if campaign.state == CampaignState.DRAFT]
    forecast = foreseen.start(now, days=1, days_in_all=LOOKS_AHEAD.days, also=drafts)
    watch = Watch(asked, now)
    if forecast is not None:
        watch.look_ahead(forecast, progress)
    return watch.ends(forecast)


class Watch:
    """Watches a forecast for the last mails of campaigns."""

    def __init__(self, campaigns: Collection[Campaign], now: dt.datetime) -> None:
        """Begin at `now` (UTC), when nothing has been sent."""
        self._campaigns, self._now = campaigns, now
        self._window = SendingWindow.from_settings(settings())
        self._last: dict[int, dt.datetime] = {}
        self._seen = 0
        longest = Step.select(fn.MAX(Step.days)).where(Step.campaign.in_([c.id for c in campaigns])).scalar() or 0
        days = max(settings().mail_dedupe_contact_days, settings().mail_dedupe_website_days, 2 * longest)
        self._patience = PATIENCE + dt.timedelta(days=days)

    def sent(self, planned: Planned) -> None:
        """Take note of a mail."""
        if (campaign_id := planned.delivery.group.campaign) is not None:
            self._last[campaign_id] = planned.send_at

    def look_ahead(self, forecast: Forecast, progress: Callable[[float], object] = lambda _: None) -> None:
        """Go on with a forecast in whole days, until nothing waits that could go, or it has come too far."""
        for sent in run_by_day(forecast, self._now + LOOKS_AHEAD) if self._go_on(forecast) else ():
            for planned in sent:
                self.sent(planned)
            self._seen += len(sent)
            progress((forecast.now - self._now).total_seconds())
            if self._seen > LOOKS_AT or not self._go_on(forecast):
                return

    def _go_on(self, forecast: Forecast) -> bool:
        """Tell whether somebody waits for a mail of these campaigns that could go some day."""
        publisher, today = forecast.publisher, self._window.local_date(forecast.now)
        assert isinstance(publisher, ExpectedPublisher)
        there = (c for c in self._campaigns if c.id in forecast.campaigns and (c.ends_on or today) >= today)
        return any(publisher.waits_for(c.id) and not self._is_stalled(c, forecast) for c in there)

    def _is_stalled(self, campaign: Campaign, forecast: Forecast) -> bool:
        """Tell whether a campaign has sent nothing for so long that no time brings it on."""
        since = self._last.get(campaign.id, self._now)
        if campaign.starts_on is not None:
            since = max(since, midnight(self._window.zone, campaign.starts_on))
        return forecast.now - since > self._patience

    def ends(self, forecast: Forecast | None) -> dict[int, End]:
        """Return when they are over, as far as the forecast has come; None: everything is paused."""
        return {campaign.id: self._end(campaign, forecast) for campaign in self._campaigns}

    def _end(self, campaign: Campaign, forecast: Forecast | None) -> End:
        if forecast is None:
            return End(None, Because(NotYet.EVERYTHING_PAUSED), _active(campaign))
        if campaign.id not in forecast.campaigns:
            return End(None, next(held.by_campaign(campaign, self._window, self._now), None), _active(campaign))
        assert isinstance(forecast.publisher, ExpectedPublisher)
        last, waits = self._last.get(campaign.id), forecast.publisher.waits_for(campaign.id)
        left = _active(campaign) + forecast.publisher.joined[campaign.id] - forecast.publisher.finished[campaign.id]
        if waits and (why := self._goes_on(campaign, forecast, waits)) is not None:
            return End(None, why, left)
        if last is not None:
            return End(self._window.local_date(last), None, left)
        if not left:
            return End(None, Because(NotYet.NOBODY_WAITS, campaign_id=campaign.id))
        return End(None, self._nothing_goes(campaign, forecast, left), left)

    def _goes_on(self, campaign: Campaign, forecast: Forecast, waits: int) -> Because | None:
        """Return why a campaign has not come to its end, though somebody waits for whom it could; None: it has, as far
        as time can bring it there.
        """
        if campaign.ends_on is not None and campaign.ends_on < self._window.local_date(forecast.now):
            return Because(NotYet.OVER_BEFORE, number=waits, campaign_id=campaign.id)
        if self._is_stalled(campaign, forecast):
            return None
        return Because(NotYet.TOO_FAR, forecast.now, campaign_id=campaign.id)

    def _nothing_goes(self, campaign: Campaign, forecast: Forecast, left: int) -> Because:
        """Return why nothing of a campaign goes, as far as the forecast looks."""
        seen = snapshot.outline(self._now)
        because = next(held.by_accounts(campaign, Group(campaign=campaign.id), seen), None)
        if because is not None and not because.passes:
            return because
        if not any(
            forecast.accounts[i].limit for i in forecast.campaigns[campaign.id].senders & forecast.accounts.keys()
        ):
            return Because(NotYet.NO_CAPACITY)
        return Because(NotYet.CONTACTS_WAIT, number=left, campaign_id=campaign.id)


def _active(campaign: Campaign) -> int:
    active = (Enrolment.campaign == campaign.id) & (Enrolment.state == EnrolmentState.ACTIVE)
    return int(Enrolment.select().where(active).count())

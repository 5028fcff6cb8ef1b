"""When the mails of a campaign go out: until when it takes, on weekends, and on which dates not. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from models import Campaign
from pipeline.reports.campaign_check.findings import About, CampaignFinding, Severity
from pipeline.reports.closed import closed_dates
from pipeline.reports.doctor.installation import weekend_of
from pipeline.reports.ends import End
from pipeline.reports.reasons import NotYet, in_words, local
from pipeline.runtime.settings import settings
from pipeline.throttle.wall_clock import midnight
from pipeline.throttle.window import SendingWindow

#: Days that are looked at where the end can't be told; closed dates that are named.
DAYS, NAMED = 60, 5

#: Why an end can't be told: these are no fault of the campaign's, or said elsewhere.
_ONLY_SAID = (NotYet.TOO_FAR, NotYet.NOBODY_WAITS, NotYet.EVERYTHING_PAUSED, NotYet.CAMPAIGN_PAUSED)

_WEEK, _DAY = dt.timedelta(days=7), dt.timedelta(days=1)


def capacity(contacts: int, steps: int, a_day: int, end: End) -> Iterator[CampaignFinding]:
    """Yield what is to be said of how long a campaign takes.

    Args:
        contacts: how many it has still to write to.
        steps: how many it has.
        a_day: mails that it may send today.
        end: when its last mail is expected.
    """
    if not contacts or not steps:
        return
    mails = f"{contacts} contacts and {steps} steps are up to {contacts * steps} mails; today it may send {a_day}"
    if not a_day:
        yield CampaignFinding(
            Severity.PROBLEM, About.CAPACITY, f"{mails}: no account that is on has a limit", "`slowpost accounts list`"
        )
    elif end.date is not None:
        left = f"; {end.left} contacts do not get all of it: they wait for what no time brings" if end.left else ""
        yield CampaignFinding(Severity.NOTE, About.CAPACITY, f"{mails}; its last mail is expected on {end.date}{left}")
    else:
        assert end.why is not None
        why = in_words(end.why, settings().mail_window_timezone)
        severity = Severity.NOTE if end.why.reason in _ONLY_SAID else Severity.PROBLEM
        yield CampaignFinding(severity, About.CAPACITY, f"{mails}; when its last mail goes can't be told: {why}")


def days(campaign: Campaign, now: dt.datetime, end: dt.date | None) -> Iterator[CampaignFinding]:
    """Yield what is to be said of the days on which a campaign sends, from `now` (UTC) up to the expected `end`."""
    window = SendingWindow.from_settings(settings())
    start = now if campaign.starts_on is None else max(now, midnight(window.zone, campaign.starts_on))
    last = start + DAYS * _DAY if end is None else max(start, midnight(window.zone, end))
    weekend = weekend_of(window.open_time(start, min(last, start + _WEEK)).spans, window.zone)
    if weekend is not None:
        yield CampaignFinding(
            Severity.NOTE,
            About.DAYS,
            f"mail would go out on weekends, next on {local(weekend, window.zone)}",
            "MAIL_WINDOW_DAYS=mon-fri, unless you want it so",
        )
    closed = [date.in_words for date in closed_dates(window, start, last)]
    if closed:
        more = f" and {len(closed) - NAMED} more dates" if len(closed) > NAMED else ""
        shown = "; ".join(closed[:NAMED])
        yield CampaignFinding(Severity.NOTE, About.DAYS, f"nothing goes out on {shown}{more}")

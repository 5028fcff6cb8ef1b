"""The window as people see it. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pipeline.throttle.window import SendingWindow


@dataclass(frozen=True)
class WindowStatus:
    """The window in which mails are sent.

    Attributes:
        open: whether it is open now.
        closes: when it closes (UTC); null while it is closed.
        opens: when it opens (UTC); null while it is open.
    """

    open: bool
    closes: dt.datetime | None
    opens: dt.datetime | None


def window_status(window: SendingWindow, now: dt.datetime) -> WindowStatus:
    """Return how a window stands at `now` (UTC)."""
    if window.contains(now):
        return WindowStatus(open=True, closes=window.closes_at(now), opens=None)
    return WindowStatus(open=False, closes=None, opens=window.next_opening(now))


def in_a_sentence(window: SendingWindow, now: dt.datetime, *, paused: bool) -> str:
    """Return the same in a sentence; `paused`: everything is."""
    seen = window_status(window, now)
    change = seen.closes or seen.opens
    assert change is not None
    when = f", {'closes' if seen.open else 'opens'} {change.astimezone(window.zone):%a %Y-%m-%d %H:%M %Z}"
    if seen.open and window.contains(change):
        when = ""  # it opens again at the same instant
    return f"window {'open' if seen.open else 'closed'}{when}{'; everything is paused' if paused else ''}"

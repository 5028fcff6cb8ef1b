"""*Log*: the attempts, one for each dialogue with a mail server, and whose fault the outcome is; with filters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, abort

from pipeline.reports import accounts
from pipeline.reports import log as reports
from pipeline.reports.log import ChargedTo, Outcome
from pipeline.runtime.settings import settings
from slowpost.web.operator_pages.frame import asked_for, render

blueprint = Blueprint("log", __name__)

#: Attempts on a page, and characters that are shown of what a server has said.
LIMIT, LONGEST_TEXT = 75, 300


@blueprint.get("/log")
def log() -> str:
    """Show them, the latest first."""
    try:
        filters = _filters()
        before = asked_for("before") or _end_of(asked_for("until"))
        found = reports.page(LIMIT, before, **filters)
    except (ValueError, OverflowError):
        abort(404)
    asked = {name: asked_for(name) for name in (*filters, "until") if asked_for(name)}
    return render(
        "log.html",
        rows=found.rows,
        older=None if found.older is None else "/log?" + urlencode(asked | {"before": found.older}),
        asked=asked,
        is_first=before is None,
        accounts=accounts.names(),
        outcomes=list(Outcome),
        charged_to=list(ChargedTo),
        longest_text=LONGEST_TEXT,
    )


def _filters() -> dict[str, Any]:
    """Return what is asked for. Raises ValueError."""
    kinds: dict[str, Callable[[str], Any]] = {"account_id": int, "outcome": Outcome, "charged_to": ChargedTo}
    return {name: kind(given) if (given := asked_for(name)) else None for name, kind in kinds.items()}


def _end_of(date: str) -> dt.datetime | None:
    """Return when a date ends in the window's zone; None where none is given. Raises ValueError, OverflowError."""
    if not date:
        return None
    following = dt.date.fromisoformat(date) + dt.timedelta(days=1)
    return dt.datetime.combine(following, dt.time(), settings().mail_window_timezone)

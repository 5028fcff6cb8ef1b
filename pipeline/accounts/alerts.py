"""Alerts: somebody is told what the program has decided about an account, a template or a campaign, and what is wrong
with its own running. If one can't be given, that is logged, and no more.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import shlex
import subprocess
import time
import urllib.request
from enum import StrEnum

from models import database
from pipeline.runtime.logs import log
from pipeline.runtime.settings import settings

#: Seconds an alert may take.
ALERT_TIMEOUT = 10
#: Seconds between two alerts that say the same of one account, where each mail would give one.
ALERT_EVERY = 3600.0

#: What and account → when it was last told of (monotonic).
_told: dict[tuple[str, int], float] = {}


class Alert(StrEnum):
    """What somebody is told of, beside what is wrong with the running of the program (`watch.problems`)."""

    SWITCHED_OFF = "account switched off"
    RESTS = "account rests"
    LIMITED = "account limited by its provider"
    NO_TOKEN = "account has no access token"  # noqa: S105  (words for a person, not a token)
    NO_KEY = "account can't sign"
    PAUSED_BY_BOUNCES = "paused by bounces"
    PAUSED_BY_LIMIT = "paused by a limit of rendering"
    COMPANY_UNSUBSCRIBED = "company unsubscribed"
    COMPLAINT = "a mail was called spam"
    MENDED = "mended"


def alert(
    what: StrEnum,
    reason: str,
    at: dt.datetime,
    *,
    account_id: int | None = None,
    template_id: int | None = None,
    campaign_id: int | None = None,
) -> None:
    """Say it in the log, and through MAIL_ALERT_COMMAND and MAIL_ALERT_WEBHOOK where they are set.

    Args:
        what: what has happened: an Alert, or a problem of `watch.problems`.
        reason: why, with the figures; no address, and no text of a server, which may quote one.
        at: UTC time.
        account_id, template_id, campaign_id: what it is about.
    """
    about = {"account_id": account_id, "template_id": template_id, "campaign_id": campaign_id, "reason": reason}
    about = {name: value for name, value in about.items() if value is not None}
    log.warning(str(what), **about)
    body = json.dumps({"event": what, **about, "at": at.isoformat()}).encode()
    s = settings()
    try:
        if s.mail_alert_command:
            subprocess.run(  # noqa: S603  (the operator's own command)
                shlex.split(s.mail_alert_command), input=body, timeout=ALERT_TIMEOUT, check=True, capture_output=True
            )
        if s.mail_alert_webhook:
            request = urllib.request.Request(  # noqa: S310  (the operator's own address)
                s.mail_alert_webhook, body, {"Content-Type": "application/json"}
            )
            urllib.request.urlopen(request, timeout=ALERT_TIMEOUT).close()  # noqa: S310
    except (OSError, subprocess.SubprocessError, ValueError, http.client.HTTPException) as error:
        # Not an error's text: what was called may hold a password, and an answer anything.
        known = getattr(error, "returncode", None) or getattr(error, "code", None)
        why = f"{type(error).__name__} {known or getattr(error, 'strerror', None) or ''}".strip()
        del about["reason"]
        log.error("alert not given", **about, error=why)


def alert_once_an_hour(what: Alert, reason: str, *, account_id: int) -> None:
    """Do the same at most once an hour for an account and process."""
    now = time.monotonic()
    if now - _told.get((what, account_id), -ALERT_EVERY) >= ALERT_EVERY:
        _told[what, account_id] = now
        alert(what, reason, database.now(), account_id=account_id)

"""Alerts: somebody is told that an account has been switched off.

Trouble: an alert that can't be given is logged; nothing waits for it.
"""

from __future__ import annotations

import datetime as dt
import json
import shlex
import subprocess
import urllib.request

from pipeline.runtime.logs import log
from pipeline.runtime.settings import settings

#: Seconds an alert may take.
ALERT_TIMEOUT = 10


def alert(account_id: int, reason: str, at: dt.datetime) -> None:
    """Say in the log, and through MAIL_ALERT_COMMAND and MAIL_ALERT_WEBHOOK where they are set, that an account is
    off.
    """
    log.warning("account switched off", account_id=account_id, reason=reason)
    body = json.dumps({"account_id": account_id, "reason": reason, "at": at.isoformat()}).encode()
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
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.error("alert not given", account_id=account_id, error=str(error)[:300])

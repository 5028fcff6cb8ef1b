"""Health: an account that goes bad is switched off, and somebody is told.

Reads: an account's attempts since it was enabled. Writes: `enabled` and the reason. Trouble: an alert that can't be
given is logged; it never holds up a delivery.
"""

from __future__ import annotations

import datetime as dt
import json
import shlex
import subprocess
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass

from models import Attempt, ChargedTo, Outcome, SmtpAccount, database

from . import standing
from .logs import log
from .settings import Settings, settings

#: Seconds an alert may take.
ALERT_TIMEOUT = 10


@dataclass(frozen=True)
class Health:
    """How an account has done over its last attempts that say something about it."""

    accepted: int
    attempts: int

    @property
    def rate(self) -> float | None:
        """Share of accepted ones, 0 to 1; None before the first attempt."""
        return self.accepted / self.attempts if self.attempts else None

    def is_bad(self, rules: Settings) -> bool:
        """Tell whether an account with this record is to be switched off."""
        return (
            self.rate is not None
            and self.attempts >= rules.mail_health_min_attempts
            and self.rate < rules.mail_health_threshold
        )


def health_of(account: SmtpAccount) -> Health:
    """Count an account's last MAIL_HEALTH_WINDOW attempts, since it was enabled, that were accepted or its own or
    the content's fault.
    """
    counts = (Attempt.outcome == Outcome.ACCEPTED) | Attempt.charged_to.in_([ChargedTo.ACCOUNT, ChargedTo.CONTENT])
    last = (
        Attempt.select(Attempt.outcome)
        .where((Attempt.account == account.id) & counts & (Attempt.finished_at >= account.enabled_at))
        .order_by(Attempt.id.desc())
        .limit(settings().mail_health_window)
    )
    outcomes = [row.outcome for row in last]
    return Health(outcomes.count(Outcome.ACCEPTED), len(outcomes))


def check(account_ids: Iterable[int] | None = None) -> list[SmtpAccount]:
    """Switch off accounts (all, or these) whose record is bad, alert, and return them.

    A trigger is not needed: an account holds a slot only while it is usable, and what it held goes back here.
    """
    switched_off = []
    query = SmtpAccount.select().where(SmtpAccount.enabled & SmtpAccount.removed_at.is_null())
    if account_ids is not None:
        query = query.where(SmtpAccount.id.in_(list(account_ids)))
    for account in query:
        health = health_of(account)
        if health.is_bad(settings()):
            reason = f"success rate {health.rate:.0%} of {health.attempts} attempts"
            if switch_off(account, reason):
                switched_off.append(account)
    return switched_off


def switch_off(account: SmtpAccount, reason: str) -> bool:
    """Switch an account off and give its slot back in one transaction; tell whether it was on."""
    with database.transaction():
        was_on = (
            SmtpAccount.update(enabled=False, disabled_reason=reason, updated_at=database.now())
            .where((SmtpAccount.id == account.id) & SmtpAccount.enabled)
            .execute()
        )
        if was_on:
            standing.give_back(account_ids=[account.id])
    if was_on:
        alert(account.id, reason, database.now())
    return bool(was_on)


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

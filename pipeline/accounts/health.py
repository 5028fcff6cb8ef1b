"""Health: an account that goes bad is switched off, and somebody is told.

Reads: an account's attempts since it was enabled. Writes: `enabled` and the reason. Trouble: an alert that can't be
given is logged; no delivery waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from models import Attempt, Cause, ChargedTo, Outcome, SmtpAccount, database
from models.attempt import COUNTS_AGAINST_HEALTH
from models.compiled import Parameter, compiled
from models.control import PROGRAM, record_action
from pipeline.accounts.alerts import Alert, alert
from pipeline.capacity import slots
from pipeline.runtime.settings import Settings, settings
from pipeline.smtp.reply import IN_PASSING
from pipeline.throttle.breaker import MAX_ACCOUNT_FAILURES

#: A message that was never offered, since the server had said what it takes: no account is the worse for it.
_TOO_LARGE = (Attempt.charged_to == ChargedTo.CONTENT) & Attempt.transaction_at.is_null()


@dataclass(frozen=True)
class Health:
    """How many of an account's last attempts were accepted; those charged to the recipient don't count."""

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
    """Count an account's last MAIL_HEALTH_WINDOW attempts since it was enabled: those that were accepted, or charged to
    the account, the content or the policy of the recipient's site. Of a delivery that failed several times one counts,
    and none of one that other accounts have failed, too, when its recipient was named: the account is not what they
    have in common.
    """
    wanted = settings().mail_health_window
    last = _last_attempts(wanted * MAX_ACCOUNT_FAILURES).rows(account=account.id, since=account.enabled_at)
    once = {(delivery_id, outcome): outcome for outcome, delivery_id in last}
    outcomes = list(once.values())[:wanted]
    return Health(outcomes.count(Outcome.ACCEPTED), len(outcomes))


@compiled
def _last_attempts(number: int) -> Any:
    counts = (Attempt.outcome == Outcome.ACCEPTED) | Attempt.charged_to.in_(COUNTS_AGAINST_HEALTH)
    counts &= ~fn.EXISTS(_failed_by_others()) & ~_TOO_LARGE
    of_account = (Attempt.account == Parameter("account")) & (Attempt.finished_at >= Parameter("since"))
    query = Attempt.select(Attempt.outcome, Attempt.delivery).where(of_account & counts)
    return query.order_by(Attempt.id.desc()).limit(number).tuples()


def _failed_by_others() -> Any:
    other = Attempt.alias()
    same = (other.delivery == Attempt.delivery) & (other.account != Attempt.account)
    in_passing = Attempt.phase.in_(IN_PASSING) & other.phase.in_(IN_PASSING)
    charged = (Attempt.charged_to == ChargedTo.ACCOUNT) & (other.charged_to == ChargedTo.ACCOUNT)
    return other.select(SQL("1")).where(same & in_passing & charged)


def check(account_ids: Iterable[int] | None = None) -> list[SmtpAccount]:
    """Switch off accounts (all, or these) whose health is bad, alert, and return them.

    Their slots go back in the same transaction.
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
            slots.give_back(Cause.ACCOUNT, account_ids=[account.id])
            record_action(PROGRAM, "switch off", f"account {account.id}", database.now(), reason)
    if was_on:
        alert(Alert.SWITCHED_OFF, reason, database.now(), account_id=account.id)
    return bool(was_on)

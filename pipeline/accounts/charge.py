"""What an attempt does to its account: it works again, rests, is limited, or is switched off.

Reads: the account's attempts since one was last accepted. Writes: the account's row and, where it changes for a while
or for good, the action; in the caller's transaction, which holds the account's lock and has stored the attempt.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from models import Attempt, Delivery, Outcome, SmtpAccount
from models.compiled import Parameter, compiled, given
from models.control import PROGRAM, record_action
from pipeline.accounts import quota
from pipeline.accounts.alerts import Alert, alert
from pipeline.capacity import usage
from pipeline.rules.addresses import domain_of
from pipeline.smtp.reply import IN_PASSING, TRANSACTION, Result, Verdict
from pipeline.throttle.breaker import FAILURES_BEFORE_REST, FIRST_REST, rest_after

#: A login that is refused a second time so much later is refused for good.
LOGIN_AGAIN_AFTER = FIRST_REST
#: A reply at RCPT or at the dot that speaks of the account only in passing is believed when so many deliveries in a
#: row have met it.
DELIVERIES_TO_BE_SURE = 3
#: These make a row: each delivery, and each recipient's site, once.
_IN_ROW = (Verdict.ACCOUNT_FOR_NOW, Verdict.ACCOUNT_QUOTA, Verdict.ACCOUNT_FOR_GOOD, Verdict.SITE_BY_POLICY)
#: Attempts of a row that are looked at: more only make its rest no longer.
_LOOKS_AT = 200

WORKS_AGAIN: dict[str, Any] = {
    "failures_in_row": 0,
    "cooling_until": None,
    "rests_after": None,
    "login_refused_at": None,
}


@dataclass(frozen=True)
class _Change:
    """What becomes of an account; `alert` and `verb` where it is more than counting."""

    columns: dict[str, Any]
    alert: Alert | None = None
    verb: str = ""
    until: dt.datetime | None = None


def charge(account: SmtpAccount, delivery_id: int, result: Result, now: dt.datetime) -> Callable[[], None]:
    """Change the account as the verdict says; return what is to be called after the commit, to tell somebody."""
    change = _change(account, delivery_id, result, now)
    if result.phase in TRANSACTION and account.login_refused_at is not None:
        change.columns.setdefault("login_refused_at", None)
    # Mostly it works, as it did before.
    if columns := {name: value for name, value in change.columns.items() if getattr(account, name) != value}:
        _set(tuple(columns)).later(id=account.id, updated_at=now, **columns)
    if not change.verb:
        return lambda: None
    until = "" if change.until is None else f"until {change.until.isoformat(timespec='seconds')}, "
    record_action(PROGRAM, change.verb, f"account {account.id}", now, f"{until}after: {result.words}")
    what = change.alert
    if what is None or not account.enabled:
        return lambda: None
    # Without the server's text, in which it may quote an address; `status` shows it.
    told = f"{until}after: {result.phase}: {result.reply.code or 'no reply'} {result.reply.enhanced or ''}".strip()
    return lambda: alert(what, told, now, account_id=account.id)


@compiled
def _set(names: Sequence[str]) -> Any:
    return SmtpAccount.update(**given(SmtpAccount, ("updated_at", *names))).where(SmtpAccount.id == Parameter("id"))


def _change(account: SmtpAccount, delivery_id: int, result: Result, now: dt.datetime) -> _Change:
    match result.verdict:
        case Verdict.ACCEPTED:
            return _Change(dict(WORKS_AGAIN))
        case Verdict.ACCOUNT_QUOTA if not _is_said_of_every_account(account, delivery_id, now):
            return _limited(account, result, now)
        case Verdict.LOGIN_REFUSED:
            return _login_refused(account, result, now)
        case Verdict.ACCOUNT_FOR_GOOD if result.phase not in IN_PASSING:
            return _off(result)
        case _ if result.verdict in _IN_ROW:
            return _one_more_of_a_row(account, result, now)
        case _:
            return _Change({})


def _limited(account: SmtpAccount, result: Result, now: dt.datetime) -> _Change:
    until = quota.rests_until(now)
    columns = {
        "quota_limit": quota.learned_limit(account.id, now),
        "quota_on": usage.date_of(now),
        "quota_at": now,
        "quota_after": result.words,
        "failures_in_row": _failures(_row(account)),
    }
    return _Change(columns | _rest(until, result), Alert.LIMITED, "limit", until)


def _is_said_of_every_account(account: SmtpAccount, delivery_id: int, now: dt.datetime) -> bool:
    """Tell whether this delivery has had another account's quota refused, too: then it may be about the delivery, which
    must not stop one account after another, and the next delivery shows.
    """
    others = (Attempt.delivery == delivery_id) & (Attempt.account != account.id)
    lately = (Attempt.verdict == Verdict.ACCOUNT_QUOTA) & (Attempt.finished_at > now - quota.ROLLING)
    return bool(Attempt.select().where(others & lately).exists())


def _login_refused(account: SmtpAccount, result: Result, now: dt.datetime) -> _Change:
    first = account.login_refused_at
    if first is not None and now - first >= LOGIN_AGAIN_AFTER:
        return _off(result)
    until = now + LOGIN_AGAIN_AFTER
    return _Change({"login_refused_at": first or now} | _rest(until, result), Alert.RESTS, "rest", until)


def _one_more_of_a_row(account: SmtpAccount, result: Result, now: dt.datetime) -> _Change:
    row = _row(account)
    sounded_so = {attempt.delivery_id for attempt in row if attempt.verdict == Verdict.ACCOUNT_FOR_GOOD}
    if len(sounded_so) >= DELIVERIES_TO_BE_SURE:
        return _off(result)
    failures = _failures(row)
    rest = rest_after(failures)
    if rest is None:
        return _Change({"failures_in_row": failures})
    told = Alert.RESTS if account.failures_in_row < FAILURES_BEFORE_REST else None
    return _Change({"failures_in_row": failures} | _rest(now + rest, result), told, "rest", now + rest)


def _off(result: Result) -> _Change:
    return _Change({"enabled": False, "disabled_reason": result.words}, Alert.SWITCHED_OFF, "switch off")


def _rest(until: dt.datetime, result: Result) -> dict[str, Any]:
    return {"cooling_until": until, "rests_after": result.words}


def _row(account: SmtpAccount) -> list[Any]:
    """Return an account's failures since one was accepted, or a person began its record anew; the latest first."""
    counts = (Attempt.outcome == Outcome.ACCEPTED) | Attempt.verdict.in_(_IN_ROW)
    latest = (
        Attempt.select(Attempt.outcome, Attempt.verdict, Attempt.delivery.alias("delivery_id"), Delivery.address)
        .join(Delivery)
        .where((Attempt.account == account.id) & counts & (Attempt.finished_at >= account.enabled_at))
        .order_by(Attempt.id.desc())
        .limit(_LOOKS_AT)
        .namedtuples()
    )
    return list(takewhile(lambda attempt: attempt.outcome != Outcome.ACCEPTED, latest))


def _failures(row: list[Any]) -> int:
    return len({_whose(attempt) for attempt in row})


def _whose(attempt: Any) -> int | str:
    """Return what counts once: the recipient's site of a refusal by policy, else the delivery."""
    if attempt.verdict == Verdict.SITE_BY_POLICY:
        return domain_of(attempt.address)
    return int(attempt.delivery_id)

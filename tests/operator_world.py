"""A world for the operator's pages: 20 accounts of every kind, 3 campaigns, 5,000 deliveries of the last 31 days."""

from __future__ import annotations

import datetime as dt
import random
from zoneinfo import ZoneInfo

from models import (
    Attempt,
    Campaign,
    ChargedTo,
    Contact,
    DeadLetter,
    DeadLetterKind,
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    Event,
    Heartbeat,
    Kind,
    Outcome,
    SmtpAccount,
    State,
    database,
)
from models.control import PROGRAM, record_action
from pipeline.smtp.verdict import Verdict
from tests.builders import a_campaign, a_list, a_template, an_account

ACCOUNTS, DELIVERIES, DAYS = 20, 5_000, 31
#: Rows of one statement: SQLite takes so many values.
_ROWS = 500
_NAMES = ("anna", "ben", "carla", "david", "eva", "frank", "greta", "henry", "ines", "jonas")
#: Accounts that do not send now, by their place, and how long ago that began.
_STOPPED = {3: dt.timedelta(minutes=30), 7: dt.timedelta(hours=2), 11: dt.timedelta(hours=1)}
#: What comes of attempts: outcome, to whom it is charged, verdict, reply code, the delivery's state; and how often.
_ENDS = (
    ((Outcome.ACCEPTED, ChargedTo.NOBODY, Verdict.ACCEPTED, 250, State.SENT), 92),
    ((Outcome.FAILED, ChargedTo.RECIPIENT, Verdict.RECIPIENT_FOR_GOOD, 550, State.BOUNCED), 3),
    ((Outcome.FAILED, ChargedTo.SITE, Verdict.SITE_BY_POLICY, 554, State.FAILED), 2),
    ((Outcome.FAILED, ChargedTo.RECIPIENT, Verdict.GREYLISTED, 450, State.FAILED), 2),
    ((Outcome.FAILED, ChargedTo.ACCOUNT, Verdict.ACCOUNT_FOR_NOW, 421, State.FAILED), 1),
)


def zone_of_noon(now: dt.datetime) -> ZoneInfo:
    """Return a zone on whose clocks it is between 13 and 14 o'clock at `now`, so that a day has a past and a plan."""
    behind = (now.hour - 13 + 12) % 24 - 12
    return ZoneInfo(f"Etc/GMT{behind:+d}" if behind else "Etc/GMT")


def furnish(zone: ZoneInfo, *, deliveries: int = DELIVERIES) -> None:
    """Store it; all times before now, and today's in the window's zone from 8 on."""
    now, chance = database.now(), random.Random(16)  # noqa: S311
    accounts, templates = _accounts(now), [a_template(name=name) for name in ("First words", "Second try", "Last one")]
    campaigns = _campaigns(accounts, templates)
    contacts = _contacts(deliveries + 400, now)
    today = now.astimezone(zone).date()
    stored: list[dict[str, object]] = []
    attempts: list[dict[str, object]] = []
    for number in range(deliveries):
        account = accounts[number % ACCOUNTS]
        date = today - dt.timedelta(days=number // ACCOUNTS % DAYS)
        begins = dt.datetime.combine(date, dt.time(8), zone)
        ends = min(now - _STOPPED.get(number % ACCOUNTS, dt.timedelta(0)), begins + dt.timedelta(hours=9))
        length = (ends - begins).total_seconds()
        at = (begins + dt.timedelta(seconds=chance.uniform(60, max(61, length - 60)))).astimezone(dt.UTC)
        ((outcome, charged_to, verdict, code, state),) = chance.choices([e for e, _ in _ENDS], [w for _, w in _ENDS])
        if number in (7, 27):
            outcome, charged_to, verdict, code, state = Outcome.IN_DOUBT, None, Verdict.UNKNOWN, None, State.IN_DOUBT
        campaign = campaigns[number % 4] if number % 4 < 3 else None
        stored.append(_delivery(contacts[number], state, at, templates[number % 3], campaign, number % 3 + 1))
        attempts.append(
            {
                "account": account.id, "outcome": outcome, "charged_to": charged_to, "verdict": verdict,
                "reply_code": code, "local_on": date, "claimed_at": at, "finished_at": at, "phase": "dot",
                "token": f"claim {number}", "campaign": None if campaign is None else campaign.id,
            }
        )  # fmt: skip
    first = _insert(Delivery, stored)
    for number, attempt in enumerate(attempts):
        attempt["delivery"] = first + number
    _insert(Attempt, attempts)
    waiting = [_delivery(c, State.READY, now, templates[0], None, None) for c in contacts[deliveries:]]
    _insert(Delivery, waiting)
    _slots(accounts, now)
    _letters(first, now)
    _enrol(campaigns, contacts[:300], first, accounts)
    for kind in (Kind.WORKER, Kind.SCHEDULER, Kind.SWEEP, Kind.PUBLISHER):
        Heartbeat.create(process=kind, kind=kind, since=now, beat_at=now + dt.timedelta(minutes=30))


def _accounts(now: dt.datetime) -> list[SmtpAccount]:
    hour, paused = dt.timedelta(hours=1), "5 of the last 60 bounced"
    until = (now + hour).replace(microsecond=0)
    after = "connect: timed out"
    special = {
        3: {"cooling_until": until, "rests_after": after, "failures_in_row": 4},
        7: {"enabled": False, "disabled_reason": "login: 535 5.7.8 Username and Password not accepted"},
        11: {"paused_at": now - _STOPPED[11], "paused_after": paused},
        15: {"warmup_start": 5, "warmup_step": 2, "warmup_on": (now - 3 * dt.timedelta(days=1)).date()},
    }
    accounts = []
    for number in range(ACCOUNTS):
        name = f"{_NAMES[number % 10]}@{'acme' if number < 10 else 'example'}.test"
        values = {"name": name, "from_address": name, "daily_limit": 14, "enabled_at": now - 40 * 24 * hour}
        accounts.append(an_account(**values | special.get(number, {})))
    record_action(
        PROGRAM, "rest", f"account {accounts[3].id}", now - _STOPPED[3], f"until {until.isoformat()}, after: {after}"
    )
    record_action(PROGRAM, "switch off", f"account {accounts[7].id}", now - _STOPPED[7], accounts[7].disabled_reason)
    record_action(PROGRAM, "pause", f"account {accounts[11].id}", now - _STOPPED[11], paused)
    return accounts


def _campaigns(accounts: list[SmtpAccount], templates: list[EmailTemplate]) -> list[Campaign]:
    steps = ((0, templates[:2]), (3, templates[1:2]), (5, templates[2:]))
    names = ("Autumn in the north", "Bakeries", "Second half of the year")
    about = {"accounts": accounts, "no_footer_because": "they are customers"}
    return [a_campaign(*steps, lists=[a_list(name=f"{name}: list")], name=name, **about) for name in names]


def _contacts(number: int, now: dt.datetime) -> list[int]:
    rows = [
        {
            "email": f"person{i}@company{i}.test", "address": f"person{i}@company{i}.test", "name": f"Person {i}",
            "created_at": now, "updated_at": now,
        }
        for i in range(number)
    ]  # fmt: skip
    first = _insert(Contact, rows)
    return list(range(first, first + number))


def _delivery(
    contact_id: int, state: State, at: dt.datetime, template: EmailTemplate, campaign: Campaign | None, step: int | None
) -> dict[str, object]:
    ended = at if state is State.SENT else None
    return {
        "contact": contact_id, "template": template.id, "recipient": f"person{contact_id}@company.test",
        "address": f"person{contact_id}@company.test", "state": state, "source": f"world {contact_id}", "step": 1,
        "subject": "Hello", "text": "Dear reader", "attempts_since": at, "created_at": at, "updated_at": at,
        "sent_at": ended, "recorded_at": at, "campaign": None if campaign is None else campaign.id, "position": step,
    }  # fmt: skip


def _slots(accounts: list[SmtpAccount], now: dt.datetime) -> None:
    """Give the accounts that send their next mail."""
    waiting = Delivery.select().where(Delivery.state == State.READY).order_by(Delivery.id)
    sends = [account for account in accounts if account.enabled and not (account.paused_at or account.cooling_until)]
    for number, (account, delivery) in enumerate(zip(sends, waiting.limit(ACCOUNTS), strict=False), 1):
        slot = {"account": account, "send_at": now + dt.timedelta(minutes=3 * number), "token": f"slot {number}"}
        Delivery.update(state=State.RESERVED, **slot).where(Delivery.id == delivery.id).execute()


def _letters(first: int, now: dt.datetime) -> None:
    failed = Delivery.select().where((Delivery.id >= first) & (Delivery.state == State.FAILED)).limit(3)
    for delivery in failed:
        about = {"delivery": delivery, "reason": "refused_by_policy", "detail": "554 5.7.1 <b>blocked</b>"}
        DeadLetter.create(kind=DeadLetterKind.DELIVERY, created_at=now, **about)


def _enrol(campaigns: list[Campaign], contacts: list[int], first: int, accounts: list[SmtpAccount]) -> None:
    """Enrol contacts in the campaigns: some wait for their first mail, some for the next, some have ended."""
    now, day = database.now(), dt.timedelta(days=1)
    states = (EnrolmentState.ACTIVE, EnrolmentState.ACTIVE, EnrolmentState.FINISHED, EnrolmentState.REPLIED)
    rows: list[dict[str, object]] = []
    for place, contact in enumerate(contacts):
        state, position = states[place % 4], place // 3 % 3 + 1
        written = {"sent_at": now - 2 * day, "due_at": now + 3 * day, "account": accounts[place % ACCOUNTS].id}
        nothing = dict.fromkeys(("sent_at", "due_at", "account", "last_id"))
        about = {"contact": contact, "campaign": campaigns[place % 3].id, "state": state, "position": position}
        about |= nothing if position == 1 else written | {"last_id": first + place}
        ended = None if state is EnrolmentState.ACTIVE else now
        rows.append(about | {"ended_at": ended, "created_at": now, "updated_at": now})
    _insert(Enrolment, rows)


def _insert(model: type[Contact | Delivery | Attempt | Enrolment | Event], rows: list[dict[str, object]]) -> int:
    """Insert rows; return the id of the first, after which the others follow."""
    before = model.select().count()
    for start in range(0, len(rows), _ROWS):
        model.insert_many(rows[start : start + _ROWS]).execute()
    assert model.select().count() == before + len(rows)
    return int(model.select().order_by(model.id.desc()).get().id) - len(rows) + 1

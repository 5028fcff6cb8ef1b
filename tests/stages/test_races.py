"""Races of operating-system processes, on PostgreSQL: whatever eight of them do in the same instants, no slot is given
twice, no claim is one too many, too soon or out of hours, and a person who holds something up is obeyed at once.

Each process has a connection of its own, and a clock that is slow to answer: who reads first is often not who writes
first. A process that raises, logs more than information, or is the victim of a deadlock fails its test.
"""

from __future__ import annotations

import datetime as dt
import faulthandler
import itertools
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from models import Attempt, Cause, Contact, Delivery, Outcome, SmtpAccount, State, database
from models.database import db
from pipeline import reserve_slot
from pipeline.capacity import usage
from pipeline.capacity.slots import give_back
from pipeline.delivery import claim as claims
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim, Refusal
from pipeline.flow import Handoff, Stage
from pipeline.operations import accounts, pause
from pipeline.runtime import logs
from pipeline.runtime import settings as settings_module
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests import pristine
from tests.broker.conftest import until
from tests.builders import a_contact, a_delivery, a_template, an_account

PROCESSES = 8
ZONE = ZoneInfo("America/New_York")
MIDNIGHT = dt.datetime(2026, 6, 3, tzinfo=ZONE)
CLOSING = dt.datetime(2026, 6, 2, 17, tzinfo=ZONE)
GIVEN = "given"


# Slots


def test_eight_triggers_at_once_give_each_account_one_slot_and_each_slot_to_one(race: Race) -> None:
    limit, rounds = 4, 10
    accounts = [an_account(daily_limit=limit).id for _ in range(20)]
    a_backlog(5000)
    tokens: set[str] = set()
    sent: Counter[int] = Counter()
    for turn in range(rounds):
        free = [a for a in accounts if sent[a] < limit]
        head = Delivery.select(Delivery.id).where(Delivery.state == State.READY)
        head = head.order_by(Delivery.priority.desc(), Delivery.id).limit(len(free))
        expected = {d.id for d in head}

        handed_on = [h for handoffs in race.run(*[(trigger, 3)] * PROCESSES) for h in handoffs]

        slots = list(Delivery.select().where(Delivery.state == State.RESERVED))
        assert sorted(d.account_id for d in slots) == free
        assert {d.id for d in slots} == expected
        assert sorted((i, h.slot_token) for h in handed_on for i in h.ids) == sorted((d.id, d.token) for d in slots)
        assert len(handed_on) == len(slots) == len({d.token for d in slots} - tokens)
        tokens |= {d.token for d in slots}
        for slot in slots:
            if (slot.account_id + turn) % 2:
                outcome.settle(_claimed(slot), ACCEPTED)
                sent[slot.account_id] += 1
        with database.transaction():
            give_back(Cause.PAUSE)
    assert set(sent.values()) == {limit}


# Claims


@pytest.mark.usefixtures("unhurried")
def test_eight_claims_at_the_limit_take_the_last_one_once(race: Race) -> None:
    accounts = [an_account(daily_limit=3) for _ in range(5)]
    for account in accounts * 2:
        an_attempt(account, MORNING)
    results = race.run(*all_hammer(accounts, in_seconds(20), enough=frozenset({Refusal.LIMIT_REACHED})))
    for account in accounts:
        answers = total(results, account)
        assert (answers[GIVEN], answers[Refusal.LIMIT_REACHED]) == (1, PROCESSES)
        assert answers.keys() <= {GIVEN, Refusal.LIMIT_REACHED, Refusal.ACCOUNT_UNUSABLE}
        assert usage.used_on(account.id, MORNING.date()) == 3


@pytest.mark.usefixtures("unhurried")
def test_an_account_with_an_open_claim_gets_no_other(race: Race) -> None:
    accounts = [an_account() for _ in range(5)]
    enough = frozenset({GIVEN, Refusal.ACCOUNT_UNUSABLE})
    results = race.run(*all_hammer(accounts, in_seconds(20), enough=enough, settles=False))
    for account in accounts:
        assert total(results, account) == {GIVEN: 1, Refusal.ACCOUNT_UNUSABLE: PROCESSES - 1}
        assert [a.outcome for a in claims_of(account)] == [Outcome.OPEN]


@pytest.mark.usefixtures("unhurried")
def test_two_claims_of_an_account_are_never_closer_than_the_interval(
    race: Race, configure: Callable[..., None]
) -> None:
    configure(mail_min_interval=0.1)
    for times_as_long in LONGER:
        accounts = [an_account() for _ in range(2)]
        results = race.run(*all_hammer(accounts, in_seconds(1.5 * times_as_long)))
        given = []
        for account in accounts:
            answers = total(results, account)
            assert answers.keys() <= {GIVEN, Refusal.TOO_SOON, Refusal.ACCOUNT_UNUSABLE}
            times = [a.claimed_at for a in claims_of(account)]
            assert answers[GIVEN] == len(times)
            apart = [later - sooner for sooner, later in itertools.pairwise(times)]
            assert min(apart, default=dt.timedelta.max) >= dt.timedelta(seconds=0.1)
            given.append(len(times))
        if min(given) >= 5:
            break
    assert min(given) >= 5


@pytest.mark.usefixtures("unhurried")
def test_yesterdays_limit_holds_until_midnight_and_todays_begins_there(race: Race) -> None:
    for times_as_long in LONGER:
        race.set_clock(MIDNIGHT - times_as_long * AROUND)
        accounts = [an_account(daily_limit=1) for _ in range(3)]
        for account in accounts:
            an_attempt(account, CLOSING)
        results = race.run(*all_hammer(accounts, MIDNIGHT + times_as_long * AROUND))
        answers = [total(results, account) for account in accounts]
        for account in accounts:
            yesterdays, *todays = claims_of(account)
            assert yesterdays.claimed_at < MIDNIGHT
            assert yesterdays.local_on == dt.date(2026, 6, 2)
            assert len(todays) <= 1
            assert all(a.claimed_at >= MIDNIGHT and a.local_on == dt.date(2026, 6, 3) for a in todays)
        if is_enough := all(a[GIVEN] == 1 and a[Refusal.LIMIT_REACHED] > 2 * PROCESSES for a in answers):
            break
    assert is_enough


@pytest.mark.usefixtures("unhurried")
def test_every_claim_around_midnight_belongs_to_the_date_of_its_instant(race: Race) -> None:
    for times_as_long in LONGER:
        race.set_clock(MIDNIGHT - times_as_long * AROUND)
        accounts = [an_account() for _ in range(3)]
        race.run(*all_hammer(accounts, MIDNIGHT + times_as_long * AROUND))
        made = [a for account in accounts for a in claims_of(account)]
        assert all(a.local_on == a.claimed_at.astimezone(ZONE).date() for a in made)
        if is_enough := {a.claimed_at >= MIDNIGHT for a in made} == {False, True}:
            break
    assert is_enough


@pytest.mark.usefixtures("unhurried")
def test_every_claim_before_the_windows_end_is_given_and_none_at_or_after_it(
    race: Race, configure: Callable[..., None]
) -> None:
    configure(mail_window_start=8, mail_window_end=17)
    for times_as_long in LONGER:
        race.set_clock(CLOSING - times_as_long * AROUND)
        accounts = [an_account() for _ in range(3)]
        results = race.run(*all_hammer(accounts, CLOSING + times_as_long * AROUND))
        answers = [total(results, account) for account in accounts]
        assert {answer for each in answers for answer in each} <= {
            GIVEN,
            Refusal.WINDOW_CLOSED,
            Refusal.ACCOUNT_UNUSABLE,
        }
        assert all(a.claimed_at < CLOSING for account in accounts for a in claims_of(account))
        if is_enough := all(a[GIVEN] >= 5 and a[Refusal.WINDOW_CLOSED] >= PROCESSES for a in answers):
            break
    assert is_enough


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize(
    ("boundary", "window", "answers", "dates"),
    [
        (CLOSING, (8, 17), {Refusal.WINDOW_CLOSED: PROCESSES}, []),
        (MIDNIGHT, (0, 0), {GIVEN: 1, Refusal.LIMIT_REACHED: PROCESSES - 1}, [dt.date(2026, 6, 3)]),
    ],
    ids=["window's end", "midnight"],
)
def test_a_claim_that_waits_for_the_lock_is_judged_by_the_instant_at_which_it_gets_it(
    race: Race,
    configure: Callable[..., None],
    boundary: dt.datetime,
    window: tuple[int, int],
    answers: dict[str, int],
    dates: list[dt.date],
) -> None:
    configure(mail_window_start=window[0], mail_window_end=window[1])
    race.set_clock(boundary - AROUND)
    account = an_account(daily_limit=1)
    # Each ends with its answer; on a busy machine that may take a while.
    jobs = all_hammer([account], boundary + dt.timedelta(minutes=1), enough=frozenset({GIVEN, *answers}))
    with database.transaction():
        claims.locked(account.id)
        started = race.start(*jobs)
        while database.now() < boundary:
            time.sleep(0.01)
    seen = total(race.finish(started), account)
    seen.pop(Refusal.ACCOUNT_UNUSABLE, None)
    assert seen == answers
    assert [a.local_on for a in claims_of(account)] == dates
    assert all(a.claimed_at >= boundary for a in claims_of(account))


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize(
    ("act", "refusal"),
    [
        (lambda account: an_attempt(account, MORNING), Refusal.LIMIT_REACHED),
        (lambda account: accounts.change(account.id, "a test", {"daily_limit": 0}), Refusal.LIMIT_REACHED),
        (lambda account: accounts.disable(account.id, "a test"), Refusal.ACCOUNT_UNUSABLE),
        (lambda account: pause.pause(pause.Target(account.id), "a test"), Refusal.PAUSED),
    ],
    ids=["uses up the limit", "lowers the limit", "disables", "pauses"],
)
def test_a_claim_that_waits_for_the_lock_sees_what_its_holder_did(
    race: Race, act: Callable[[SmtpAccount], Any], refusal: Refusal
) -> None:
    account = an_account(daily_limit=1)
    jobs = all_hammer([account], in_seconds(5), enough=frozenset({GIVEN, refusal}))
    with database.transaction():
        database.lock_accounts()
        claims.locked(account.id)
        started = race.start(*jobs)
        until_waiting(PROCESSES)
        act(account)
    answers = total(race.finish(started), account)
    # Who waited with a slot that was given back has lost it, and is refused when it is put back by hand.
    del answers[Refusal.SLOT_LOST]
    assert answers == {refusal: PROCESSES}


# People


def _everything(_account_id: int, _template_id: int) -> pause.Target:
    return pause.Target()


def _account(account_id: int, _template_id: int) -> pause.Target:
    return pause.Target(account_id=account_id)


def _template(_account_id: int, template_id: int) -> pause.Target:
    return pause.Target(template_id=template_id)


def _pause(target: Callable[[int, int], pause.Target]) -> tuple[Callable[[int, int], Any], Callable[[int, int], Any]]:
    return (lambda a, t: pause.pause(target(a, t), "a test"), lambda a, t: pause.resume(target(a, t), "a test"))


#: By its name: what is done, and undone, to an account and a template.
DEEDS: dict[str, tuple[Callable[[int, int], Any], Callable[[int, int], Any]]] = {
    "pause everything": _pause(_everything),
    "pause the template": _pause(_template),
    "pause the account": _pause(_account),
    "disable the account": (lambda a, _: accounts.disable(a, "a test"), lambda a, _: accounts.enable(a, "a test")),
    "lower the limit": (lambda a, _: _change_limit(a, 0), lambda a, _: _change_limit(a, None)),
    "remove the account": (lambda a, _: accounts.remove(a, "a test"), lambda _, __: None),
}


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("deed", DEEDS)
def test_no_claim_comes_through_once_a_person_has_held_it_up(
    race: Race, configure: Callable[..., None], deed: str
) -> None:
    configure(mail_min_interval=0.001)
    template = a_template()
    a_backlog(1000, template=template)
    for times_as_long in LONGER:
        accounts = [an_account().id for _ in range(30)]
        until = in_seconds(1.5 * times_as_long)
        person = Person(deed, accounts, template.id, until)
        came_through, *answers = race.run((hold_up, person), *[(work, until)] * (PROCESSES - 1))
        assert set(came_through) <= {0}
        if is_enough := len(came_through) >= 3 and sum(answers, Counter())[GIVEN] >= 5:
            break
    assert is_enough


#: Seconds for one race.
PATIENCE = 120
#: The clock of a process answers up to so many seconds late.
SLOWNESS = 0.005
MORNING = dt.datetime(2026, 6, 2, 10, tzinfo=ZONE)
#: A process hammers so long after a boundary, and starts so long before it.
AROUND = dt.timedelta(seconds=0.8)
#: A race shows nothing unless enough happens in it: on a busy machine it is run again, so many times as long.
LONGER = (1, 3, 9)
SLOT = "slot"
ACCEPTED = Result(Verdict.ACCEPTED, Phase.DOT, Reply(250, "2.0.0 ok"))
_real_now = database.now
_together: Barrier


def _begin(together: Barrier, log: Path) -> None:
    """Begin a process of the pool: all that it says goes to `log`."""
    global _together
    _together = together
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    logs.configure(json=True)


def _meet(_number: int) -> None:
    """Wait until all eight have started."""
    _together.wait(PATIENCE)


def _take_part(settings: dict[str, str], ahead: dt.timedelta, function: Callable[[Any], Any], argument: Any) -> Any:
    """Be one of eight: connect, wait for the others, and go."""

    def slow_now() -> dt.datetime:
        now = _real_now() + ahead
        time.sleep(random.uniform(0, SLOWNESS))  # noqa: S311
        return now

    for name in settings_module.Settings.model_fields:
        os.environ.pop(name.upper(), None)
    os.environ.update(settings)
    settings_module.settings.cache_clear()
    database.connect(settings["DATABASE_URL"])
    database.now = slow_now
    faulthandler.dump_traceback_later(PATIENCE - 5)
    try:
        with database.connection():
            _together.wait(PATIENCE)
            return function(argument)
    finally:
        faulthandler.cancel_dump_traceback_later()
        db.obj.close_all()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ProcessPoolExecutor, Barrier, Path]]:
    """Eight processes that stay for all tests here."""
    log = tmp_path_factory.mktemp("races") / "log"
    # Not `spawn`: each of the eight would import all there is, which is a second of CPU.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    together = context.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, context, _begin, (together, log)) as pool:
        list(pool.map(_meet, range(PROCESSES)))
        yield pool, together, log


class Race:
    """What one function does in eight processes at once."""

    def __init__(self, pool: tuple[ProcessPoolExecutor, Barrier, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        self._pool, self._together, self._log = pool
        self._monkeypatch = monkeypatch
        self._ahead = dt.timedelta(0)
        self._deadlocks = _deadlocks()

    def set_clock(self, at: dt.datetime) -> None:
        """Let the database's clock go on from `at`, here and in the processes."""
        ahead = self._ahead = at - _real_now()
        self._monkeypatch.setattr(database, "now", lambda: _real_now() + ahead)

    def start(self, *jobs: tuple[Callable[[Any], Any], Any]) -> list[Future[Any]]:
        """Start eight jobs, each a function of this module and its argument."""
        assert len(jobs) == PROCESSES
        self._together.reset()
        self._log.write_text("")
        names = (name.upper() for name in settings_module.Settings.model_fields)
        settings = {name: os.environ[name] for name in names if name in os.environ}
        return [self._pool.submit(_take_part, settings, self._ahead, *job) for job in jobs]

    def finish(self, started: list[Future[Any]]) -> list[Any]:
        """Return what they return, in their order."""
        late = wait(started, PATIENCE).not_done
        if late:
            for process in multiprocessing.active_children():
                process.kill()
        assert not late, f"{len(late)} of {PROCESSES} processes hang:\n{self._log.read_text()}"
        results = [future.result() for future in started]
        assert [line for line in self._log.read_text().splitlines() if '"level": "info"' not in line] == []
        assert _deadlocks() == self._deadlocks
        return results

    def run(self, *jobs: tuple[Callable[[Any], Any], Any]) -> list[Any]:
        """Start eight jobs and return what they return."""
        return self.finish(self.start(*jobs))


@pytest.fixture
def race(postgres: str, pool: tuple[ProcessPoolExecutor, Barrier, Path], monkeypatch: pytest.MonkeyPatch) -> Race:
    """Eight processes and an empty database; it is ten in the morning."""
    race = Race(pool, monkeypatch)
    race.set_clock(MORNING)
    return race


def _deadlocks() -> int:
    """Return how many deadlocks this database has seen, once all others have left it and so have reported theirs."""
    others = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> %s
    """
    until(lambda: db.execute_sql(others, (pristine.NAME,)).fetchone()[0] == 0, lambda: "others are still connected")
    seen = db.execute_sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return int(seen.fetchone()[0])


def a_backlog(length: int, **values: Any) -> None:
    """Store ready deliveries of all priorities, of one template."""
    person, one = dict(a_contact().__data__), dict(a_delivery(**values).__data__)
    del person["id"], one["id"]
    names = [f"waiting{n}@example.test" for n in range(length - 1)]
    Contact.insert_many([person | {"email": name, "address": name} for name in names]).execute()
    ids = dict(Contact.select(Contact.email, Contact.id).where(Contact.email.in_(names)).tuples())
    rows = [
        one | {"contact": ids[name], "recipient": name, "address": name, "priority": n * 7 % 10}
        for n, name in enumerate(names)
    ]
    Delivery.insert_many(rows).execute()
    db.execute_sql("ANALYZE")


def an_attempt(account: SmtpAccount, at: dt.datetime) -> None:
    """Store what is left of a claim of `account` at `at`."""
    Attempt.create(
        delivery=a_delivery(State.SENT, sent_at=at),
        account=account,
        outcome=Outcome.ACCEPTED,
        claimed_at=at,
        finished_at=at,
        local_on=at.astimezone(ZONE).date(),
    )


def claims_of(account: SmtpAccount) -> list[Attempt]:
    """Return the claims of `account` in their order."""
    of_account = (Attempt.account == account) & Attempt.claimed_at.is_null(False)
    return list(Attempt.select().where(of_account).order_by(Attempt.claimed_at))


def trigger(times: int) -> list[Handoff]:
    """Trigger *reserve slot*; return what it hands on to *deliver*."""
    return [h for _ in range(times) for h in reserve_slot.reserve() if h.stage is Stage.DELIVER]


def _claimed(slot: Delivery) -> Claim:
    given = Claim(slot.id, slot.account_id, f"claim of {slot.token}", time.monotonic())
    Delivery.update(state=State.SENDING, token=given.token).where(Delivery.id == slot.id).execute()
    Attempt.create(
        delivery=slot,
        account=slot.account_id,
        token=given.token,
        outcome=Outcome.OPEN,
        claimed_at=database.now(),
        local_on=MORNING.date(),
    )
    return given


@dataclass(frozen=True)
class Hammering:
    """Claims again and again: for which deliveries (id and account), until when (or which refusal), and whether each
    claim is accepted at once.
    """

    places: Sequence[tuple[int, int]]
    until: dt.datetime
    enough: frozenset[str] = frozenset()
    settles: bool = True


def hammer(job: Hammering) -> Counter[tuple[int, str]]:
    """Claim, and put the row back by hand whatever the answer was; return the answers by account."""
    answers: Counter[tuple[int, str]] = Counter()
    places = list(job.places)
    while places and database.now() < job.until:
        for place in tuple(places):
            delivery_id, account_id = place
            given = claims.claim(delivery_id, SLOT, account_id)
            if isinstance(given, Claim) and job.settles:
                outcome.settle(given, ACCEPTED)
            answer = GIVEN if isinstance(given, Claim) else str(given)
            answers[account_id, answer] += 1
            if answer in job.enough:
                places.remove(place)
            else:
                slot = {"state": State.RESERVED, "account": account_id, "send_at": job.until, "token": SLOT}
                Delivery.update(slot).where(Delivery.id == delivery_id).execute()
    return answers


def all_hammer(accounts: list[SmtpAccount], until: dt.datetime, **how: Any) -> list[tuple[Callable[[Any], Any], Any]]:
    """Return eight jobs, each with a reserved delivery of its own for each of these accounts."""

    def reserved(account: SmtpAccount) -> int:
        slot = {"account": account, "send_at": until, "token": SLOT, "message_id": "<1@x.test>"}
        return int(a_delivery(State.RESERVED, **slot).id)

    places = [[(reserved(account), account.id) for account in accounts] for _ in range(PROCESSES)]
    return [(hammer, Hammering(p, until, **how)) for p in places]


@pytest.fixture
def unhurried(configure: Callable[..., None]) -> None:
    """Nothing but what a test is about refuses a claim: always open, no interval, no limit that matters."""
    configure(mail_window_start=0, mail_window_end=0, mail_min_interval=0, mail_spread="off", mail_daily_limit=100_000)


def in_seconds(seconds: float) -> dt.datetime:
    """Return a time from now, by the database's clock."""
    return database.now() + dt.timedelta(seconds=seconds)


def total(results: list[Counter[tuple[int, str]]], account: SmtpAccount) -> Counter[str]:
    """Return the answers for `account` in all processes."""
    answers = sum(results, Counter())
    return Counter({answer: n for (account_id, answer), n in answers.items() if account_id == account.id})


def until_waiting(number: int) -> None:
    """Wait until so many others wait for locks."""
    waits = "datname = current_database() AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 10
    while db.execute_sql(f"SELECT count(*) FROM pg_stat_activity WHERE {waits}").fetchone()[0] < number:  # noqa: S608
        assert time.monotonic() < deadline
        time.sleep(0.01)
        db.execute_sql("SELECT pg_stat_clear_snapshot()")


@dataclass(frozen=True)
class Person:
    """What a person does and undoes, to which accounts in turn, until when."""

    deed: str
    account_ids: Sequence[int]
    template_id: int
    until: dt.datetime


def _change_limit(account_id: int, limit: int | None) -> None:
    accounts.change(account_id, "a test", {"daily_limit": limit})


def hold_up(person: Person) -> list[int]:
    """Hold up again and again; return how many claims came through each time after the commit."""
    do, undo = DEEDS[person.deed]
    came_through = []
    for account_id in person.account_ids:
        time.sleep(random.uniform(0, 0.1))  # noqa: S311
        held_up = Attempt.claimed_at.is_null(False)
        if person.deed not in ("pause everything", "pause the template"):
            held_up &= Attempt.account == account_id
        do(account_id, person.template_id)
        before = Attempt.select().where(held_up).count()
        time.sleep(0.05)
        came_through.append(Attempt.select().where(held_up).count() - before)
        undo(account_id, person.template_id)
        if database.now() > person.until:
            break
    return came_through


def work(until: dt.datetime) -> Counter[str]:
    """Reserve, claim and settle, as workers do; return the answers to the claims."""
    answers: Counter[str] = Counter()
    while database.now() < until:
        for handoff in itertools.takewhile(lambda _: database.now() < until, trigger(1)):
            for delivery in Delivery.select().where(Delivery.token == handoff.slot_token):
                answer: Claim | Refusal = Refusal.TOO_SOON
                while answer is Refusal.TOO_SOON and database.now() < until:
                    answer = claims.claim(delivery.id, delivery.token, delivery.account_id)
                if isinstance(answer, Claim):
                    outcome.settle(answer, ACCEPTED)
                answers[GIVEN if isinstance(answer, Claim) else str(answer)] += 1
    return answers

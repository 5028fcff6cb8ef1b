"""The world around the route, for `test_state_machine`: a bag of messages instead of a broker, SMTP servers that answer
as they are told, and what they know of the mails; and the checks, by SQL of the tests' own.

Reads nothing of the program's answers: what is checked is read from the tables, or is what the servers have seen.
"""

# ruff: noqa: S608  (what stands in the statements are the tests' own ids)
from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from models import TABLES, Cause, ChargedTo, Control, Outcome, State, database
from models.control import ONLY
from models.database import db
from models.states import TRANSITIONS
from pipeline import check_duplicates, deliver_message, record_outcome, render_message, reserve_slot, sweep
from pipeline.delivery import claim as claims
from pipeline.delivery import outcome
from pipeline.flow import Handoff, Stage
from pipeline.runtime.clocks import elapsed
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests.conftest import Clock

#: What no rule of the machine lasts; every step takes so long, so that no two things happen at one instant.
INSTANT = dt.timedelta(milliseconds=1)
MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


#: Outcomes and faults of attempts that use up an account's limit.
USES = (Outcome.OPEN, Outcome.ACCEPTED, Outcome.IN_DOUBT)
PROVIDERS_COUNT = tuple(map(str, (ChargedTo.RECIPIENT, ChargedTo.SITE, ChargedTo.CONTENT)))


class Crash(BaseException):
    """The process dies here."""


def _result(verdict: Verdict, phase: Phase, code: int | None, text: str) -> Result:
    return Result(verdict, phase, Reply(code, text))


class Say(Enum):
    """What a server says to one mail, and what befalls the process that speaks with it: before the dot, after it, and
    whether the mail is accepted.
    """

    ACCEPTED = (None, _result(Verdict.ACCEPTED, Phase.DOT, 250, "2.0.0 kept"), True)
    NO_SUCH_USER = (_result(Verdict.RECIPIENT_FOR_GOOD, Phase.RCPT, 550, "5.1.1 no such user"), None, False)
    NO_SUCH_USER_AT_DOT = (None, _result(Verdict.RECIPIENT_FOR_GOOD, Phase.DOT, 550, "5.1.1 no such user"), False)
    POLICY = (_result(Verdict.SITE_BY_POLICY, Phase.RCPT, 550, "policy: 5.7.1 SPF fail"), None, False)
    NOT_NOW = (_result(Verdict.RECIPIENT_FOR_NOW, Phase.RCPT, 450, "4.2.0 not now"), None, False)
    GREYLISTED = (_result(Verdict.GREYLISTED, Phase.RCPT, 450, "4.2.0 greylisted"), None, False)
    FULL_AT_DOT = (None, _result(Verdict.MAILBOX_FULL, Phase.DOT, 452, "4.2.2 full"), False)
    SPAM = (None, _result(Verdict.CONTENT, Phase.DOT, 554, "5.7.1 spam"), False)
    TOO_LARGE = (_result(Verdict.CONTENT, Phase.MAIL, 552, "5.3.4 too large"), None, False)
    NO_CONNECTION = (_result(Verdict.ACCOUNT_FOR_NOW, Phase.CONNECT, None, "later: no connection"), None, False)
    BUSY_AT_DOT = (None, _result(Verdict.ACCOUNT_FOR_NOW, Phase.DOT, 421, "later: 4.7.0 busy"), False)
    QUOTA = (_result(Verdict.ACCOUNT_QUOTA, Phase.MAIL, 550, "later: 5.4.5 quota"), None, False)
    QUOTA_AT_DOT = (None, _result(Verdict.ACCOUNT_QUOTA, Phase.DOT, 550, "later: 5.4.5 quota"), False)
    LOGIN_REFUSED = (_result(Verdict.LOGIN_REFUSED, Phase.AUTH, 535, "5.7.8 login refused"), None, False)
    SENDER_REFUSED = (_result(Verdict.ACCOUNT_FOR_GOOD, Phase.MAIL, 550, "5.1.8 sender refused"), None, False)
    SOUNDS_FOR_GOOD = (_result(Verdict.ACCOUNT_FOR_GOOD, Phase.RCPT, 550, "later: account disabled"), None, False)
    SILENCE_KEPT = (None, _result(Verdict.UNKNOWN, Phase.DOT, None, "no reply"), True)
    SILENCE_DROPPED = (None, _result(Verdict.UNKNOWN, Phase.DOT, None, "no reply, dropped"), False)
    DIES_BEFORE_CLAIM = (Crash, None, False)
    SLEEPS_AFTER_CLAIM = (None, None, False)
    DIES_BEFORE_DOT = (None, Crash, False)
    DIES_AFTER_DOT = (None, Crash, True)
    FREEZES_AFTER_250 = (None, _result(Verdict.ACCEPTED, Phase.DOT, 250, "2.0.0 kept, read late"), True)
    FREEZES_AFTER_SPAM = (None, _result(Verdict.CONTENT, Phase.DOT, 554, "5.7.1 spam, read late"), False)
    FREEZES_AFTER_FULL = (None, _result(Verdict.RECIPIENT_FOR_NOW, Phase.DOT, 452, "4.2.2 full, read late"), False)


FREEZES = (Say.FREEZES_AFTER_250, Say.FREEZES_AFTER_SPAM, Say.FREEZES_AFTER_FULL)
#: The process that speaks dies or sleeps, and its message with it.
LOSES = (Say.DIES_BEFORE_CLAIM, Say.SLEEPS_AFTER_CLAIM, Say.DIES_BEFORE_DOT, Say.DIES_AFTER_DOT, *FREEZES)
ANSWERS = tuple(say for say in Say if say not in LOSES)


@dataclass
class Accepted:
    """A mail that a server has accepted; `disowned`: a person has said since that it was not sent."""

    delivery_id: int
    address: str
    website_id: int | None
    account_id: int
    token: str
    claimed_at: dt.datetime
    disowned: bool = False


@dataclass(frozen=True)
class Rules:
    """The settings of an example, in the tests' own words.

    Attributes:
        hours: start and end of each interval of the window, `HH:MM`.
        zone: of the window.
        days: weekdays on which it opens, 0 is Monday.
        interval: seconds between two sends of an account.
        spread: whether the day's sends are spread.
        limit: of an account that has none of its own.
        contact_days, website_days: within which nobody is written again.
    """

    hours: tuple[tuple[str, str], ...] = (("08:00", "17:00"),)
    zone: str = "America/New_York"
    days: tuple[int, ...] = tuple(range(7))
    interval: int = 60
    spread: bool = True
    limit: int = 10
    contact_days: int = 90
    website_days: int = 7

    def settings(self) -> dict[str, Any]:
        """Return them as settings of the program."""
        names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
        return {
            "mail_window_hours": ",".join(f"{start}-{end}" for start, end in self.hours),
            "mail_window_timezone": self.zone,
            "mail_window_days": ",".join(names[day] for day in self.days),
            "mail_min_interval": self.interval,
            "mail_spread": "on" if self.spread else "off",
            "mail_daily_limit": self.limit,
            "mail_dedupe_contact_days": self.contact_days,
            "mail_dedupe_website_days": self.website_days,
        }

    def is_open(self, at: dt.datetime, zone: str = "") -> bool:
        """Tell whether the window is open on the wall clock of a zone (its own by default)."""
        local = at.astimezone(ZoneInfo(zone or self.zone))
        today, yesterday = (day.weekday() in self.days for day in (local.date(), local.date() - DAY))
        clock = local.time()
        for start, end in ((dt.time.fromisoformat(a), dt.time.fromisoformat(b)) for a, b in self.hours):
            if start < end and today and start <= clock < end:
                return True
            if end <= start and ((today and clock >= start) or (yesterday and clock < end)):
                return True
        return False

    def local_date(self, at: dt.datetime) -> dt.date:
        """Return the date by which limits count."""
        return at.astimezone(ZoneInfo(self.zone)).date()

    def next_change(self, at: dt.datetime, *, opens: bool) -> dt.datetime:
        """Return when, within 8 days, the window opens or closes next (on a half hour, as all of them do); `at` itself
        if it does not.
        """
        time = at.replace(minute=0, second=0, microsecond=0)
        for _ in range(8 * 48):
            was, time = time, time + 30 * MINUTE
            if time > at and self.is_open(time) is opens and self.is_open(was) is not opens:
                return time
        return at

    def next_midnight(self, at: dt.datetime) -> dt.datetime:
        """Return when the next local date begins."""
        local = dt.datetime.combine(self.local_date(at) + DAY, dt.time(0), ZoneInfo(self.zone))
        return local.astimezone(dt.UTC)


def rows(sql: str) -> list[Any]:
    """Return what the tables say."""
    return list(db.execute_sql(sql).fetchall())


def instant(value: Any) -> dt.datetime | None:
    """Return a time as a table has it."""
    if value is None:
        return None
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
    return value.astimezone(dt.UTC)


def date(value: Any) -> dt.date | None:
    """Return a date as a table has it."""
    return dt.date.fromisoformat(value) if isinstance(value, str) else value


def watch_states() -> None:
    """Let the database itself log each state a delivery comes to."""
    number = "SERIAL" if database.is_postgres() else "INTEGER"
    db.execute_sql(f"CREATE TABLE state_log (id {number} PRIMARY KEY, delivery_id INTEGER, old TEXT, new TEXT)")
    if not database.is_postgres():
        log = "BEGIN INSERT INTO state_log (delivery_id, old, new) VALUES (new.id, {old}, new.state); END"
        db.execute_sql("CREATE TRIGGER made AFTER INSERT ON delivery " + log.format(old="''"))
        db.execute_sql(
            "CREATE TRIGGER moved AFTER UPDATE OF state ON delivery WHEN old.state <> new.state "
            + log.format(old="old.state")
        )
        db.execute_sql("PRAGMA synchronous = OFF")
        return
    db.execute_sql(
        "CREATE FUNCTION log_state() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO state_log (delivery_id, old, new) "
        "SELECT new.id, CASE TG_OP WHEN 'INSERT' THEN '' ELSE old.state END, new.state "
        "WHERE TG_OP = 'INSERT' OR old.state <> new.state; RETURN new; END $$"
    )
    db.execute_sql(
        "CREATE TRIGGER log_state AFTER INSERT OR UPDATE ON delivery FOR EACH ROW EXECUTE FUNCTION log_state()"
    )
    db.execute_sql("SET synchronous_commit = off")


def empty_tables() -> None:
    """Make the tables as new, ids included: an example that is tried again must find the same."""
    with database.transaction():
        names = ["state_log", *(m._meta.table_name for m in reversed(TABLES) if m is not Control)]
        without_id = {m._meta.table_name for m in TABLES if m._meta.composite_key}
        for name in names:
            db.execute_sql(f"DELETE FROM {name}")
            if database.is_postgres() and name not in without_id:
                db.execute_sql(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), 1, false)")
        Control.update(paused_at=None, wake_at=None, advanced_at=None).where(Control.id == ONLY).execute()


@dataclass
class Waiting:
    """A message in the bag."""

    handoff: Handoff
    due: dt.datetime
    number: int


Meanwhile = Callable[["World", "Dialogue"], None]


class Dialogue:
    """One transaction with an account's server, as `smtp.transaction.Transaction` is one."""

    def __init__(self, world: World, account_id: int) -> None:
        self.world, self.account_id = world, account_id
        self.say, self.before, self.after = world.next_dialogue()

    def offer(self, _envelope: Any) -> Result | None:
        """Take the mail without its dot."""
        self.world.clock.at += INSTANT
        for act in self.before:
            act(self.world, self)
        said = self.say.value[0]
        if said is Crash:
            raise Crash
        if self.say is Say.SLEEPS_AFTER_CLAIM:
            self.world.monkeypatch.setattr(claims, "DOT_WITHIN", -1.0)
        return said

    def finish(self) -> Result:
        """Take the dot."""
        self.world.check_claims(self.world.clock.at)
        _, reply, accepts = self.say.value
        (claim,) = rows(
            "SELECT a.delivery_id, d.address, d.website_id, a.token, a.claimed_at FROM attempt a "
            "JOIN delivery d ON d.id = a.delivery_id "
            f"WHERE a.account_id = {self.account_id} AND a.outcome = 'open'"
        )
        if accepts:
            self.world.accept(Accepted(*claim[:3], self.account_id, claim[3], instant(claim[4])))
        for act in self.after:
            act(self.world, self)
        if reply is Crash:
            raise Crash
        if self.say in FREEZES:
            self.world.frozen.append((claims.Claim(claim[0], self.account_id, claim[3], elapsed()), reply))
            raise Crash
        return reply

    def abandon(self) -> None:
        """Forget the mail."""
        self.world.check_claims(self.world.clock.at)
        self.world.monkeypatch.setattr(claims, "DOT_WITHIN", 5.0)


@dataclass
class World:
    """The bag, the servers, what they have seen, and what is known of the contacts that arrived.

    Attributes:
        repeats_outcome: the answer to the next outcome's COMMIT is lost, and it is written again.
        faithful: nothing is lost, and there is no sweep.
        frozen: claims whose process hangs with the server's reply unread.
        arrived: source and contact of what came in; `letters`: source → contacts that can only be dead letters.
    """

    clock: Clock
    monkeypatch: pytest.MonkeyPatch
    rules: Rules = field(default_factory=Rules)
    faithful: bool = False
    bag: list[Waiting] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    frozen: list[tuple[claims.Claim, Result]] = field(default_factory=list)
    arrived: set[tuple[str, int]] = field(default_factory=set)
    lettered: set[str] = field(default_factory=set)
    script: list[tuple[Say, Sequence[Meanwhile], Sequence[Meanwhile]]] = field(default_factory=list)
    at_hand: Handoff | None = None
    repeats_outcome: bool = False
    _claims_seen: int = 0
    _states_seen: int = 0
    _changes: dict[int, list[tuple[str | None, str]]] = field(default_factory=dict)
    _events_seen: int = 0
    _steps: dict[int, int] = field(default_factory=dict)
    _messages: int = 0

    def __post_init__(self) -> None:
        """Stand in for the connections to the servers."""

        @contextmanager
        def transaction(endpoint: Any) -> Iterator[Dialogue]:
            yield Dialogue(self, endpoint.account_id)

        def until_stored(do: Callable[[], Any]) -> Any:
            if self.repeats_outcome:
                self.repeats_outcome = False
                do()
            return do()

        self.monkeypatch.setattr(deliver_message.connections, "transaction", transaction)
        self.monkeypatch.setattr(deliver_message, "until_stored", until_stored)

    # the bag

    def publish(self, handoffs: Sequence[Handoff]) -> None:
        """Put messages into the bag; one that is there already is no second one."""
        for handoff in handoffs:
            due = handoff.not_before or self.clock.at + dt.timedelta(seconds=handoff.backoff or 0)
            if not any(w.handoff == handoff and (handoff.backoff is None or w.due == due) for w in self.bag):
                self._messages += 1
                self.bag.append(Waiting(handoff, due, self._messages))

    def due(self) -> list[Waiting]:
        """Return what may be delivered now, in an order that does not depend on random tokens."""
        now = self.clock.at
        return sorted((w for w in self.bag if w.due <= now), key=lambda w: (w.due, w.number))

    def take(self, message: Waiting) -> Handoff:
        """Take a message out of the bag."""
        self.bag.remove(message)
        return message.handoff

    def run_stage(self, handoff: Handoff) -> list[Handoff]:
        """Let a stage take a message; return what it hands on, nothing where its process dies."""
        outer, self.at_hand = self.at_hand, handoff
        try:
            match handoff.stage:
                case Stage.DEDUPE:
                    return check_duplicates.clear(handoff.ids)
                case Stage.RENDER:
                    return render_message.render(handoff.ids)
                case Stage.RESERVE:
                    return reserve_slot.reserve(handoff.ids)
                case Stage.DELIVER:
                    return deliver_message.deliver(handoff.ids, handoff.slot_token or "")
                case Stage.RECORD:
                    return record_outcome.record(handoff.ids)
            raise AssertionError(f"who takes {handoff}?")
        except Crash:
            return []
        finally:
            self.at_hand = outer
            self.monkeypatch.setattr(claims, "DOT_WITHIN", 5.0)

    def work_off(self, say: Sequence[Say] = (), most: int = 60) -> None:
        """Deliver what is due, oldest first, until nothing is."""
        self.script = [(s, (), ()) for s in say]
        for _ in range(most):
            if not (due := self.due()):
                return
            self.publish(self.run_stage(self.take(due[0])))
            self.clock.at += INSTANT

    def thaw(self) -> None:
        """Let a frozen process read its reply."""
        claim, result = self.frozen.pop(0)
        self.publish(outcome.settle(claim, result))

    # the servers

    def next_dialogue(self) -> tuple[Say, Sequence[Meanwhile], Sequence[Meanwhile]]:
        """Return what the next mail is answered, and what happens before its claim and after its dot."""
        return self.script.pop(0) if self.script else (Say.ACCEPTED, (), ())

    def accept(self, mail: Accepted) -> None:
        """Keep an accepted mail, and check that nobody is written twice."""
        for earlier in self.accepted:
            if earlier.disowned:
                continue
            assert earlier.delivery_id != mail.delivery_id, f"delivery {mail.delivery_id} was accepted twice"
            apart = mail.claimed_at - earlier.claimed_at
            assert earlier.address != mail.address or apart >= self.rules.contact_days * DAY, (
                f"{mail} and {earlier} went to one address"
            )
            same_site = mail.website_id is not None and mail.website_id == earlier.website_id
            assert not same_site or apart >= self.rules.website_days * DAY, f"{mail} and {earlier} went to one website"
        self.accepted.append(mail)

    def disown(self, delivery_id: int) -> None:
        """A person says that a delivery was not sent."""
        for mail in self.accepted:
            if mail.delivery_id == delivery_id:
                mail.disowned = True

    # the checks

    def check_claims(self, now: dt.datetime | None = None) -> None:
        """Check each claim that is new, at the instant at which it was given (`now`: and that it is this one)."""
        for attempt in rows(
            "SELECT a.id, a.account_id, a.claimed_at, a.local_on, d.timezone, d.address, t.paused_at, c.paused_at, "
            "s.enabled, s.removed_at, s.paused_at, s.cooling_until, s.daily_limit, s.warmup_start, s.warmup_step, "
            "s.warmup_on, s.quota_limit, s.quota_on FROM attempt a JOIN delivery d ON d.id = a.delivery_id "
            "JOIN email_template t ON t.id = d.template_id JOIN smtp_account s ON s.id = a.account_id "
            f"CROSS JOIN control c WHERE a.claimed_at IS NOT NULL AND a.id > {self._claims_seen} ORDER BY a.id"
        ):
            self._claims_seen = attempt[0]
            assert now is not None, f"attempt {attempt[0]} is claimed and its process has not gone on to the dot"
            self._check_claim(now, *attempt)

    def _check_claim(self, now: dt.datetime, *attempt: Any) -> None:
        i, account, claimed, local_on, zone, address, template_paused, all_paused = attempt[:8]
        enabled, removed, paused, cooling, *limits = attempt[8:]
        at = instant(claimed)
        today = self.rules.local_date(at)
        who = f"attempt {i} of account {account} at {at}"
        assert at == now, f"{who} has another time than its claim: {now}"
        assert date(local_on) == today, f"{who} is counted for {local_on}"
        assert self.rules.is_open(at), f"{who} is outside the window"
        assert not zone or self.rules.is_open(at, zone), f"{who} is outside the window of {zone}"
        assert not all_paused, f"{who} although everything is paused"
        assert not template_paused, f"{who} although its template is paused"
        assert not paused, f"{who} although its account is paused"
        assert enabled, f"{who} although its account is off"
        assert not removed, f"{who} although its account is removed"
        assert not cooling or instant(cooling) <= at, f"{who} although its account rests"
        assert not rows(f"SELECT 1 FROM suppression WHERE kind = 'address' AND value = '{address}'"), (
            f"{who} to a suppressed address"
        )
        others = rows(
            "SELECT id, COALESCE(claimed_at, CASE WHEN phase IN ('mail', 'rcpt', 'dot') THEN finished_at END), "
            f"local_on, outcome, charged_to FROM attempt WHERE account_id = {account} AND id < {i}"
        )
        used = sum(date(o[2]) == today and (o[3] in USES or o[4] in PROVIDERS_COUNT) for o in others if o[2])
        seen = sum(a.account_id == account and self.rules.local_date(a.claimed_at) == today for a in self.accepted)
        limit = self._limit(today, *limits)
        assert max(used, seen) < limit, f"{who} is above its limit of {limit}: {used} used, {seen} accepted"
        assert not any(o[3] == Outcome.OPEN for o in others), f"{who} beside another open claim"
        last = max((instant(o[1]) for o in others if o[1]), default=None)
        interval = dt.timedelta(seconds=self.rules.interval)
        assert last is None or at - last >= interval, f"{who} is too near to the claim at {last}"

    def _limit(self, today: dt.date, own: Any, start: Any, step: Any, since: Any, quota: Any, quota_on: Any) -> int:
        limit = self.rules.limit if own is None else own
        if start is not None and since is not None:
            limit = min(limit, start + (step or 0) * max(0, (today - date(since)).days))
        if quota is not None:
            between = ((date(quota_on) + n * DAY) for n in range(1, (today - date(quota_on)).days))
            limit = min(limit, quota + max(1, quota // 5) * sum(day.weekday() in self.rules.days for day in between))
        return max(0, limit)

    def check(self) -> None:
        """Check what has to hold between any two steps."""
        self.check_claims()
        self._check_states()
        self._check_events()
        self._check_slots()
        self._check_nothing_vanishes()
        self._check_what_is_counted()
        self._check_accepted()

    def _check_states(self) -> None:
        log = rows(f"SELECT id, delivery_id, old, new FROM state_log WHERE id > {self._states_seen} ORDER BY id")
        for self._states_seen, delivery_id, old, new in log:
            legal = {State.SELECTED, State.SKIPPED} if old == "" else TRANSITIONS[State(old)]
            assert State(new) in legal, f"delivery {delivery_id} went from {old or 'nothing'} to {new}"
            self._changes.setdefault(delivery_id, []).append((old or None, new))

    def _check_events(self) -> None:
        """Check that what the database itself has noted of states is what the events say, one for one."""
        told: dict[int, list[tuple[str | None, str]]] = {}
        new = (
            f"SELECT id, delivery_id, step, origin, state, cause FROM event WHERE id > {self._events_seen} ORDER BY id"
        )
        for self._events_seen, i, step, origin, state, cause in rows(new):
            told.setdefault(i, []).append((origin, state))
            self._steps[i] = self._steps.get(i, 0) + 1
            assert step == self._steps[i], f"delivery {i} has no event {self._steps[i]}"
            assert cause != Cause.OUTSIDE, f"delivery {i} became {state} without an event of its own"
        assert told == self._changes
        self._changes = {}

    def _check_slots(self) -> None:
        slots: dict[int, set[str]] = {}
        claimed: dict[int, int] = {}
        for i, state, account, send_at, token, message_id in rows(
            "SELECT id, state, account_id, send_at, token, message_id FROM delivery"
        ):
            has = (account is not None, send_at is not None, token is not None)
            if state == State.RESERVED:
                assert all(has), f"delivery {i} is reserved without account, time or token"
                assert message_id, f"delivery {i} is reserved without a Message-ID"
                slots.setdefault(account, set()).add(token)
            elif state == State.SENDING:
                assert account is not None, f"delivery {i} is sending without account"
                assert token is not None, f"delivery {i} is sending without token"
                claimed[account] = claimed.get(account, 0) + 1
            elif state != State.IN_DOUBT:
                assert not any(has), f"delivery {i} is {state} and still holds a slot: {account} {send_at} {token}"
        for account in slots.keys() | claimed.keys():
            held = (len(slots.get(account, ())), claimed.get(account, 0))
            allowed = {(1, 0), (0, 1)} if self.rules.interval or self.rules.spread else {(1, 0), (0, 1), (1, 1)}
            assert held in allowed, f"account {account} holds {held[0]} slots and {held[1]} claims"

    def _check_nothing_vanishes(self) -> None:
        there = rows("SELECT source, contact_id FROM delivery")
        assert len(there) == len(set(there)), "one message made two deliveries for a contact"
        assert set(there) == self.arrived, f"what arrived is not what is there: {set(there) ^ self.arrived}"
        letters = {source for (source,) in rows("SELECT message_id FROM dead_letter WHERE kind = 'message'")}
        assert letters == self.lettered, f"dead letters of messages: {letters ^ self.lettered}"
        forgotten = rows(
            "SELECT id, reason FROM delivery d WHERE state = 'failed' "
            "AND NOT EXISTS (SELECT 1 FROM dead_letter l WHERE l.delivery_id = d.id AND "
            "(l.resolution IS NULL OR l.resolution = 'discarded'))"
        )
        assert not forgotten, f"given up without a dead letter: {forgotten}"

    def _check_what_is_counted(self) -> None:
        wrong = rows(
            "SELECT id, attempts, n FROM (SELECT d.id, d.attempts, (SELECT count(*) FROM attempt a "
            "WHERE a.delivery_id = d.id AND a.finished_at > d.attempts_since "
            f"AND a.charged_to IN ({', '.join(map(repr, PROVIDERS_COUNT))}) "
            "AND a.verdict NOT IN ('greylisted', 'mailbox_full')) AS n FROM delivery d) AS counted "
            "WHERE attempts > n"
        )
        assert not wrong, f"more attempts are counted than were made (delivery, counted, made): {wrong}"
        wrong = rows(
            "SELECT t.id, t.times_used, (SELECT count(*) FROM delivery d WHERE d.template_id = t.id "
            "AND d.state = 'sent' AND d.recorded_at IS NOT NULL) AS n FROM email_template t"
        )
        assert all(used == n for _, used, n in wrong), f"template, times used, sent and recorded: {wrong}"
        for i, in_row in rows("SELECT id, failures_in_row FROM smtp_account"):
            said = rows(
                "SELECT a.outcome, a.text, d.id, d.address FROM attempt a JOIN delivery d ON d.id = a.delivery_id "
                f"WHERE a.account_id = {i} AND a.finished_at >= (SELECT enabled_at FROM smtp_account WHERE id = {i}) "
                "ORDER BY a.finished_at, a.id"
            )
            failures: set[Any] = set()
            for result, text, delivery, address in said:
                if result == Outcome.ACCEPTED:
                    failures = set()
                elif text.startswith("later:"):
                    failures.add(delivery)
                elif text.startswith("policy:"):
                    failures.add(address.rpartition("@")[2])
            assert in_row == len(failures), f"account {i} has failed {failures} in a row, not {in_row}"

    def _check_accepted(self) -> None:
        mails = {mail.token: mail for mail in self.accepted}
        states = dict(rows("SELECT id, state FROM delivery"))
        known = dict(rows("SELECT token, outcome FROM attempt WHERE token IS NOT NULL"))
        for token, mail in mails.items():
            assert known.get(token) in (Outcome.OPEN, Outcome.IN_DOUBT, Outcome.ACCEPTED), (
                f"{mail} is recorded as {known.get(token)}"
            )
            state = states[mail.delivery_id]
            assert mail.disowned or state in (State.SENDING, State.IN_DOUBT, State.SENT), f"{mail} is {state}"
        for token, result in known.items():
            assert result != Outcome.ACCEPTED or token in mails, f"attempt {token} was never accepted"
        unsent = rows(
            "SELECT id FROM delivery d WHERE state = 'sent' AND reason = 'accepted' AND NOT EXISTS "
            "(SELECT 1 FROM attempt a WHERE a.delivery_id = d.id AND a.outcome = 'accepted')"
        )
        assert not unsent, f"sent without an accepted attempt: {unsent}"

    # running forward

    def unfinished(self) -> list[Any]:
        """Return the deliveries that have neither ended nor are a person's to decide about."""
        return rows(
            "SELECT id, state, account_id, send_at, not_before, timezone, nudged_at, updated_at FROM delivery "
            "WHERE state NOT IN ('sent', 'skipped', 'bounced', 'failed', 'cancelled', 'in_doubt') ORDER BY id"
        )

    def moments(self, *, sweeps: bool) -> Iterator[dt.datetime]:
        """Yield the moments, past ones too, at which something can go on."""
        yield from (message.due for message in self.bag)
        if not sweeps:
            return
        for (value,) in rows("SELECT wake_at FROM control WHERE wake_at IS NOT NULL"):
            yield instant(value)
        for (value,) in rows("SELECT cooling_until FROM smtp_account WHERE cooling_until IS NOT NULL"):
            yield instant(value)
        for (value,) in rows("SELECT claimed_at FROM attempt WHERE outcome = 'open'"):
            yield instant(value) + 21 * MINUTE
        for _, state, _, send_at, not_before, _, nudged, updated in self.unfinished():
            still = instant(send_at) + 6.1 * MINUTE if state == State.RESERVED else instant(updated) + 2.1 * MINUTE
            yield still
            if not_before:
                yield instant(not_before)
            if nudged:
                yield max(still, instant(nudged) + 10.1 * MINUTE)
        yield self.rules.next_change(self.clock.at, opens=True)
        yield self.rules.next_midnight(self.clock.at)

    def run_forward(self, *, sweeps: bool, most_jumps: int, most_days: int) -> None:
        """Let time go on, servers accepting everything, until all is at an end; fail if that does not come."""
        began = self.clock.at
        for _ in range(most_jumps):
            self.work_off(most=500)
            if sweeps:
                self.publish(sweep.sweep())
                self.work_off(most=500)
            self.check()
            if not (waits := self.unfinished()):
                return
            later = [m for m in self.moments(sweeps=sweeps) if m > self.clock.at]
            if not later or min(later) > began + most_days * DAY:
                break
            self.clock.at = min(later)
        waits = self.unfinished()
        control = rows("SELECT paused_at, wake_at, replanned_at FROM control")
        accounts = rows(
            "SELECT id, enabled, paused_at, removed_at, cooling_until, daily_limit, quota_limit, quota_on "
            "FROM smtp_account"
        )
        raise AssertionError(
            f"at {self.clock.at}, {self.clock.at - began} after all was well again, there stand still (id, state, "
            f"account, send_at, not_before, zone, nudged, updated): {waits}\ncontrol: {control}\naccounts: {accounts}\n"
            f"bag: {self.bag}"
        )

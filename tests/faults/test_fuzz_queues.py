"""Random messages with random properties on a real RabbitMQ: each becomes a delivery, a skip or a dead letter, and the
workers live on.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pika

from actors import intake
from actors.intake import encode
from actors.rabbitmq.broker import QuorumBroker
from models import DeadLetter, Delivery, Resolution, State, database
from models.dead_letter import OPEN
from pipeline.flow import Stage
from schedules.sweep import sweep
from tests.broker.conftest import until
from tests.builders import a_contact, a_template
from tests.faults import fleet as fleets
from tests.faults import fuzzing
from tests.faults.starter import Process, Starter


def test_fuzz_intake_every_message_is_a_delivery_a_skip_or_a_dead_letter(
    postgres: str,
    rabbitmq: str,
    tmp_path: Path,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    seed, cases = fuzzing.seed(), counts(120, 100_000)
    chance = random.Random(seed)  # noqa: S311
    template = a_template().id
    known = [a_contact().id for _ in range(counts(20, 2_000))]
    expected = Expected(frozenset(known), template)
    # Of 50,000 dead letters and more, not every copy is compared.
    rounds = counts(1, 5)
    with workers(postgres, rabbitmq, tmp_path / "log", counts(1, 2)) as processes:
        broker = QuorumBroker(rabbitmq, middleware=[])
        for first in range(0, cases, cases // rounds):
            with publisher(rabbitmq) as publish:
                for number in range(first, first + cases // rounds):
                    body, properties = payload(chance, known, template), random_properties(chance, number, first)
                    publish(Stage.INTAKE, body, properties)
                    expected.note(body, properties)
            until(lambda: at_rest(broker), broker.counts, patience=counts(60, 1_800))
            # Files what RabbitMQ itself has taken off the queue because its time had passed.
            sweep()
            there = DeadLetter.select().where(OPEN)
            until(lambda: broker.counts()["dead-letter"] == there.count(), broker.counts, patience=counts(60, 600))  # noqa: B023
            DeadLetter.update(resolution=Resolution.DISCARDED, resolved_at=database.now()).where(OPEN).execute()
            broker.flush("dead-letter")
        assert [process.poll() for process in processes] == [None] * len(processes)
        broker.close()
    found = Found.read()
    assert found.without_a_trace(expected) == []
    assert (found.deliveries, found.dead_letters) == (expected.deliveries, expected.dead_letters)
    assert found.states <= {State.READY, State.SKIPPED}
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert '"fault"' not in log
    skipped = Delivery.select().where(Delivery.state == State.SKIPPED).count()
    total = {"deliveries": found.deliveries - skipped, "skips": skipped, "dead_letters": found.dead_letters}
    report(messages=cases, **total, could_expire=len(expected.expiring), seed=seed)


def test_fuzz_inner_queues_forged_messages_stop_no_worker_and_none_vanishes(
    postgres: str,
    rabbitmq: str,
    tmp_path: Path,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    seed, cases = fuzzing.seed(), counts(60, 10_000)
    chance = random.Random(seed)  # noqa: S311
    letters = held_back = harmless = 0
    with workers(postgres, rabbitmq, tmp_path / "log", 1) as processes:
        with publisher(rabbitmq) as publish:
            for number in range(cases):
                stage = chance.choice([stage for stage in Stage if stage not in intake.KEYS])
                body, properties = forged(chance, stage), random_properties(chance, number, 0)
                properties.message_id, properties.expiration = str(number), None
                publish(stage, body, properties)
                try:
                    intake.decode(stage, body, properties.message_id)
                    harmless += 1
                except intake.UnknownActorError:
                    is_over = (properties.headers or {}).get("held-back") == 1440
                    letters, held_back = letters + is_over, held_back + (not is_over)
                except intake.UnacceptableError:
                    letters += 1
        broker = QuorumBroker(rabbitmq, middleware=[])

        def counted() -> tuple[int, int, int]:
            there = broker.counts()
            return DeadLetter.select().count(), there["delay"], sum(there[stage] for stage in Stage)

        until(lambda: counted() == (letters, held_back, 0), counted, patience=counts(60, 1_800))
        assert [process.poll() for process in processes] == [None]
        broker.close()
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert '"fault"' not in log
    report(messages=cases, dead_letters=letters, held_back=held_back, about_nobody=harmless, seed=seed)


#: Ids of contacts that nobody has, by which a good message is told from another.
UNKNOWN = range(1_000_000, 1_000_100)
BAD_IDS: tuple[Any, ...] = (
    "x" * 90 + "1",
    "x" * 90 + "2",
    None,
    True,
    1.5,
    -1,
    0,
    2**31,
    10**30,
    "",
    "\x1b[2J",
    {},
    [1],
)


@dataclass
class Expected:
    """What has to come of the messages, by what stands in them. A message with an id that comes again is one message.

    Attributes:
        known: ids of contacts; all others are unknown.
        template: the one that there is.
        expiring: ids of messages that RabbitMQ may take off the queue first: whatever comes of them is right, but not
            nothing.
    """

    known: frozenset[int]
    template: int
    expiring: set[str] = field(default_factory=set)
    _deliveries: set[Any] = field(default_factory=set)
    _letters: set[Any] = field(default_factory=set)

    def note(self, body: bytes, properties: pika.BasicProperties) -> None:
        """Add what has to come of a message."""
        source = properties.message_id
        if properties.expiration is not None:
            self.expiring.add(source)
            return
        # One that can't be told from another by its id is another.
        key = source if intake.is_text(source) else object()
        try:
            decoded = intake.decode(Stage.INTAKE, body, source)
        except intake.UnacceptableError as error:
            self._letters.add((key, str(error), body))
            return
        self._letters |= {(key, refused.reason, refused.body) for refused in decoded.refused}
        if decoded.message is None:
            return
        ids, options = set(decoded.message.args[0]), decoded.message.kwargs
        # Without an AMQP id, that of an envelope is the source, and so is shared by envelopes that say the same.
        key = key if source else options["source"]
        asked = (options.get("template_id"), options.get("priority"))
        if asked[0] not in (None, self.template):
            self._letters.add((key, tuple(decoded.message.args[0]), asked))
            return
        self._deliveries |= {(key, i) for i in ids & self.known}
        self._letters |= {(key, i, asked) for i in ids - self.known}

    @property
    def deliveries(self) -> int:
        """How many deliveries there have to be, skipped ones too."""
        return len(self._deliveries)

    @property
    def dead_letters(self) -> int:
        """How many dead letters."""
        return len(self._letters)


@dataclass(frozen=True)
class Found:
    """What is stored, without what could expire."""

    by_source: dict[str, int]
    letters_of: dict[str | None, int]
    states: set[str]

    @classmethod
    def read(cls) -> Found:
        """Read it."""
        by_source: dict[str, int] = {}
        for (source,) in Delivery.select(Delivery.source).tuples():
            by_source[source] = by_source.get(source, 0) + 1
        letters_of: dict[str | None, int] = {}
        for (message_id,) in DeadLetter.select(DeadLetter.message_id).tuples():
            letters_of[message_id] = letters_of.get(message_id, 0) + 1
        return cls(by_source, letters_of, {state for (state,) in Delivery.select(Delivery.state).distinct().tuples()})

    @property
    def deliveries(self) -> int:
        """How many deliveries."""
        return sum(number for source, number in self.by_source.items() if not source.startswith(EXPIRES))

    @property
    def dead_letters(self) -> int:
        """How many dead letters."""
        return sum(number for of, number in self.letters_of.items() if of is None or not of.startswith(EXPIRES))

    def without_a_trace(self, expected: Expected) -> list[str]:
        """Return the ids of messages of which nothing has come."""
        return sorted(expected.expiring - self.by_source.keys() - self.letters_of.keys())


#: How the ids of messages begin that can expire.
EXPIRES = "expires-"


def payload(chance: random.Random, known: list[int], template: int) -> bytes:
    """Return what somebody may put on `intake`: good, nearly good, and nonsense."""
    ids: list[Any] = [chance.choice(known) for _ in range(chance.choice((1, 1, 2, 5)))]
    kind = chance.random()
    if kind < 0.10:
        ids += [chance.choice(UNKNOWN) for _ in range(2)]
    elif kind < 0.35:
        ids += chance.sample(BAD_IDS, chance.randrange(1, 4))
        chance.shuffle(ids)
    content: Any = chance.choice((ids, ids[0], {"contact_ids": ids}, {"contact_id": ids[0]}, whole_envelope(ids)))
    if isinstance(content, dict) and "args" not in content and chance.random() < 0.5:
        values = (template, template, template + 1, None, "1", -1, 2**40)
        content |= {"template_id": chance.choice(values), "priority": chance.choice((0, 9, 10, None, True, 1.5))}
    if kind > 0.85:
        return chance.randbytes(chance.randrange(200))
    body = bytearray(json.dumps(content).encode())
    if kind > 0.55:
        for _ in range(chance.randrange(1, 6)):
            body[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(body)


def whole_envelope(ids: list[Any]) -> dict[str, Any]:
    """Return an envelope for the first stage."""
    found = dict(json.loads(encode(Stage.INTAKE, [1]).encode()))
    return found | {"args": [ids], "message_id": "of the envelope" + str(ids)[:50]}


def forged(chance: random.Random, stage: Stage) -> bytes:
    """Return what somebody may put on an inner queue: envelopes about deliveries that nobody has, and nonsense."""
    ids: list[Any] = [chance.choice(UNKNOWN) for _ in range(chance.choice((1, 2, 100)))]
    options = {"slot_token": "forged"} if stage is Stage.DELIVER else {}
    content = dict(json.loads(encode(stage, ids, **options).encode()))
    kind = chance.random()
    if kind < 0.3:
        content["actor_name"] = chance.choice(("check_consent", "\x1b]0;title\x07", "x" * 1000, None, 7))
    elif kind < 0.6:
        name = chance.choice(list(content))
        content[name] = chance.choice((None, "", [], {}, 7, [[None]], [BAD_IDS], "\ud800", {"slot_token": None}))
    body = bytearray(json.dumps(content).encode())
    if kind > 0.8:
        for _ in range(chance.randrange(1, 6)):
            body[chance.randrange(len(body))] = chance.randrange(256)
    return chance.randbytes(chance.randrange(200)) if kind > 0.95 else bytes(body)


def random_properties(chance: random.Random, number: int, first: int) -> pika.BasicProperties:
    """Return properties as any program may send them; a few let the message expire."""
    headers = chance.choice((None, {}, random_table(chance)))
    if headers and len(b"".join(pika.BasicProperties(headers=headers).encode())) > FITS:
        headers = {}
    text = ("", "a", "text/plain", "ä€", "\x1b[2J", "x" * 255, "a\0b", b"\xff\xfe")
    expires = chance.random() < 0.02
    return pika.BasicProperties(
        message_id=f"{EXPIRES}{number}" if expires else chance.choice(message_ids(chance, number, first)),
        expiration=chance.choice(("0", "1", "50")) if expires else None,
        headers=headers,
        content_type=chance.choice((None, *text)),
        content_encoding=chance.choice((None, "gzip", *text)),
        correlation_id=chance.choice((None, *text)),
        reply_to=chance.choice((None, "amq.rabbitmq.reply-to.x", *text)),
        type=chance.choice((None, *text)),
        app_id=chance.choice((None, *text)),
        cluster_id=chance.choice((None, *text)),
        delivery_mode=chance.choice((None, 1, 2)),
        priority=chance.choice((None, 0, 9, 255)),
        timestamp=chance.choice((None, 0, 2**40, 2**63)),
    )


#: Bytes of headers that RabbitMQ takes (its frames have 131,072).
FITS = 130_000


def message_ids(chance: random.Random, number: int, first: int) -> tuple[Any, ...]:
    """Return ids: none, one of its own, one that others have, and what is none."""
    own = f"message {number} ä" + "x" * chance.choice((0, 200))
    return (None, own, own, own, f"shared {first} {number % 10}", "", "a\0b", b"\xff\xfe")


def random_table(chance: random.Random, depth: int = 3) -> dict[str, Any]:
    """Return a table of headers, with names that RabbitMQ and Slowpost know, and values that pika can't read."""
    return {
        chance.choice(HEADERS): chance.choice(HEADER_VALUES)
        if depth == 0 or chance.random() < 0.7
        else chance.choice((random_table(chance, depth - 1), [random_table(chance, depth - 1)] * 2))
        for _ in range(chance.randrange(6))
    }


class BeyondTheYear9999(dt.datetime):
    """A point in time that Python has no datetime for."""

    def utctimetuple(self) -> Any:
        """Return what pika makes the number of seconds of."""
        return (2026, 1, 1, 10**12, 0, 0)


HEADERS = (
    *("dead-letter", "held-back", "died-in", "died-of", "reason", "x-delivery-count", "x-opt-x", "", "ä", "a" * 128),
    *("x-first-death-queue", "x-first-death-reason", "x-first-death-exchange", "x-last-death-queue"),
)
HEADER_VALUES = (
    *(None, True, 0, 1, 1440, -(2**63), 2**63 - 1, Decimal("1.5"), "", "intake", "rejected", "\x1b[2J", "a\0b"),
    *(b"\xff\xfe", "x" * 10_000, [], [None, "a", 1], dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
    BeyondTheYear9999(2026, 1, 1),
)


@contextmanager
def workers(postgres: str, rabbitmq: str, log: Path, number: int) -> Iterator[list[Process]]:
    """Run processes that work; at the end they stop by themselves when they are asked to."""
    starter = Starter(fleets.environment(postgres, rabbitmq))
    try:
        processes = [starter.start("slowpost", "run", log=log) for _ in range(number)]
        until(lambda: log.exists() and log.read_text().count('"running"') == number, patience=60)
        yield processes
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in processes] == [0] * number, log.read_text()[-3000:]
    finally:
        starter.close()


@contextmanager
def publisher(url: str) -> Iterator[Callable[[str, bytes, pika.BasicProperties], None]]:
    """Yield what publishes to a queue, each message with its confirm."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield lambda queue, body, properties: channel.basic_publish("", queue, body, properties, mandatory=True)


def at_rest(broker: QuorumBroker) -> bool:
    """Tell whether nothing is on its way: no message of a stage, and no delivery that waits for one. (In the ladder
    waits the throttle's next look at the backlog.)
    """
    on_their_way = Delivery.state.in_((State.SELECTED, State.CLEARED))
    there = {queue for queue, number in broker.counts().items() if number}
    return there <= {"dead-letter", "delay"} and not Delivery.select().where(on_their_way).exists()

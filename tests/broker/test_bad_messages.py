"""Hundreds of kinds of bad messages against live workers: each a dead letter with its reason, and the good go on."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika

from actors import intake
from actors.intake import encode
from models import DeadLetter, Delivery
from pipeline.flow import Stage
from slowpost.catcher import Catcher
from tests.broker.conftest import at_work, count, until
from tests.builders import a_contact, a_template, a_website, an_account
from tests.effort import counts


def test_bad_messages_become_dead_letters_and_the_good_ones_between_them_are_sent(
    environment: dict[str, str], empty_rabbitmq: str, tmp_path: Path
) -> None:
    a_template()
    bad, every = [*kinds(), *random_bodies(counts(150, 500))], 40
    good = [a_contact(website=a_website()).id for _ in range(0, len(bad), every)]
    with (
        Catcher(tmp_path / "mails") as catcher,
        at_work(environment | {"MAIL_MIN_INTERVAL": "0", "MAIL_DAILY_LIMIT": "50"}, tmp_path / "log"),
        pika.BlockingConnection(pika.URLParameters(empty_rabbitmq)) as connection,
    ):
        an_account(port=catcher.port)
        channel = connection.channel()
        for number, (stage, body, message_id) in enumerate(bad):
            channel.basic_publish("", stage, body, pika.BasicProperties(message_id=message_id))
            if number % every == 0:
                channel.basic_publish("", "intake", str(good[number // every]).encode())
        until(lambda: DeadLetter.select().count() == len(bad), lambda: f"{DeadLetter.select().count()} of {len(bad)}")
        until(lambda: Delivery.select().where(Delivery.recorded_at.is_null(False)).count() == len(good))
        until(lambda: count(empty_rabbitmq, "dead-letter") == len(bad))
    assert len({m.recipient for m in catcher.mails}) == len(catcher.mails) == len(good)
    assert DeadLetter.select().where(DeadLetter.reason == "").count() == 0
    assert not [d.reason for d in DeadLetter.select() if d.reason.startswith("fault")]
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "unexpected error" not in log


BODIES = (
    *(b"", b"nonsense", b"\xff\xfe\x00", b"\x00", b"null", b"true", b'"12"', b"1.5", b"-1", b"0", b"{}", b"[]", b"["),
    *(b"NaN", b"Infinity", b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b" " * 2 * 1024 * 1024),
)
PLAIN: tuple[Any, ...] = (
    *({"contact": 1}, {"contact_id": None}, {"contact_id": "1"}, {"contact_id": 2**31}, {"contact_id": 10**400}),
    *({"contact_id": 1, "contact_ids": [1]}, {"contact_ids": 7}, {"contact_ids": {}}, {"\0": 1}),
    *({"contact_id": 1, "priority": p} for p in (10, -1, "3", True, 1e9)),
    *({"contact_id": 1, "template_id": t} for t in (0, "1", 2**40)),
    list(range(1, 10_002)),
)
#: What can be wrong with an envelope, whatever its stage.
CHANGES: tuple[dict[str, Any], ...] = (
    *({"queue_name": name} for name in ("other", None, [1])),
    *({"args": args} for args in (None, [], [1], [[None]], [["1"]], [[2**63]], [[10**400]], [[True]], [[1], [2]])),
    *({"kwargs": kwargs} for kwargs in (None, [], {"evil": 1})),
    *({"message_id": own} for own in (None, "", 7, "a\0", "\ud800", "x" * 300)),
    *({"actor_name": name} for name in (None, 7)),
)


def envelope(stage: Stage) -> dict[str, Any]:
    """Return a good envelope."""
    options = {"slot_token": "t"} if stage is Stage.DELIVER else {}
    return dict(json.loads(encode(stage, [1], **options).encode()))


def kinds() -> Iterator[tuple[Stage, bytes, str | bytes | None]]:
    """Yield bad messages as (queue, body, AMQP message id)."""
    for stage in Stage:
        yield from ((stage, body, None) for body in BODIES)
        yield from ((stage, json.dumps(envelope(stage) | change).encode(), None) for change in CHANGES)
        for message_id in (b"\xff\xfe", "a\0b"):
            yield stage, json.dumps(envelope(stage)).encode(), message_id
    yield from ((Stage.INTAKE, json.dumps(content).encode(), None) for content in PLAIN)
    yield Stage.INTAKE, json.dumps(envelope(Stage.INTAKE) | {"actor_name": "no_such_actor"}).encode(), None
    for token in ("a\0", "\ud800", None, 7):
        yield Stage.DELIVER, json.dumps(envelope(Stage.DELIVER) | {"kwargs": {"slot_token": token}}).encode(), None


def random_bodies(number: int) -> Iterator[tuple[Stage, bytes, str | bytes | None]]:
    """Yield what chance makes of envelopes and of nothing; only what is refused, not what is good by chance."""
    chance = random.Random(20261124)  # noqa: S311  (no secret)
    while number:
        stage = chance.choice(list(Stage))
        body = bytearray(json.dumps(envelope(stage)).encode())
        for _ in range(chance.randrange(1, 8)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        if chance.random() < 0.5:
            body = bytearray(chance.randbytes(chance.randrange(200)))
        try:
            intake.decode(stage, bytes(body), None)
        except intake.UnacceptableError:
            yield stage, bytes(body), None
            number -= 1
        except intake.UnknownActorError:
            continue

"""Other programs say who has replied, and enrol, by RabbitMQ; and live workers do it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pika

from models import DeadLetter, Delivery, Enrolment, State
from tests.broker.conftest import at_work, count, slowpost, until
from tests.builders import a_campaign, a_contact, an_account, an_enrolment, on_its_way


def test_who_has_replied_is_not_written_to_and_what_is_wrong_is_a_dead_letter(
    environment: dict[str, str], empty_rabbitmq: str, tmp_path: Path
) -> None:
    # Nobody sends it, so that it waits.
    campaign = a_campaign(accounts=[an_account(enabled=False)])
    enrolments = [an_enrolment(campaign) for _ in range(5)]
    for enrolment in enrolments:
        on_its_way(enrolment, State.READY)
    ids, new = [e.contact_id for e in enrolments], a_contact()
    with at_work(environment, tmp_path / "log"):
        for body in (ids[0], ids[1:3], {"contact_id": ids[3]}, {"contact_ids": [ids[4], 999_999, "x"]}, {"x": 1}):
            publish(empty_rabbitmq, "replied", body)
        publish(empty_rabbitmq, "intake", {"contact_ids": [new.id], "campaign_id": campaign.id})
        publish(empty_rabbitmq, "intake", {"contact_ids": [new.id], "campaign_id": 77})
        until(lambda: Delivery.select().where(Delivery.state == State.CANCELLED).count() == 5)
        until(lambda: Enrolment.select().count() == 6)
        until(lambda: count(empty_rabbitmq, "dead-letter") == 4)
    states = [e.state for e in Enrolment.select().order_by(Enrolment.id)]
    assert states == ["replied"] * 5 + ["active"]
    assert {(d.queue, d.reason.partition(" (")[0]) for d in DeadLetter.select()} == {
        ("replied", "contact 999999 does not exist"),
        ("replied", 'contact_ids[2]: "x" is no id'),
        ("replied", 'unknown key "x"'),
        ("intake", "campaign 77 does not exist"),
    }
    (letter,) = [d.id for d in DeadLetter.select() if d.reason.startswith("contact 999999")]
    replayed = json.loads(slowpost(environment, "dead", "replay", str(letter), "--json"))
    assert (replayed["decided"], count(empty_rabbitmq, "replied")) == ([letter], 1)
    assert "Traceback" not in (tmp_path / "log").read_text()


def publish(url: str, queue: str, body: Any) -> None:
    """Publish plain JSON, as any program may."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().basic_publish("", queue, json.dumps(body).encode())

"""The whole route as a user starts it: `slowpost init`, two worker processes, both servers, and a mail server."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from models import Attempt, Delivery, SmtpAccount
from slowpost.catcher import Catcher
from tests.broker.conftest import at_work, put_on_intake, queued, slowpost, until, workers
from tests.builders import a_contact, a_template, a_website, an_account


def test_every_contact_becomes_one_mail_and_no_account_goes_over_its_limit(
    environment: dict[str, str], empty_rabbitmq: str, tmp_path: Path
) -> None:
    slowpost(environment, "init")
    a_template()
    ids = [a_contact(website=a_website()).id for _ in range(35)]
    with Catcher(tmp_path / "mails") as catcher, workers(environment, tmp_path / "log"):
        for _ in range(10):
            an_account(port=catcher.port)
        put_on_intake(empty_rabbitmq, ids[:30], "first")
        until(lambda: Delivery.select().where(Delivery.recorded_at.is_null(False)).count() == 30, states)

        assert Counter(m.recipient for m in catcher.mails) == Counter(d.recipient for d in Delivery.select())
        assert [a.outcome for a in Attempt.select()] == ["accepted"] * 30
        assert {Attempt.select().where(Attempt.account == a.id).count() for a in SmtpAccount.select()} == {3}
        until(lambda: queued(empty_rabbitmq) == {})

        put_on_intake(empty_rabbitmq, ids[:30], "second")
        put_on_intake(empty_rabbitmq, ids[:30], "second")
        put_on_intake(empty_rabbitmq, ids[30:], "third")
        until(lambda: Delivery.select().where(Delivery.state.in_(["skipped", "ready"])).count() == 35)

    assert Counter((d.state, d.reason) for d in Delivery.select()) == {
        ("sent", "accepted"): 30,
        ("skipped", "contacted_recently,website_contacted_recently"): 30,
        ("ready", None): 5,
    }
    assert len(catcher.mails) == 30
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "@example.test" not in log


def test_a_dead_letter_is_shown_on_its_queue_until_a_person_decides(
    environment: dict[str, str], empty_rabbitmq: str, tmp_path: Path
) -> None:
    a_template(text="Dear {{ contact.nickname }}")
    contact = a_contact()
    with at_work(environment, tmp_path / "log"):
        put_on_intake(empty_rabbitmq, [contact.id, 999_999, -1], "first")
        until(lambda: Delivery.select().where(Delivery.recorded_at.is_null(False)).count() == 1)
    # The workers have done what they had to: there is one copy of each, and none comes later.
    assert without_triggers(queued(empty_rabbitmq)) == {"dead-letter": 3}
    shown = json.loads(slowpost(environment, "status", "--json"))["queues"]
    ready = {queue["queue"]: queue["messages"] for queue in shown if queue["messages"]}
    assert without_triggers(ready) == {"dead-letter": 3}
    letters = json.loads(slowpost(environment, "dead", "list", "--json"))
    assert {(d["kind"], d["queue"], d["reason"]) for d in letters} == {
        ("message", "intake", "contact_ids[2]: -1 is no id (a whole number from 1 to 2147483647)"),
        ("message", "intake", "contact 999999 does not exist"),
        ("delivery", None, "template_error"),
    }
    first, second, third = (str(d["id"]) for d in letters)
    slowpost(environment, "dead", "discard", first)
    # What has been looked at is ready again when its connection has gone.
    until(lambda: without_triggers(queued(empty_rabbitmq)) == {"dead-letter": 2})
    slowpost(environment, "dead", "discard", second, third)
    until(lambda: without_triggers(queued(empty_rabbitmq)) == {})


def without_triggers(queues: dict[str, int]) -> dict[str, int]:
    """Return what lies on the queues but for triggers: an outcome's comes after its commit, and may be put back by
    workers that are stopped right then.
    """
    return {name: number for name, number in queues.items() if name != "reserve"}


def states() -> list[tuple[str, str | None]]:
    """Return the deliveries' states, for a test that waits in vain."""
    return [(d.state, d.reason) for d in Delivery.select()]

"""`kill -9` between any two steps, and at random instants: nothing is lost, nothing is sent twice."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from models import DeadLetter, Delivery, Enrolment, Event, State
from pipeline.runtime.failpoints import NAMES, OF_GROUPS, OF_REPLIES
from tests.broker.conftest import until
from tests.builders import a_campaign, an_enrolment, on_its_way
from tests.faults import fleet as fleets
from tests.faults.fleet import Fleet


def test_the_list_of_failpoints_is_the_codes() -> None:
    root = Path(__file__).parents[2]
    code = "".join(file.read_text() for folder in ("pipeline", "actors") for file in (root / folder).rglob("*.py"))
    named = set(re.findall(r'failpoint\("([a-z]+:[a-z]+)"\)', code))
    steps = set(re.findall(r'failpoint\(f"\{self.stage\}:([a-z]+)"\)', code))
    stages = ("intake", "dedupe", "render", "reserve", "deliver", "record", "replied")
    assert named | {f"{stage}:{step}" for stage in stages for step in steps} == {*NAMES, *OF_GROUPS, *OF_REPLIES}


def test_a_kill_at_every_failpoint(
    postgres: str,
    rabbitmq: str,
    file: Path,
    tmp_path: Path,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    each, at_once = counts(1, 20), counts(4, 1)
    with Fleet(fleets.environment(postgres, rabbitmq), tmp_path) as fleet:
        for _ in range(each):
            for first in range(0, len(NAMES), at_once):
                failpoints = NAMES[first : first + at_once]
                for failpoint in failpoints:
                    fleet.arm(failpoint)
                    fleet.publish(3)
                for failpoint in failpoints:
                    assert fleet.fires(failpoint), f"nobody came to {failpoint}: {fleet.log()[-2000:]}"
        seconds = fleet.settle()
    assert fleet.violations(file) == []
    assert fleet.kills == each * len(NAMES)
    report(kills=fleet.kills, contacts=fleet.contacts, settled_in_s=round(seconds, 1))


def test_a_kill_in_the_midst_of_a_group_or_among_half_of_its_confirms(
    postgres: str,
    rabbitmq: str,
    file: Path,
    tmp_path: Path,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    each = counts(1, 20)
    with Fleet(fleets.environment(postgres, rabbitmq), tmp_path) as fleet:
        for _ in range(each):
            for failpoint in OF_GROUPS:
                fleet.arm(failpoint)
                fleet.publish_at_once(50)
                assert fleet.fires(failpoint), f"nobody came to {failpoint}: {fleet.log()[-2000:]}"
        seconds = fleet.settle()
    assert fleet.violations(file) == []
    assert fleet.kills == each * len(OF_GROUPS)
    report(kills=fleet.kills, contacts=fleet.contacts, settled_in_s=round(seconds, 1))


def test_a_kill_at_every_step_of_a_reply_loses_none_and_does_nothing_twice(
    postgres: str, rabbitmq: str, tmp_path: Path, counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    # No account sends it, so that what is not cancelled goes on to wait.
    campaign, contacts = a_campaign(), []
    with Fleet(fleets.environment(postgres, rabbitmq), tmp_path) as fleet:
        for turn in range(counts(1, 20)):
            for failpoint in OF_REPLIES:
                waiting = on_its_way(an_enrolment(campaign), State.READY)
                fleet.arm(failpoint)
                fleet.send(f"reply {failpoint} {turn}", [waiting.contact_id], queue="replied")
                contacts.append(waiting.contact_id)
                assert fleet.fires(failpoint), f"nobody came to {failpoint}: {fleet.log()[-2000:]}"
        until(lambda: Delivery.select().where(Delivery.state == State.CANCELLED).count() == len(contacts), fleet.log)
    assert [(e.contact_id, e.state, e.delivery_id) for e in Enrolment.select().order_by(Enrolment.id)] == [
        (contact_id, "replied", None) for contact_id in contacts
    ]
    assert Event.select().where(Event.cause == "replied").count() == len(contacts)
    assert (DeadLetter.select().count(), fleet.kills) == (0, len(contacts))
    report(kills=fleet.kills, replies=len(contacts))


def test_kills_at_random_instants(
    postgres: str,
    rabbitmq: str,
    file: Path,
    tmp_path: Path,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    rng = random.Random(20261124)  # noqa: S311
    kills, contacts = counts(4, 200), counts(100, 5000)
    with Fleet(fleets.environment(postgres, rabbitmq), tmp_path) as fleet:
        for _ in range(contacts // 50):
            fleet.publish(50)
        while fleet.kills < kills:
            time.sleep(rng.uniform(0.1, 1.2))
            fleet.kill_one(rng)
        seconds = fleet.settle(patience=600)
    assert fleet.violations(file) == []
    report(kills=fleet.kills, contacts=contacts, settled_in_s=round(seconds, 1))


ACCOUNTS = 40

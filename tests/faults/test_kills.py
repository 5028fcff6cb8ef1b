"""`kill -9` between any two steps, and at random instants: nothing is lost, nothing is sent twice."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from models import DeadLetter, Delivery, Enrolment, Event, SmtpAccount, State
from pipeline.runtime.failpoints import NAMES, OF_CONSENT, OF_GROUPS, OF_INBOUND, OF_PUBLISHER, OF_REPLIES
from tests.broker.conftest import until
from tests.builders import a_campaign, a_template, an_enrolment, on_its_way
from tests.effort import is_full
from tests.faults import fleet as fleets
from tests.faults.fleet import Fleet
from tests.faults.sequences import Sequences


def test_the_list_of_failpoints_is_the_codes() -> None:
    root = Path(__file__).parents[2]
    code = "".join(
        file.read_text() for folder in ("pipeline", "actors", "schedules") for file in (root / folder).rglob("*.py")
    )
    named = set(re.findall(r'failpoint\("([a-z]+:[a-z]+)"\)', code))
    steps = set(re.findall(r'failpoint\(f"\{self.stage\}:([a-z]+)"\)', code))
    stages = ("intake", "dedupe", "render", "reserve", "deliver", "record", "replied")
    listed = {*NAMES, *OF_GROUPS, *OF_REPLIES, *OF_CONSENT, *OF_INBOUND, *OF_PUBLISHER}
    assert named | {f"{stage}:{step}" for stage in stages for step in steps} == listed


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
    each, at_once = counts(1, 20), counts(24, 50)
    with Fleet(fleets.environment(postgres, rabbitmq), tmp_path) as fleet:
        for _ in range(each):
            for failpoint in OF_GROUPS:
                fleet.arm(failpoint)
                fleet.publish_at_once(at_once)
                assert fleet.fires(failpoint), f"nobody came to {failpoint}: {fleet.log()[-2000:]}"
        seconds = fleet.settle()
    assert fleet.violations(file) == []
    assert fleet.kills == each * len(OF_GROUPS)
    report(kills=fleet.kills, contacts=fleet.contacts, settled_in_s=round(seconds, 1))


def test_a_kill_at_every_failpoint_loses_no_step_of_a_sequence_and_doubles_none(
    postgres: str,
    rabbitmq: str,
    file: Path,
    tmp_path: Path,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    campaign = a_campaign(*((0, [a_template()]) for _ in range(3)), accounts=list(SmtpAccount.select()))
    where = (*NAMES, *OF_REPLIES, *OF_PUBLISHER) if is_full() else WHERE_ENROLMENTS_CHANGE
    each, at_once, size = counts(1, 10), counts(7, 3), counts(2, 4)
    with Fleet(fleets.environment(postgres, rabbitmq), tmp_path, size=size) as fleet:
        sequences = Sequences(fleet, campaign)
        sequences.enrol(6)
        with sequences.published():
            until(lambda: Delivery.select().where(Delivery.position > 1).count() > 0, fleet.log)
            for _ in range(each):
                for first in range(0, len(where), at_once):
                    failpoints = where[first : first + at_once]
                    for failpoint in failpoints:
                        fleet.arm(failpoint)
                    sequences.enrol(5)
                    sequences.reply()
                    for failpoint in failpoints:
                        assert fleet.fires(failpoint), f"nobody came to {failpoint}: {fleet.log()[-2000:]}"
            seconds = sequences.settle()
        fleet.settle()
    assert fleet.violations(file, enrolled=sequences.enrolled, replied=frozenset(sequences.replied)) == []
    assert fleet.kills == each * len(where)
    states = Counter(enrolment.state for enrolment in Enrolment.select())
    assert states["finished"] > 0 < states["replied"]
    report(kills=fleet.kills, **states, settled_in_s=round(seconds, 1))


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
    kills, contacts = counts(4, 200), counts(60, 5000)
    with Fleet(fleets.environment(postgres, rabbitmq), tmp_path) as fleet:
        for _ in range(contacts // 20):
            fleet.publish(20)
        while fleet.kills < kills:
            time.sleep(rng.uniform(0.1, 1.2))
            fleet.kill_one(rng)
        seconds = fleet.settle(patience=600)
    assert fleet.violations(file) == []
    report(kills=fleet.kills, contacts=contacts, settled_in_s=round(seconds, 1))


ACCOUNTS = 40
#: Whoever dies here has just written about enrolments.
WHERE_ENROLMENTS_CHANGE = (
    "publish:prepared",
    "intake:wrote",
    "publish:wrote",
    "publish:committed",
    "outcome:wrote",
    "outcome:committed",
    "replied:wrote",
)

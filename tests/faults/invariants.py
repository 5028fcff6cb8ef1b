"""What has to hold when everything has settled, whatever was broken on the way: I1 to I8.

Judged by SQL and by the oracle's file, with none of the code that is under test. `check` returns the violations in
words, none if all is well; `tests/faults/test_invariants.py` shows that each can fail.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from models.database import db, is_postgres

from .oracle import Accepted

ENDS = ("sent", "skipped", "bounced", "failed", "cancelled", "in_doubt")
#: Columns that are times, which SQLite has as text.
TIMES = frozenset({"claimed_at", "ended_at"})
ENROLMENT_STATES = (
    "active",
    "finished",
    "replied",
    "bounced",
    "unsubscribed",
    "suppressed",
    "failed",
    "forgotten",
    "stopped",
)
#: A claim that is in doubt was open when its holder was killed or cut: the fault came this long after it, at most.
HELD_FOR = dt.timedelta(seconds=20)


@dataclass
class Run:
    """What a run was: what came in, what the mail server accepted, when something was broken, and the rules.

    Attributes:
        sources: contact ids by the message that they came in.
        enrolled: contact ids by the message that enrolled them in a campaign.
        replied: contacts that have replied; what waited for them is cancelled.
        accepted: the oracle's lines.
        faults: when something was cut off that may have been anybody's (UTC).
        broken: when a process was killed or frozen (UTC), by its name.
        holders: the names of the processes that made the claims, by token.
        limit: mails an account may send on a date (UTC).
        interval: seconds between two sends of one account, at least.
        resent: deliveries that a person has had sent again.
        may_end_otherwise: deliveries, by recipient, that a fault has touched; all others have to be sent.
    """

    sources: dict[str, list[int]]
    accepted: Sequence[Accepted]
    faults: Sequence[dt.datetime] = ()
    broken: Mapping[str, Sequence[dt.datetime]] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)
    limit: int = 1_000_000
    interval: float = 0.0
    resent: frozenset[int] = frozenset()
    may_end_otherwise: frozenset[str] = frozenset()
    enrolled: Mapping[str, Sequence[int]] = field(default_factory=dict)
    replied: frozenset[int] = frozenset()


def check(run: Run) -> list[str]:
    """Return every violation of I1 to I8, in words."""
    deliveries = list(
        _rows(
            "SELECT id, contact_id, source, state, recipient, message_id, token, enrolment_id, position FROM delivery"
        )
    )
    attempts = list(
        _rows("SELECT delivery_id, account_id, claimed_at, outcome, token FROM attempt WHERE claimed_at IS NOT NULL")
    )
    return [
        *_accepted_once(run, deliveries),
        *_nothing_vanished(run, deliveries),
        *_sent_is_accepted(run, deliveries),
        *_doubt_has_its_fault(run, deliveries, attempts),
        *_within_limits(run, attempts),
        *_everything_ended(run, deliveries),
        *_events_tell_the_states(deliveries),
        *_no_step_is_lost_or_doubled(run, deliveries),
        *_nothing_is_claimed_after_a_reply(attempts, deliveries),
    ]


def _accepted_once(run: Run, deliveries: list[dict[str, Any]]) -> Iterator[str]:
    times = Counter(a.message_id for a in run.accepted)
    for delivery in deliveries:
        if times[delivery["message_id"]] > 1 and delivery["id"] not in run.resent:
            yield f"I1: delivery {delivery['id']} was accepted {times[delivery['message_id']]} times"
    known = {d["message_id"]: d for d in deliveries}
    # A sequence has a mail for each of its steps.
    people = Counter((a.recipient, known.get(a.message_id, {}).get("position")) for a in run.accepted)
    resent_to = {d["recipient"] for d in deliveries if d["id"] in run.resent}
    for (recipient, position), number in people.items():
        if number > 1 and recipient not in resent_to:
            step = "" if position is None else f" in step {position}"
            yield f"I1: {recipient} was written to {number} times{step}"
    for message_id in times:
        if message_id not in known:
            yield f"I1: a message nobody knows was accepted: {message_id}"


def _nothing_vanished(run: Run, deliveries: list[dict[str, Any]]) -> Iterator[str]:
    found = Counter((d["source"], d["contact_id"]) for d in deliveries)
    dead = {row["message_id"] for row in _rows("SELECT message_id FROM dead_letter WHERE message_id IS NOT NULL")}
    for source, ids in run.sources.items():
        for contact_id in ids:
            number = found[source, contact_id]
            if number != 1 and not (number == 0 and source in dead):
                yield f"I2: contact {contact_id} of message {source} has {number} rows"


def _sent_is_accepted(run: Run, deliveries: list[dict[str, Any]]) -> Iterator[str]:
    accepted = {a.message_id for a in run.accepted}
    for delivery in deliveries:
        is_accepted = delivery["message_id"] in accepted
        if delivery["state"] == "sent" and not is_accepted:
            yield f"I3: delivery {delivery['id']} is sent, and nobody has it"
        if is_accepted and delivery["state"] not in ("sent", "in_doubt"):
            yield f"I3: delivery {delivery['id']} was accepted, and is {delivery['state']}"


def _doubt_has_its_fault(run: Run, deliveries: list[dict[str, Any]], attempts: list[dict[str, Any]]) -> Iterator[str]:
    # By its token: where the holder of a claim woke too late for the dot, the attempt has failed, and the doubt stays.
    doubtful = {a["token"]: a for a in attempts if a["outcome"] != "accepted"}
    for delivery in deliveries:
        if delivery["state"] not in ("in_doubt", "sending"):
            continue
        attempt = doubtful.get(delivery["token"])
        if attempt is None:
            yield f"I4: delivery {delivery['id']} is {delivery['state']} without a claim"
            continue
        faults = [*run.faults, *run.broken.get(run.holders.get(delivery["token"], ""), ())]
        if not any(attempt["claimed_at"] <= fault <= attempt["claimed_at"] + HELD_FOR for fault in faults):
            yield f"I4: delivery {delivery['id']} is in doubt, and its holder was not broken after its claim"


def _within_limits(run: Run, attempts: list[dict[str, Any]]) -> Iterator[str]:
    counted = [a for a in attempts if a["outcome"] in ("accepted", "in_doubt", "open")]
    used = Counter((a["account_id"], a["claimed_at"].date()) for a in counted)
    for (account_id, date), number in used.items():
        if number > run.limit:
            yield f"I5: account {account_id} sent {number} on {date}"
    times: dict[int, list[dt.datetime]] = defaultdict(list)
    for attempt in attempts:
        times[attempt["account_id"]].append(attempt["claimed_at"])
    for account_id, claimed in times.items():
        for earlier, later in pairwise(sorted(claimed)):
            if (later - earlier).total_seconds() < run.interval:
                yield f"I5: account {account_id} claimed at {earlier} and at {later}"
    senders = Counter((a.sender, dt.datetime.fromtimestamp(a.at, dt.UTC).date()) for a in run.accepted)
    for (sender, date), number in senders.items():
        if number > run.limit:
            yield f"I5: the server took {number} from {sender} on {date}"


def _everything_ended(run: Run, deliveries: list[dict[str, Any]]) -> Iterator[str]:
    for delivery in deliveries:
        if delivery["state"] not in ENDS:
            yield f"I6: delivery {delivery['id']} is still {delivery['state']}"
        elif (
            delivery["state"] not in ("sent", "in_doubt")
            and delivery["recipient"] not in run.may_end_otherwise
            and delivery["contact_id"] not in run.replied
        ):
            yield f"I6: delivery {delivery['id']}, which no fault has touched, ended {delivery['state']}"


def _events_tell_the_states(deliveries: list[dict[str, Any]]) -> Iterator[str]:
    told: dict[int, list[tuple[str | None, str]]] = defaultdict(list)
    for event in _rows("SELECT delivery_id, origin, state FROM event ORDER BY delivery_id, step"):
        told[event["delivery_id"]].append((event["origin"], event["state"]))
    for delivery in deliveries:
        origins, states = zip(*told[delivery["id"]] or [(None, None)], strict=True)
        if states[-1] != delivery["state"]:
            yield f"I7: delivery {delivery['id']} is {delivery['state']}, and its last event says {states[-1]}"
        if origins != (None, *states[:-1]):
            yield f"I7: the events of delivery {delivery['id']} do not follow each other: {told[delivery['id']]}"


def _no_step_is_lost_or_doubled(run: Run, deliveries: list[dict[str, Any]]) -> Iterator[str]:
    steps: Counter[int] = Counter()
    for step in _rows("SELECT campaign_id FROM campaign_step"):
        steps[step["campaign_id"]] += 1
    of: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for delivery in deliveries:
        if delivery["enrolment_id"] is not None:
            of[delivery["enrolment_id"]].append(delivery)
    times: Counter[int] = Counter()
    for enrolment in _rows("SELECT * FROM enrolment ORDER BY id"):
        times[enrolment["contact_id"]] += 1
        for what in _wrong_with(enrolment, of[enrolment["id"]], steps[enrolment["campaign_id"]], run):
            yield f"I8: enrolment {enrolment['id']}, {enrolment['state']} at step {enrolment['position']}, {what}"
    for source, ids in run.enrolled.items():
        for contact_id in ids:
            if times[contact_id] != 1:
                yield f"I8: contact {contact_id} of message {source} is enrolled {times[contact_id]} times"


def _wrong_with(enrolment: dict[str, Any], deliveries: list[dict[str, Any]], steps: int, run: Run) -> Iterator[str]:
    state, position = enrolment["state"], enrolment["position"]
    goes_on = state == "active"
    if state not in ENROLMENT_STATES or goes_on != (enrolment["ended_at"] is None):
        yield f"ended at {enrolment['ended_at']}"
    if goes_on != (position <= steps) and state in ("active", "finished"):
        yield f"of {steps} steps"
    if enrolment["contact_id"] in run.replied and state != "replied":
        yield "has had a reply"
    waits_for = [(d["id"], d["position"]) for d in deliveries if d["state"] not in ENDS or d["state"] == "in_doubt"]
    if waits_for != ([] if enrolment["delivery_id"] is None else [(enrolment["delivery_id"], position)]):
        yield f"waits for delivery {enrolment['delivery_id']}, and on its way are {waits_for}"
    # When all that was to come has come, only a doubt keeps a step waiting.
    if goes_on and [d["state"] for d in deliveries if d["id"] == enrolment["delivery_id"]] != ["in_doubt"]:
        yield "has not ended"
    sent = [d for d in sorted(deliveries, key=_id) if d["state"] == "sent"]
    came_to = [d["position"] for d in sent]
    # What was claimed before the end moves it no further.
    claimed_before = [] if goes_on or state == "finished" else [position]
    if came_to not in ([*range(1, position)], [*range(1, position), *claimed_before]):
        yield f"has been sent the steps {came_to}"
    if came_to and not claimed_before and enrolment["last_id"] != sent[-1]["id"]:
        yield f"has {enrolment['last_id']} for its last mail, and that was {sent[-1]['id']}"


def _nothing_is_claimed_after_a_reply(
    attempts: list[dict[str, Any]], deliveries: list[dict[str, Any]]
) -> Iterator[str]:
    ended = {row["id"]: row["ended_at"] for row in _rows("SELECT id, ended_at FROM enrolment WHERE state = 'replied'")}
    enrolment_of = {d["id"]: d["enrolment_id"] for d in deliveries if d["enrolment_id"] in ended}
    for attempt in attempts:
        enrolment_id = enrolment_of.get(attempt["delivery_id"])
        if enrolment_id is not None and attempt["claimed_at"] > ended[enrolment_id]:
            yield f"I8: delivery {attempt['delivery_id']} was claimed after enrolment {enrolment_id} had its reply"


def _id(row: dict[str, Any]) -> int:
    return int(row["id"])


def _rows(sql: str) -> Iterable[dict[str, Any]]:
    cursor = db.execute_sql(sql)
    names = [column[0] for column in cursor.description]
    for row in cursor.fetchall():
        values = dict(zip(names, row, strict=True))
        for name in TIMES.intersection(values):
            if values[name] is not None and not is_postgres():
                values[name] = dt.datetime.fromisoformat(f"{values[name]}+00:00")
        yield values

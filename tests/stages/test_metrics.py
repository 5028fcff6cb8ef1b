"""What `/metrics` says is what `status --json` says, and what a count by hand says, in the middle of a run with faults;
and it is read without reading the past.
"""

# ruff: noqa: S608  (the statements are the tests' own)
from __future__ import annotations

import datetime as dt
import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import peewee
import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from models import DeadLetter, Kind, State, daily_figures, database
from models.database import db
from pipeline import select_contacts, sweep
from pipeline.operations import accounts, pause
from pipeline.operations.pause import Target
from pipeline.watch import hearts
from slowpost.web import metrics, operator
from tests.builders import a_contact, a_delivery, a_template, a_website, an_account
from tests.cli.conftest import Slowpost, slowpost  # noqa: F401  (a fixture)
from tests.conftest import Clock
from tests.history import live_through
from tests.stages.route_world import Rules, Say, World, rows
from tests.stages.test_query_plans import EXPLAINED, read_as_a_whole
from tests.web_pages import PASSWORDS, passwords


def test_metrics_status_and_a_count_by_hand_are_equal_in_the_middle_of_a_run_with_faults(
    postgres: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    configure: Callable[..., None],
    slowpost: Slowpost,  # noqa: F811  (the fixture)
) -> None:
    rules = Rules(interval=60, spread=False, limit=9)
    configure(**rules.settings())
    world = World(clock, monkeypatch, rules)
    a_template()
    others = [an_account() for _ in range(3)]
    overdue, summed = 0.0, list[dt.date]()
    for day, faults in enumerate(DAYS):
        clock.set(2026, 6, 2 + day, 14)
        for number, say in enumerate(faults):
            ids = [a_contact(website=a_website()).id for _ in range(3)]
            world.publish(select_contacts.select(select_contacts.asked(f"day {day}, {number}", ids)))
            # Some of it is done: what stands in the middle is there, too.
            world.work_off([say], most=9)
            world.thaw() if world.frozen and number % 2 else None
            clock.tick(70)
        # As a process dies in it.
        DeadLetter.create(kind="message", queue="intake", body=b"?", reason="not JSON", created_at=clock.at)
        world.publish(sweep.sweep())
        equal_by_hand(clock)
        clock.tick(7200)
        equal_by_hand(clock)
        equal_in_status(slowpost)
        overdue += scraped()["slowpost_slots_overdue", ()]
        # At night the day before is summed, and nothing changes by that.
        summed += daily_figures.sum_days()
        equal_by_hand(clock)
    accounts.disable(others[0].id, "me")
    accounts.remove(others[1].id, "me")
    pause.pause(Target(), "me")
    equal_by_hand(clock)
    equal_in_status(slowpost)
    seen = {sample for sample, value in scraped().items() if value}
    # It was no quiet run.
    assert {dict(labels).get("reason", dict(labels).get("state", "")) for _, labels in seen} >= MUST_OCCUR
    assert (overdue > 0, summed) == (True, [dt.date(2026, 6, 2), dt.date(2026, 6, 3)])


#: What servers say to the first mail of each few, on three days.
DAYS = (
    (Say.ACCEPTED, Say.NO_SUCH_USER, Say.SILENCE_KEPT, Say.GREYLISTED, Say.DIES_AFTER_DOT),
    (Say.SPAM, Say.POLICY, Say.QUOTA, Say.FREEZES_AFTER_250, Say.NO_CONNECTION, Say.ACCEPTED),
    (Say.DIES_BEFORE_DOT, Say.SLEEPS_AFTER_CLAIM, Say.BUSY_AT_DOT, Say.ACCEPTED, Say.FULL_AT_DOT),
)
MUST_OCCUR = {"in_doubt", "recipient_refused", "content_refused", "accepted", "no_outcome", "ready", "sending"}


def test_a_scrape_and_a_sum_read_no_large_table_as_a_whole(
    postgres: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_through(4_000, days=200, until=clock.at)
    while daily_figures.sum_days():
        pass
    before, statements = scraped(), list[tuple[str, Any]]()
    execute = peewee.Database.execute_sql

    def watched(self: Any, sql: str, params: Any = None, *rest: Any, **options: Any) -> Any:
        statements.append((sql, params))
        return execute(self, sql, params, *rest, **options)

    clock.tick(86_400)
    with monkeypatch.context() as patched:
        patched.setattr(peewee.Database, "execute_sql", watched)
        scraped()
        assert len(daily_figures.sum_days()) == 1
    of_days = [sql for sql, _ in statements if "event" in sql]
    assert len(of_days) >= 3
    read = {sql: read_as_a_whole(sql, params) for sql, params in statements if sql.startswith(EXPLAINED)}
    assert {sql: tables for sql, tables in read.items() if tables & {"delivery", "event", "attempt", "contact"}} == {}
    assert {k: v for k, v in before.items() if k[0].endswith("_total")} == {
        k: v for k, v in scraped().items() if k[0].endswith("_total")
    }
    assert sum_of("slowpost_delivery_transitions_total") == rows("SELECT count(*) FROM event")[0][0]


def test_where_the_database_is_away_the_scrape_fails_and_where_rabbitmq_is_it_says_so(
    sqlite: str, configure: Callable[..., None]
) -> None:
    assert sum_of("slowpost_rabbitmq_up") is None
    configure(broker_url="amqp://127.0.0.1:1/x")
    depths = {"intake": 3, "delay": 0}
    said = scraped(a_listener(depths))
    assert said["slowpost_rabbitmq_up", ()] == 1
    queues = {k[1][0][1]: v for k, v in said.items() if k[0] == "slowpost_queue_messages"}
    assert queues == depths
    without = scraped(a_listener({}, "gone"))
    assert (without["slowpost_rabbitmq_up", ()], [k for k in without if k[0] == "slowpost_queue_messages"]) == (0, [])
    assert without["slowpost_problem", (("problem", "RabbitMQ is away"),)] == 1
    database.db.close()
    database.connect("postgresql://nobody:hunter2@127.0.0.1:1/none")
    answer = a_listener().get("/metrics", headers=HOST)
    assert (answer.status_code, answer.text) == (503, "away: the database\n")


def basic(password: str) -> str:
    """Return what Prometheus says with a password (RFC 7617)."""
    return f"Basic {b64encode(f'prometheus:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    ("needs_password", "header", "status"),
    [
        (False, {}, 200),
        (False, {"X-Forwarded-For": "127.0.0.1"}, 403),
        (False, {"Host": "evil.test"}, 400),
        (True, {}, 401),
        (True, {"Authorization": basic("wrong")}, 401),
        (True, {"Authorization": basic(PASSWORDS["reader"])}, 200),
    ],
)
def test_whoever_may_look_at_the_pages_reads_them(
    sqlite: str, configure: Callable[..., None], needs_password: bool, header: dict[str, str], status: int
) -> None:
    if needs_password:
        passwords(configure)
    assert a_listener().get("/metrics", headers=HOST | header).status_code == status


def test_a_server_that_wants_openmetrics_gets_it(sqlite: str) -> None:
    wants = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
    answer = a_listener().get("/metrics", headers=HOST | wants)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")


def test_the_board_and_the_alerts_name_only_metrics_and_labels_that_are_there(
    sqlite: str, configure: Callable[..., None]
) -> None:
    configure(broker_url="amqp://127.0.0.1:1/x")
    an_account()
    a_delivery(State.READY)
    hearts.ran(Kind.SWEEP)
    labels_of: dict[str, set[str]] = {"up": {"job"}, "scrape_duration_seconds": {"job"}}
    for name, labels in scraped(a_listener({"intake": 1})):
        labels_of[name] = {label for label, _ in labels}
    asked = [*queries(), *re.findall(r"expr: (?:>-\n)?(.+?)\n +(?:for|labels):", RULES, re.DOTALL)]
    assert len(asked) == len(queries()) + RULES.count("- alert:")
    metric = re.compile(r"\b(slowpost_\w+|up|scrape_\w+)\b(?:\{([^}]*)\})?")
    named = [found for query in asked for found in metric.findall(query)]
    wrong = [
        (name, label)
        for name, matchers in named
        for label in ("", *re.findall(r"(\w+)(?:=|!=|=~)\"", matchers))
        if name not in labels_of or label not in ("", *labels_of[name])
    ]
    assert (wrong, len(named) > 20) == ([], True)
    # And each metric that there is stands on the board.
    assert {name for name in labels_of if name.startswith("slowpost")} == {n for n, _ in named if n.startswith("slow")}


MONITORING = Path(__file__).parents[2] / "docs/monitoring"
RULES = (MONITORING / "alerts.yml").read_text()
HOST = {"Host": "localhost"}
ENDED = ("sent", "skipped", "bounced", "failed", "cancelled")


def equal_by_hand(clock: Clock) -> None:
    """Compare the metrics with a count by hand."""
    said, by_hand = scraped(), count_by_hand(clock.at)
    told = {name for name, _ in by_hand}
    assert {k: v for k, v in said.items() if k[0] in told and v} == {k: v for k, v in by_hand.items() if v}


def equal_in_status(slowpost: Slowpost) -> None:  # noqa: F811
    """Compare the metrics with what `status --json` prints."""
    own, said = db.obj, scraped()
    done = slowpost("status", "--json")
    db.initialize(own)
    db.connect(reuse_if_open=True)
    assert (done.code, done.err) == (0, "")
    status = json.loads(done.out)
    states: Counter[str] = Counter()
    for row in status["deliveries"]:
        states[row["state"]] += row["count"]
    entered, left = Counter[str](), Counter[str]()
    for (name, labels), value in said.items():
        if name == "slowpost_delivery_transitions_total":
            entered[dict(labels)["state"]] += int(value)
    for origin, number in rows("SELECT origin, count(*) FROM event WHERE origin IS NOT NULL GROUP BY origin"):
        left[origin] = number
    assert {s: entered[s] - left[s] for s in entered if entered[s] - left[s]} == dict(states)
    unfinished = {s: n for s, n in of_label(said, "slowpost_unfinished_deliveries", "state").items() if n}
    assert unfinished == {state: n for state, n in states.items() if state not in ENDED}
    for figure, key in (("used_mails", "used"), ("limit_mails", "limit")):
        its = of_label(said, f"slowpost_account_{figure}", "account")
        assert its == {str(row["id"]): row[key] for row in status["accounts"]}
    on = {k[1] for k, v in said.items() if k[0] == "slowpost_account_state" and v}
    assert on == {(("account", str(row["id"])), ("state", row["state"])) for row in status["accounts"]}
    wrong = {name for name, there in of_label(said, "slowpost_problem", "problem").items() if there}
    assert wrong == {row["problem"] for row in status["running"]["problems"]}
    assert said["slowpost_paused", ()] == status["paused"]
    assert said["slowpost_window_open", ()] == status["window"]["open"]


def count_by_hand(now: dt.datetime) -> dict[Any, float]:
    """Return by SQL of the tests' own what the tables say."""
    found: dict[Any, float] = {}
    for stage, state, reason, n in rows(
        "SELECT cause, state, COALESCE(reason, ''), count(*) FROM event GROUP BY 1, 2, 3"
    ):
        found["slowpost_delivery_transitions_total", (("reason", reason), ("stage", stage), ("state", state))] = n
    attempts = "SELECT charged_to, outcome, count(*) FROM attempt WHERE outcome IN ('accepted', 'failed') GROUP BY 1, 2"
    for charged_to, outcome, n in rows(attempts):
        found["slowpost_attempts_total", (("charged_to", charged_to), ("outcome", outcome))] = n
    of_state = f"SELECT state, count(*), min(updated_at) FROM delivery WHERE state NOT IN {ENDED} GROUP BY state"
    for state, n, first in rows(of_state):
        found["slowpost_unfinished_deliveries", (("state", state),)] = n
        age = (now - first).total_seconds()
        found["slowpost_unfinished_delivery_age_seconds", (("state", state),)] = age
    late = f"SELECT count(*) FROM delivery WHERE state = 'reserved' AND send_at < '{now - dt.timedelta(minutes=1)}'"
    found["slowpost_slots_overdue", ()] = rows(late)[0][0]
    for kind, n in rows("SELECT kind, count(*) FROM dead_letter WHERE resolved_at IS NULL GROUP BY kind"):
        found["slowpost_dead_letters", (("kind", kind),)] = n
    day = Rules().local_date(now)
    for (account,) in rows("SELECT id FROM smtp_account WHERE removed_at IS NULL"):
        used = rows(
            f"SELECT count(*) FROM attempt WHERE account_id = {account} AND local_on = '{day}' AND (outcome IN "
            "('open', 'accepted', 'in_doubt') OR charged_to IN ('recipient', 'site', 'content'))"
        )
        found["slowpost_account_used_mails", (("account", str(account)),)] = used[0][0]
    return found


def a_listener(depths: Mapping[str, int] | None = None, away: str | None = None) -> FlaskClient:
    """Return what asks the operator's listener."""
    app = operator.make("127.0.0.1", lambda: away)
    metrics.add_to(app, lambda: (depths or {}, away))
    return app.test_client()


def scraped(listener: FlaskClient | None = None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return all samples: name and labels → value."""
    answer = (listener or a_listener()).get("/metrics", headers=HOST)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    samples = [sample for family in families for sample in family.samples]
    found = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
    assert len(found) == len(samples)
    return found


def of_label(said: Mapping[Any, float], name: str, label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for (metric, labels), value in said.items() if metric == name}


def sum_of(name: str) -> float | None:
    values = [value for (metric, _), value in scraped().items() if metric == name]
    return sum(values) if values else None


def queries() -> list[str]:
    """Return the queries of the board."""
    board = json.loads((MONITORING / "grafana.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]

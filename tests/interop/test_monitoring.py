"""Prometheus's own program takes the metrics, the rules and the board's queries; each alert fires when it should, and
not before; and what befalls real processes is told by it, by `status`, and by Slowpost itself.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from models import (
    Cause,
    Contact,
    DeadLetter,
    Delivery,
    Heartbeat,
    Kind,
    Reason,
    SmtpAccount,
    State,
    database,
    transition,
)
from pipeline.watch import hearts
from tests.broker.conftest import until
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.cli.test_process import run, start
from tests.conftest import Clock
from tests.interop.prometheus import RULES, Prometheus, promtool
from tests.interop.tree import Tree
from tests.interop.web import web
from tests.stages.test_metrics import HOST, a_listener, queries, scraped

#: Minutes of a history: all is well, then nothing is, then all is well again.
WELL, ILL, MENDED = 60, 480, 480


def test_promtool_has_nothing_to_say_about_the_metrics(sqlite: str, clock: Clock, machine: Tree) -> None:
    all_is_well()
    nothing_is()
    text = a_listener({"intake": 2000}).get("/metrics", headers=HOST).text
    assert promtool(machine, "check", "metrics", stdin=text) == (0, "")


def test_promtool_takes_the_rules_and_each_query_of_the_board(machine: Tree) -> None:
    machine.write("etc/prometheus/alerts.yml", RULES)
    code, said = promtool(machine, "check", "rules", "/etc/prometheus/alerts.yml")
    assert (code, "FAILED" in said) == (0, False), said
    board = [{"record": "asked", "labels": {"n": str(n)}, "expr": query} for n, query in enumerate(queries())]
    machine.write("etc/prometheus/board.yml", json.dumps({"groups": [{"name": "board", "rules": board}]}))
    code, said = promtool(machine, "check", "rules", "/etc/prometheus/board.yml")
    assert (code, f"SUCCESS: {len(board)} rules found" in said) == (0, True), said


def test_each_alert_fires_in_a_run_made_for_it_and_not_before_and_not_when_it_is_mended(
    sqlite: str, clock: Clock, machine: Tree, configure: Callable[..., None]
) -> None:
    configure(broker_url="amqp://127.0.0.1:1/x")
    all_is_well()
    well = scraped(a_listener({"intake": 0}))
    nothing_is()
    ill = scraped(a_listener({"intake": 2000})) | {("up", (("job", "slowpost"),)): 0}
    mended = {**ill, **{series: value for series, value in well.items() if not series[0].endswith("_total")}}
    well, mended = ({**series, ("up", (("job", "slowpost"),)): 1} for series in (well, mended))
    # After so many minutes of it; and how many minutes after it ended it is over, at the latest.
    fires = {
        "SlowpostDown": (2, 1),
        "SlowpostProblem": (1, 1),
        "SlowpostDeliveryInDoubt": (1, 1),
        "SlowpostDeadLetter": (1, 1),
        "SlowpostAccountOff": (1, 1),
        "SlowpostAccountRests": (200, 240),
        "SlowpostBounces": (2, 1),
        "SlowpostQueueGrows": (16, 1),
    }
    assert {line.split()[-1] for line in RULES.splitlines() if "- alert:" in line} == set(fires)
    told_of = {"SlowpostProblem": 4, "SlowpostDeadLetter": 2}
    expected = []
    for alert, (after, over) in fires.items():
        expected += [(WELL - 1, alert, 0), (WELL + after, alert, told_of.get(alert, 1))]
        expected += [(WELL + ILL + over, alert, 0)]
    # A person may leave an account off.
    expected += [(WELL + 90, "SlowpostAccountOff", 0)]
    names = well.keys() | ill.keys() | mended.keys()
    series = {name: [part.get(name) for part in (well, ill, mended)] for name in names}
    machine.write("etc/prometheus/alerts.yml", RULES)
    machine.write("etc/prometheus/test.yml", json.dumps(a_history(series, expected)))
    code, said = promtool(machine, "test", "rules", "/etc/prometheus/test.yml")
    assert (code, "SUCCESS" in said) == (0, True), said


def test_a_missing_key_and_an_overdue_slot_are_red_within_a_minute_everywhere_and_gone_when_mended(
    sqlite: str, tmp_path: Path, machine: Tree
) -> None:
    with_key, without_key = tmp_path / "with", tmp_path / "without"
    told = tmp_path / "told"
    # By each process: whoever looks first tells.
    tell = f"tee -a {told}"
    lines = f"DATABASE_URL={sqlite}\nMAIL_WINDOW_START=0\nMAIL_WINDOW_END=0\nMAIL_ALERT_COMMAND={tell}\n"
    for folder, key in ((with_key, f"SECRET_KEY={Fernet.generate_key().decode()}\n"), (without_key, "")):
        folder.mkdir()
        (folder / ".env").write_text(lines + key)
    waits, late = a_contact(), a_contact()
    a_template()
    both = {"process waits", "slot overdue"}
    with watched(machine, tmp_path / "web", sqlite, mail_alert_command=tell) as prometheus:
        with working(without_key):
            until(lambda: wrong(without_key) == set() == problems(prometheus), says(without_key, prometheus))
            assert run(with_key, "contacts", "forget", str(a_contact().id)).returncode == 0
            began = time.monotonic()
            assert run(with_key, "send", str(waits.id)).returncode == 0
            slot = {"account": an_account(enabled=False), "send_at": database.now() - dt.timedelta(seconds=50)}
            a_delivery(State.RESERVED, contact=late, token="slot", **slot)
            until(lambda: wrong(without_key) >= both, says(without_key, prometheus))
            until(lambda: problems(prometheus) >= both, says(without_key, prometheus))
            until(lambda: {event for event, _ in alerts(told)} >= both, lambda: str(alerts(told)))
            assert time.monotonic() - began < 60
            shown = run(without_key, "status").stdout.decode()
            assert "is waiting for a person since" in shown
            assert "SECRET_KEY" in shown
            assert "a mail is overdue: its slot was at" in shown
            assert run(with_key, "cancel", str(late.id)).returncode == 0
        # With the key, it goes on with what waited.
        with working(with_key):
            until(lambda: wrong(with_key) == set() == problems(prometheus), says(with_key, prometheus))
            until(lambda: both <= mended(told), lambda: str(alerts(told)))
            until(lambda: state_of(waits) == State.READY, lambda: state_of(waits))


def all_is_well() -> None:
    """Let everything live, and an account be there that sends."""
    for kind in (Kind.WORKER, Kind.SCHEDULER):
        hearts.Heart(kind).beat()
    for job in (Kind.SWEEP, Kind.PUBLISHER):
        hearts.ran(job)
    for _ in range(3):
        an_account()


def nothing_is() -> None:
    """Let everything go wrong that there is an alert for, but what only Prometheus or RabbitMQ can tell."""
    now = database.now()
    minute = dt.timedelta(minutes=1)
    Heartbeat.delete().execute()
    hearts.Heart(Kind.SCHEDULER).beat()
    hearts.ran(Kind.SWEEP)
    Heartbeat.update(since=now - 60 * minute, waits_for="a person", waits_since=now - minute).execute()
    first, second, third = SmtpAccount.select().order_by(SmtpAccount.id)
    SmtpAccount.update(enabled=False).where(SmtpAccount.id == first.id).execute()
    SmtpAccount.update(cooling_until=now + 60 * minute).where(SmtpAccount.id == second.id).execute()
    a_delivery(State.RESERVED, account=third, send_at=now - 2 * minute, token="late")
    a_delivery(State.IN_DOUBT, account=third, token="doubt")
    DeadLetter.create(kind="message", queue="intake", body=b"?", reason="not JSON", created_at=now)
    for _ in range(5):
        bounced = a_delivery(State.SENDING, account=third, token="claim", step=1)
        this = Delivery.id == bounced.id
        transition(State.SENDING, State.BOUNCED, this, cause=Cause.DELIVER, reason=Reason.RECIPIENT_REFUSED)
    DeadLetter.create(kind="delivery", delivery=bounced, reason="fault", created_at=now)


def a_history(
    series: Mapping[tuple[str, tuple[tuple[str, str], ...]], list[float | None]], expected: list[tuple[int, str, int]]
) -> dict[str, object]:
    """Return a test of promtool's: what each series is over the minutes, and how many of which alert fire when."""
    lengths = (WELL, ILL, MENDED)
    given = [
        {
            "series": f"{name}{{{', '.join(f'{label}={json.dumps(value)}' for label, value in labels)}}}",
            "values": " ".join(
                f"_x{length}" if value is None else f"{value:g}+0x{length - 1}"
                for value, length in zip(values, lengths, strict=True)
            ),
        }
        for (name, labels), values in series.items()
    ]
    asked = [
        {
            "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": "{}", "value": number}],
        }
        for minute, alert, number in expected
    ]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": asked}
    return {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": [test]}


@contextmanager
def working(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Let `slowpost run` work in a folder."""
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with start(folder, "run", **nowhere) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def wrong(folder: Path) -> set[str]:
    """Return what is wrong, as `status` says."""
    running = json.loads(run(folder, "status", "--json").stdout)["running"]
    return {problem["problem"] for problem in running["problems"]}


def alerts(file: Path) -> list[tuple[str, str]]:
    """Return what Slowpost has told: event and reason of each."""
    # The command gets an object, without the end of a line.
    lines = file.read_text().replace("}{", "}\n{").splitlines() if file.exists() else []
    return [(told["event"], told["reason"]) for told in map(json.loads, lines)]


def mended(file: Path) -> set[str]:
    """Return what Slowpost has told to be mended."""
    return {reason.partition(": from ")[0] for event, reason in alerts(file) if event == "mended"}


@contextmanager
def watched(machine: Tree, folder: Path, database_url: str, **settings: object) -> Iterator[Prometheus]:
    """Let the web pages be served, from a folder of their own, and Prometheus read their metrics."""
    folder.mkdir()
    with web(folder, database_url, **settings) as here, Prometheus(machine, here.operator_port) as prometheus:
        yield prometheus


def problems(prometheus: Prometheus) -> set[str]:
    """Return what is wrong, as Prometheus tells."""
    return {problem for alert, problem in prometheus.alerts() if alert == "SlowpostProblem"}


def says(folder: Path, prometheus: Prometheus) -> Callable[[], str]:
    return lambda: f"status: {wrong(folder)}, Prometheus: {prometheus.alerts()}"


def state_of(contact: Contact) -> str:
    return str(Delivery.get(Delivery.contact == contact.id).state)

"""`/metrics` of the operator's listener: the figures in the form of Prometheus, read from the database when they are
asked for, so that the work of all processes counts, and any one `slowpost web` can tell it.

Names and units are by Prometheus's rules (prometheus.io/docs/practices/naming): a counter ends in `_total`, times are
in seconds. No label has an address, or a word of a person or a server; an account is told by its id.
Trouble: the database away: 503, so that the scrape has failed and Prometheus's own `up` is 0. RabbitMQ away: its gauge
is 0, and there are no queues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Flask, Response, request
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from pipeline.reports.account_states import AccountState
from pipeline.reports.figures import Figures, figures
from pipeline.runtime.waiting import connected, what_is_away

#: Asks RabbitMQ for the depths of its queues; returns them and why it can't be reached; None: it can, or there is none.
QueueDepths = Callable[[], tuple[Mapping[str, int], str | None]]


def add_to(app: Flask, queue_depths: QueueDepths) -> None:
    """Let the operator's application answer at `/metrics`."""

    @app.get("/metrics")
    def metrics() -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        registry = CollectorRegistry()
        registry.register(_Figures(queue_depths))
        try:
            return Response(encode(registry), content_type=content_type)
        except Exception as error:
            if (away := what_is_away(error)) is None:
                raise
            return Response(f"away: {away}\n", status=503, mimetype="text/plain")


class _Figures(Collector):
    """What a scrape reads."""

    def __init__(self, queue_depths: QueueDepths) -> None:
        self._queue_depths = queue_depths

    def collect(self) -> Iterator[Metric]:
        depths, away = self._queue_depths()
        return families(connected(lambda: figures(depths, away))())


def families(found: Figures) -> Iterator[Metric]:
    """Yield all metrics, each with its samples."""
    yield from _counted(found)
    yield from _deliveries(found)
    yield from _accounts(found)
    yield from _running(found)
    yield from _broker(found)


def _counted(found: Figures) -> Iterator[Metric]:
    changes = CounterMetricFamily(
        "slowpost_delivery_transitions",
        "Deliveries that have come to a state, by the stage (or act) that brought them there, and the reason.",
        labels=["stage", "state", "reason"],
    )
    for change in found.transitions:
        changes.add_metric([change.stage, change.state, change.reason], change.number)
    yield changes
    ended = CounterMetricFamily(
        "slowpost_attempts",
        "SMTP transactions that have ended, by outcome and whose fault that was.",
        labels=["outcome", "charged_to"],
    )
    for attempt in found.attempts:
        ended.add_metric([attempt.outcome, attempt.charged_to], attempt.number)
    yield ended


def _deliveries(found: Figures) -> Iterator[Metric]:
    yield _gauge(
        "slowpost_unfinished_deliveries",
        "Deliveries that have not ended, by state; in_doubt waits for a person.",
        {(row.state,): row.number for row in found.unfinished},
        "state",
    )
    yield _gauge(
        "slowpost_unfinished_delivery_age_seconds",
        "Time since the delivery in this state was changed that has not been for longest.",
        {(row.state,): row.oldest for row in found.unfinished if row.oldest is not None},
        "state",
    )
    yield _gauge("slowpost_slots_overdue", "Mails that nobody took within a minute of their slot.", found.slots_overdue)
    letters = {(str(kind),): number for kind, number in found.dead_letters.items()}
    yield _gauge("slowpost_dead_letters", "Dead letters that wait for a person.", letters, "kind")


def _accounts(found: Figures) -> Iterator[Metric]:
    states = {(str(a.id), state): a.state is state for a in found.accounts for state in AccountState}
    yield _gauge("slowpost_account_state", "1 for the state in which an account is.", states, "account", "state")
    used = {(str(account.id),): account.used for account in found.accounts}
    yield _gauge("slowpost_account_used_mails", "Mails of today's limit that an account has used up.", used, "account")
    limit = {(str(account.id),): account.limit for account in found.accounts}
    yield _gauge("slowpost_account_limit_mails", "Mails that an account may send today.", limit, "account")


def _running(found: Figures) -> Iterator[Metric]:
    yield _gauge(
        "slowpost_problem",
        "1 for what is wrong with the running of the program, as `slowpost status` says it first.",
        {(problem,): there for problem, there in found.problems.items()},
        "problem",
    )
    processes = {(str(kind), str(state)): number for (kind, state), number in found.processes.items()}
    yield _gauge("slowpost_processes", "Processes that have not stopped.", processes, "kind", "state")
    yield _gauge(
        "slowpost_heartbeat_age_seconds",
        "Time since any process of a kind last said that it lives, or a job of the schedule last ran.",
        {(str(kind),): seconds for kind, seconds in found.silence.items()},
        "kind",
    )
    yield _gauge("slowpost_window_open", "1 while mails may be sent by the clock.", found.window_open)
    yield _gauge("slowpost_paused", "1 while everything is paused.", found.paused)


def _broker(found: Figures) -> Iterator[Metric]:
    if found.broker_up is None:
        return
    yield _gauge("slowpost_rabbitmq_up", "1 if the web process reaches RabbitMQ.", found.broker_up)
    queues = {(name,): number for name, number in found.queues.items()}
    yield _gauge("slowpost_queue_messages", "Messages that are ready in a queue of RabbitMQ.", queues, "queue")


def _gauge(name: str, about: str, values: float | Mapping[Any, float], *labels: str) -> GaugeMetricFamily:
    """Return a gauge with one value, or one for each set of its labels' values (a tuple)."""
    if not isinstance(values, Mapping):
        return GaugeMetricFamily(name, about, value=values)
    gauge = GaugeMetricFamily(name, about, labels=labels)
    for its, value in values.items():
        gauge.add_metric(its, value)
    return gauge

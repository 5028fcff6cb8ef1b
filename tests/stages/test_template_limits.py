"""A template that is stopped by a limit costs one delivery each time, and is paused after the third in a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from models import Action, DeadLetter, Delivery, EmailTemplate, Reason, State
from pipeline import render_message, sweep
from pipeline.accounts import alerts
from pipeline.content import renderer
from pipeline.content import template as templates
from pipeline.content.template import TemplateLimitError
from pipeline.flow import TRIGGER, Handoff, Stage
from pipeline.operations import pause
from pipeline.operations.pause import Target
from pipeline.operations.rerender import rerender
from pipeline.operations.trials import check
from pipeline.reports.status import status
from pipeline.reports.why import why
from tests.builders import a_contact, a_delivery, a_template
from tests.conftest import Clock

STOPPED = "text, line 2: it takes longer than 0.1 s of CPU time"


def test_a_delivery_that_is_stopped_fails_with_line_and_limit_and_its_neighbours_go_on(
    any_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(renderer, "_idle", [])
    template = a_template(text="Dear {{ contact.name }}\n{% if contact.name == 'Bob' %}{{ 9 ** (9 ** 9) }}{% endif %}")
    ids = [cleared(template, name) for name in ("Ann", "Bob", "Cid")]

    assert render_message.render(ids) == [Handoff(Stage.RECORD, [ids[1]]), TRIGGER]

    assert [(d.state, d.reason, d.detail) for d in in_order()] == [
        (State.READY, None, None),
        (State.FAILED, Reason.TEMPLATE_LIMIT, STOPPED),
        (State.READY, None, None),
    ]
    assert [(row.reason, row.detail) for row in DeadLetter.select()] == [("template_limit", STOPPED)]
    assert EmailTemplate.get().paused_at is None


def test_the_third_in_a_row_pauses_the_template_and_the_others_wait_until_it_is_resumed(
    any_database: str, clock: Clock, stopped: Stopped
) -> None:
    template, other = a_template(), a_template()
    ids = [cleared(template, "Bob") for _ in range(6)]
    fine = cleared(other, "Ann")

    assert render_message.render(ids[:2]) == [Handoff(Stage.RECORD, ids[:2])]
    assert render_message.render([*ids[2:], fine]) == [Handoff(Stage.RECORD, [ids[2]]), TRIGGER]

    assert [d.state for d in in_order()] == [State.FAILED] * 3 + [State.CLEARED] * 3 + [State.READY]
    reason = f"3 deliveries in a row were stopped by a limit, the last: {STOPPED}"
    assert [(t.id, t.paused, t.note) for t in status({}).templates if t.paused] == [(template.id, True, reason)]
    assert [(a.who, a.verb, a.subject, a.reason) for a in Action.select()] == [
        ("slowpost", "pause", f"template {template.id}", reason)
    ]
    assert stopped.alerts == [("paused by a limit of rendering", template.id)]
    answer = why(Delivery.get_by_id(ids[3]).contact_id)
    assert ([b.reason for b in answer.reasons], answer.earliest) == (["template_paused"], None)

    clock.tick(86_400)
    assert render_message.render(ids) == []
    assert Handoff(Stage.RENDER, ids[3:]) not in [*sweep.sweep(), *sweep.refill()]
    assert len(stopped.tried) == 4

    done = pause.resume(Target(template_id=template.id), "me")
    assert done.handoffs == (Handoff(Stage.RENDER, ids[3:]), TRIGGER)
    assert Handoff(Stage.RENDER, ids[3:]) in sweep.sweep()
    # The row begins anew.
    assert render_message.render(ids[3:5]) == [Handoff(Stage.RECORD, ids[3:5])]
    assert EmailTemplate.get_by_id(template.id).paused_at is None
    render_message.render(ids[5:])
    assert EmailTemplate.get_by_id(template.id).paused_at is not None


def test_one_that_is_rendered_in_between_ends_the_row(sqlite: str, stopped: Stopped) -> None:
    template = a_template()
    names = ["Bob", "Bob", "Ann", "Bob", "Bob", "Ann", "Bob"]
    assert render_message.render([cleared(template, name) for name in names])[-1] == TRIGGER
    assert [d.state for d in in_order()] == [State.READY if name == "Ann" else State.FAILED for name in names]
    assert EmailTemplate.get().paused_at is None


def test_rerender_and_check_end_at_the_third_in_a_row(sqlite: str, stopped: Stopped) -> None:
    template = a_template(text="anew")
    names = ["Ann", "Bob", "Ann", "Bob", "Bob", "Bob", "Ann"]
    for name in names:
        a_delivery(contact=a_contact(name=name), template=template, text="as it was")
        a_contact(name=name)
    with pytest.raises(TemplateLimitError, match="3 in a row were stopped, the rest keeps its words"):
        rerender(template.id, "me")
    assert [d.text for d in in_order()] == ["anew", "as it was", "anew", *["as it was"] * 4]
    assert [(c.tried, len(c.failures)) for c in [check(template.id, 100)]] == [(6, 4)]


def test_a_list_of_large_mails_is_stored_as_it_is_rendered(
    sqlite: str, monkeypatch: pytest.MonkeyPatch, stopped: Stopped
) -> None:
    monkeypatch.setattr(render_message, "_AT_ONCE", 20)
    stored: list[int] = []
    real = render_message.columns
    monkeypatch.setattr(
        render_message, "columns", lambda done, token_of: stored.append(len(done)) or real(done, token_of)
    )
    template = a_template(text="12345")
    render_message.render([cleared(template, "Ann") for _ in range(5)])
    assert stored == [2, 2, 1]
    assert {d.state for d in in_order()} == {State.READY}


class Stopped:
    """Rendering that is stopped for everybody called Bob.

    Attributes:
        tried: for whom it was tried.
        alerts: what somebody was told, and of which template.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried: list[int] = []
        self.alerts: list[tuple[str, Any]] = []
        self._render: Callable[..., Any] = templates.render
        for module in ("pipeline.content.template", "pipeline.operations.trials"):
            monkeypatch.setattr(f"{module}.render", self._stopped)
        monkeypatch.setattr(
            alerts.log, "warning", lambda what, **about: self.alerts.append((what, about.get("template_id")))
        )

    def _stopped(self, template: EmailTemplate, contact: Any, *others: Any) -> Any:
        self.tried.append(contact.id)
        if contact.name == "Bob":
            raise TemplateLimitError(STOPPED)
        return self._render(template, contact, *others)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Stopped:
    """Rendering that is stopped for everybody called Bob."""
    return Stopped(monkeypatch)


def cleared(template: EmailTemplate, name: str) -> int:
    """Store a cleared delivery to somebody of this name; return its id."""
    contact = a_contact(name=name)
    return int(a_delivery(State.CLEARED, contact=contact, template=template, subject=None, text=None).id)


def in_order() -> list[Delivery]:
    """Return all deliveries, by id."""
    return list(Delivery.select().order_by(Delivery.id))

"""`--json` is the report, field for field, and `docs/json.md` says so: same keys always, numbers as numbers, lists as
lists.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import click
import pytest

from models import Attempt, State, database
from models.dead_letter import file_deliveries, file_message
from models.suppression import suppress
from slowpost.cli import COMMANDS, cli
from tests.builders import a_contact, a_delivery, a_template, a_website, an_account
from tests.cli.conftest import Slowpost
from tests.cli.json_page import PAGE, PARTS, REPORTS, item_of, page


def test_the_page_is_what_the_reports_are() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.cli.json_page"


def test_every_command_that_has_json_is_on_the_page() -> None:
    on_page = {" ".join(w for w in command.split() if w.islower()) for part in PARTS.values() for command in part}
    assert on_page & NOT_YET == set()
    assert {" ".join(words) for words in with_json()} == on_page | NOT_YET


@pytest.mark.parametrize("command", REPORTS)
def test_a_report_prints_each_key_with_its_type(furnished: Slowpost, command: str) -> None:
    words = [{"CONTACT": "1", "TEXT": "site", "TEMPLATE_ID": "1", "LETTER_ID": "1"}.get(w, w) for w in command.split()]
    printed = json.loads(furnished(*words, "--json").out)
    assert printed
    assert list(misfits(printed, REPORTS[command], command)) == []


@pytest.mark.parametrize("command", ["status", "plan", "log", "accounts list", "contacts list", "dead list"])
def test_a_report_of_nothing_has_the_same_keys(ready: Slowpost, command: str) -> None:
    printed = json.loads(ready(*command.split(), "--json").out)
    assert list(misfits(printed, REPORTS[command], command)) == []


def test_several_reasons_are_a_list_and_health_is_numbers(furnished: Slowpost) -> None:
    status = json.loads(furnished("status", "--json").out)
    (skipped,) = (row for row in status["deliveries"] if row["state"] == "skipped")
    assert skipped["reason"] == "in_flight,suppressed_address"
    assert skipped["reasons"] == ["in_flight", "suppressed_address"]
    assert [account["health"] for account in status["accounts"]] == [{"accepted": 1, "attempts": 1, "rate": 1.0}]
    assert "100% of 1" in furnished("status").out


def test_the_window_has_the_same_keys_open_and_closed(ready: Slowpost, clock: Any) -> None:
    clock.set(2026, 6, 2, 14)
    opened = json.loads(ready("status", "--json").out)["window"]
    clock.set(2026, 6, 2, 3)
    closed = json.loads(ready("status", "--json").out)["window"]
    assert opened == {"open": True, "closes": "2026-06-02T21:00:00Z", "opens": None}
    assert closed == {"open": False, "closes": None, "opens": "2026-06-02T12:00:00Z"}


#: What does something, and is not on the page yet.
NOT_YET = {
    "accounts add", "accounts import", "accounts set", "accounts test", "cancel", "check-health", "contacts import",
    "init", "publish", "send", "suppress import", "sweep", "templates add", "templates check", "templates preview",
    "templates rerender", "topology migrate", "websites import",
}  # fmt: skip


@pytest.fixture
def furnished(ready: Slowpost) -> Slowpost:
    """A database in which each report has something to say, and most fields are filled in."""
    with database.connection():
        now = database.now()
        contact = a_contact(website=a_website(extra={"pages": 3}), extra={"topic": "bees"}, last_contacted_at=now)
        account = an_account(enabled_at=now, warmup_start=1, warmup_step=2, warmup_on=dt.date(2026, 6, 1))
        template = a_template(html="<p>Hello</p>")
        suppress("address", [contact.address], "asked", now)
        two = "in_flight,suppressed_address"
        a_delivery(State.SKIPPED, contact=contact, template=template, reason=two)
        sent = a_delivery(State.SENT, contact=contact, reason="accepted", sent_at=now)
        doubtful = a_delivery(State.IN_DOUBT, account=account, message_id="<1@x.test>", detail="no reply")
        a_delivery(State.READY)
        failed = a_delivery(State.FAILED, reason="fault")
        for delivery, outcome, code in ((sent, "accepted", 250), (doubtful, "in_doubt", None)):
            Attempt.create(
                delivery=delivery, account=account, token=outcome, outcome=outcome, charged_to="nobody",
                claimed_at=now, finished_at=now, local_on=now.date(), reply_code=code,
            )  # fmt: skip
        file_message("intake", b"\xff{", "the body is not JSON", now, message_id="m1")
        file_deliveries({failed.id: ("fault", "KeyError")}, now)
    return ready


def with_json() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command that takes `--json`."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)  # type: ignore[arg-type]
        inner = {(name, sub): found for sub, found in getattr(command, "commands", {}).items()}
        for words, found in {(name,): command, **inner}.items():
            if any("--json" in option.opts for option in found.params):
                yield words


def misfits(value: Any, kind: Any, where: str) -> Iterator[str]:
    """Yield what of a JSON value is not as its type says."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if value is not None:
            yield from misfits(value, next(k for k in typing.get_args(kind) if k is not type(None)), where)
    elif typing.get_origin(kind) in (list, tuple):
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no list"
        else:
            for inner in value:
                yield from misfits(inner, item_of(kind), f"{where}[]")
    elif dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if list(value) != [field.name for field in dataclasses.fields(kind)]:
            yield f"{where}: {list(value)}"
        for name, inner in value.items():
            yield from misfits(inner, hints[name], f"{where}.{name}")
    elif not is_a(value, kind):
        yield f"{where}: {value!r} is no {kind}"


def is_a(value: Any, kind: Any) -> bool:
    """Tell whether a JSON value is a plain one of a type."""
    if kind is dt.datetime:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value))
    if kind is dt.date:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value))
    if kind in (int, float):
        return isinstance(value, kind) and not isinstance(value, bool)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return value in list(kind)
    return isinstance(value, dict if typing.get_origin(kind) is Mapping else kind)

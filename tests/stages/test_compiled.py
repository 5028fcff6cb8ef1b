"""A query that is compiled once says the same as one that is compiled each time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from peewee import SQL

from models import Attempt, Campaign, Contact, Delivery, Outcome, SmtpAccount, State, Website, database
from models.base import within
from models.compiled import Parameter, among, asked_together, compiled, given
from models.database import db
from tests.builders import a_campaign, a_contact, a_delivery, a_template, a_website, an_account
from tests.conftest import Clock


def test_each_run_has_its_own_values_converted_like_those_of_the_query_itself(any_database: str, clock: Clock) -> None:
    account = an_account()
    slots = [
        a_delivery(State.RESERVED, account=account, token=f"token {n}", send_at=clock.at + n * HOUR, priority=n)
        for n in range(3)
    ]
    for hours, low in ((0, 0), (1, 2), (1, 0), (9, 0)):
        before = clock.at + hours * HOUR
        found = _slots_before(True).rows(before=before, low=low)
        assert found == list(_slots(before, low))
        assert [(row.id, row.send_at) for row in found] == [(d.id, d.send_at) for d in slots[low:hours]]


def test_it_is_compiled_once_for_each_shape_and_kind_of_database(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        assert _slots_before(True).rows(before=clock.at, low=0) == []
        assert _slots_before(False).rows(low=0) == []
    monkeypatch.setattr(type(db.obj), "get_sql_context", None)
    assert _slots_before(True).rows(before=clock.at, low=1) == []
    assert _slots_before(False).rows(low=1) == []


def test_a_list_is_one_value_however_long_it_is(any_database: str) -> None:
    ids = [a_delivery(State.READY).id for _ in range(3)]
    for wanted in ([], ids[1:], {*ids, 99}, range(10_000)):
        assert [row.id for row in _of_ids().rows(ids=wanted)] == [i for i in ids if i in wanted]


def test_a_value_that_is_not_given_is_an_error(any_database: str, clock: Clock) -> None:
    with pytest.raises(KeyError, match="before"):
        _slots_before(True).rows(low=0)


def test_what_is_asked_together_is_what_each_query_says(any_database: str, clock: Clock) -> None:
    rows_of_all_kinds(clock.at)
    models = (SmtpAccount, Campaign, Contact, Website, Attempt, Delivery)
    asked = [_with_ids(model).asks(least=least) for model in models for least in (0, 99)]
    by_themselves = [list(map(content, question.rows())) for question in asked]

    with asked_together(asked):
        assert [list(map(content, question.rows())) for question in asked] == by_themselves

    assert [len(rows) for rows in by_themselves] == [1, 0, 1, 0, 2, 0, 1, 0, 1, 0, 2, 0]


def test_what_was_asked_together_is_not_asked_again_and_all_else_is(postgres: str) -> None:
    asked = _with_ids(Website).asks(least=1)
    a_website(title="before")
    asked.rows()
    with asked_together([asked]):
        Website.update(title="after").execute()
        before = database.now()
        assert [row.title for row in _with_ids(Website).rows(least=1)] == ["before"]
        assert [row.title for row in _with_ids(Website).rows(least=0)] == ["after"]
        assert database.now() == before
    assert [row.title for row in asked.rows()] == ["after"]
    assert database.now() > before


def test_what_is_written_is_what_the_query_itself_would_write(any_database: str, clock: Clock) -> None:
    account, delivery = an_account(), a_delivery(State.SENT)
    for column, first, second in (
        ("claimed_at", clock.at, clock.at + HOUR),
        ("local_on", clock.at.date(), None),
        ("text", SIGNS, ""),
        ("outcome", Outcome.OPEN, Outcome.FAILED),
        ("account", account, account.id),
    ):
        own = {"delivery": delivery.id, "account": account.id, "outcome": Outcome.OPEN}
        made = Attempt.create(**own | {column: first})
        with database.transaction():
            _insert(tuple({**own, column: first})).later(**own | {column: first})
        last = Attempt.select().order_by(Attempt.id.desc()).get()
        assert content(last) | {"id": 0} == content(Attempt.get_by_id(made.id)) | {"id": 0}

        Attempt.update({column: second}).where(Attempt.id == made.id).execute()
        with database.transaction():
            _update((column,)).later(id=last.id, **{column: second})
        assert content(Attempt.get_by_id(last.id)) | {"id": 0} == content(Attempt.get_by_id(made.id)) | {"id": 0}


def test_a_query_within_others_is_compiled_once(any_database: str) -> None:
    compiled_so_often = 0

    class Innermost(SQL):  # type: ignore[misc]  # peewee's types are skipped
        def __sql__(self, context: Any) -> Any:
            nonlocal compiled_so_often
            compiled_so_often += 1
            return super().__sql__(context)

    def sql(among_these: Callable[[Any, Any], Any]) -> tuple[str, Any]:
        inner = Contact.select(Contact.id).where(Contact.name == Innermost("'x'"))
        middle = Delivery.select(Delivery.id).where(among_these(Delivery.contact, inner))
        found: tuple[str, Any] = Attempt.select().where(among_these(Attempt.delivery, middle)).sql()
        return found

    assert sql(within) == sql(lambda column, query: column.in_(query))
    assert compiled_so_often == 1 + 4


HOUR = dt.timedelta(hours=1)


@compiled
def _insert(names: tuple[str, ...]) -> Any:
    return Attempt.insert(**given(Attempt, names))


@compiled
def _update(names: tuple[str, ...]) -> Any:
    return Attempt.update(**given(Attempt, names)).where(Attempt.id == Parameter("id"))


@compiled
def _slots_before(has_end: bool) -> Any:
    return _slots(Parameter("before") if has_end else None, Parameter("low"))


@compiled
def _of_ids() -> Any:
    return Delivery.select(Delivery.id).where(among(Delivery.id, "ids")).order_by(Delivery.id)


@compiled
def _with_ids(model: Any) -> Any:
    return model.select().where(model.id >= Parameter("least")).order_by(model.id)


def content(row: Any) -> Any:
    """Return all that a row has, each value with its type."""
    return {name: (type(value), value) for name, value in row.__data__.items()}


def rows_of_all_kinds(at: dt.datetime) -> None:
    """Store rows with values of all types: points in time, dates, truths, numbers, JSON, and words of all signs."""
    account = an_account(warmup_on=at.date(), cooling_until=at + dt.timedelta(microseconds=1), signature=SIGNS)
    campaign = a_campaign((0, [a_template()]), starts_on=at.date(), daily_limit=7)
    contact = a_contact(website=a_website(extra={"a": [1, None, SIGNS]}), extra={}, name=SIGNS)
    delivery = a_delivery(State.SENT, contact=contact, text=SIGNS, campaign=campaign, account=account)
    a_delivery(State.RESERVED, account=account, send_at=at, token="slot")
    Attempt.create(delivery=delivery, account=account, outcome="open", claimed_at=at, local_on=at.date())


SIGNS = "Zoë \\ \"quoted\" 'single'\t\r\n%s {} \u2028 \U0001f600 "


def _slots(before: Any, low: Any) -> Any:
    """Return the query of the deliveries of a priority from `low` whose slot is before `before`."""
    query = Delivery.select(Delivery.id, Delivery.send_at).where(Delivery.priority >= low)
    if before is not None:
        query = query.where(Delivery.send_at < before)
    return query.order_by(Delivery.id).namedtuples()

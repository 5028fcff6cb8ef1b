"""A query that is compiled once says the same as one that is compiled each time."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from models import Delivery, State
from models.compiled import Parameter, among, compiled
from models.database import db
from tests.builders import a_delivery, an_account
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


HOUR = dt.timedelta(hours=1)


@compiled
def _slots_before(has_end: bool) -> Any:
    return _slots(Parameter("before") if has_end else None, Parameter("low"))


@compiled
def _of_ids() -> Any:
    return Delivery.select(Delivery.id).where(among(Delivery.id, "ids")).order_by(Delivery.id)


def _slots(before: Any, low: Any) -> Any:
    """Return the query of the deliveries of a priority from `low` whose slot is before `before`."""
    query = Delivery.select(Delivery.id, Delivery.send_at).where(Delivery.priority >= low)
    if before is not None:
        query = query.where(Delivery.send_at < before)
    return query.order_by(Delivery.id).namedtuples()

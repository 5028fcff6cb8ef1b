"""Many rows as one value of a query, which PostgreSQL and SQLite write differently."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import peewee

from models.database import db, is_postgres, send_later
from models.utc import UTCDateTimeField


class Conflict(StrEnum):
    """What becomes of a row that is to be inserted where there is one like it already."""

    RAISES = ""
    DOES_NOTHING = "nothing"
    #: The one with the same id gets all values of the new one.
    UPDATES = "update"


def together(*columns: Any) -> Any:
    """Return the expression that puts the columns of a row into one value; `values_of` reads it."""
    return getattr(peewee.fn, "json_build_array" if is_postgres() else "json_array")(*columns)


def collected(*columns: Any) -> Any:
    """Return the expression that collects a query's rows into one value; `rows_of` reads it."""
    return getattr(peewee.fn, "json_agg" if is_postgres() else "json_group_array")(together(*columns))


def rows_of(value: Any) -> list[list[Any]]:
    """Return the rows of such a value, in no order."""
    return values_of(value)


def values_of(value: Any) -> list[Any]:
    """Return the values of the columns that `together` has put into one."""
    return (json.loads(value) if isinstance(value, str) else value) or []


def insert(
    model: Any,
    rows: Sequence[Mapping[str, Any]],
    common: Mapping[str, Any] | None = None,
    *,
    conflict: Conflict = Conflict.RAISES,
    returning: Sequence[str] = (),
) -> list[Any]:
    """Insert rows in one statement, whose SQL does not grow with them: with a placeholder for each value, peewee and
    the driver take several times as long to write it as the database takes to store the rows.

    Args:
        model: of the rows.
        rows: values by names of the model's fields, each with the same ones.
        common: what all rows have.
        conflict: what becomes of a row that is there already.
        returning: names of columns.

    Returns:
        These columns' values of each row that was inserted or updated, in no order.
    """
    if not rows:
        return []
    sql, values = _statement(model, rows, common or {}, conflict)
    if returning:
        sql += f" RETURNING {', '.join(map(_quoted, returning))}"
    cursor = db.execute_sql(sql, values)
    return list(cursor.fetchall()) if returning else []


def insert_later(model: Any, rows: Sequence[Mapping[str, Any]], common: Mapping[str, Any] | None = None) -> None:
    """Insert rows likewise, along with the next statement of this transaction (`database.later`)."""
    if rows:
        send_later(*_statement(model, rows, common or {}, Conflict.RAISES))


def _statement(
    model: Any, rows: Sequence[Mapping[str, Any]], common: Mapping[str, Any], conflict: Conflict
) -> tuple[str, tuple[str]]:
    """Return the SQL that inserts rows, and the values of its placeholders."""
    meta = model._meta
    of_all = {name: value for name, value in meta.get_default_dict().items() if name not in rows[0]}
    of_all |= {name: _text(value) if isinstance(value, dt.date) else value for name, value in common.items()}
    column_of = {name: meta.fields[name].column_name for name in (*rows[0], *of_all)}
    columns = tuple(column_of.values())
    renamed = [(column, name) for name, column in column_of.items() if name != column]
    given = [{**row, **of_all, **{column: row[name] for column, name in renamed}} for row in rows]
    sql = f"INSERT INTO {_quoted(meta.table_name)} ({', '.join(map(_quoted, columns))}) {_select(meta, columns)}"
    match conflict:
        case Conflict.DOES_NOTHING:
            sql += " ON CONFLICT DO NOTHING"
        case Conflict.UPDATES:
            update = ", ".join(f"{_quoted(name)} = EXCLUDED.{_quoted(name)}" for name in columns if name != "id")
            sql += f' ON CONFLICT ("id") DO UPDATE SET {update}'
    return sql, (json.dumps(given, ensure_ascii=False, default=_text),)


def _select(meta: Any, columns: Sequence[str]) -> str:
    """Return the query that reads the rows from its parameter."""
    if is_postgres():
        names = ", ".join(map(_quoted, columns))
        return f"SELECT {names} FROM json_populate_recordset(NULL::{_quoted(meta.table_name)}, %s)"  # noqa: S608
    values = ", ".join(f"json_extract(value, '$.{name}')" for name in columns)
    # Without a condition, SQLite would take ON for a join's (sqlite.org/lang_upsert.html, "Parsing Ambiguity").
    return f"SELECT {values} FROM json_each(?) WHERE true"  # noqa: S608


def _quoted(name: str) -> str:
    return f'"{name}"'


def _text(value: dt.date) -> str:
    """Return a point in time, or a date, as the database reads it."""
    if not isinstance(value, dt.datetime):
        return value.isoformat()
    stored = UTCDateTimeField().db_value(value)
    return stored.isoformat() if isinstance(stored, dt.datetime) else str(stored)

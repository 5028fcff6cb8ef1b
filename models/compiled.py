"""Queries whose SQL does not change: compiled once for each kind of database, then only bound.

Reads: what the query selects. peewee compiles a query each time it runs; for a large one that takes longer than the
database needs to answer it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import peewee

from models.database import db, is_postgres


def _unchanged(value: Any) -> Any:
    return value


class Parameter(peewee.ColumnBase):  # type: ignore[misc]  # peewee's types are skipped (setup.cfg)
    """A value of a compiled query that is given each time it runs; it stands where the value itself would.

    Args:
        name: of the argument of `Compiled.rows`.
        convert: makes of the value what the driver is given; None: as the field does that the value is compared with.
    """

    def __init__(self, name: str, *, convert: Callable[[Any], Any] | None = None) -> None:
        self._name = name
        self._convert = convert

    def __sql__(self, context: Any) -> Any:
        """Put a placeholder into the SQL."""
        return context.value(_Place(self._name, self._convert or context.state.converter), converter=False)


def as_it_is(name: str) -> Parameter:
    """Return the parameter whose value the driver is given unchanged."""
    return Parameter(name, convert=_unchanged)


def among(column: Any, name: str) -> Any:
    """Return the condition that a column's value is one of a list, which is the value of one parameter however long it
    is.
    """
    if is_postgres():
        return column == peewee.fn.ANY(Parameter(name, convert=list))
    each = peewee.fn.json_each(Parameter(name, convert=_as_json))
    return column.in_(peewee.Select([each], [peewee.SQL("value")]))


def _as_json(values: Any) -> str:
    return json.dumps(list(values))


@dataclass(frozen=True)
class _Place:
    """Where in the values of a compiled query an argument goes."""

    name: str
    convert: Callable[[Any], Any] | None

    def value(self, arguments: dict[str, Any]) -> Any:
        given = arguments[self.name]
        return self.convert(given) if self.convert else given


class Compiled:
    """The SQL of a SELECT with `Parameter`s, and what reads its rows."""

    def __init__(self, query: Any) -> None:
        self._sql, self._values = db.get_sql_context().sql(query).query()
        self._query = query
        self._read: Callable[[Any], Any] | None = None

    def rows(self, **arguments: Any) -> list[Any]:
        """Run it with a value for each of its parameters; return the rows, as the query itself would."""
        values = [v.value(arguments) if isinstance(v, _Place) else v for v in self._values]
        cursor = db.execute_sql(self._sql, values)
        read = self._read = self._read or self._reader(cursor)
        return [read(row) for row in cursor.fetchall()]

    def first(self, **arguments: Any) -> Any:
        """Run it; return the first of the rows, None if there is none."""
        return next(iter(self.rows(**arguments)), None)

    def _reader(self, cursor: Any) -> Callable[[Any], Any]:
        """Return what peewee reads a row of the query with: it needs to see the columns once, and then no cursor."""
        reader = self._query._get_cursor_wrapper(cursor)
        reader.initialize()
        reader.cursor = None
        read: Callable[[Any], Any] = reader.process_row
        return read


def compiled(build: Callable[..., Any]) -> Callable[..., Compiled]:
    """Compile what `build` returns, once for each kind of database and each set of its arguments.

    Args:
        build: returns a query with `Parameter`s; its arguments are what its SQL depends on.
    """
    made: dict[tuple[Hashable, ...], Compiled] = {}

    def get(*shape: Hashable) -> Compiled:
        key = (is_postgres(), *shape)
        if key not in made:
            made[key] = Compiled(build(*shape))
        return made[key]

    return get

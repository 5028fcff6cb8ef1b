"""Queries whose SQL does not change: compiled once for each kind of database, then only bound.

Reads: what the query selects. Writes: what it sets (`given`). peewee compiles a query each time it runs; for a large
one that takes longer than the database needs to answer it. Several that are going to be asked can be asked in one
request (`asked_together`), and what is written travels with the next (`later`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import peewee

from models import database
from models.database import db, is_postgres

#: Columns of a query that can be asked together with others: as many as PostgreSQL's functions have arguments.
MOST_COLUMNS = 100
#: For each thread: questions that were asked together, with their answers.
_thread = threading.local()


def _unchanged(value: Any) -> Any:
    return value


class Parameter(peewee.ColumnBase):  # type: ignore[misc]  # peewee's types are skipped (setup.cfg)
    """A value of a compiled query that is given each time it runs; it stands where the value itself would.

    Args:
        name: of the argument of `Compiled.rows` or `later`.
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


def given(model: Any, names: Iterable[str]) -> dict[str, Parameter]:
    """Return what an INSERT or UPDATE of a model sets these fields to: of each the parameter of its name, whose value
    is stored as the field stores it.
    """
    return {name: Parameter(name, convert=model._meta.fields[name].db_value) for name in names}


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
    """The SQL of a query with `Parameter`s, and of a SELECT what reads its rows."""

    def __init__(self, query: Any) -> None:
        self.sql, self._values = db.get_sql_context().sql(query).query()
        self._query = query
        self._read: Callable[[Any], Any] | None = None
        #: Of its rows; 0: it has not been asked yet.
        self.columns = 0

    def rows(self, **arguments: Any) -> list[Any]:
        """Run it with a value for each of its parameters; return the rows, as the query itself would.

        What was asked together with others is not asked again.
        """
        question = self.asks(**arguments)
        for asked, answer in getattr(_thread, "answers", ()):
            if asked == question and self._read is not None:
                return [self._read(row) for row in answer]
        cursor = db.execute_sql(self.sql, question.values)
        read = self._read = self._read or self._reader(cursor)
        return [read(row) for row in cursor.fetchall()]

    def asks(self, **arguments: Any) -> Question:
        """Return it with a value for each of its parameters, to be asked together with others."""
        return Question(self, arguments)

    def later(self, **arguments: Any) -> None:
        """Run it for what it writes or locks, along with the next statement of this transaction (`database.later`). In
        SQLite there is nothing to lock: it has locked all there is already.
        """
        if is_postgres() or not isinstance(self._query, peewee.SelectBase):
            database.send_later(self.sql, self.bind(arguments))

    def bind(self, arguments: dict[str, Any]) -> list[Any]:
        """Return the values of its placeholders."""
        return [v.value(arguments) if isinstance(v, _Place) else v for v in self._values]

    def first(self, **arguments: Any) -> Any:
        """Run it; return the first of the rows, None if there is none."""
        return next(iter(self.rows(**arguments)), None)

    def _reader(self, cursor: Any) -> Callable[[Any], Any]:
        """Return what peewee reads a row of the query with: it needs to see the columns once, and then no cursor."""
        reader = self._query._get_cursor_wrapper(cursor)
        reader.initialize()
        self.columns = len(cursor.description)
        reader.cursor = None
        read: Callable[[Any], Any] = reader.process_row
        return read


@dataclass(frozen=True)
class Question:
    """A compiled query with its arguments."""

    compiled: Compiled
    arguments: dict[str, Any]

    def rows(self) -> list[Any]:
        """Ask it; return the rows."""
        return self.compiled.rows(**self.arguments)

    def first(self) -> Any:
        """Ask it; return the first of the rows, None if there is none."""
        return next(iter(self.rows()), None)

    @property
    def values(self) -> list[Any]:
        """The values of its placeholders."""
        return self.compiled.bind(self.arguments)


@contextmanager
def asked_together(questions: Sequence[Question]) -> Iterator[None]:
    """Ask several questions and the clock in one request, one statement, with what waits before it (`database.later`).

    Within the block `rows` with the same arguments, and `database.now`, have their answers from there. Whatever else is
    asked is asked by itself; so is what this process has never asked before. (SQLite, where there are no round trips:
    all is asked by itself.)
    """
    known = [question for question in questions if 0 < question.compiled.columns <= MOST_COLUMNS]
    if not is_postgres() or not known:
        yield
        return
    values = [value for question in known for value in question.values]
    sql = f"SELECT clock_timestamp(), {', '.join(_as_one_value(question.compiled) for question in known)}"
    at, *answers = db.execute_sql(sql, values).fetchone()
    _thread.answers = [(question, rows or []) for question, rows in zip(known, answers, strict=True)]
    try:
        with database.clock_stands(at):
            yield
    finally:
        _thread.answers = ()


def _as_one_value(query: Compiled) -> str:
    """Return the SQL whose one value has all rows of a query, in their order."""
    columns = ", ".join(f"c{number}" for number in range(query.columns))
    return f"(SELECT json_agg(json_build_array({columns})) FROM ({query.sql}) AS asked ({columns}))"  # noqa: S608


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

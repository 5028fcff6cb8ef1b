"""What every table has in common."""

from __future__ import annotations

from typing import Any

import peewee

from models.database import db


class Base(peewee.Model):  # type: ignore[misc]  # peewee's types are skipped (setup.cfg)
    """A table of Slowpost, bound to the one database."""

    class Meta:
        """Bind to the proxy; `created_at` and the like are set by the code that writes the row."""

        database = db
        legacy_table_names = False


def insert_new(model: Any, **values: Any) -> int | None:
    """Insert a row; return its id, or None where a key of it is taken."""
    # Read to its end: SQLite's transaction can't be committed before that.
    added = list(model.insert(**values).on_conflict(action="nothing").returning(model.id).execute())
    return int(added[0].id) if added else None


class _Within(peewee.Expression):  # type: ignore[misc]  # as above
    def _is_rhs_empty(self, rhs: Any, ctx: Any) -> bool:  # noqa: ARG002  (peewee's)
        return False


def within(column: Any, query: Any) -> Any:
    """Return the condition that a column's value is one of those that a query selects.

    As `column.in_(query)`, for which peewee compiles the query twice, once to see whether it is an empty list: so four
    times what stands in a query within it.
    """
    return _Within(column, peewee.OP.IN, query)


def one_of(enum: Any) -> str:
    """Return an SQL list of the members of `enum` (a StrEnum or an iterable of its members), for an index's WHERE."""
    return ", ".join(f"'{member}'" for member in enum)

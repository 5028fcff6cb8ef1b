"""Many rows as one value of a query, which PostgreSQL and SQLite write differently."""

from __future__ import annotations

import json
from typing import Any

import peewee

from models.database import is_postgres


def collected(*columns: Any) -> Any:
    """Return the expression that collects a query's rows into one value; `rows_of` reads it."""
    kind, rows = ("json_build_array", "json_agg") if is_postgres() else ("json_array", "json_group_array")
    return getattr(peewee.fn, rows)(getattr(peewee.fn, kind)(*columns))


def rows_of(value: Any) -> list[list[Any]]:
    """Return the rows of such a value, in no order."""
    return (json.loads(value) if isinstance(value, str) else value) or []

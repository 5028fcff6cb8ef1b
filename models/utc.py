"""How a point in time is stored."""

from __future__ import annotations

import datetime as dt

import peewee

from models.database import is_postgres


class UTCDateTimeField(peewee.Field):  # type: ignore[misc]  # peewee's types are skipped (setup.cfg)
    """A point in time, always an aware UTC datetime in Python.

    PostgreSQL keeps it as `timestamptz`; SQLite as text of fixed width, so that its order is the order of time.
    """

    field_type = "TIMESTAMPTZ"

    def db_value(self, value: dt.datetime | None) -> dt.datetime | str | None:
        """Return what the driver is given. Raises ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone can't be stored: {value!r}")
        value = value.astimezone(dt.UTC)
        return value if is_postgres() else value.replace(tzinfo=None).isoformat(" ", "microseconds")

    def python_value(self, value: dt.datetime | str | None) -> dt.datetime | None:
        """Return an aware UTC datetime for what the driver gave."""
        if value is None:
            return None
        if isinstance(value, str):
            # SQLite's has no zone, PostgreSQL's in JSON that of the session.
            read = dt.datetime.fromisoformat(value)
            return read.replace(tzinfo=dt.UTC) if read.tzinfo is None else read.astimezone(dt.UTC)
        return value.astimezone(dt.UTC)

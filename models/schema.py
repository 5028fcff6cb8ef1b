"""Create or migrate the tables."""

from __future__ import annotations

from .control import ONLY, Control
from .database import db, transaction


def migrate() -> list[str]:
    """Bring the tables to this version and return the names of the migrations that were run; none if nothing was to do."""
    from . import TABLES

    with transaction():
        db.create_tables(TABLES)
        Control.insert(id=ONLY).on_conflict(action="nothing").execute()
    return []

"""Whether this process has what it needs: the database, at this version, and RabbitMQ. Reads only."""

from __future__ import annotations

from collections.abc import Callable

import peewee

from models import database, schema
from models.schema import NotMigratedError
from pipeline.watch.problems import RABBITMQ


def missing(broker_away: Callable[[], str | None]) -> tuple[str, ...]:
    """Return what is missing, in a word or two each; nothing where all is there.

    Args:
        broker_away: asks RabbitMQ, and returns why it can't be reached; None: it can, or there is none.
    """
    found = []
    try:
        with database.connection():
            schema.check_migrated()
    except NotMigratedError:
        found.append("migrations")
    except peewee.PeeweeException:
        database.discard_connection()
        found.append("database")
    if broker_away() is not None:
        found.append(RABBITMQ)
    return tuple(found)

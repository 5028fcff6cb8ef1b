"""What the stages' tests have in common: a mail server, and a look at what PostgreSQL is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from models import database
from models.database import db
from pipeline import deliver_message
from tests.smtp_server import ScriptedServer
from tests.wire import PostgresWire


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that takes everything; connections to it are closed afterwards."""
    with ScriptedServer() as running:
        yield running
        deliver_message.connections.close()


@pytest.fixture
def wire(postgres: str, configure: Callable[..., None]) -> Iterator[PostgresWire]:
    """A connection to PostgreSQL on which each request is seen; the window is always open, the clock the real one."""
    configure(mail_window_start=0, mail_window_end=0)
    port = db.obj.connect_params["port"]
    db.obj.close_all()
    with PostgresWire(port) as seen:
        database.connect(re.sub(rf":{port}/", f":{seen.port}/", postgres) + "?sslmode=disable&gssencmode=disable")
        with database.connection():
            yield seen
        db.obj.close_all()

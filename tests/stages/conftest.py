"""What the stages' tests have in common: a mail server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline import deliver_message
from tests.smtp_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that takes everything; connections to it are closed afterwards."""
    with ScriptedServer() as running:
        yield running
        deliver_message.connections.close()

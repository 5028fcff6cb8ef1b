"""What tests of the dialogue need: connections that are closed afterwards, a certificate, the server's side of TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.smtp.pool import Connections
from tests.certificates import a_certificate


@pytest.fixture
def connections() -> Iterator[Connections]:
    """Connections that are closed afterwards."""
    made = Connections()
    yield made
    made.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1 that nobody trusts yet, with its key."""
    return a_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context

"""`slowpost web`, really started, and mails whose links lead to it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models import Delivery, State, database
from pipeline.content.consent import PATH
from pipeline.operations import unsubscribe
from tests.builders import a_contact, a_delivery, a_website
from tests.cli.test_process import start
from tests.cli.test_web_process import ask, free_ports


@dataclass(frozen=True)
class Web:
    """Where it listens.

    Attributes:
        port: for everybody.
        operator_port: for the operator.
    """

    port: int
    operator_port: int

    @property
    def url(self) -> str:
        """What its URLs begin with."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def web(folder: Path, database_url: str, **settings: object) -> Iterator[Web]:
    """Start it in a folder, with these settings."""
    here = Web(*free_ports(2))
    lines = {
        "DATABASE_URL": database_url,
        "MAIL_PUBLIC_URL": "https://localhost",
        "MAIL_POSTAL_ADDRESS": "Example Ltd, 1 Long Road, 12345 Town",
        "MAIL_WEB_LISTEN": f"127.0.0.1:{here.port}",
        "MAIL_WEB_OPERATOR_LISTEN": f"127.0.0.1:{here.operator_port}",
    } | {name.upper(): value for name, value in settings.items()}
    (folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in lines.items()))
    unsubscribe.make_key()
    with start(folder, "web") as process:
        try:
            assert ask(f"{here.url}/health") == (200, b"ok\n")
            yield here
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def a_mail() -> Delivery:
    """Store a mail that was sent to somebody of a company."""
    person = a_contact(email="ann@acme.test", website=a_website(domain="acme.test"))
    return a_delivery(State.SENT, contact=person, sent_at=database.now())


def path_of(delivery_id: int) -> str:
    """Return the path of a mail's link."""
    return PATH + unsubscribe.tokens().of(delivery_id)

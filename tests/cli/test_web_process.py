"""The web pages as a process: they need no broker, and end when they are told to."""

from __future__ import annotations

import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from models import Delivery, OptOut, State, Suppression, database
from pipeline.operations import unsubscribe
from pipeline.runtime import failpoints
from tests.builders import a_contact, a_delivery
from tests.cli.test_process import run, start


@pytest.mark.parametrize("command", ["web", "run"])
def test_a_recipient_unsubscribes_while_rabbitmq_is_away(sqlite: str, tmp_path: Path, command: str) -> None:
    listens, operator = free_ports(2)
    settings = f"DATABASE_URL={sqlite}\nBROKER_URL=amqp://127.0.0.1:{free_ports(1)[0]}/x\n"
    settings += f"MAIL_PUBLIC_URL=https://mail.test\nMAIL_WEB_LISTEN=127.0.0.1:{listens}\n"
    (tmp_path / ".env").write_text(f"{settings}MAIL_WEB_OPERATOR_LISTEN=127.0.0.1:{operator}\n")
    unsubscribe.make_key()
    person = a_contact()
    sent = a_delivery(State.SENT, contact=person, sent_at=database.now())
    waits = a_delivery(State.READY, contact=person)
    token = unsubscribe.tokens().of(sent.id)

    with start(tmp_path, command) as process:
        assert ask(f"http://127.0.0.1:{operator}/health") == (200, b"ok\n")
        assert ask(f"http://127.0.0.1:{operator}/ready") == (503, b"missing: RabbitMQ\n")
        assert ask(f"http://127.0.0.1:{listens}/u/{token}", b"List-Unsubscribe=One-Click")[0] == 200
        assert ask(f"http://127.0.0.1:{listens}/u/{token}x", b"List-Unsubscribe=One-Click")[0] == 404
        second = run(tmp_path, "web")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)

    assert (process.returncode, token.encode() in log) == (0, False)
    assert (second.returncode, second.stdout) == (1, b"")
    assert second.stderr.startswith(f"slowpost: 127.0.0.1:{listens} can't be listened on".encode())
    assert (Delivery.get_by_id(waits.id).state, OptOut.select().count()) == (State.CANCELLED, 1)


def test_a_web_process_that_dies_before_its_commit_leaves_nothing_half_done(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listens, operator = free_ports(2)
    settings = f"DATABASE_URL={sqlite}\nMAIL_PUBLIC_URL=https://mail.test\nMAIL_WEB_LISTEN=127.0.0.1:{listens}\n"
    (tmp_path / ".env").write_text(f"{settings}MAIL_WEB_OPERATOR_LISTEN=127.0.0.1:{operator}\n")
    unsubscribe.make_key()
    waits = a_delivery(State.READY)
    link = f"http://127.0.0.1:{listens}/u/{unsubscribe.tokens().of(waits.id)}"
    (tmp_path / "armed").mkdir()
    monkeypatch.setenv(failpoints.VARIABLE, str(tmp_path / "armed"))
    (tmp_path / "armed" / "unsubscribe:wrote").write_text("kill")

    with start(tmp_path, "web") as first:
        assert ask(f"http://127.0.0.1:{operator}/health") == (200, b"ok\n")
        with pytest.raises(OSError):
            urllib.request.urlopen(link, b"List-Unsubscribe=One-Click", timeout=10)
    half = (Delivery.get().state, OptOut.select().count(), Suppression.select().count())
    with start(tmp_path, "web") as second:
        assert ask(link, b"List-Unsubscribe=One-Click")[0] == 200
        second.terminate()

    assert (first.returncode, half) == (-signal.SIGKILL, (State.READY, 0, 0))
    assert (Delivery.get().state, OptOut.select().count(), Suppression.select().count()) == (State.CANCELLED, 1, 1)


def ask(url: str, data: bytes | None = None) -> tuple[int, bytes]:
    """Return status and body of an answer; wait until somebody listens."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, data, timeout=10) as answer:  # noqa: S310  (our own)
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.05)


def free_ports(number: int) -> list[int]:
    """Return ports on loopback on which nobody listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports

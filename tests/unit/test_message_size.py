"""Large messages: one that the server won't take is not offered, and one that it takes slowly has the time it needs."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from pipeline.content.message import Envelope
from pipeline.smtp.pool import Connections
from pipeline.smtp.reply import Phase, Verdict
from tests.smtp_server import ScriptedServer
from tests.unit.test_smtp_client import endpoint, send


@pytest.mark.parametrize(
    ("size", "is_offered"), [("31", False), ("32", True), ("0", True), ("", True), ("none", True), ("9" * 8000, True)]
)
def test_a_message_larger_than_the_server_takes_is_not_offered_and_the_connection_stays(
    connections: Connections, size: str, is_offered: bool
) -> None:
    with ScriptedServer({"EHLO": f"250-test\r\n250 SIZE {size}".rstrip()}) as server:
        for _ in range(2):
            result = send(connections, endpoint(server.port))
        if not is_offered:
            assert (result.verdict, result.phase, result.reply.code) == (Verdict.CONTENT, Phase.GREETING, None)
            assert result.reply.text == "the message has 32 octets, and the server takes 31 (SIZE)"
        assert (b"MAIL FROM" in b"".join(server.received), len(server.mails)) == (is_offered, 2 * is_offered)
        assert server.connections == 1


def test_a_large_message_may_take_longer_than_a_command(connections: Connections) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader = threading.Thread(target=read_slowly, args=(server, 1.2))
        reader.start()
        assert send(connections, endpoint(server.getsockname()[1], timeout=0.8), LARGE).verdict is Verdict.ACCEPTED
        connections.close()
        reader.join()


def test_but_a_server_that_takes_none_of_it_is_not_waited_for(connections: Connections) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader = threading.Thread(target=read_slowly, args=(server, 2))
        reader.start()
        started = time.monotonic()
        result = send(connections, endpoint(server.getsockname()[1], timeout=0.2), LARGE)
        assert (result.verdict, result.phase) == (Verdict.ACCOUNT_FOR_NOW, Phase.BODY)
        assert 0.5 < time.monotonic() - started < 1.5
        reader.join()


#: Ten times what the buffers between two sockets hold.
LARGE = Envelope("me@x.test", "ann@y.test", (b"y" * 76 + b"\r\n") * 120_000)


def read_slowly(server: socket.socket, pause: float) -> None:
    """Take one message; pause for so many seconds when its body comes."""
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as lines:
        for said in (b"220 test", b"250 test", b"250 ok", b"250 ok", b"354 go on"):
            connection.sendall(said + b"\r\n")
            if not said.startswith(b"354"):
                lines.readline()
        time.sleep(pause)
        if any(line == b".\r\n" for line in lines):
            connection.sendall(b"250 2.0.0 kept\r\n")
            lines.readline()

"""A mailbox's server that is slow, hostile or only different, as a connection to it bears that."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from models import Role, Security
from pipeline.imap.connection import Connection, MailboxError
from pipeline.imap.folders import Folder
from pipeline.imap.login import Endpoint, connect

#: What a server answers to a command without its tag: `TAG` stands for that.
Answers = Callable[[str], bytes]


def test_an_answer_of_four_gigabytes_is_none(server: Server) -> None:
    with (
        server.connected(lambda _: b"* 1 FETCH (UID 1 BODY[]<0> {4000000000}\r\nabc") as connection,
        pytest.raises(MailboxError, match="too long"),
    ):
        connection.beginning(1, 100)


def test_a_line_without_an_end_is_none(server: Server) -> None:
    with (
        server.connected(lambda _: b"* SEARCH " + b"1 " * 9_000_000) as connection,
        pytest.raises(MailboxError, match="does not end"),
    ):
        connection.uid_of("<a@b>")


def test_a_server_that_sends_an_octet_at_a_time_holds_nobody(server: Server) -> None:
    server.pause = 0.2
    with server.connected(lambda _: b"* OK " + b"." * 1000, timeout=1) as connection:
        began = time.monotonic()
        with pytest.raises(MailboxError, match="timed out"):
            connection.examine("INBOX")
    assert time.monotonic() - began < 5


def test_an_answer_that_makes_no_sense_is_an_error_like_any_other(server: Server) -> None:
    with (
        server.connected(lambda _: b"* 1 FETCH (UID )))((\r\nTAG OK done\r\n") as connection,
        pytest.raises(MailboxError),
    ):
        connection.beginning(1, 100)


def test_what_comes_along_with_the_answer_to_idle_is_news(server: Server) -> None:
    def answers(command: str) -> bytes:
        return b"+ idling\r\n* 3 EXISTS\r\n" if command.startswith("IDLE") else b"TAG OK done\r\n"

    with server.connected(answers) as connection:
        began = time.monotonic()
        assert connection.wait(20, threading.Event())
    assert time.monotonic() - began < 5


def test_a_message_that_the_server_can_not_show_is_passed_over(server: Server) -> None:
    def answers(command: str) -> bytes:
        uids = range(1, 6) if "1,2,3,4,5" in command or "1:5" in command else _uids(command)
        if 4 in uids:
            return b"TAG NO it is broken\r\n"
        head = b"Subject: x\r\n\r\n"
        rows = (
            b"* %d FETCH (UID %d BODY[HEADER.FIELDS (SUBJECT)]<0> {%d}\r\n%s)\r\n" % (u, u, len(head), head)
            for u in uids
        )
        return b"".join(rows) + b"TAG OK done\r\n"

    with server.connected(answers) as connection:
        assert [one.uid for one in connection.heads([1, 2, 3, 4, 5])] == [1, 2, 3, 5]


def test_a_mail_is_found_by_its_own_message_id_and_not_by_one_that_a_server_takes_for_like_it(server: Server) -> None:
    def answers(command: str) -> bytes:
        if " SEARCH " in f" {command} ":
            return b"* SEARCH 3 5\r\nTAG OK done\r\n"
        heads = {3: b"Message-ID: <a@b.example>\r\n\r\n", 5: b"Message-ID: <a@b>\r\n\r\n"}
        shown = (b"* %d FETCH (UID %d BODY[X]<0> {%d}\r\n%s)\r\n" % (u, u, len(h), h) for u, h in heads.items())
        return b"".join(shown) + b"TAG OK done\r\n"

    with server.connected(answers) as connection:
        assert connection.uid_of("<a@b>") == 5
        assert connection.uid_of("<a@c>") is None


def test_folders_are_asked_for_by_special_use_and_by_usual_names_where_there_is_none(server: Server) -> None:
    server.capabilities = "IMAP4rev1 AUTH=PLAIN SPECIAL-USE LIST-EXTENDED"
    asked: list[str] = []

    def answers(command: str) -> bytes:
        asked.append(command)
        rows = (
            b'* LIST () "/" INBOX\r\n',
            b'* LIST (\\Sent) "/" "Gesendet"\r\n',
            b'* LIST (\\Junk \\Noselect) "/" J\r\n',
        )
        return b"".join(rows) + b"TAG OK done\r\n"

    with server.connected(answers) as connection:
        assert connection.folders() == [Folder("INBOX", Role.INBOX), Folder("Gesendet", Role.SENT)]
    assert asked[0] == 'LIST "" "*" RETURN (SPECIAL-USE)'


def test_a_token_that_is_refused_is_asked_for_anew_once(server: Server) -> None:
    server.capabilities = "IMAP4rev1 AUTH=XOAUTH2"
    server.good = "user=me\x01auth=Bearer new\x01\x01"
    tokens = Tokens(["old", "new"])
    with server.connected(lambda _: b"TAG OK done\r\n", tokens=tokens):
        pass
    assert tokens.left == []
    assert [base64.b64decode(line).decode() for line in server.responses] == [
        *("user=me\x01auth=Bearer old\x01\x01", "", "user=me\x01auth=Bearer new\x01\x01")
    ]


@pytest.mark.parametrize(("secret", "message"), [("s3cret", "login"), ("pass\r\nA1 DELETE INBOX", "other than ASCII")])
def test_where_only_login_is_offered_words_are_quoted_and_never_said(server: Server, secret: str, message: str) -> None:
    server.capabilities = "IMAP4rev1"
    with pytest.raises(MailboxError, match=message) as error, server.connected(lambda _: b"", secret=secret):
        pass
    assert secret not in str(error.value)
    assert server.logins == ([f'LOGIN "a \\"b" "{secret}"'] if message == "login" else [])


def test_without_tls_nobody_logs_in_to_another_machine() -> None:
    with pytest.raises(MailboxError, match="unencrypted"):
        connect(Endpoint(1, "mail.example.com", 143, Security.PLAIN, "me", "x"))


class Tokens:
    """Access tokens, one after the other."""

    def __init__(self, tokens: list[str]) -> None:
        self.left = tokens

    def token(self) -> str:
        return self.left.pop(0)

    def another_than(self, _refused: str) -> str | None:
        return self.left.pop(0) if self.left else None


class Server:
    """An IMAP server that answers as it is told to, to one client after the other."""

    def __init__(self) -> None:
        self.capabilities = "IMAP4rev1 AUTH=PLAIN IDLE"
        self.good: str | None = None
        self.pause = 0.0
        self.logins: list[str] = []
        self.responses: list[bytes] = []
        self._answers: Answers = lambda _: b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    @contextmanager
    def connected(
        self, answers: Answers, *, timeout: float = 20, secret: str = "", tokens: Tokens | None = None
    ) -> Iterator[Connection]:
        """Log in, and let the server answer all that is said then."""
        self._answers = answers
        port = self._socket.getsockname()[1]
        user = "me" if tokens else 'a "b'
        endpoint = Endpoint(1, "127.0.0.1", port, Security.PLAIN, user, secret or "x", tokens, timeout=timeout)
        connection = connect(endpoint)
        # As if a folder were open.
        connection.client.bounded.state = "SELECTED"
        try:
            yield connection
        finally:
            connection.drop()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            # The client may have gone, with what was to be said to it.
            with suppress(OSError, ValueError), client, client.makefile("rwb") as file:
                self._talk(file)

    def _talk(self, file: object) -> None:
        def say(text: bytes, *, slowly: bool = False) -> None:
            pieces = (text[i : i + 1] for i in range(len(text))) if slowly and self.pause else [text]
            for piece in pieces:
                file.write(piece)  # type: ignore[attr-defined]
                file.flush()  # type: ignore[attr-defined]
                time.sleep(self.pause if slowly else 0)

        say(b"* OK ready\r\n")
        before = ""
        for line in file:  # type: ignore[attr-defined]
            tag, _, command = line.decode().strip().partition(" ")
            # What ends IDLE has no tag of its own (RFC 2177 3).
            tag = before = before if tag == "DONE" else tag
            if command == "CAPABILITY":
                say(f"* CAPABILITY {self.capabilities}\r\n{tag} OK done\r\n".encode())
            elif command.startswith("AUTHENTICATE"):
                say(b"+ \r\n")
                self.responses.append(file.readline().strip())  # type: ignore[attr-defined]
                is_good = self.good is None or base64.b64decode(self.responses[-1]).decode() == self.good
                if not is_good:
                    say(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n")
                    self.responses.append(file.readline().strip())  # type: ignore[attr-defined]
                say(f"{tag} {'OK done' if is_good else 'NO refused'}\r\n".encode())
            elif command.startswith("LOGIN"):
                self.logins.append(command)
                say(f"{tag} NO you said {command}\r\n".encode())
            else:
                say(self._answers(command or "DONE").replace(b"TAG", tag.encode()), slowly=True)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server, which is closed afterwards."""
    it = Server()
    yield it
    it.close()


def _uids(command: str) -> list[int]:
    found: list[int] = []
    for part in command.split()[2].split(","):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) + 1)
    return found

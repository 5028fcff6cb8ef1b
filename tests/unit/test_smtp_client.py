"""The dialogue on a real socket: what is sent and when, what is kept, and that every trouble is a result."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult

from models import Security
from pipeline.content.message import Envelope
from pipeline.smtp.connection import Endpoint, log_in_and_out
from pipeline.smtp.pool import Connections
from pipeline.smtp.reply import Phase, Result, Verdict
from slowpost.catcher import Catcher
from tests.smtp_server import DOT, GREETING, Drip, HangUp, Replies, ScriptedServer, Turns


def test_envelope_and_data_are_one_write_and_the_dot_another(connections: Connections) -> None:
    with ScriptedServer() as server:
        with connections.transaction(endpoint(server.port)) as transaction:
            assert transaction.offer(MAIL) is None
            time.sleep(0.05)
            assert server.mails == []
            assert transaction.finish().verdict is Verdict.ACCEPTED
        commands = [chunk for chunk in server.received if chunk.startswith(b"MAIL")]
        assert commands == [b"MAIL FROM:<me@x.test> SIZE=32\r\nRCPT TO:<ann@y.test>\r\nDATA\r\n"]
        assert server.mails == [b"Subject: s\r\n\r\n..dot\r\n...two\r\nend"]


def test_leading_dots_arrive_as_they_were(connections: Connections, tmp_path: Path) -> None:
    with Catcher(tmp_path) as catcher:
        assert send(connections, endpoint(catcher.port)).verdict is Verdict.ACCEPTED
        assert catcher.mails[0].file.read_bytes() == MAIL.data


def test_without_the_dot_the_server_has_no_mail(connections: Connections, tmp_path: Path) -> None:
    with Catcher(tmp_path) as catcher:
        with connections.transaction(endpoint(catcher.port)) as transaction:
            assert transaction.offer(MAIL) is None
            transaction.abandon()
        assert send(connections, endpoint(catcher.port)).verdict is Verdict.ACCEPTED
        assert len(catcher.mails) == 1


def test_a_refused_recipient_leaves_no_mail_although_the_server_waits_for_one(connections: Connections) -> None:
    with ScriptedServer({"RCPT": "550 5.1.1 no such user"}) as server:
        result = send(connections, endpoint(server.port))
        assert (result.verdict, result.phase, result.reply.code) == (Verdict.RECIPIENT_FOR_GOOD, Phase.RCPT, 550)
        assert server.mails == []
        server.replies["RCPT"] = "250 ok"
        assert send(connections, endpoint(server.port)).verdict is Verdict.ACCEPTED
        assert server.connections == 2
        # A command sent into the message that the server waits for would be its first line.
        assert not any(chunk.lower().startswith(b"rset") for chunk in server.received)


def test_a_refusal_counts_although_the_server_then_hangs_up(connections: Connections) -> None:
    with ScriptedServer({"RCPT": "550 5.1.1 no such user", "DATA": None}) as server:
        result = send(connections, endpoint(server.port))
        assert (result.verdict, result.phase, result.reply.code) == (Verdict.RECIPIENT_FOR_GOOD, Phase.RCPT, 550)
        server.replies |= {"RCPT": "250 ok", "DATA": "354 go on"}
        assert send(connections, endpoint(server.port)).verdict is Verdict.ACCEPTED
        assert server.connections == 2


def test_a_refusal_all_the_way_keeps_the_connection(connections: Connections) -> None:
    with ScriptedServer({"RCPT": "550 5.1.1 no such user", "DATA": "503 5.5.1 no recipients"}) as server:
        assert send(connections, endpoint(server.port)).verdict is Verdict.RECIPIENT_FOR_GOOD
        server.replies |= {"RCPT": "250 ok", "DATA": "354 go on"}
        assert send(connections, endpoint(server.port)).verdict is Verdict.ACCEPTED
        assert server.connections == 1


def test_a_server_without_pipelining_is_asked_step_by_step(connections: Connections) -> None:
    with ScriptedServer({"EHLO": "250 test"}) as server:
        assert send(connections, endpoint(server.port)).verdict is Verdict.ACCEPTED
        assert b"MAIL FROM:<me@x.test>\r\n" in server.received


def test_a_connection_is_kept_until_it_has_carried_its_messages() -> None:
    connections = Connections(max_messages=3)
    with closing(connections), ScriptedServer() as server:
        for _ in range(7):
            assert send(connections, endpoint(server.port)).verdict is Verdict.ACCEPTED
        assert server.connections == 3


def test_a_connection_that_has_idled_is_not_used_again_and_really_closed() -> None:
    connections = Connections(max_idle=0.1)
    with closing(connections), ScriptedServer() as server:
        send(connections, endpoint(server.port))
        deadline = time.monotonic() + 5
        while b"quit\r\n" not in [chunk.lower() for chunk in server.received]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        send(connections, endpoint(server.port))
        assert server.connections == 2


def test_a_connection_the_server_has_closed_is_noticed_before_use(connections: Connections) -> None:
    with ScriptedServer() as server:
        send(connections, endpoint(server.port))
        server.replies["RSET"] = None
        assert send(connections, endpoint(server.port)).verdict is Verdict.ACCEPTED
        assert server.connections == 2


@pytest.mark.parametrize("extensions", ["250 test", "250-test\r\n250 PIPELINING"])
@pytest.mark.parametrize("ending", [HangUp("421 4.7.0 one message a connection"), None])
def test_a_server_that_takes_one_message_a_connection_is_asked_on_a_new_one(
    connections: Connections, ending: str | None, extensions: str
) -> None:
    turns = Turns(["250 ok", ending, "250 ok", ending, "250 ok"])
    with ScriptedServer({"EHLO": extensions, "MAIL": turns}) as server:
        for _ in range(3):
            assert send(connections, endpoint(server.port)).verdict is Verdict.ACCEPTED
        assert (server.connections, len(server.mails)) == (3, 3)


def test_a_server_that_hangs_up_after_each_message_is_asked_on_a_new_connection(connections: Connections) -> None:
    with ScriptedServer({DOT: HangUp("250 2.0.0 kept, and closed")}) as server:
        for _ in range(3):
            assert send(connections, endpoint(server.port)).verdict is Verdict.ACCEPTED
        assert (server.connections, len(server.mails)) == (3, 3)


@pytest.mark.parametrize("ending", [HangUp("421 4.3.2 closing"), None])
def test_what_ends_a_new_connection_is_the_accounts_and_is_not_tried_again(
    connections: Connections, ending: str | None
) -> None:
    with ScriptedServer({"MAIL": ending}) as server:
        assert send(connections, endpoint(server.port)).verdict is Verdict.ACCOUNT_FOR_NOW
        assert server.connections == 1
        server.replies["MAIL"] = Turns(["250 ok", ending])
        assert send(connections, endpoint(server.port)).verdict is Verdict.ACCEPTED
        assert send(connections, endpoint(server.port)).verdict is Verdict.ACCOUNT_FOR_NOW
        assert server.connections == 3


@pytest.mark.parametrize(
    "replies",
    [{"MAIL": Turns(["250 ok", "451 4.3.0 later"])}, {"RCPT": Turns(["250 ok", HangUp("421 4.3.2 closing")])}],
)
def test_another_refusal_on_a_kept_connection_is_what_it_is_on_a_new_one(
    connections: Connections, replies: Replies
) -> None:
    with ScriptedServer(replies) as server:
        send(connections, endpoint(server.port))
        assert send(connections, endpoint(server.port)).reply.code in (421, 451)
        assert server.connections == 1


def test_another_password_is_another_connection(connections: Connections) -> None:
    with ScriptedServer() as server:
        send(connections, endpoint(server.port))
        send(connections, endpoint(server.port, password="another"))
        assert server.connections == 2


@pytest.mark.parametrize(
    ("replies", "phase", "verdict"),
    [
        ({GREETING: "421 4.3.2 busy"}, Phase.CONNECT, Verdict.ACCOUNT_FOR_NOW),
        ({GREETING: None}, Phase.CONNECT, Verdict.ACCOUNT_FOR_NOW),
        ({GREETING: ""}, Phase.CONNECT, Verdict.ACCOUNT_FOR_NOW),
        ({GREETING: "garbage"}, Phase.CONNECT, Verdict.ACCOUNT_FOR_NOW),
        ({GREETING: ("220-x",) * 20}, Phase.CONNECT, Verdict.ACCOUNT_FOR_NOW),
        ({DOT: ("250-x",) * 20}, Phase.DOT, Verdict.UNKNOWN),
        ({GREETING: "220 " + "x" * 100_000}, Phase.CONNECT, Verdict.ACCOUNT_FOR_NOW),
        ({"MAIL": "550 5.7.60 may not send as this sender"}, Phase.MAIL, Verdict.ACCOUNT_FOR_GOOD),
        ({"MAIL": None}, Phase.MAIL, Verdict.ACCOUNT_FOR_NOW),
        ({"RCPT": "452 4.2.2 full"}, Phase.RCPT, Verdict.MAILBOX_FULL),
        ({"RCPT": "", "EHLO": "250 test"}, Phase.RCPT, Verdict.ACCOUNT_FOR_NOW),
        ({"DATA": "451 4.3.0 later"}, Phase.DATA, Verdict.ACCOUNT_FOR_NOW),
        ({DOT: "554 5.7.1 spam"}, Phase.DOT, Verdict.CONTENT),
        ({DOT: "450 4.2.0 greylisted"}, Phase.DOT, Verdict.GREYLISTED),
        ({DOT: None}, Phase.DOT, Verdict.UNKNOWN),
        ({DOT: ""}, Phase.DOT, Verdict.UNKNOWN),
        ({DOT: "garbage"}, Phase.DOT, Verdict.UNKNOWN),
        ({DOT: "\x00\xff 250"}, Phase.DOT, Verdict.UNKNOWN),
    ],
)
def test_whatever_a_server_does_is_a_result(
    connections: Connections, replies: Replies, phase: Phase, verdict: Verdict
) -> None:
    with ScriptedServer(replies) as server:
        started = time.monotonic()
        result = send(connections, endpoint(server.port, timeout=0.3, data_timeout=0.3))
        assert (result.phase, result.verdict) == (phase, verdict)
        assert time.monotonic() - started < 1.5


def test_a_flood_of_reply_lines_ends_long_before_the_timeout(connections: Connections) -> None:
    with ScriptedServer({GREETING: "220-" + "x\r\n220-" * 5000 + "x"}) as server:
        started = time.monotonic()
        assert send(connections, endpoint(server.port, timeout=10)).verdict is Verdict.ACCOUNT_FOR_NOW
        assert time.monotonic() - started < 5


def test_a_dot_that_could_not_be_sent_leaves_nothing_in_doubt(connections: Connections) -> None:
    with ScriptedServer({"DATA": HangUp("354 go on")}) as server, connections.transaction(endpoint(server.port)) as t:
        assert t.offer(MAIL) is None
        time.sleep(0.1)
        result = t.finish()
    assert (result.verdict, result.phase) == (Verdict.ACCOUNT_FOR_NOW, Phase.BODY)
    assert server.mails == []


@pytest.mark.parametrize("words", [b"", b"421 4.4.2 timeout\r\n"])
def test_nor_does_a_server_that_has_left_before_the_dot(connections: Connections, words: bytes) -> None:
    with ScriptedServer() as server, connections.transaction(endpoint(server.port)) as t:
        assert t.offer(MAIL) is None
        server.leave(words)
        result = t.finish()
    assert (result.verdict, result.phase) == (Verdict.ACCOUNT_FOR_NOW, Phase.BODY)
    assert server.mails == []


@pytest.mark.parametrize("word", [GREETING, "EHLO", "MAIL", "RCPT", "DATA", DOT])
@pytest.mark.parametrize("extensions", ["250 test", "250-test\r\n250 PIPELINING"])
def test_a_reply_that_drips_byte_by_byte_is_waited_for_no_longer_than_one_that_does_not_come(
    connections: Connections, word: str, extensions: str
) -> None:
    with ScriptedServer({"EHLO": extensions, word: Drip(DRIPPED)}) as server:
        started = time.monotonic()
        result = send(connections, endpoint(server.port, timeout=0.5, data_timeout=0.5))
        assert result.reply.text.startswith("no answer in time")
        assert result.verdict is (Verdict.UNKNOWN if word == DOT else Verdict.ACCOUNT_FOR_NOW)
        assert time.monotonic() - started < 1.5


def test_a_connection_that_does_not_answer_is_waited_for_once_and_then_made_anew(connections: Connections) -> None:
    with ScriptedServer() as server:
        send(connections, endpoint(server.port))
        server.replies["RSET"] = ""
        started = time.monotonic()
        assert send(connections, endpoint(server.port, timeout=2)).verdict is Verdict.ACCEPTED
        assert time.monotonic() - started < 3
        assert b"quit\r\n" not in [chunk.lower() for chunk in server.received]


def test_nobody_listens(connections: Connections) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = send(connections, endpoint(port))
    assert (result.phase, result.verdict, result.reply.code) == (Phase.CONNECT, Verdict.ACCOUNT_FOR_NOW, None)


def test_starttls_that_is_not_offered_is_never_done_without(connections: Connections) -> None:
    with ScriptedServer() as server:
        result = send(connections, endpoint(server.port, security=Security.STARTTLS))
        assert (result.phase, result.verdict) == (Phase.TLS, Verdict.ACCOUNT_FOR_NOW)
        assert result.reply.text == "STARTTLS is not offered"
        assert not any(chunk.startswith(b"MAIL") for chunk in server.received)


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_a_certificate_is_verified(
    security: Security,
    connections: Connections,
    certificate: Path,
    tls: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starttls: dict[str, Any] = {"tls_context": tls, "require_starttls": True}
    with Catcher(tmp_path, **(starttls if security is Security.STARTTLS else {"ssl_context": tls})) as catcher:
        to = endpoint(catcher.port, security=security)
        refused = send(connections, to)
        assert refused.verdict is Verdict.ACCOUNT_FOR_NOW
        assert refused.phase is (Phase.TLS if security is Security.STARTTLS else Phase.CONNECT)
        assert refused.reply.text.startswith("the server's certificate is not trusted")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert send(connections, to).verdict is Verdict.ACCEPTED
        assert len(catcher.mails) == 1
        # The certificate is trusted, but for another name.
        assert send(connections, replace(to, host="localhost")).verdict is Verdict.ACCOUNT_FOR_NOW
        assert len(catcher.mails) == 1


def test_a_certificate_of_ones_own_is_trusted_by_the_file_that_holds_it(
    connections: Connections, certificate: Path, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    with Catcher(tmp_path, ssl_context=tls) as catcher:
        to = endpoint(catcher.port, security=Security.TLS, ca_file=str(certificate))
        assert send(connections, to).verdict is Verdict.ACCEPTED
        gone = send(connections, replace(to, account_id=2, ca_file=str(tmp_path / "gone.pem")))
        assert (gone.phase, gone.verdict) == (Phase.TLS, Verdict.ACCOUNT_FOR_NOW)
        assert gone.reply.text == "MAIL_CA_FILE can't be read: No such file or directory"


def test_a_login_that_is_refused_may_be_a_passing_one_and_the_password_is_nowhere(
    login: dict[str, Any], certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Catcher(tmp_path, **login) as catcher:
        to = endpoint(catcher.port, security=Security.STARTTLS, username="me", password="s3cret")
        assert log_in_and_out(to) is None
        wrong = replace(to, password="wr0ng-one")
        result = log_in_and_out(wrong)
        assert result is not None
        assert (result.phase, result.verdict) == (Phase.AUTH, Verdict.LOGIN_REFUSED)
        assert "wr0ng-one" not in repr(result) + repr(wrong)


def test_a_local_part_beyond_ascii_is_not_sent_where_it_can_not_be(connections: Connections) -> None:
    with ScriptedServer() as server:
        result = send(connections, endpoint(server.port), replace(MAIL, recipient="änn@y.test"))
        assert (result.phase, result.verdict) == (Phase.MAIL, Verdict.RECIPIENT_FOR_NOW)
        server.replies["EHLO"] = "250-test\r\n250 SMTPUTF8"
        other = endpoint(server.port, account_id=2)
        assert send(connections, other, replace(MAIL, recipient="änn@y.test")).verdict is Verdict.ACCEPTED


def test_an_exception_in_the_middle_closes_the_connection(connections: Connections) -> None:
    def fail() -> None:
        with connections.transaction(endpoint(server.port)) as transaction:
            transaction.offer(MAIL)
            raise ZeroDivisionError

    with ScriptedServer() as server:
        with pytest.raises(ZeroDivisionError):
            fail()
        send(connections, endpoint(server.port))
        assert (server.connections, len(server.mails)) == (2, 1)


MAIL = Envelope("me@x.test", "ann@y.test", b"Subject: s\r\n\r\n.dot\r\n..two\r\nend\r\n")


def endpoint(port: int, **values: Any) -> Endpoint:
    """Return an endpoint on loopback that waits two seconds at most."""
    return replace(Endpoint(1, "127.0.0.1", port, Security.PLAIN, timeout=2, data_timeout=2), **values)


def send(connections: Connections, to: Endpoint, mail: Envelope = MAIL) -> Result:
    """Send a mail with its dot."""
    with connections.transaction(to) as transaction:
        return transaction.offer(mail) or transaction.finish()


DRIPPED = "250 2.0.0 " + "slowly " * 6


@pytest.fixture
def login(tls: ssl.SSLContext) -> dict[str, Any]:
    """What a catcher needs to ask for a login over STARTTLS: the user is me, the password s3cret."""

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"me", b"s3cret"), handled=False)

    return {"tls_context": tls, "require_starttls": True, "authenticator": check, "auth_required": True}

"""The login on a real socket: which mechanism, what is sent, when again, and that no password is ever quoted."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from models import Security
from pipeline.smtp.connection import Endpoint, log_in_and_out
from pipeline.smtp.login import TokenError, is_loopback
from pipeline.smtp.pool import Connections
from pipeline.smtp.reply import Phase, Result, Verdict
from tests.smtp_server import RESPONSE, HangUp, Replies, ScriptedServer, Turns

CHALLENGE = "<17893.1320671950@mail.test>"
DIGEST = hmac.new("geheimß".encode(), CHALLENGE.encode(), "md5").hexdigest()


def test_plain_is_user_and_password_in_utf8() -> None:
    with ScriptedServer(offers("PLAIN", AUTH="235 2.7.0 ok")) as server:
        assert log_in_and_out(endpoint(server)) is None
        assert sent(server) == ["AUTH PLAIN", "\0jürgen\0geheimß"]


def test_login_answers_two_prompts_whatever_they_say() -> None:
    replies = offers("LOGIN", AUTH="334 VXNlciBOYW1lAA==", RESPONSE=Turns(["334 UGFzc3dvcmQA", "235 ok"]))
    with ScriptedServer(replies) as server:
        assert log_in_and_out(endpoint(server)) is None
        assert sent(server) == ["AUTH LOGIN", "jürgen", "geheimß"]


def test_cram_md5_signs_the_challenge_and_does_not_show_the_password() -> None:
    with ScriptedServer(offers("CRAM-MD5", AUTH=f"334 {encoded(CHALLENGE)}", RESPONSE="235 ok")) as server:
        assert log_in_and_out(endpoint(server)) is None
        assert sent(server) == ["AUTH CRAM-MD5", f"jürgen {DIGEST}"]


def test_a_challenge_that_is_none_is_a_result() -> None:
    with ScriptedServer(offers("CRAM-MD5", AUTH="334 !", RESPONSE="235 ok")) as server:
        assert refusal(endpoint(server)) == (Verdict.ACCOUNT_FOR_NOW, None)


def test_without_tls_the_password_is_not_shown_where_that_can_be(tls: ssl.SSLContext, certificate: Path) -> None:
    all_three = offers("LOGIN CRAM-MD5 PLAIN", AUTH=HangUp("454 4.7.0 later"))
    with ScriptedServer(all_three) as server:
        log_in_and_out(endpoint(server))
        assert sent(server) == ["AUTH CRAM-MD5"]
    with ScriptedServer(all_three, tls=tls) as server:
        log_in_and_out(endpoint(server, security=Security.TLS, ca_file=str(certificate)))
        assert sent(server) == ["AUTH PLAIN", "\0jürgen\0geheimß"]


def test_a_refused_password_is_not_tried_by_another_mechanism() -> None:
    with ScriptedServer(offers("PLAIN LOGIN", AUTH="535 5.7.8 bad credentials")) as server:
        assert refusal(endpoint(server))[1] == 535
        assert sent(server) == ["AUTH PLAIN", "\0jürgen\0geheimß"]


def test_a_mechanism_that_the_server_does_not_know_after_all_makes_way_for_the_next() -> None:
    replies = offers("PLAIN CRAM-MD5", AUTH=Turns(["504 5.5.4 unknown mechanism", "235 ok"]))
    with ScriptedServer(replies) as server:
        assert log_in_and_out(endpoint(server)) is None
        assert sent(server)[:2] == ["AUTH CRAM-MD5", "AUTH PLAIN"]


def test_where_no_mechanism_fits_nothing_is_sent() -> None:
    with ScriptedServer(offers("GSSAPI NTLM")) as server:
        result = log_in_and_out(endpoint(server))
        assert result is not None
        assert (result.phase, result.verdict) == (Phase.AUTH, Verdict.ACCOUNT_FOR_NOW)
        assert result.reply.text == "AUTH GSSAPI NTLM is offered, and none of CRAM-MD5, PLAIN, LOGIN"
        assert sent(server) == []


def test_a_login_is_never_sent_where_auth_is_not_offered() -> None:
    with ScriptedServer() as server:
        assert refusal(endpoint(server)) == (Verdict.ACCOUNT_FOR_NOW, None)
        assert sent(server) == []


@pytest.mark.parametrize(("length", "end"), [(None, ""), (12, ""), (12, "...")])
@pytest.mark.parametrize(("mechanism", "secret"), [("PLAIN", "\0me\0s3cret-w0rd"), ("LOGIN", "s3cret-w0rd")])
def test_a_server_that_quotes_what_it_was_sent_is_not_quoted(
    mechanism: str, secret: str, length: int | None, end: str
) -> None:
    quotes = f'501 5.5.2 unknown: "{encoded(secret)[:length]}{end}" (account me)'
    asks = "334 VXNlcm5hbWU6"
    replies = {"PLAIN": {"AUTH": quotes}, "LOGIN": {"AUTH": asks, RESPONSE: Turns([asks, quotes])}}
    with ScriptedServer(offers(mechanism, **replies[mechanism])) as server:
        result = log_in_and_out(endpoint(server, username="me", password="s3cret-w0rd"))
        assert result is not None
        assert result.reply.text == '5.5.2 unknown: "***" (account me)'


@pytest.mark.parametrize("allowed", [False, True])
def test_a_login_goes_unencrypted_to_another_machine_only_if_the_account_says_so(
    allowed: bool, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **more: here("127.0.0.1", *rest, **more))
    with ScriptedServer(offers("PLAIN", AUTH="235 ok")) as server:
        result = log_in_and_out(endpoint(server, host="mail.test", plain_password=allowed))
        assert server.connections == allowed
        if not allowed:
            assert result is not None
            assert (result.verdict, result.phase) == (Verdict.ACCOUNT_FOR_GOOD, Phase.AUTH)
            assert result.reply.text.startswith("security plain would send the login to mail.test unencrypted")
        token = endpoint(server, host="mail.test", tokens=Tokens("t"), password=None)
        assert refusal(token)[0] is Verdict.ACCOUNT_FOR_GOOD
        assert log_in_and_out(endpoint(server, host="mail.test", username=None)) is None


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["mail.test", "localhost.test", "10.0.0.1", "0.0.0.0", "127.0.0.1.test", ""])  # noqa: S104
def test_another_is_not(host: str) -> None:
    assert not is_loopback(host)


def test_xoauth2_is_user_and_token_in_one_line() -> None:
    with ScriptedServer(offers("XOAUTH2 PLAIN", AUTH="235 2.7.0 Accepted")) as server:
        assert log_in_and_out(endpoint(server, tokens=Tokens("ya29.one"))) is None
        assert sent(server) == ["AUTH XOAUTH2", "user=jürgen\x01auth=Bearer ya29.one\x01\x01"]


def test_a_token_too_long_for_a_command_waits_until_it_is_asked_for() -> None:
    token = "t" * 2_000
    with ScriptedServer(offers("XOAUTH2", AUTH="334 ", RESPONSE="235 2.7.0 Accepted")) as server:
        assert log_in_and_out(endpoint(server, tokens=Tokens(token))) is None
        assert server.received[1] == b"AUTH XOAUTH2\r\n"
        assert sent(server) == ["AUTH XOAUTH2", f"user=jürgen\x01auth=Bearer {token}\x01\x01"]


def test_a_token_that_is_refused_is_replaced_once_by_a_new_one() -> None:
    with ScriptedServer(offers("XOAUTH2", AUTH=Turns([EXPIRED, "235 2.7.0 Accepted"]), RESPONSE=REFUSED)) as server:
        assert log_in_and_out(endpoint(server, tokens=Tokens("old", "new"))) is None
        asked = [f"user=jürgen\x01auth=Bearer {token}\x01\x01" for token in ("old", "new")]
        # An empty line asks for the reply behind the error.
        assert sent(server) == ["AUTH XOAUTH2", asked[0], "", "AUTH XOAUTH2", asked[1]]
        assert server.connections == 2


def test_a_new_token_that_is_refused_as_well_is_the_answer() -> None:
    with ScriptedServer(offers("XOAUTH2", AUTH=EXPIRED, RESPONSE=REFUSED)) as server:
        tokens = Tokens("old", "new", "newer")
        assert refusal(endpoint(server, tokens=tokens))[1] == 535
        assert tokens.left == ["newer"]
        assert server.connections == 2


def test_the_same_token_is_not_refused_twice() -> None:
    with ScriptedServer(offers("XOAUTH2", AUTH=EXPIRED, RESPONSE=REFUSED)) as server:
        assert refusal(endpoint(server, tokens=Tokens("old", None)))[1] == 535
        assert server.connections == 1


def test_no_new_token_is_asked_for_where_the_token_was_not_refused() -> None:
    with ScriptedServer(offers("XOAUTH2", AUTH="454 4.7.0 temporary failure")) as server:
        tokens = Tokens("one", "two")
        assert refusal(endpoint(server, tokens=tokens))[1] == 454
        assert tokens.left == ["two"]
    with ScriptedServer(offers("PLAIN")) as server:
        assert refusal(endpoint(server, tokens=tokens)) == (Verdict.ACCOUNT_FOR_NOW, None)


@pytest.mark.parametrize("tokens", [(), ("old",)])
def test_a_token_that_can_not_be_had_is_the_accounts_for_now(tokens: tuple[str, ...]) -> None:
    with ScriptedServer(offers("XOAUTH2", AUTH=EXPIRED, RESPONSE=REFUSED)) as server:
        result = log_in_and_out(endpoint(server, tokens=Tokens(*tokens)))
        assert result is not None
        assert (result.phase, result.verdict) == (Phase.AUTH, Verdict.ACCOUNT_FOR_NOW)
        assert (result.reply.code, result.reply.text) == (None, "the token command failed with exit code 3")
        assert server.connections == len(tokens)


def test_neither_password_nor_token_is_in_what_an_endpoint_prints() -> None:
    whole = Endpoint(1, "h.test", 587, Security.TLS, username="me", password="s3cret", tokens=Tokens("t0ken"))
    assert not any(secret in repr(whole) for secret in ("s3cret", "t0ken"))


def test_the_server_is_greeted_by_the_name_it_is_given() -> None:
    with ScriptedServer() as server:
        assert log_in_and_out(endpoint(server, username=None, ehlo_name="mail.example.com")) is None
        assert server.received[0].lower() == b"ehlo mail.example.com\r\n"


@dataclass
class Tokens:
    """Access tokens in their order; None: the same again; after the last a command that fails."""

    left: list[str | None] = field(default_factory=list)

    def __init__(self, *tokens: str | None) -> None:
        self.left = list(tokens)

    def token(self) -> str:
        """The first."""
        if not self.left:
            raise TokenError("the token command failed with exit code 3")
        return str(self.left.pop(0))

    def another_than(self, _refused: str) -> str | None:
        """The next."""
        return self.left.pop(0) if self.left == [None] else self.token()


EXPIRED = "334 " + base64.b64encode(json.dumps({"status": "401", "schemes": "bearer"}).encode()).decode()
REFUSED = "535 5.7.8 Username and Password not accepted"


def offers(mechanisms: str, **replies: Any) -> Replies:
    """Return the replies of a server that offers mechanisms."""
    return {"EHLO": f"250-test\r\n250 AUTH {mechanisms}", **replies}


def endpoint(server: ScriptedServer, **values: Any) -> Endpoint:
    """Return where a user beyond ASCII logs in."""
    usual = Endpoint(1, "127.0.0.1", server.port, Security.PLAIN, username="jürgen", password="geheimß", timeout=2)
    return replace(usual, **values)


def refusal(to: Endpoint) -> tuple[Verdict, int | None]:
    """Return how a login was refused."""
    result = log_in_and_out(to)
    assert isinstance(result, Result)
    return result.verdict, result.reply.code


def sent(server: ScriptedServer) -> list[str]:
    """Return the AUTH commands that a server was sent, and the responses, decoded."""
    lines = b"".join(server.received).decode().split("\r\n")[1:-1]
    found: list[str] = []
    for line in lines:
        if line.startswith("AUTH"):
            command, _, response = line.partition(" ")[2].partition(" ")
            found += [f"AUTH {command}", *([decoded(response)] if response else [])]
        elif line.lower().split(" ")[0] not in ("ehlo", "quit"):
            found.append(decoded(line))
    return found


def encoded(text: str) -> str:
    """Return base64 of UTF-8."""
    return base64.b64encode(text.encode()).decode()


def decoded(text: str) -> str:
    """Return what stands in base64."""
    return base64.b64decode(text, validate=True).decode()

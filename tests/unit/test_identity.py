"""Where an account logs in, and by which name it greets the server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from models import Auth, SmtpAccount
from pipeline.accounts import identity
from pipeline.accounts.identity import endpoint_of
from pipeline.accounts.tokens import AccountTokens


@pytest.mark.parametrize(
    ("machine", "greets_as"),
    [
        ("mail.example.com", "mail.example.com"),
        ("laptop", "xn--bcher-kva.example"),
        ("localhost.localdomain", "xn--bcher-kva.example"),
        ("1.0.0.127.in-addr.arpa", "xn--bcher-kva.example"),
        ("10.0.0.5", "xn--bcher-kva.example"),
        ("my_host.example.com", "xn--bcher-kva.example"),
    ],
)
def test_a_server_is_greeted_by_the_machines_full_name_or_by_the_senders_domain(
    machine: str, greets_as: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: machine)
    assert endpoint_of(ACCOUNT).ehlo_name == greets_as


def test_a_name_that_is_set_goes_before_both(configure: Callable[..., None]) -> None:
    configure(mail_ehlo_name="[192.0.2.1]")
    assert endpoint_of(ACCOUNT).ehlo_name == "[192.0.2.1]"


def test_an_account_with_access_tokens_needs_no_password() -> None:
    account = SmtpAccount(id=2, **COLUMNS, auth=Auth.XOAUTH2, token_command="print-token", password="not encrypted")
    endpoint = endpoint_of(account)
    assert (endpoint.password, endpoint.tokens) == (None, AccountTokens(2, "print-token"))


COLUMNS = {"host": "h.test", "port": 587, "security": "tls", "from_address": "me@Bücher.example"}
ACCOUNT = SmtpAccount(id=1, **COLUMNS)


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """This machine is asked for its name in each test."""
    identity._own_name.cache_clear()
    yield
    identity._own_name.cache_clear()

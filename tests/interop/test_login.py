"""`accounts test` on a real Postfix and a real Exim: what it gets in by, and what it refuses to speak with."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from models import Security
from tests.interop.conftest import Outreach
from tests.interop.listeners import (
    ANOTHER_HOST,
    EXPIRED,
    LOGINS,
    ORDINARY,
    STRIPPED,
    Listener,
    MailServer,
)


def each(listeners: list[Listener]) -> pytest.MarkDecorator:
    """Run a test on each of these ports."""
    names = [" ".join((listener.security, *listener.mechanisms)) for listener in listeners]
    return pytest.mark.parametrize("listener", listeners, ids=names)


@each([*LOGINS, ORDINARY])
def test_an_account_logs_in_by_each_mechanism_over_starttls_and_over_tls(
    outreach: Outreach, mail_server: MailServer, listener: Listener
) -> None:
    outreach.add_accounts(mail_server.account(listener))

    assert outreach.command("accounts", "test", "1") == {"id": 1, "ok": True, "folders": None, "warnings": []}


@each(LOGINS)
def test_a_wrong_password_is_refused_by_name_and_shown_to_nobody(
    outreach: Outreach, mail_server: MailServer, listener: Listener
) -> None:
    outreach.add_accounts(mail_server.account(listener, password="wr0ng-w0rd"))

    said = outreach.refusal("accounts", "test", "1")

    assert "account 1: auth: 535 " in said
    assert "wr0ng" not in said


@each(EXPIRED)
def test_an_expired_certificate_is_not_trusted(outreach: Outreach, mail_server: MailServer, listener: Listener) -> None:
    outreach.add_accounts(mail_server.account(listener))

    assert "certificate has expired" in outreach.refusal("accounts", "test", "1")


@each(ANOTHER_HOST)
def test_another_hosts_certificate_is_not_trusted(
    outreach: Outreach, mail_server: MailServer, listener: Listener
) -> None:
    outreach.add_accounts(mail_server.account(listener))

    assert "not valid for 'localhost'" in outreach.refusal("accounts", "test", "1")


def test_the_authority_of_a_private_server_is_named_by_a_setting(
    outreach: Outreach, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch, configure: Callable[..., None]
) -> None:
    configure(mail_ca_file=os.environ["SSL_CERT_FILE"])
    monkeypatch.delenv("SSL_CERT_FILE")
    outreach.add_accounts(mail_server.account(ORDINARY))

    assert outreach.command("accounts", "test", "1")["ok"]


def test_an_authority_that_nobody_named_is_not_trusted(
    outreach: Outreach, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    outreach.add_accounts(mail_server.account(ORDINARY))

    assert "unable to get local issuer certificate" in outreach.refusal("accounts", "test", "1")


def test_without_starttls_nothing_is_said_in_the_clear(outreach: Outreach, mail_server: MailServer) -> None:
    outreach.add_accounts(mail_server.account(STRIPPED))

    assert "tls: STARTTLS is not offered" in outreach.refusal("accounts", "test", "1")
    assert "auth" not in mail_server.commands()


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_tls_on_the_port_of_the_other_kind_is_a_refusal_within_seconds(
    outreach: Outreach, mail_server: MailServer, security: Security, configure: Callable[..., None]
) -> None:
    configure(mail_smtp_timeout=2)
    other = Security.TLS if security is Security.STARTTLS else Security.STARTTLS
    at = next(listener for listener in LOGINS if listener.security is other)
    outreach.add_accounts(mail_server.account(at, security=security))

    assert outreach.refusal("accounts", "test", "1").startswith("slowpost: account 1: ")

"""Whose fault a real server's refusals are, on the route: what becomes of the delivery, its person and its account."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from tests.interop.conftest import Outreach
from tests.interop.exim import ONE_MESSAGE, Exim
from tests.interop.listeners import (
    ANOTHER_HOST,
    DOMAIN,
    EXPIRED,
    LOGINS,
    MOST_OCTETS,
    ORDINARY,
    STRIPPED,
    Listener,
    MailServer,
)

READER, NEIGHBOUR, NOBODY = ({"email": f"{name}@{DOMAIN}"} for name in ("reader1", "reader2", "nobody"))
UNSAFE = [*EXPIRED, *ANOTHER_HOST, STRIPPED]
_NAMES = ["expired-starttls", "expired-tls", "another-host-starttls", "another-host-tls", "stripped"]


@pytest.mark.parametrize("listener", UNSAFE, ids=_NAMES)
def test_an_account_without_safe_tls_sends_nothing_and_another_sends_it(
    outreach: Outreach, mail_server: MailServer, listener: Listener
) -> None:
    safe = mail_server.account(ORDINARY)
    outreach.add_accounts(mail_server.account(listener), safe)
    outreach.write_to(READER)

    outreach.pass_time(minutes=10)

    assert outreach.deliveries() == {READER["email"]: ("sent", "accepted")}
    assert outreach.attempts() == [("failed", "account", None), ("accepted", "nobody", 250)]
    (mail,) = mail_server.mails("reader1")
    assert mail.mailbox("from") == ("", safe["from_address"])
    assert outreach.account(1).enabled


def test_a_login_that_stays_refused_switches_the_account_off_and_uses_nothing_up(
    outreach: Outreach, mail_server: MailServer
) -> None:
    outreach.add_accounts(mail_server.account(LOGINS[0], password="wr0ng-w0rd"))
    outreach.write_to(READER)

    outreach.pass_time(hours=3)

    assert outreach.deliveries() == {READER["email"]: ("ready", None)}
    assert not outreach.account().enabled
    assert set(outreach.attempts()) == {("failed", "account", 535)}
    first, *_, last = outreach.attempts_at()
    assert last - first >= dt.timedelta(minutes=15)
    assert mail_server.readers() == {}


def test_one_refused_login_is_not_the_end_of_an_account(outreach: Outreach, mail_server: MailServer) -> None:
    outreach.add_accounts(mail_server.account(LOGINS[0], password="wr0ng-w0rd"))
    outreach.write_to(READER)
    outreach.pass_time(minutes=1)
    assert outreach.account().enabled

    good = mail_server.account(LOGINS[0])
    outreach.command("accounts", "set", "1", "--password-stdin", stdin=f"{good['password']}\n")
    outreach.pass_time(hours=3)

    assert outreach.deliveries() == {READER["email"]: ("sent", "accepted")}


def test_an_unknown_recipient_is_suppressed_and_its_neighbour_gets_its_mail(
    outreach: Outreach, mail_server: MailServer
) -> None:
    outreach.add_accounts(mail_server.account(ORDINARY))
    outreach.write_to(NOBODY, READER)

    outreach.pass_time(hours=7)

    bounced, sent = ("bounced", "recipient_refused"), ("sent", "accepted")
    assert outreach.deliveries() == {NOBODY["email"]: bounced, READER["email"]: sent}
    assert outreach.attempts() == [("failed", "recipient", 550), ("accepted", "nobody", 250)]
    assert outreach.suppressed() == [NOBODY["email"]]
    assert len(mail_server.mails("reader1")) == 1
    assert mail_server.readers() == {"reader1": 1}


def test_a_domain_that_the_server_can_not_route_is_suppressed(outreach: Outreach, exim: Exim) -> None:
    outreach.add_accounts(exim.account(ORDINARY))
    outreach.write_to({"email": "somebody@elsewhere.example"})

    outreach.pass_time(minutes=1)

    assert outreach.deliveries() == {"somebody@elsewhere.example": ("bounced", "recipient_refused")}
    assert outreach.suppressed() == ["somebody@elsewhere.example"]


def test_a_mail_over_the_size_limit_is_the_contents_fault_and_nobody_is_suppressed(
    outreach: Outreach, mail_server: MailServer
) -> None:
    outreach.add_accounts(mail_server.account(ORDINARY))
    outreach.write_to(READER, text="Too many words.\n" * (MOST_OCTETS // 10))

    outreach.pass_time(hours=2)

    assert outreach.deliveries() == {READER["email"]: ("failed", "content_refused")}
    # The server has said in its greeting what it takes (RFC 1870): the mail was not offered.
    assert outreach.attempts() == [("failed", "content", None)]
    assert outreach.suppressed() == []
    assert outreach.account().enabled
    assert mail_server.readers() == {}


def test_a_server_that_takes_one_message_a_connection_is_charged_with_nothing(
    outreach: Outreach, exim: Exim, configure: Callable[..., None]
) -> None:
    configure(mail_min_interval=0, mail_spread="off")
    outreach.add_accounts(exim.account(ONE_MESSAGE))
    outreach.write_to(*({"email": f"reader{number}@{DOMAIN}"} for number in range(5)))

    outreach.pass_time(minutes=1)

    assert set(outreach.deliveries().values()) == {("sent", "accepted")}
    assert outreach.attempts() == [("accepted", "nobody", 250)] * 5
    assert outreach.account().failures_in_row == 0
    for number in range(5):
        assert len(exim.mails(f"reader{number}")) == 1
    assert "too many messages in one connection" in exim.mail_log

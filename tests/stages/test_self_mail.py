"""A mail of an account to itself counts like any other, and what it tells as it is received is kept for the account as
it is set up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models import Action, SelfMail, SmtpAccount
from pipeline.accounts import signing
from pipeline.accounts.self_mail import NotReadError, SelfMailRead
from pipeline.capacity import usage
from pipeline.capacity.snapshot import outline
from pipeline.content.signature import signed
from pipeline.operations import self_mail
from pipeline.operations.done import OperationRefusedError
from pipeline.reports import accounts as reports
from tests.builders import an_account
from tests.conftest import Clock
from tests.dkim_keys import key_file, rsa_pem, signing_keys, zone_of
from tests.dns_server import SERVFAIL, DnsServer
from tests.smtp_server import ScriptedServer


def test_it_has_both_headers_and_counts_in_limit_and_interval(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None]
) -> None:
    configure(mail_min_interval=60)
    account = an_account(port=server.port, daily_limit=2, from_address="me@example.test", enabled=False)
    sent = self_mail.send(account.id, "me")
    assert (sent.to, sent.reply) == ("me@example.test", "2.0.0 kept")
    (mail,) = server.mails
    for line in (
        b"To: me@example.test",
        b"List-Unsubscribe: <https://example.test/",
        b"List-Unsubscribe-Post: List-Un",
    ):
        assert mail.count(b"\r\n" + line) + mail.startswith(line) == 1
    assert sent.subject.encode() in mail
    assert usage.used_on(account.id, usage.date_of(clock.at)) == usage.used_since(account.id, clock.at - HOUR) == 1
    assert usage.last_transaction_of(account.id) == clock.at

    clock.tick(59)
    with pytest.raises(OperationRefusedError, match=r"may send its next mail at \d\d:\d\d:\d\d UTC"):
        self_mail.send(account.id, "me")
    SmtpAccount.update(enabled=True).execute()
    (seen,) = outline(clock.at).accounts
    assert (seen.used, (clock.at - seen.last_transaction_at).total_seconds()) == (1, 59)
    clock.tick(1)
    self_mail.send(account.id, "me")
    clock.tick(60)
    with pytest.raises(OperationRefusedError, match="has sent its mails of today"):
        self_mail.send(account.id, "me")
    assert (len(server.mails), [action.verb for action in Action.select()]) == (2, ["send to itself"] * 2)


@pytest.mark.parametrize(("replies", "counts"), [({"RCPT": "550 5.1.1 no"}, 1), ({"GREETING": "554 go away"}, 0)])
def test_what_is_refused_counts_where_a_provider_counts_it(
    any_database: str, clock: Clock, replies: dict[str, str], counts: int
) -> None:
    with ScriptedServer(replies) as server:
        account = an_account(port=server.port)
        with pytest.raises(OperationRefusedError, match="5"):
            self_mail.send(account.id, "me")
    assert usage.used_on(account.id, usage.date_of(clock.at)) == counts


def test_a_limit_that_is_reached_meanwhile_is_not_exceeded(any_database: str, clock: Clock) -> None:
    def another_one() -> None:
        values = {"nonce": "x", "message_id": "<x>", "sent_of": "", "local_on": clock.at.date(), "sent_at": clock.at}
        SelfMail.create(account=account, **values)

    with ScriptedServer() as server, pytest.MonkeyPatch.context() as patch:
        account, finished = an_account(port=server.port, daily_limit=1), self_mail._finished
        patch.setattr(self_mail, "_finished", lambda *args: another_one() or finished(*args))
        with pytest.raises(OperationRefusedError, match="has sent its mails of today"):
            self_mail.send(account.id, "me")
        assert server.mails == []


def test_a_providers_signature_that_covers_both_is_learned_and_reading_again_changes_nothing(world: World) -> None:
    assert not reports.account(world.account.id).unsubscribe_covered
    arrived = world.arrives(signs=True)
    found = world.read(arrived)
    assert (found.covered, found.evidence, found.kept) == (True, "signed by mail.example.test (selector r1)", True)
    (row,) = found.signatures
    assert (row.domain, row.ours, row.problem, row.covers, row.aligned) == (
        "mail.example.test",
        False,
        None,
        True,
        True,
    )
    assert (found.from_domain, found.dkim_aligned, found.message_id_kept) == ("example.test", True, True)
    assert (found.spf, found.spf_domain, found.spf_aligned) == ("pass", "bounces.example.test", True)
    shown = reports.account(world.account.id)
    assert (shown.unsubscribe_covered, shown.unsubscribe_evidence) == (True, found.evidence)
    assert shown.unsubscribe_learned_at == world.clock.at

    learned = SmtpAccount.get().__data__
    world.clock.tick(100)
    assert world.read(arrived.replace(b"\r\n", b"\n")) == found
    assert SmtpAccount.get().__data__ == learned
    # For another set-up it says nothing.
    SmtpAccount.update(host="localhost").execute()
    shown = reports.account(world.account.id)
    assert (shown.unsubscribe_covered, shown.unsubscribe_evidence) == (False, None)
    assert not world.read(arrived).kept


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ((b"List-Unsubscribe-Post", b"X-Removed"), "it was received without List-Unsubscribe or List-Unsubscribe-Post"),
        ((b"\r\nDate:", b"\r\nList-Unsubscribe: <x:y>\r\nDate:"), "or with several of them"),
        ((b"Nobody else", b"Somebody else"), "mail.example.test (selector r1): body hash mismatch"),
    ],
)
def test_what_a_provider_spoils_is_learned_with_its_reason(
    world: World, changed: tuple[bytes, bytes], why: str
) -> None:
    found = world.read(world.arrives(signs=True).replace(*changed))
    assert not found.covered
    assert why in found.evidence
    assert reports.account(world.account.id).unsubscribe_evidence == found.evidence


def test_a_signature_of_its_own_that_a_provider_breaks_covers_no_more(world: World, tmp_path: Path) -> None:
    own = {"dkim_selector": "r1", "dkim_key_file": key_file(tmp_path, rsa_pem()), "dkim_domain": "mail.example.test"}
    SmtpAccount.update(own).execute()
    assert reports.account(world.account.id).unsubscribe_covered
    arrived = world.arrives()
    (row,) = world.read(arrived).signatures
    assert (row.ours, row.covers) == (True, True)
    given = SelfMail.get().message_id.encode()
    found = world.read(arrived.replace(given, b"<another@provider.test>"))
    assert (found.covered, found.message_id_kept, found.message_id) == (False, False, "<another@provider.test>")
    assert not signing.covers_unsubscribe(SmtpAccount.get())


def test_an_older_mail_does_not_take_the_place_of_a_later_one(world: World) -> None:
    older = world.arrives(signs=True)
    later = world.arrives()
    assert not world.read(later).covered
    assert (world.read(older).covered, world.read(older).kept) == (True, False)
    assert not signing.covers_unsubscribe(SmtpAccount.get())


def test_nothing_is_learned_where_dns_can_not_be_asked(world: World) -> None:
    arrived = world.arrives(signs=True)
    world.dns.zone = dict.fromkeys(world.dns.zone, SERVFAIL)
    with pytest.raises(NotReadError, match="DNS could not be asked"):
        world.read(arrived)
    assert (SmtpAccount.get().unsubscribe_covered, SelfMail.get().read_at) == (None, None)


@pytest.mark.parametrize(
    "mail", [b"", b"Subject: hello\r\n\r\n", b"Subject: Slowpost asks who signs its mail: " + b"0" * 32]
)
def test_another_mail_is_told_from_one_of_these(world: World, mail: bytes) -> None:
    with pytest.raises(NotReadError, match="no mail that an account has sent to itself"):
        world.read(mail)


HOUR = dt.timedelta(hours=1)


class World:
    """An account whose server may sign for mail.example.test, and a DNS that has the key."""

    def __init__(self, server: ScriptedServer, dns: DnsServer, clock: Clock, keys: Any) -> None:
        self.account = an_account(port=server.port, from_address="me@example.test", daily_limit=10)
        self.dns, self.clock, self._server, self._keys = dns, clock, server, keys

    def arrives(self, *, signs: bool = False) -> bytes:
        """Send it, and return it as it is received."""
        self.clock.tick(1000)
        self_mail.send(self.account.id, "me")
        mail = self._server.mails[-1] + b"\r\n"
        top = b"Return-Path: <me@bounces.example.test>\r\nReceived-SPF: Pass (checked) client-ip=192.0.2.1\r\n"
        return top + (signed(mail, self._keys) if signs else mail)

    def read(self, mail: bytes) -> SelfMailRead:
        """Let it be read."""
        return self_mail.read(mail)


@pytest.fixture
def world(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None], tmp_path: Path
) -> Iterator[World]:
    """An account and what is around it."""
    keys = signing_keys(tmp_path, "mail.example.test")[:1]
    with DnsServer(zone_of(*keys)) as dns:
        configure(mail_dns_servers=dns.address)
        yield World(server, dns, clock, keys)

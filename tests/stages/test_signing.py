"""An account signs what it offers, last; a key that can't be used is its own fault for now; what it signs with is
checked when it is set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models import Attempt, Delivery, SmtpAccount, State, database
from pipeline import deliver_message
from pipeline.accounts import alerts, signing
from pipeline.content.signature import Algorithm
from pipeline.dns.resolver import Dns
from pipeline.dns.signatures import signatures_of
from pipeline.operations import account_values, accounts
from pipeline.operations.done import OperationRefusedError
from pipeline.operations.fields import FieldError
from tests.builders import a_delivery, an_account
from tests.conftest import Clock
from tests.dkim_keys import ed25519_pem, key_file, rsa_pem, signing_keys, zone_of
from tests.dns_server import DnsServer
from tests.smtp_server import ScriptedServer


def test_what_is_offered_is_signed_and_its_size_is_said_with_it(
    any_database: str, clock: Clock, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_transaction: list[bool] = []
    sign = signing.signed
    monkeypatch.setattr(
        signing, "signed", lambda *args: in_transaction.append(database.db.in_transaction()) or sign(*args)
    )
    account = an_account(port=server.port, from_address="me@example.test", **in_files(tmp_path))
    deliver(a_slot(account, clock))
    mail = server.mails[0] + b"\r\n"
    (said,) = re.findall(rb"SIZE=(\d+)", b"".join(server.received))
    assert int(said) == len(mail)
    with DnsServer(zone_of(*signing_keys(tmp_path))) as dns:
        found = signatures_of(mail, Dns([("127.0.0.1", dns.port)]))
    assert [(s.domain, s.selector, s.problem) for s in found] == [
        ("example.test", "r1", None),
        ("example.test", "e1", None),
    ]
    assert all(s.covers_unsubscribe for s in found)
    assert in_transaction == [False]


def test_a_key_that_can_not_be_read_is_the_accounts_fault_for_now_and_said_once_an_hour(
    any_database: str, clock: Clock, server: ScriptedServer, tmp_path: Path, told: list[tuple[str, str, int]]
) -> None:
    files = in_files(tmp_path)
    account = an_account(port=server.port, **files)
    Path(files["dkim_key_file"]).chmod(0o644)
    first = a_slot(account, clock)
    deliver(first)
    clock.tick(600)
    second = a_slot(account, clock)
    deliver(second)

    why = "others than its owner may use the key file (mode 0644): chmod 600"
    rows = [(a.outcome, a.charged_to, a.phase, a.text) for a in Attempt.select()]
    assert rows == [("failed", "account", "sign", why)] * 2
    assert {d.state for d in Delivery.select()} == {State.READY}
    assert (server.connections, SmtpAccount.get().enabled) == (0, True)
    assert told == [("account can't sign", why, account.id)]

    # Another account sends, and this one when its file is for its owner alone again.
    Path(files["dkim_key_file"]).chmod(0o600)
    SmtpAccount.update(cooling_until=None).execute()
    clock.tick(600)
    deliver(a_slot(account, clock))
    assert len(server.mails) == 1


@pytest.mark.parametrize(
    ("column", "pem", "mode", "why"),
    [
        ("dkim_key_file", rsa_pem, 0o640, "others than its owner may use the key file (mode 0640): chmod 600"),
        ("dkim_key_file", ed25519_pem, 0o600, "holds another key than one for RSA of 2048 to 4096 bits"),
        ("dkim_key_file", lambda: rsa_pem(1024), 0o600, "holds another key than one for RSA of 2048 to 4096 bits"),
        ("dkim_ed25519_key_file", rsa_pem, 0o600, "the key file holds another key than one for Ed25519"),
        ("dkim_key_file", lambda: b"s3cret\n", 0o600, "holds no private key in PEM without a passphrase"),
        ("dkim_key_file", lambda: b"", 0o600, "holds no private key in PEM without a passphrase"),
    ],
)
def test_a_key_is_tried_where_it_is_named(tmp_path: Path, column: str, pem: Any, mode: int, why: str) -> None:
    file = key_file(tmp_path, pem(), mode)
    with pytest.raises(FieldError) as refused:
        account_values.parsed({column: file})
    assert why in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nowhere/key.pem", "can't be read: No such file or directory"),
        ("/", "is no file"),
        ("key.pem", "absolute path"),
    ],
)
def test_a_file_that_is_none_is_refused(path: str, why: str) -> None:
    with pytest.raises(FieldError, match=why):
        account_values.parsed({"dkim_key_file": path})


@pytest.mark.usefixtures("any_database")
def test_a_selector_needs_its_key_and_goes_with_it(tmp_path: Path) -> None:
    account_id, files = an_account().id, in_files(tmp_path)

    def after(**changes: str) -> list[str | None]:
        accounts.change(account_id, "me", account_values.parsed_changes(changes))
        account = SmtpAccount.get()
        return [account.dkim_selector, account.dkim_ed25519_selector, account.dkim_ed25519_key_file]

    for given, why in (
        ({"dkim_selector": "r1"}, "dkim_key_file: it is empty, and there is a dkim_selector"),
        ({"dkim_key_file": files["dkim_key_file"]}, "dkim_selector: it is empty, and there is a dkim_key_file"),
        ({k: v for k, v in files.items() if "ed25519" in k}, "dkim_selector: it is empty"),
        ({"dkim_domain": "example.test"}, "dkim_selector: it is empty"),
        (files | {"dkim_ed25519_selector": "r1"}, "dkim_ed25519_selector: each key has a selector of its own"),
    ):
        with pytest.raises(OperationRefusedError, match=why):
            after(**given)
    assert after(**files) == ["r1", "e1", files["dkim_ed25519_key_file"]]
    assert after(dkim_ed25519_selector="") == ["r1", None, None]
    assert after(**files)[1] == "e1"
    assert after(dkim_selector="") == [None, None, None]
    with pytest.raises(FieldError, match="is no selector"):
        after(dkim_selector="no selector")


def test_what_was_learned_counts_for_the_set_up_that_it_was_learned_of_else_a_signature_of_its_own(
    tmp_path: Path,
) -> None:
    plain = SmtpAccount(host="H.test", port=587, username="me", from_address="me@example.test")
    assert not signing.covers_unsubscribe(plain)
    signs = SmtpAccount(**plain.__data__, **in_files(tmp_path))
    assert signing.covers_unsubscribe(signs)
    for account, learned in ((plain, True), (signs, False)):
        account.unsubscribe_covered, account.unsubscribe_learned_of = learned, signing.set_up(account)
        assert signing.covers_unsubscribe(account) is learned
        account.host = "other.test"
        assert signing.covers_unsubscribe(account) is not learned


def test_a_private_key_is_not_in_what_a_key_prints(tmp_path: Path) -> None:
    rsa, ed25519 = signing_keys(tmp_path)
    assert repr(rsa.private) not in repr(rsa)
    assert repr(ed25519.private) not in repr(ed25519)
    assert rsa.algorithm is Algorithm.RSA


def in_files(folder: Path) -> dict[str, str]:
    """Return the columns of an account that signs by two keys."""
    return {
        "dkim_selector": "r1",
        "dkim_key_file": key_file(folder, rsa_pem()),
        "dkim_ed25519_selector": "e1",
        "dkim_ed25519_key_file": key_file(folder, ed25519_pem()),
    }


def a_slot(account: SmtpAccount, clock: Clock) -> Delivery:
    """Store a delivery that holds a slot of an account, now."""
    values = {"account": account, "send_at": clock.at, "token": f"slot at {clock.at}", "message_id": "<1@example.test>"}
    return a_delivery(State.RESERVED, **values)


def deliver(delivery: Delivery) -> None:
    """Deliver it, and close the connection."""
    deliver_message.deliver([delivery.id], delivery.token)
    deliver_message.connections.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, int]]]:
    """What somebody is told of accounts."""
    found: list[tuple[str, str, int]] = []
    monkeypatch.setattr(alerts, "alert", lambda what, why, _at, *, account_id: found.append((what, why, account_id)))
    yield found
    alerts._told.clear()

"""Accounts' mailboxes on the command line: set up, tried, shown, and never their passwords."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models import SmtpAccount, database
from pipeline.accounts import passwords
from tests.cli.conftest import Slowpost

ADD = ["accounts", "add", "--host", "127.0.0.1", "--port", "1", "--security", "plain", "--from", "me@h.test"]


def test_a_mailbox_logs_in_as_for_sending_or_by_a_login_of_its_own(ready: Slowpost) -> None:
    done = ready(*ADD, "--username", "me", "--password-stdin", "--imap-host", "imap.h.test", stdin="one\n")
    assert done.code == 0, done.err
    own = ["--imap-username", "box", "--imap-password-stdin"]
    assert ready("accounts", "set", "1", *own, stdin="two\n").code == 0
    shown = ready("accounts", "show", "1", "--json").out
    assert json.loads(shown)["imap_username"] == "box"
    assert "two" not in shown
    row = account()
    assert passwords.decrypt(row.imap_password) == "two"
    assert passwords.decrypt(row.password) == "one"
    assert ready("accounts", "rekey").out.startswith("2 passwords")
    assert ready("accounts", "set", "1", "--imap-username", "").code == 0
    assert account().imap_password is None
    assert ready("accounts", "set", "1", "--save-sent").code == 0
    assert account().save_sent_since is not None
    assert ready("accounts", "set", "1", "--imap-host", "").code == 0
    row = account()
    assert (row.imap_host, row.save_sent, row.save_sent_since) == (None, False, None)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--imap-username", "box"], "imap_host: it is empty"),
        (["--imap-host", "h.test"], "has no user name that could log in there"),
        (["--imap-host", "h.test", "--imap-username", "box", "--imap-security", "plain"], "unencrypted"),
        (["--save-sent"], "imap_host: it is empty, and there is save_sent"),
    ],
)
def test_what_does_not_fit_together_is_refused(ready: Slowpost, options: list[str], why: str) -> None:
    done = ready(*ADD, *options, "--imap-password-stdin", stdin="x\n") if "box" in options else ready(*ADD, *options)
    assert done.code == 1
    assert why in done.err


def test_status_and_doctor_say_that_bounces_are_unseen_or_what_is_wrong(ready: Slowpost) -> None:
    assert ready(*ADD).code == 0
    assert status(ready)["mailbox"] is None
    assert "bounces unseen" in " ".join(ready("status").out.split())
    assert "bounces unseen" in ready("doctor", "--offline").out
    own = ["--imap-host", "127.0.0.1", "--imap-port", "1", "--imap-username", "b", "--imap-password-stdin"]
    assert ready("accounts", "set", "1", *own, stdin="x\n").code == 0
    assert status(ready)["mailbox"]["error"] is None
    read = ready("inbound", "read")
    assert read.code == 1
    assert read.err.endswith("mailboxes that can't be read: account 1\n")
    assert "Connection refused" in status(ready)["mailbox"]["error"]
    # It is not due again at once; a person may try it nevertheless.
    assert json.loads(ready("inbound", "read", "--due", "--json").out) == []


def status(ready: Slowpost) -> dict[str, Any]:
    """Return what `status` says of the account."""
    (found,) = json.loads(ready("status", "--json").out)["accounts"]
    row: dict[str, Any] = found
    return row


def account() -> SmtpAccount:
    """Return the account's row."""
    with database.connection():
        found: SmtpAccount = SmtpAccount.get()
        return found

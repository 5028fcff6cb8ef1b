"""Accounts as a person gives them to the command line: ways to log in, mailboxes that come back, keys that change."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from models import SmtpAccount, database
from pipeline.accounts import passwords
from tests.builders import an_account
from tests.cli.bad_input import ADD_ACCOUNT
from tests.cli.conftest import Slowpost
from tests.smtp_server import ScriptedServer


def test_an_account_with_access_tokens_is_asked_for_no_password_and_logs_in_with_one(ready: Slowpost) -> None:
    with ScriptedServer({"EHLO": "250-test\r\n250 AUTH XOAUTH2", "AUTH": "235 2.7.0 Accepted"}) as server:
        words = ["--host", "127.0.0.1", "--port", str(server.port), "--security", "plain", "--from", "me@h.test"]
        login = ["--username", "me", "--auth", "xoauth2", "--token-command", "echo t0ken-one"]
        assert ready("accounts", "add", *words, *login).code == 0
        tested = ready("accounts", "test", "1")
        assert (tested.code, tested.out) == (0, "account 1: logged in, sent nothing\n")
    listed = ready("accounts", "list", "--json").out
    (row,) = json.loads(listed)
    found = [row[key] for key in ("username", "auth", "token_command", "token_file", "plain_password")]
    assert found == ["me", "xoauth2", "echo t0ken-one", None, False]


def test_a_login_goes_unencrypted_to_another_machine_if_that_is_said_twice(ready: Slowpost) -> None:
    words = [*ADD_ACCOUNT, "--security", "plain", "--username", "me", "--password-stdin"]
    refused = ready(*words, stdin="s3cret\n")
    assert (refused.code, refused.err) == (
        1,
        "slowpost: security: plain sends the login to another machine unencrypted; "
        "if it has to be, say --allow-plain-password (plain_password) as well\n",
    )
    assert ready(*words, "--allow-plain-password", stdin="s3cret\n").code == 0
    assert ready("accounts", "set", "1", "--forbid-plain-password").code == 1
    assert ready("accounts", "set", "1", "--security", "tls", "--forbid-plain-password").code == 0


def test_an_account_of_before_whose_login_would_go_unencrypted_is_refused_when_it_is_tried(ready: Slowpost) -> None:
    with database.connection():
        an_account(host="mail.test", username="me", password=passwords.encrypt("s3cret"))
    tested = ready("accounts", "test", "1")
    assert (tested.code, tested.err) == (
        1,
        "slowpost: account 1: auth: security plain would send the login to mail.test unencrypted, "
        "which the account does not allow\n",
    )


def test_a_mailbox_that_comes_back_says_that_it_has_been_there(ready: Slowpost) -> None:
    assert ready(*ADD_ACCOUNT).out == "account 1: me@h.test\n"
    assert ready("accounts", "remove", "1").code == 0
    back = "account 1: again (it had been removed: what it has sent today counts)\n"
    assert ready(*ADD_ACCOUNT, "--name", "again").out == back
    taken = ready(*ADD_ACCOUNT, "--name", "twice", "--username", "")
    assert taken.err == "slowpost: its mailbox is there already: account 1 ('again')\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_rekey_does_what_it_can_and_names_the_rest(
    ready: Slowpost, configure: Callable[..., None], options: list[str]
) -> None:
    lost, old, new = (Fernet.generate_key().decode() for _ in range(3))
    with database.connection():
        for name, key in (("lost", lost), ("old", old)):
            an_account(name=name, username="me", password=Fernet(key).encrypt(b"s3cret").decode())
    configure(secret_key=f"{new},{old}")
    done = ready("accounts", "rekey", *options)
    assert (done.code, done.err) == (
        1,
        "slowpost: no key decrypts the password of account 1 (lost): give it again with `accounts set`\n",
    )
    if options:
        printed = {"rekeyed": 1, "keys": 0, "unreadable": [{"id": 1, "name": "lost"}], "warnings": []}
        assert json.loads(done.out) == printed
    else:
        assert done.out == "1 passwords and 0 keys are encrypted with the newest key\n"
    configure(secret_key=new)
    with database.connection():
        assert passwords.decrypt(SmtpAccount.get_by_id(2).password) == "s3cret"

"""What a person changes by hand: the change, the slots it gives back and its record, all or nothing; no mailbox twice,
and no login that can't be one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import peewee
import pytest
from cryptography.fernet import Fernet

from models import AccountTag, Action, Attempt, Delivery, SmtpAccount, State, database
from pipeline.accounts import passwords
from pipeline.capacity import usage
from pipeline.operations import account_values, accounts, imports
from pipeline.operations.csv_rows import Listener
from pipeline.operations.done import OperationRefusedError
from pipeline.operations.rekey import Unreadable, rekey
from pipeline.reports import accounts as reports
from pipeline.runtime.secret_key import SecretKeyError
from tests.builders import a_delivery, an_account
from tests.conftest import until_waiting_for_a_lock


@pytest.mark.usefixtures("any_database")
def test_a_changed_account_its_slot_and_the_record_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    account = an_account(daily_limit=20)
    planned = a_delivery(State.RESERVED, account=account, send_at=database.now(), token="slot")

    def found() -> tuple[int, State, list[str]]:
        verbs = [action.verb for action in Action.select()]
        return SmtpAccount.get().daily_limit, Delivery.get_by_id(planned.id).state, verbs

    def full(*_: Any) -> None:
        raise peewee.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(accounts, "record_action", full)
        with pytest.raises(peewee.OperationalError):
            accounts.change(account.id, "me", {"daily_limit": 5})
    assert found() == (20, State.RESERVED, [])
    accounts.change(account.id, "me", {"daily_limit": 5})
    assert found() == (5, State.READY, ["set"])


SAME_MAILBOX = [
    ({"host": "h.test", "username": "me"}, {"host": "H.Test.", "username": "ME", "port": 465}),
    ({"host": "h.test", "username": "j.doe@gmail.com"}, {"host": "h.test", "username": "JDoe@googlemail.com"}),
    ({"host": "h.test", "from_address": "me@x.test"}, {"host": "h.test", "from_address": "Me@X.test"}),
]
OTHER_MAILBOX = [
    ({"host": "h.test", "username": "me"}, {"host": "h.test", "username": "you"}),
    ({"host": "h.test", "username": "me"}, {"host": "other.test", "username": "me"}),
    ({"host": "h.test", "from_address": "me@x.test"}, {"host": "h.test", "from_address": "you@x.test"}),
    ({"host": "h.test", "from_address": "me@x.test"}, {"host": "h.test", "from_address": "me@x.test", "port": 25}),
]


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize(("first", "second"), SAME_MAILBOX)
def test_a_mailbox_is_not_there_twice(first: dict[str, Any], second: dict[str, Any]) -> None:
    one = accounts.add("me", whole(first, name="one")).id
    why = f"its mailbox is there already: account {one} ('one')"
    with pytest.raises(OperationRefusedError) as refused:
        accounts.add("me", whole(second, name="two"))
    assert str(refused.value) == why
    other = accounts.add("me", whole(second | {"host": "other.test"}, name="two")).id
    with pytest.raises(OperationRefusedError) as refused:
        accounts.change(other, "me", account_values.with_login(whole(second)))
    assert str(refused.value) == why
    assert imported(whole(second, name="two")) == ((0, 0, 0, 1), [why])
    assert imported(whole(second, name="three")) == ((0, 0, 0, 1), [why])
    assert [a.name for a in SmtpAccount.select().order_by(SmtpAccount.id)] == ["one", "two"]


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize(("first", "second"), OTHER_MAILBOX)
def test_another_mailbox_is_another(first: dict[str, Any], second: dict[str, Any]) -> None:
    accounts.add("me", whole(first, name="one"))
    accounts.add("me", whole(second, name="two"))


@pytest.mark.usefixtures("any_database")
def test_a_mailbox_is_not_there_twice_in_one_file() -> None:
    box = whole({"host": "h.test", "username": "me"})
    counts, (why,) = imported(box | {"name": "one"}, box | {"name": "two"})
    assert (counts, why) == ((1, 0, 0, 1), "its mailbox is there already: that of an earlier line")


@pytest.mark.usefixtures("any_database")
def test_accounts_that_have_had_one_mailbox_for_long_can_still_be_changed() -> None:
    same = {"host": "h.test", "username": "me", "password": passwords.encrypt("s3cret"), "security": "tls"}
    first, second = an_account(**same), an_account(**same)
    for account in (first, second):
        accounts.change(account.id, "me", {"daily_limit": 5})
    assert {a.daily_limit for a in SmtpAccount.select()} == {5}


def test_two_who_add_one_mailbox_at_once_add_it_once(postgres: str) -> None:
    refused: list[str] = []

    def add_two() -> None:
        with database.connection():
            try:
                accounts.add("me", whole({"host": "h.test", "username": "me"}, name="two"))
            except OperationRefusedError as error:
                refused.append(str(error))

    other = threading.Thread(target=add_two)
    with database.transaction():
        one = accounts.add("me", whole({"host": "h.test", "username": "me"}, name="one"))
        other.start()
        until_waiting_for_a_lock()
    other.join()
    assert refused == [f"its mailbox is there already: account {one.id} ('one')"]


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize("door", ["add", "import"])
def test_an_account_removed_and_added_again_has_used_what_it_has_used(door: str) -> None:
    values = whole({"host": "h.test", "username": "me"}, name="one", daily_limit=10, signature="old")
    first = accounts.add("me", values)
    now = database.now()
    SmtpAccount.update(quota_limit=7, quota_on=usage.date_of(now), paused_at=now, enabled=False).execute()
    for number in range(3):
        Attempt.create(
            delivery=a_delivery(State.SENT), account=first.id, token=f"t{number}", outcome="accepted",
            charged_to="nobody", claimed_at=now, finished_at=now, local_on=usage.date_of(now),
        )  # fmt: skip
    accounts.remove(first.id, "me")
    again = whole({"host": "H.test", "username": "Me"}, name="new", daily_limit=9)
    if door == "add":
        done = accounts.add("me", again)
        assert (done.id, done.name, done.taken_back, first.taken_back) == (first.id, "new", True, False)
    else:
        assert imported(again) == ((0, 1, 0, 0), [])
    account = SmtpAccount.get()
    assert usage.used_on(account.id, usage.date_of(now)) == 3
    assert (account.name, account.daily_limit, account.signature, account.quota_limit) == ("new", 9, "", 7)
    assert (account.removed_at, account.paused_at, account.enabled) == (None, None, True)
    assert account.enabled_at >= now
    assert passwords.decrypt(account.password) == "s3cret"


@pytest.mark.usefixtures("any_database")
def test_tags_are_kept_once_in_lower_case_and_go_one_by_one() -> None:
    given = account_values.tags(["Brand-A", "brand-a", "x"])
    one = accounts.add("me", whole({"host": "h.test"}, name="one"), tags=given).id
    other = accounts.add("me", whole({"host": "h.test"}, name="two", from_address="you@h.test"), tags=["x"]).id
    accounts.change(one, "me", {}, tags=["b_2.c", "x"], untags=["brand-a", "unknown"])
    assert {row.id: row.tags for row in reports.accounts()} == {one: ("b_2.c", "x"), other: ("x",)}
    assert reports.account(one).tags == ("b_2.c", "x")


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize("door", ["add", "import"])
def test_a_removed_account_loses_no_tag_and_has_them_when_it_is_taken_back(door: str) -> None:
    values = whole({"host": "h.test"}, name="one")
    first = accounts.add("me", values, tags=["a", "b"]).id
    accounts.remove(first, "me")
    assert AccountTag.select().count() == 2
    if door == "add":
        assert accounts.add("me", values, tags=["c"]).id == first
    else:
        assert imported(values) == ((0, 1, 0, 0), [])
    assert reports.account(first).tags == (("a", "b", "c") if door == "add" else ("a", "b"))


@pytest.mark.usefixtures("any_database")
def test_a_column_of_tags_is_all_that_an_account_has_and_an_empty_cell_leaves_them_alone() -> None:
    one, two = ({"host": "h.test", "name": name, "from_address": f"{name}@h.test"} for name in ("one", "two"))
    assert imported(one | {"tags": "Brand-A b"}, two | {"tags": ""}) == ((2, 0, 0, 0), [])
    assert [row.tags for row in reports.accounts()] == [("b", "brand-a"), ()]
    assert imported(one | {"tags": "b brand-a"}, two | {"tags": "b"}) == ((0, 1, 1, 0), [])
    assert imported(one | {"tags": "c"}, two | {"tags": ""}) == ((0, 1, 1, 0), [])
    assert [row.tags for row in reports.accounts()] == [("c",), ("b",)]
    why = "tags: it is no tag: 1 to 40 letters, digits, dots, underscores and dashes"
    assert imported(one | {"tags": "c s3cret!"}) == ((0, 0, 0, 1), [why])


LOGINS = [
    ({"username": "me", "password": "x"}, None),
    ({"auth": "xoauth2", "username": "me", "token_command": "print-token me"}, None),
    ({"auth": "xoauth2", "username": "me", "token_file": "/run/token"}, None),
    ({"auth": "xoauth2", "token_file": "/run/token"}, "username: it is empty, and auth is xoauth2"),
    (
        {"auth": "xoauth2", "username": "me"},
        "token_command or token_file: auth is xoauth2, which needs one of them, and",
    ),
    (
        {"auth": "xoauth2", "username": "me", "token_file": "/run/token", "token_command": "x"},
        "token_command or token_file: auth is xoauth2, which needs one of them, and both are there",
    ),
    (
        {"auth": "xoauth2", "username": "me", "token_file": "/run/token", "password": "x"},
        "password: there is one, and auth is xoauth2",
    ),
    ({"username": "me", "password": "x", "token_file": "/t"}, "token_file: there is one, and auth is password"),
    ({"username": "me"}, "password: it is empty, and there is a username"),
    ({"password": "x"}, "username: it is empty, and there is a password"),
    ({"security": "plain"}, None),
    ({"security": "plain", "host": "localhost", "username": "me", "password": "x"}, None),
    ({"security": "plain", "plain_password": "yes", "username": "me", "password": "x"}, None),
    (
        {"security": "plain", "username": "me", "password": "x"},
        "security: plain sends the login to another machine unencrypted",
    ),
    (
        {"security": "plain", "auth": "xoauth2", "username": "me", "token_file": "/t"},
        "security: plain sends the login to another machine unencrypted",
    ),
]


@pytest.mark.parametrize(("given", "why"), LOGINS)
def test_a_login_is_whole_and_protected_or_refused(sqlite: str, given: dict[str, str], why: str | None) -> None:
    written = {"host": "h.test", "from_address": "me@h.test"} | given
    if why is None:
        accounts.add("me", account_values.parsed(written))
        assert imported(written)[0] == (0, 0, 1, 0)
        return
    with pytest.raises(OperationRefusedError) as refused:
        accounts.add("me", account_values.parsed(written))
    assert str(refused.value).startswith(why)
    assert imported(written) == ((0, 0, 0, 1), [str(refused.value)])
    assert SmtpAccount.select().count() == 0


@pytest.mark.usefixtures("any_database")
def test_another_way_to_log_in_takes_the_place_of_the_one_before() -> None:
    account_id = accounts.add("me", whole({"host": "h.test", "username": "me"})).id

    def after(**changes: str) -> tuple[Any, ...]:
        accounts.change(account_id, "me", account_values.parsed_changes(changes))
        a = SmtpAccount.get()
        return a.auth, a.username, a.password is not None, a.token_command, a.token_file

    assert after(auth="xoauth2", token_command="print-token") == ("xoauth2", "me", False, "print-token", None)
    assert after(token_file="/run/token") == ("xoauth2", "me", False, None, "/run/token")
    assert after(auth="password", password="s3cret") == ("password", "me", True, None, None)
    assert after(auth="xoauth2", token_file="/run/token") == ("xoauth2", "me", False, None, "/run/token")
    assert after(username="") == ("password", None, False, None, None)


def test_what_did_not_fit_together_before_hinders_no_other_change(sqlite: str) -> None:
    old = an_account(host="h.test", username="me", password=passwords.encrypt("s3cret"))
    accounts.change(old.id, "me", {"daily_limit": 5})
    with pytest.raises(OperationRefusedError, match=r"^security: plain sends the login to another machine unencrypted"):
        accounts.change(old.id, "me", {"host": "other.test"})
    with pytest.raises(OperationRefusedError, match=r"^warmup_step: it is empty"):
        accounts.change(old.id, "me", {"warmup_start": 5})
    accounts.change(old.id, "me", {"host": "other.test", "plain_password": True})


@pytest.mark.usefixtures("any_database")
def test_all_passwords_are_encrypted_anew_but_those_that_no_key_decrypts(configure: Callable[..., None]) -> None:
    lost, old, new = (Fernet.generate_key().decode() for _ in range(3))
    stored = {name: an_account(name=name, username="me", password=Fernet(key).encrypt(b"s3cret").decode())
              for name, key in (("lost", lost), ("old", old), ("new", new))}  # fmt: skip
    an_account()
    configure(secret_key=f"{new},{old}")
    done = rekey("me", "yearly")
    assert (done.rekeyed, done.unreadable) == (2, (Unreadable(stored["lost"].id, "lost"),))
    assert SmtpAccount.get_by_id(stored["lost"].id).password == stored["lost"].password
    configure(secret_key=new)
    for name in ("old", "new"):
        assert passwords.decrypt(SmtpAccount.get_by_id(stored[name].id).password) == "s3cret"
    assert [(a.who, a.verb, a.subject, a.reason) for a in Action.select()] == [("me", "rekey", "accounts", "yearly")]


def test_without_a_key_nothing_is_encrypted_anew(sqlite: str) -> None:
    assert rekey("me").rekeyed == 0
    an_account(username="me", password="x")
    with pytest.raises(SecretKeyError, match=r"^there is no SECRET_KEY"):
        rekey("me")


def whole(values: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return an account's columns: with a password where there is a user name."""
    usual = {"from_address": "me@h.test", **({"password": "s3cret"} if values.get("username") else {})}
    return {**usual, **values, **more}


def imported(*rows: Mapping[str, Any]) -> tuple[tuple[int, ...], list[str]]:
    """Import accounts; return how many were added, updated, unchanged and refused, and why those were."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [",".join(columns), *(",".join(str(row.get(column, "")) for column in columns) for row in rows)]
    refused: list[str] = []
    done = imports.accounts(lines, Listener(lambda _line, why: refused.append(why)))
    return (done.added, done.updated, done.unchanged, done.refused), refused

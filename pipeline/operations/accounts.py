"""What a person does to an account: added, changed, tried, switched on and off, removed.

Writes: the account, slots given back in the same transaction, and the action with its reason. Hands on a trigger:
whatever frees or adds capacity starts the next reservation.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee

from models import Auth, Cause, SmtpAccount, database, lookup
from models.account_tag import set_tags, tags_of
from models.control import record_action
from pipeline.accounts.charge import WORKS_AGAIN
from pipeline.accounts.identity import endpoint_of, mailbox_of
from pipeline.capacity import slots, usage
from pipeline.delivery.claim import locked
from pipeline.flow import TRIGGER
from pipeline.imap.connection import MailboxError
from pipeline.imap.login import try_out
from pipeline.operations import account_values, fields, mailbox_fields
from pipeline.operations.done import Done, OperationRefusedError
from pipeline.operations.mailboxes import Mailboxes
from pipeline.runtime import secret_key
from pipeline.smtp.connection import log_in_and_out

#: What the throttle, the login or the mail itself goes by: a slot that was planned with another value is given back.
PLANNED_WITH = tuple(c for c in account_values.COLUMNS if c != "name" and c not in mailbox_fields.COLUMNS)


@dataclass(frozen=True)
class AccountDone(Done):
    """An account that something was done to.

    Attributes:
        id: the account.
        name: what you call it; a removed one: what you called it.
        taken_back: it had been removed; what it has sent today counts.
        new_key: the key file, if one was made for its password.
    """

    id: int
    name: str
    taken_back: bool = False
    new_key: Path | None = None


@dataclass(frozen=True)
class LoggedIn(Done):
    """An account whose login was tried.

    Attributes:
        id: the account.
        ok: always true: a login that fails is a refusal.
        folders: the folders of its mailbox that are read; null: it has no mailbox.
    """

    id: int
    ok: bool = True
    folders: tuple[str, ...] | None = None


def add(who: str, values: Mapping[str, Any], reason: str = "", tags: Collection[str] = ()) -> AccountDone:
    """Add an account, or take one back into use that has been removed and had the same mailbox.

    Args:
        who: who does it; kept with the action.
        values: by column, checked (see `account_values.parsed`); the password in clear, it is stored encrypted.
        reason: why; kept with the action.
        tags: its tags, checked (see `fields.tag`); one that is taken back keeps those that it had.

    Raises:
        FieldError: its name is not allowed.
        OperationRefusedError: another account has the name or the mailbox, or its values do not fit together.
    """
    now = database.now()
    given = account_values.with_login(values)
    row = account_values.defaults(now) | given
    given["name"] = row["name"] = _new_name(row)
    _demand_whole(row)
    given |= account_values.dated(row, account_values.defaults(now), now, usage.date_of(now))
    with secret_key.noticing_a_new_one() as new_key:
        given |= account_values.encrypted(row, {})
    try:
        with database.transaction():
            database.lock_accounts()
            mailboxes = Mailboxes()
            _demand_mailbox(mailboxes, row)
            removed = mailboxes.removed(row)
            was = None if removed is None else locked(removed).__data__
            account_id = _stored(account_values.new(was, now) | given, now)
            _retag(account_id, tags)
            record_action(who, "add", f"account {account_id}", now, reason)
    except peewee.IntegrityError:
        raise _name_taken(row["name"]) from None
    return AccountDone(account_id, row["name"], removed is not None, new_key.path, handoffs=(TRIGGER,))


def demand_new(values: Mapping[str, Any]) -> None:
    """Refuse what `add` would refuse whatever the password is, so that nobody is asked for one in vain.

    Raises:
        FieldError: its name is not allowed.
        OperationRefusedError: another account has the name or the mailbox, or its values do not fit together.
    """
    row = account_values.defaults(database.now()) | account_values.with_login(values)
    _new_name(row)
    _demand_mailbox(Mailboxes(), row)
    asked_for = {"password": "?"} if row["username"] and row["auth"] == Auth.PASSWORD else {}
    asked_for |= {"imap_password": "?"} if needs_mailbox_password(row) else {}
    _demand_whole(row | asked_for)


def needs_mailbox_password(values: Mapping[str, Any]) -> bool:
    """Tell whether a new account's mailbox has a login of its own, and nothing yet to log in with."""
    given = ("imap_password", "imap_token_command", "imap_token_file")
    return bool(values.get("imap_username")) and not any(values.get(column) for column in given)


def _new_name(row: Mapping[str, Any]) -> str:
    name = fields.name(account_values.name_of(row))
    if SmtpAccount.select().where(SmtpAccount.name == name).exists():
        raise _name_taken(name)
    return name


def _demand_mailbox(mailboxes: Mailboxes, row: Mapping[str, Any], was: Mapping[str, Any] | None = None) -> None:
    if taken := mailboxes.taken_by(row, was):
        raise OperationRefusedError(taken)


def _stored(row: Mapping[str, Any], now: dt.datetime) -> int:
    """Insert an account, or update the one that it is."""
    columns = {column: value for column, value in row.items() if column != "id"} | {"updated_at": now}
    if "id" not in row:
        return int(SmtpAccount.create(**columns, created_at=now).id)
    SmtpAccount.update(**columns).where(SmtpAccount.id == row["id"]).execute()
    return int(row["id"])


def change(
    account_id: int,
    who: str,
    changes: Mapping[str, Any],
    reason: str = "",
    *,
    tags: Collection[str] = (),
    untags: Collection[str] = (),
) -> AccountDone:
    """Change columns of an account; a change of anything but its name gives its slot back, to be planned anew.

    Args:
        account_id: the account.
        who: who does it; kept with the action.
        changes: by column, checked (see `account_values.parsed_changes`); a password in clear. What goes with them:
            see `account_values.with_login`.
        reason: why; kept with the action.
        tags: tags that it gets, checked (see `fields.tag`).
        untags: tags that it loses.

    Raises:
        NotThereError: there is no such account.
        OperationRefusedError: another account has its new name or mailbox, or its values fit together no longer.
    """
    try:
        with secret_key.noticing_a_new_one() as new_key, database.transaction():
            lookup.account(account_id)
            database.lock_accounts()
            was = locked(account_id).__data__
            now = database.now()
            changes = account_values.with_login(changes)
            becomes = was | changes
            _demand_whole(becomes, was)
            _demand_mailbox(Mailboxes(), becomes, was)
            changes |= account_values.encrypted(changes, was)
            becomes = was | changes
            # The name comes last, as in `remove`.
            if any(becomes[column] != was[column] for column in PLANNED_WITH):
                slots.give_back(Cause.ACCOUNT, account_ids=[account_id])
            dated = account_values.dated(becomes, was, now, usage.date_of(now))
            _update_account(account_id, **changes | dated)
            if _retag(account_id, tags, untags):
                slots.give_back(Cause.ACCOUNT, account_ids=[account_id])
            record_action(who, "set", f"account {account_id}", now, reason)
    except peewee.IntegrityError:
        raise _name_taken(changes["name"]) from None
    return AccountDone(account_id, becomes["name"], new_key=new_key.path, handoffs=(TRIGGER,))


def _retag(account_id: int, tags: Collection[str], untags: Collection[str] = ()) -> bool:
    """Give an account tags and take some away; tell whether that changes anything, such as which campaigns it sends."""
    there = tags_of([account_id])[account_id]
    return bool(set_tags({account_id: {*there, *tags} - {*untags}}))


def test(account_id: int) -> LoggedIn:
    """Log in with an account, and to its mailbox if it has one, and send nothing.

    Raises:
        NotThereError: there is no such account.
        OperationRefusedError: the login failed; the message says where and how.
        SecretKeyError: its password can't be decrypted.
    """
    account = lookup.account(account_id)
    result = log_in_and_out(endpoint_of(account))
    if result is not None:
        code = f"{result.reply.code} " if result.reply.code else ""
        raise OperationRefusedError(f"account {account_id}: {result.phase}: {code}{result.reply.text}")
    endpoint = mailbox_of(account)
    if endpoint is None:
        return LoggedIn(account_id)
    try:
        return LoggedIn(account_id, folders=tuple(folder.name for folder in try_out(endpoint)))
    except MailboxError as error:
        raise OperationRefusedError(f"account {account_id}: mailbox: {error}") from None


def disable(account_id: int, who: str, reason: str = "") -> AccountDone:
    """Switch an account off and give its slot back. Raises NotThereError."""
    with database.transaction():
        account = _update_account(account_id, enabled=False, disabled_reason=reason or f"switched off by {who}")
        slots.give_back(Cause.ACCOUNT, account_ids=[account_id])
        record_action(who, "disable", f"account {account_id}", database.now(), reason)
    return AccountDone(account_id, account.name, handoffs=(TRIGGER,))


def enable(account_id: int, who: str, reason: str = "") -> AccountDone:
    """Switch an account on; its health and its bounces are counted from now on. Raises NotThereError."""
    with database.transaction():
        account = _update_account(account_id, **account_values.switched_on(database.now()))
        record_action(who, "enable", f"account {account_id}", database.now(), reason)
    return AccountDone(account_id, account.name, handoffs=(TRIGGER,))


def reset(account_id: int, who: str, reason: str = "") -> AccountDone:
    """End an account's rest and the limit learned from its provider; health and bounces are counted from now on.

    Raises NotThereError.
    """
    anew = dict.fromkeys(("quota_limit", "quota_on", "quota_at", "quota_after"))
    with database.transaction():
        account = _update_account(account_id, enabled_at=database.now(), **WORKS_AGAIN, **anew)
        record_action(who, "reset", f"account {account_id}", database.now(), reason)
    return AccountDone(account_id, account.name, handoffs=(TRIGGER,))


def remove(account_id: int, who: str, reason: str = "") -> AccountDone:
    """Take an account out of use for good, with its password; its attempts stay. Raises NotThereError."""
    with database.transaction():
        lookup.account(account_id)
        database.lock_accounts()
        # Account, throttle, delivery: the order in which all take their locks. The name comes last, since a row whose
        # key is changed is locked even against those that only refer to it.
        account = locked(account_id)
        now = database.now()
        slots.give_back(Cause.ACCOUNT, account_ids=[account_id])
        _update_account(
            account_id,
            removed_at=now,
            enabled=False,
            password=None,
            token_command=None,
            token_file=None,
            **mailbox_fields.nothing(),
            name=f"{account.name} (removed {account_id})",
        )
        record_action(who, "remove", f"account {account_id}", now, reason)
    return AccountDone(account_id, account.name, handoffs=(TRIGGER,))


def _demand_whole(account: Mapping[str, Any], was: Mapping[str, Any] | None = None) -> None:
    """Refuse what does not fit together, unless it was like that before."""
    before: tuple[str, ...] = ()
    if was is not None:
        # That its login went to one machine unencrypted is no reason to let it go to another.
        moved = {"plain_password": True} if account["host"] != was["host"] else {}
        before = tuple(account_values.problems({**was, **moved}))
    for problem in account_values.problems(account):
        if problem not in before:
            raise OperationRefusedError(problem)


def _name_taken(name: str) -> OperationRefusedError:
    return OperationRefusedError(f"there is an account {name!r} already")


def _update_account(account_id: int, **changes: Any) -> SmtpAccount:
    """Change columns of an account, and return it as it was."""
    account = lookup.account(account_id)
    SmtpAccount.update(updated_at=database.now(), **changes).where(SmtpAccount.id == account_id).execute()
    return account

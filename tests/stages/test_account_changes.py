"""What a person changes by hand: the change, the slots it gives back and its record, all or nothing."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from models import Action, Delivery, SmtpAccount, State, database
from pipeline.operations import accounts
from tests.builders import a_delivery, an_account


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

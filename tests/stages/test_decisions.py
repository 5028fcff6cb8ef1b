"""A message that a person replays: neither lost nor doubled, whatever happens in between."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from models import Action, DeadLetter, Delivery, Resolution, State, database
from models.dead_letter import file_message
from models.lookup import NotThereError
from pipeline import select_contacts
from pipeline.operations import decisions
from tests.builders import a_contact, a_template
from tests.conftest import until_waiting_for_a_lock


@pytest.mark.usefixtures("any_database")
def test_a_message_that_cannot_be_put_back_stays_open_and_nothing_is_recorded() -> None:
    letter = a_message()

    def fail(*_: Any) -> None:
        raise ConnectionError("RabbitMQ is away")

    with pytest.raises(ConnectionError):
        decisions.replay(letter, "me", put_back=fail)
    assert (DeadLetter.get().resolved_at, Action.select().count()) == (None, 0)


@pytest.mark.usefixtures("any_database")
def test_a_crash_between_putting_back_and_closing_leaves_it_open_and_a_second_replay_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contact, letter, published = a_contact(), a_message(), Published()
    a_template()

    def put_back(*message: Any) -> None:
        published.append(message)

    with monkeypatch.context() as patched:
        patched.setattr(decisions, "record_action", _crash)
        with pytest.raises(KeyboardInterrupt):
            decisions.replay(letter, "me", put_back=put_back)
    assert DeadLetter.get().resolved_at is None
    decisions.replay(letter, "me", put_back=put_back)
    assert DeadLetter.get().resolution == Resolution.REPLAYED
    assert len(published) == 2
    for _, _, source in published:
        select_contacts.select(select_contacts.asked(source, [contact.id]))
    assert [(d.contact_id, d.state) for d in Delivery.select()] == [(contact.id, State.SELECTED)]


@pytest.mark.usefixtures("postgres")
def test_who_discards_a_message_while_it_is_put_back_is_told_that_it_is_closed() -> None:
    letter, refused = a_message(), list[str]()

    def discard() -> None:
        with database.connection():
            try:
                decisions.discard(letter, "another")
            except NotThereError as error:
                refused.append(str(error))

    other = threading.Thread(target=discard)

    def put_back(*_: Any) -> None:
        other.start()
        until_waiting_for_a_lock()

    decisions.replay(letter, "me", put_back=put_back)
    other.join()
    assert refused == [f"there is no open dead letter {letter}"]
    assert (DeadLetter.get().resolution, [a.who for a in Action.select()]) == (Resolution.REPLAYED, ["me"])


#: What was put on a queue: queue, body, source id.
Published = list[tuple[str | None, bytes, str]]


def a_message() -> int:
    """Keep a message nobody could process, and return its dead letter's id."""
    (letter,) = file_message("intake", b'{"contact_id": 1}', "contact 1 does not exist", database.now(), message_id="m")
    return int(letter.id)


def _crash(*_: Any) -> None:
    raise KeyboardInterrupt

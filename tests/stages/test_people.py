"""Forgetting: no trace of the person in any column of any table, and nobody writes to them again."""

from __future__ import annotations

import pytest

from models import (
    Action,
    Attempt,
    Contact,
    DeadLetter,
    Delivery,
    DomainCheck,
    Reason,
    State,
    Suppression,
    SuppressionKind,
    database,
)
from models.control import record_action
from models.dead_letter import file_deliveries, file_message
from models.lookup import NotThereError
from models.suppression import suppress
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim
from pipeline.operations import forget
from pipeline.rules.suppressed import suppressed_among
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests.builders import a_campaign, a_contact, a_delivery, a_website, an_account

pytestmark = pytest.mark.usefixtures("any_database")


def test_forgetting_leaves_no_trace_of_the_address_in_any_column_of_any_table() -> None:
    now = database.now()
    website = a_website(domain="jo-traceable.example", title="Traceable's", extra={"owner": "traceable"})
    about = {"name": "Jo Traceable", "extra": {"phone": "traceable 1"}, "timezone": "Europe/Berlin", "website": website}
    contact = a_contact(email=ADDRESS, **about)
    DomainCheck.create(domain="gmail.com", result="takes_mail", checked_at=now)
    other = a_contact(email="jotraceable+news@gmail.com", name="Jo Traceable")
    failed = a_delivery(
        State.FAILED, contact=contact, detail=f"<{ADDRESS}>", html="<p>Traceable", preheader="Dear Traceable"
    )
    a_delivery(State.READY, contact=other, text="Dear Traceable", source=f"crm {ADDRESS}")
    refused = an_account(enabled=False, disabled_reason=f"rcpt: 550 {ADDRESS.upper()} not allowed")
    an_account(**dict.fromkeys(("paused_after", "quota_after", "rests_after"), f"dot: 451 <{ADDRESS}> rate limit"))
    a_campaign(no_footer_because="asked by Jo Traceable", paused_after=f"dot: 451 <{ADDRESS}>")
    Attempt.create(delivery=failed, account=refused, outcome="failed", text=f"<{ADDRESS}> unknown", finished_at=now)
    file_deliveries({failed.id: (Reason.RECIPIENT_REFUSED, f"<{ADDRESS}> unknown")}, now)
    file_message(
        "intake", f'{{"contact_id": 1, "email": "{ADDRESS}"}}'.encode(), 'unknown key "email"', now, message_id="m1"
    )
    file_message("intake", f'"{ADDRESS}"'.encode(), f'"{ADDRESS}" is no id', now)
    file_message("intake", b"nonsense", "the body is not JSON", now)
    suppress(SuppressionKind.ADDRESS, [contact.address], "bounced", now)
    suppress(SuppressionKind.DOMAIN, ["other.test"], f"asked by {ADDRESS}", now)
    record_action("me", "cancel", f"contact {contact.id}", now, f"{ADDRESS} called")
    record_action("me", "cancel", f"contact {contact.id}", now, "jo  traceable of jo-traceable.example called")
    assert everything().count("traceable") > 15

    forget.forget(contact.id, "me", f"asked by {ADDRESS}")

    assert "traceable" not in everything()
    assert [(c.email, c.name, c.extra, c.forgotten_at is not None) for c in Contact.select().order_by(Contact.id)] == [
        (f"forgotten-{c.id}@forgotten.invalid", "", {}, True) for c in (contact, other)
    ]
    assert DomainCheck.select().count() == 0
    assert set(suppressed_among(["jotraceable@gmail.com"], database.now())) == {"jotraceable@gmail.com"}


def test_a_dead_letter_loses_the_words_about_the_person_and_nothing_that_it_asks_for_others() -> None:
    contact = a_contact(email=ADDRESS, name="Jo Trac\u00e9able")
    mine = contact.id
    becomes = {
        # It asks for the person: whatever it says may be about them.
        f'{{"contact_ids": [{mine}, 77], "note": "Jo T."}}': f'{{"contact_ids": [{mine}, 77], "note": "(erased)"}}',
        # It asks for others, and names the person: by another spelling, by the name, in JSON's escapes or not.
        '{"contact_id": 78, "by": ["jo.traceable+x@googlemail.com"]}': '{"contact_id": 78, "by": ["(erased)"]}',
        '{"contact_id": 79, "by": "JO  TRAC\\u00e9ABLE, a friend"}': '{"contact_id": 79, "by": "(erased)"}',
        '{"contact_id": 80, "Jo Trac\u00e9able": 1}': '{"contact_id": 80, "(erased)": 1}',
        "no JSON: 81 <jo.traceable@gmail.com>": "no JSON: 81 <(erased)>",
        # It names nobody: a longer name is another's.
        '{"contact_id": 82, "by": "Jo Trac\u00e9ables"}': None,
        f'{{"contact_ids": [{mine}]}}': None,
    }
    for number, body in enumerate(becomes):
        file_message("intake", body.encode(), f"refused {number}", database.now(), message_id=f"m{number}")
    closed = DeadLetter.select().order_by(DeadLetter.id).first()
    DeadLetter.update(resolved_at=database.now(), resolution="replayed").where(DeadLetter.id == closed.id).execute()

    forget.forget(contact.id, "me")

    still_open = DeadLetter.select().where(DeadLetter.resolved_at.is_null()).order_by(DeadLetter.id)
    untouched = [(body, f"refused {number}") for number, (body, after) in enumerate(becomes.items()) if after is None]
    erased = [(after, "(erased)") for after in list(becomes.values())[1:] if after]
    assert [(bytes(letter.body).decode(), letter.reason) for letter in still_open] == untouched + erased
    closed = DeadLetter.get_by_id(closed.id)
    assert (bytes(closed.body), closed.reason, closed.resolution) == (b"", "(erased)", "replayed")


def test_what_a_server_says_of_a_doubt_after_its_person_was_forgotten_is_not_kept() -> None:
    delivery = a_delivery(State.IN_DOUBT, contact=a_contact(email=ADDRESS), account=an_account(), token="t")
    Attempt.create(delivery=delivery, account=delivery.account, outcome="in_doubt", token="t", text="")
    forget.forget(delivery.contact_id, "me")
    said = Result(Verdict.RECIPIENT_FOR_GOOD, Phase.DOT, Reply(550, f"5.1.1 <{ADDRESS}> unknown"))
    outcome.settle(Claim(delivery.id, delivery.account_id, "t", 0.0), said)
    assert (Delivery.get().state, Attempt.get().reply_code) == (State.BOUNCED, 550)
    assert "traceable" not in everything()
    assert [s.reason for s in Suppression.select()] == ["forgotten"]


def test_what_waits_is_cancelled_and_history_stays_without_words() -> None:
    contact = a_contact(email=ADDRESS)
    sent = a_delivery(State.SENT, contact=contact)
    slot = a_delivery(State.RESERVED, contact=contact, account=an_account(), send_at=database.now(), token="slot")
    forget.forget(contact.id, "me", "asked")
    found = {d.id: d for d in Delivery.select()}
    assert (found[sent.id].state, found[sent.id].text) == (State.SENT, None)
    cancelled = found[slot.id]
    assert (cancelled.state, cancelled.reason) == (State.CANCELLED, Reason.FORGOTTEN)
    assert (cancelled.account_id, cancelled.send_at, cancelled.token) == (None, None, None)
    assert [(a.who, a.verb, a.subject, a.reason) for a in Action.select()] == [
        ("me", "forget", f"contact {contact.id}", "asked")
    ]
    assert set(suppressed_among(["jotraceable@gmail.com"], database.now())) == {"jotraceable@gmail.com"}


@pytest.mark.parametrize("state", [State.SELECTED, State.CLEARED, State.READY])
def test_whatever_is_unfinished_is_cancelled(state: State) -> None:
    delivery = a_delivery(state)
    forget.forget(delivery.contact_id, "me")
    assert (Delivery.get().state, Delivery.get().reason) == (State.CANCELLED, Reason.FORGOTTEN)


def test_a_mail_that_is_being_sent_stops_it_and_nothing_is_changed() -> None:
    contact = a_contact(email="jo.traceable@gmail.com", name="Jo")
    a_delivery(State.READY, contact=contact)
    a_delivery(State.SENDING, contact=a_contact(email="jotraceable@gmail.com"), address="another@x.test")
    before = everything()
    with pytest.raises(forget.BeingSentError):
        forget.forget(contact.id, "me", "asked")
    assert everything() == before


def test_a_person_is_forgotten_once() -> None:
    contact = a_contact()
    forget.forget(contact.id, "me")
    for unknown in (contact.id, contact.id + 1):
        with pytest.raises(NotThereError):
            forget.forget(unknown, "me")


ADDRESS = "Jo.Traceable@gmail.com"


def everything() -> str:
    """Return every column of every row of every table, as text."""
    found = []
    for table in database.db.get_tables():
        for row in database.db.execute_sql(f'SELECT * FROM "{table}"').fetchall():  # noqa: S608
            found += [
                bytes(v).decode("utf-8", "replace") if isinstance(v, bytes | memoryview) else repr(v) for v in row
            ]
    return "\n".join(found).lower()

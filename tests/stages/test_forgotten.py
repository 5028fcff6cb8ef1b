"""The hashes of forgotten people: their key outlives every SECRET_KEY, and without it nobody is selected."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from models import Contact, Delivery, Purpose, State, StoredKey, Suppression, Website, database, schema
from models.suppression import suppress
from pipeline import check_duplicates, deliver_message, select_contacts
from pipeline.operations import imports, keyed_hashes
from pipeline.operations.csv_rows import Listener
from pipeline.operations.forget import forget
from pipeline.operations.rekey import rekey
from pipeline.rules.suppressed import suppressed_among
from pipeline.runtime import keys, secret_key
from pipeline.runtime.keys import KeyLockedError
from pipeline.runtime.secret_key import SecretKeyError
from schedules import publish_batch
from tests.builders import a_contact, a_delivery, a_template, a_website, an_account
from tests.conftest import Clock, until_waiting_for_a_lock
from tests.stages.test_select_contacts import in_a_thread

JO = "jo.doe@gmail.com"
NORMAL = "jodoe@gmail.com"

pytestmark = pytest.mark.usefixtures("any_database")


def test_after_two_rotations_with_the_oldest_key_thrown_away_the_forgotten_stay_suppressed(
    configure: Callable[..., None],
) -> None:
    first, second, third = (Fernet.generate_key().decode() for _ in range(3))
    configure(secret_key=first)
    forget(a_contact(email=JO).id, "me")
    kept, wrapped = hashes_there(), StoredKey.get().wrapped
    for keys_then in (f"{second},{first}", second, f"{third},{second}", third):
        configure(secret_key=keys_then)
        assert rekey("me").keys == 1
        assert set(suppressed_among([NORMAL, "another@x.test"], database.now())) == {NORMAL}
    assert StoredKey.get().wrapped != wrapped
    assert hashes_there() == kept
    # A key that would be thrown away too early stops it, and nothing is changed.
    configure(secret_key=first)
    with pytest.raises(KeyLockedError):
        rekey("me")


def test_the_hash_is_an_hmac_over_the_hash_of_before_and_tells_nobody_without_the_key() -> None:
    forget(a_contact(email=JO).id, "me")
    key = keys.stored(Purpose.FORGOTTEN)
    assert key is not None
    digest = hashlib.sha256(NORMAL.encode()).digest()
    assert hashes_there() == ["hmac:" + hmac.new(key, digest, "sha256").hexdigest()]


def test_without_the_key_nobody_is_selected_cleared_sent_or_imported(
    configure: Callable[..., None], clock: Clock
) -> None:
    template, account = a_template(), an_account()
    contact, selected = a_contact(), a_delivery(State.SELECTED)
    slot = a_delivery(State.RESERVED, account=account, send_at=clock.at, token="slot")
    configure(secret_key=Fernet.generate_key().decode())
    forget(a_contact(email=JO).id, "me")
    before = [(d.id, d.state) for d in Delivery.select().order_by(Delivery.id)]
    acts: list[Callable[[], object]] = [
        lambda: select_contacts.select(select_contacts.asked("s", [contact.id]), template_id=template.id),
        lambda: publish_batch.publish(template_id=template.id),
        lambda: check_duplicates.clear([selected.id]),
        lambda: deliver_message.deliver([slot.id], "slot"),
        lambda: imports.contacts(["email", JO], Listener(lambda *_: None)),
        lambda: forget(contact.id, "me"),
    ]
    for lost in ({"secret_key": Fernet.generate_key().decode()}, {"secret_key": ""}):
        configure(**lost)
        for act in acts:
            with pytest.raises(KeyLockedError, match="put the key back"):
                act()
    assert [(d.id, d.state) for d in Delivery.select().order_by(Delivery.id)] == before
    assert Contact.select().where(Contact.email == JO).count() == 0


def test_where_nobody_was_forgotten_no_key_is_asked_for_and_the_first_forgetting_makes_one() -> None:
    contact = a_contact(email=JO)
    select_contacts.select(select_contacts.asked("s", [contact.id]), template_id=a_template().id)
    assert suppressed_among([NORMAL], database.now()) == {}
    assert (StoredKey.select().count(), secret_key.key_file().exists()) == (0, False)
    assert forget(contact.id, "me").new_key == secret_key.key_file()
    assert set(suppressed_among([NORMAL], database.now())) == {NORMAL}


def test_hashes_of_a_version_before_count_and_get_their_key_as_soon_as_there_is_one(
    configure: Callable[..., None],
) -> None:
    written_to = a_website(domain="jo-doe.example", title="Jo")
    a_delivery(State.SENT, contact=a_contact(forgotten_at=database.now()), website=written_to)
    a_website(domain="jo.example")
    a_website(domain="imported.example", title="Somebody")
    a_contact(website=a_website(domain="another.example"))
    unkeyed = "sha256:" + hashlib.sha256(NORMAL.encode()).hexdigest()
    suppress("address", [unkeyed], "forgotten", database.now())
    with pytest.raises(SecretKeyError):
        keyed_hashes.bring_up_to_date()
    assert (hashes_there(), set(suppressed_among([NORMAL], database.now()))) == ([unkeyed], {NORMAL})

    configure(secret_key=Fernet.generate_key().decode())
    assert [keyed_hashes.bring_up_to_date() for _ in range(2)] == [1, 0]
    key = keys.stored(Purpose.FORGOTTEN)
    assert key is not None
    assert hashes_there() == ["hmac:" + hmac.digest(key, bytes.fromhex(unkeyed[7:]), "sha256").hex()]
    assert set(suppressed_among([NORMAL], database.now())) == {NORMAL}
    websites = [(w.domain[:5], w.title) for w in Website.select().order_by(Website.id)]
    assert websites == [("hmac:", ""), ("hmac:", ""), ("impor", "Somebody"), ("anoth", "")]
    # A version before, still at work, has forgotten the same person once more.
    suppress("address", [unkeyed], "forgotten", database.now())
    assert keyed_hashes.bring_up_to_date() == 1
    assert len(hashes_there()) == 1


def test_two_who_forget_the_first_people_at_once_make_one_key() -> None:
    if not database.is_postgres():
        return  # it has one writer at a time
    first, second = a_contact(email=JO), a_contact(email="ann@x.test")
    with database.transaction():
        forget(first.id, "me")
        other = in_a_thread(lambda: forget(second.id, "me"))
        other.start()
        until_waiting_for_a_lock()
    other.join()
    assert StoredKey.select().count() == 1
    assert set(suppressed_among([NORMAL, "ann@x.test"], database.now())) == {NORMAL, "ann@x.test"}


def test_the_migration_leaves_the_hash_in_one_place_and_needs_no_key() -> None:
    unkeyed = "sha256:" + "0" * 64
    forgotten = a_contact(email="forgotten-7@forgotten.invalid", forgotten_at=database.now())
    other = a_delivery()
    doubt = a_delivery(State.IN_DOUBT, contact=forgotten, recipient="forgotten")
    Contact.update(address=unkeyed).where(Contact.id == forgotten.id).execute()
    Delivery.update(address=unkeyed).where(Delivery.id == doubt.id).execute()
    suppress("address", [unkeyed], "forgotten", database.now())
    database.db.execute_sql("DROP TABLE stored_key")
    database.db.execute_sql("DELETE FROM migratehistory WHERE name = '006_keys'")
    assert schema.migrate() == ["006_keys"]
    placeholder = f"forgotten-{forgotten.id}@forgotten.invalid"
    assert Contact.get_by_id(forgotten.id).address == placeholder
    assert [d.address for d in Delivery.select().order_by(Delivery.id)] == [other.address, placeholder]
    assert hashes_there() == [unkeyed]


def hashes_there() -> list[str]:
    """Return what the suppression list holds."""
    return [row.value for row in Suppression.select().order_by(Suppression.id)]

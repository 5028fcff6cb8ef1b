"""The link of each mail: the same in its words and its headers, and good for ever."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from models import Delivery, Purpose, State, StoredKey
from pipeline import deliver_message, render_message
from pipeline.accounts import consent
from pipeline.dns.resolver import Dns
from pipeline.dns.signatures import signatures_of
from pipeline.operations.rekey import rekey
from pipeline.operations.rerender import rerender
from pipeline.operations.trials import check, preview
from pipeline.runtime.waiting import TroubleOutsideError
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.conftest import Clock
from tests.dkim_keys import signing_keys, zone_of
from tests.dns_server import DnsServer
from tests.smtp_server import ScriptedServer
from tests.stages.test_signing import in_files

Configure = Callable[..., None]


def test_words_and_headers_of_a_mail_have_the_same_link(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Configure
) -> None:
    configure(secret_key=KEYS[0], mail_public_url="https://mail.test", mail_unsubscribe_mailto="stop@mail.test")
    template = a_template(text="Stop: {{ unsubscribe }}", html='<a href="{{ unsubscribe }}">Stop</a>')
    delivery = a_delivery(State.CLEARED, template=template)
    render_message.render([delivery.id])

    send(delivery, server, clock)

    token = consent.of_key().of(delivery.id)
    mail = message_from_bytes(server.mails[0])
    link, mailto = f"https://mail.test/u/{token}", f"mailto:stop@mail.test?subject=unsubscribe%20{token}"
    assert mail["List-Unsubscribe"].replace("\r\n", "") == f"<{link}>, <{mailto}>"
    assert mail["List-Unsubscribe-Post"] is None
    text, html = (part.get_payload(decode=True).decode() for part in mail.get_payload())
    assert (text.strip(), html.strip()) == (f"Stop: {link}", f'<a href="{link}">Stop</a>')


def test_one_click_is_promised_by_an_account_that_signs_and_its_signatures_cover_both_headers(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Configure, tmp_path: Path
) -> None:
    configure(secret_key=KEYS[0], mail_public_url="https://mail.test", mail_unsubscribe_mailto="stop@mail.test")
    delivery = a_delivery(State.CLEARED, template=a_template(text="Stop: {{ unsubscribe }}"))
    render_message.render([delivery.id])

    send(delivery, server, clock, from_address="me@example.test", **in_files(tmp_path))

    mail = server.mails[0] + b"\r\n"
    assert message_from_bytes(mail)["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    with DnsServer(zone_of(*signing_keys(tmp_path))) as dns:
        found = signatures_of(mail, Dns([("127.0.0.1", dns.port)]))
    assert [(s.selector, s.problem, s.covers_unsubscribe) for s in found] == [("r1", None, True), ("e1", None, True)]


def test_what_was_rendered_without_a_link_offers_what_it_did(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Configure
) -> None:
    delivery = a_delivery(State.READY)
    configure(secret_key=KEYS[0], mail_public_url="https://mail.test", mail_unsubscribe_mailto="stop@mail.test")

    send(delivery, server, clock)

    assert message_from_bytes(server.mails[0])["List-Unsubscribe"] == "<mailto:stop@mail.test>"


def test_rerender_gives_its_link_also_to_what_keeps_its_words(any_database: str, configure: Configure) -> None:
    delivery = a_delivery(template=a_template(subject="Hello", text="Dear reader"))
    configure(secret_key=KEYS[0], mail_public_url="https://mail.test")

    rerender(delivery.template_id, "me")

    assert Delivery.get().unsubscribe == consent.of_key().of(delivery.id)


def test_the_first_link_works_after_two_rotations_with_the_oldest_key_thrown_away(
    any_database: str, configure: Configure
) -> None:
    configure(secret_key=KEYS[0])
    consent.make_key()
    first = consent.of_key().of(7)
    for old, new in pairwise(KEYS):
        configure(secret_key=f"{new},{old}")
        rekey("me")
    configure(secret_key=KEYS[-1])

    assert (consent.of_key().delivery_of(first), consent.of_key().of(7)) == (7, first)


def test_without_a_key_no_mail_with_a_link_is_made(any_database: str, configure: Configure) -> None:
    configure(mail_public_url="https://mail.test")
    delivery = a_delivery(State.CLEARED, template=a_template(text="{{ unsubscribe }}"))
    with pytest.raises(TroubleOutsideError, match="slowpost init"):
        render_message.render([delivery.id])
    assert (Delivery.get().state, StoredKey.select().count()) == (State.CLEARED, 0)


def test_the_key_of_the_links_is_none_that_something_else_is_made_with(any_database: str, configure: Configure) -> None:
    configure(secret_key=KEYS[0])
    key = consent.make_key()
    assert (key, StoredKey.get().purpose) == (consent.make_key(), Purpose.UNSUBSCRIBE)
    assert key.hex() not in StoredKey.get().wrapped


def test_check_and_preview_show_the_footer_as_it_will_be(sqlite: str, configure: Configure) -> None:
    configure(mail_public_url="https://mail.test")
    template = a_template(text="Stop: {{ unsubscribe }}", html="<p>{{ postal_address or '' }}")
    bare = a_template(text="Hello")
    contact = a_contact()

    assert preview(bare.id, contact.id).footer == (
        "its text has no {{ unsubscribe }}",
        "its text has no {{ postal_address }}",
    )
    assert check(template.id, 10).footer == (
        "its text has no {{ postal_address }}",
        "its HTML has no {{ unsubscribe }}",
        "it has {{ postal_address }}, and MAIL_POSTAL_ADDRESS is not set",
    )
    configure(mail_public_url="https://mail.test", mail_postal_address="1 Road")
    assert preview(template.id, contact.id).text.startswith("Stop: https://mail.test/u/")
    assert StoredKey.select().count() == 0


def send(delivery: Delivery, server: ScriptedServer, clock: Clock, **account: str) -> None:
    """Send a delivery that is ready."""
    sends = an_account(port=server.port, **account)
    slot = {"account": sends, "send_at": clock.at, "token": "slot", "message_id": "<1@x.test>"}
    Delivery.update(state=State.RESERVED, step=Delivery.step + 1, **slot).where(Delivery.id == delivery.id).execute()
    deliver_message.deliver([delivery.id], "slot")


KEYS = [Fernet.generate_key().decode() for _ in range(3)]

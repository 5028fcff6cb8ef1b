"""What a server gets, byte by byte, and what a strict reader sees in it: one recipient, whoever is called what."""

from __future__ import annotations

import pytest

from models import State, database
from pipeline import deliver_message
from tests.builders import a_contact, a_delivery, an_account
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer
from tests.strict_mail import Mailbox, head_of

BANK = "Your bank <service@bank.example>, Robert Example of the Department for Everything and More"
HEAD = "Dr. Ann Example, Head of the Department of Everything, University of Somewhere Far Away"
SUBJECT = "Zoë 20 % Größe wie München: die nächste Überraschung à l'été, für Sie und Ihre Kolleginnen dîne chez Zoë"


@pytest.mark.usefixtures("sqlite", "clock")
def test_long_names_and_subjects_are_on_the_wire_as_they_were_meant(clock: Clock, server: ScriptedServer) -> None:
    account = an_account(port=server.port, from_name=HEAD)
    contact = a_contact(name=BANK, email="robert@a.test")
    slot = {"account": account, "send_at": database.now(), "token": "slot", "message_id": "<one@a.test>"}
    delivery = a_delivery(State.RESERVED, contact=contact, subject=SUBJECT, **slot)
    deliver_message.deliver([delivery.id], slot_token="slot")

    dialogue = b"".join(server.received)
    assert dialogue.count(b"RCPT TO:") == dialogue.count(b"RCPT TO:<robert@a.test>\r\n") == 1
    head = head_of(dialogue.partition(b"DATA\r\n")[2])
    assert head.mailbox("to") == Mailbox(BANK, "robert", "a.test")
    assert head.mailbox("from") == Mailbox(HEAD, *account.from_address.split("@"))
    assert head.text("subject") == SUBJECT

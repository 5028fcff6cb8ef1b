"""Conversations as mail programs see them: a real Dovecot says which mails of a mailbox belong together (RFC 5256)."""

from __future__ import annotations

import imaplib
import re
from collections.abc import Callable
from email import message_from_bytes, policy

from models import Contact, Delivery, EmailTemplate, State, database
from pipeline.flow import Handoff, Stage
from tests.builders import a_contact, a_delivery, a_template
from tests.interop.conftest import Outreach
from tests.interop.listeners import DOMAIN, LOGINS, PASSWORD
from tests.interop.postfix import Postfix
from tests.strict_mail import Head, head_of

READER = "reader1"


def test_each_conversation_is_one_and_its_mails_have_one_subject(
    outreach: Outreach, postfix: Postfix, configure: Callable[..., None]
) -> None:
    configure(mail_spread="off")
    outreach.add_accounts(*(postfix.account(listener, from_name=f"Käthe {n}") for n, listener in enumerate(LOGINS[:2])))
    with database.connection():
        contact = a_contact(email=f"{READER}@{DOMAIN}", name="Jörg Müller")
        about_bees = a_template(
            subject="Bienen für {{ contact.name }}: eine Frage, die länger ist als eine Zeile im Kopf"
        )
        about_birds = a_template(subject="Birds", html="<html><body><p>Birds</p></body></html>")
        again = a_template(subject="", text="Again", html="<p>Again</p>", active=False)

    conversations: dict[int, list[Delivery]] = {1: [], 2: []}
    for _ in range(3):
        # By turns from two senders, to one reader.
        for account, first in ((1, about_bees), (2, about_birds)):
            mails = conversations[account]
            sent = send(outreach, contact, again if mails else first, account, mails[-1] if mails else None)
            mails.append(renamed(sent) if account == 2 else sent)

    postfix.mails(READER, 6)
    with imaplib.IMAP4("127.0.0.1", postfix.imap_port) as imap:
        mailbox = Mailbox(imap)
    expected = {frozenset(on_the_wire(mail) for mail in mails) for mails in conversations.values()}
    # By the ids alone; by the ids and the base subjects; by the base subjects alone.
    assert mailbox.threads["REFS"] == mailbox.threads["REFERENCES"] == mailbox.threads["ORDEREDSUBJECT"] == expected
    subjects = [mailbox.heads[on_the_wire(mail)].text("subject") for mail in conversations[1]]
    question = "Bienen für Jörg Müller: eine Frage, die länger ist als eine Zeile im Kopf"
    assert subjects == [question, f"Re: {question}", question]
    first, second, third = conversations[2]
    assert mailbox.heads[on_the_wire(third)].ids("in-reply-to") == [on_the_wire(second)]
    all_before = [first.message_id, on_the_wire(first), second.message_id, on_the_wire(second)]
    assert mailbox.heads[on_the_wire(third)].ids("references") == all_before


def send(
    outreach: Outreach, contact: Contact, template: EmailTemplate, account: int, before: Delivery | None
) -> Delivery:
    """Send a mail from an account, the second one of a conversation as a reply, and the third with quotes."""
    for other in (1, 2):
        outreach.command("accounts", "enable" if other == account else "disable", str(other))
    of_it = {"follows": before, "reply_prefix": before is not None and before.follows_id is None}
    with database.connection():
        values = {"contact": contact, "template": template, "quotes": before is not None, "subject": None, "text": None}
        delivery = a_delivery(State.CLEARED, **values | of_it)
    outreach.put(Handoff(Stage.RENDER, [delivery.id]))
    outreach.pass_time(minutes=2)
    with database.connection():
        sent: Delivery = Delivery.get_by_id(delivery.id)
    assert sent.state == State.SENT
    return sent


def renamed(sent: Delivery) -> Delivery:
    """Let a mail be one whose Message-ID was ours until its provider gave it another."""
    with database.connection():
        sent.message_id, sent.wire_message_id = f"<ours-{sent.id}@{DOMAIN}>", sent.message_id
        sent.save(only=sent.dirty_fields)
    return sent


def on_the_wire(mail: Delivery) -> str:
    """Return under which Message-ID a mail lies in the mailbox."""
    return str(mail.wire_message_id or mail.message_id)


class Mailbox:
    """The reader's mailbox by IMAP.

    Attributes:
        heads: of its mails, by their Message-IDs; two parsers read the same in them.
        threads: by algorithm, which mails belong together: their Message-IDs.
    """

    def __init__(self, imap: imaplib.IMAP4) -> None:
        """Read it."""
        imap.login(READER, PASSWORD)
        # Read-only: what a mail program has looked at is not where other tests look for it.
        imap.select(readonly=True)
        _, answers = imap.fetch("1:*", "(BODY.PEEK[HEADER])")
        read = [read_twice(answer[1]) for answer in answers if isinstance(answer, tuple)]
        self.heads = {head.ids("message-id")[0]: head for head in read}
        ids = list(self.heads)
        self.threads = {
            algorithm: {frozenset(ids[number - 1] for number in thread) for thread in threads_of(imap, algorithm)}
            for algorithm in ("REFS", "REFERENCES", "ORDEREDSUBJECT")
        }


def threads_of(imap: imaplib.IMAP4, algorithm: str) -> list[list[int]]:
    """Return the numbers of the mails in each thread (RFC 5256 section 4), whatever is answered by what."""
    _, (answer, *_) = imap.thread(algorithm, "UTF-8", "ALL")
    threads, depth = [], 0
    for token in re.findall(r"[()]|\d+", answer.decode()):
        if token == "(":
            threads += [[]] if depth == 0 else []
            depth += 1
        elif token == ")":
            depth -= 1
        else:
            threads[-1].append(int(token))
    return threads


def read_twice(octets: bytes) -> Head:
    """Read the head of a mail with two parsers, which have to agree."""
    head, parsed = head_of(octets), message_from_bytes(octets, policy=policy.default)
    assert parsed["Subject"] == head.text("subject")
    for name in ("in-reply-to", "references"):
        assert str(parsed.get(name, "")).split() == (head.ids(name) if name in dict(head.fields) else [])
    return head

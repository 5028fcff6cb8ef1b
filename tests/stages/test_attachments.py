"""Files that go with a template's mails: stored once, in every mail that is built while the template has them, and a
mail that its server won't take is not offered.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from email import message_from_bytes, policy
from typing import Any

import pytest

from models import Action, Attachment, Attempt, Delivery, EmailTemplate, SmtpAccount, State, StoredFile
from models.attachment import attached_to
from pipeline import deliver_message
from pipeline.accounts.health import health_of
from pipeline.capacity import usage
from pipeline.content.files import FileError
from pipeline.content.message import MAX_MESSAGE
from pipeline.delivery import attachments as attached
from pipeline.operations import templates
from pipeline.operations.attachments import Given, attach, detach
from pipeline.operations.done import OperationRefusedError
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer
from tests.strict_mail import entity_of

pytestmark = pytest.mark.usefixtures("any_database", "clock")

PDF, PNG = b"%PDF-1.7\n\xff", b"\x89PNG\r\n\x1a\n\0"


def test_the_bytes_are_stored_once_and_go_with_the_last_template_that_has_them() -> None:
    first, second, third = (a_template().id for _ in range(3))
    for template_id, name in ((first, "a.pdf"), (first, "b.pdf"), (second, "c.pdf"), (third, "d.pdf")):
        attach(template_id, "me", [Given(name, PDF)])
    assert [(file.size, bytes(file.data)) for file in StoredFile.select()] == [(len(PDF), PDF)]
    detach(first, "me", "a.pdf")
    detach(first, "me", "b.pdf")
    attach(second, "me", [Given("c.pdf", b"words")], replace=True)
    assert StoredFile.select().where(StoredFile.digest == attached_to(third)[0].digest).count() == 1
    templates.remove(third, "me")
    assert [bytes(file.data) for file in StoredFile.select()] == [b"words"]
    assert Attachment.select().count() == 1


def test_files_stand_in_their_order_and_one_that_is_replaced_keeps_its_place(clock: Clock) -> None:
    template = a_template()
    done = attach(
        template.id, "me", [Given("b.pdf", PDF), Given("a.txt", b"one"), Given("c.txt", b"two")], reason="asked"
    )
    assert [(row.name, row.type, row.size) for row in done.attachments] == [
        ("b.pdf", "application/pdf", len(PDF)),
        ("a.txt", "text/plain", 3),
        ("c.txt", "text/plain", 3),
    ]
    clock.tick(1)
    assert attach(template.id, "me", [Given("a.txt", b"one")]).changed is False
    with pytest.raises(OperationRefusedError, match=r"has an attachment 'a\.txt' already"):
        attach(template.id, "me", [Given("new.txt", b"new"), Given("a.txt", b"three")])
    assert names(template) == ["b.pdf", "a.txt", "c.txt"]
    attach(template.id, "me", [Given("a.txt", b"three")], replace=True)
    detach(template.id, "me", "b.pdf", "no more")
    assert [(a.name, a.file.size) for a in attached_to(template.id)] == [("a.txt", 5), ("c.txt", 3)]
    assert [(a.verb, a.subject, a.reason) for a in Action.select().order_by(Action.id)] == [
        ("attach", f"template {template.id}", "asked"),
        ("attach", f"template {template.id}", ""),
        ("detach", f"template {template.id}", "no more"),
    ]
    assert EmailTemplate.get().updated_at == clock.at


def test_what_makes_a_mail_too_large_is_refused_and_changes_nothing() -> None:
    template = a_template()
    room = (MAX_MESSAGE - 1000) // 78 * 57
    done = attach(template.id, "me", [Given("large.txt", b"x" * room)])
    assert MAX_MESSAGE - 1000 < done.on_wire <= MAX_MESSAGE
    with pytest.raises(
        OperationRefusedError, match=r"a mail would have 10,00\d,\d{3} bytes, and has at most 10,000,000"
    ):
        attach(template.id, "me", [Given("small.txt", b"y" * 1000)])
    assert (names(template), StoredFile.select().count()) == (["large.txt"], 1)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([Given("a.txt", b"1"), Given("a.txt", b"2")], "two files can't have one name"),
        ([Given("é.txt", b"1"), Given("e\u0301.txt", b"2")], "two files can't have one name"),
        ([Given("a.png", PNG, "logo"), Given("b.png", PNG, "logo")], "cid:logo is 'a.png' already"),
        ([Given("b.png", PNG, "there")], "cid:there is 'there.png' already"),
        ([Given("a.txt", b"1", "")], "an inline image is PNG, JPEG or GIF, and this is text/plain"),
        ([Given("a b.png", PNG, "")], "the id of an inline image has 1 to 64 letters, digits"),
        ([Given("a.png", PNG, "a@b")], "the id of an inline image has 1 to 64 letters, digits"),
    ],
)
def test_names_and_ids_are_distinct_and_ids_are_plain(given: Sequence[Given], says: str) -> None:
    template = a_template()
    attach(template.id, "me", [Given("there.png", PNG, "there")])
    with pytest.raises(FileError, match=says):
        attach(template.id, "me", given)
    assert names(template) == ["there.png"]


def test_notes_say_what_the_html_refers_to_in_vain_and_which_image_it_does_not_show() -> None:
    template = a_template(html='<img src="cid:logo.png"><img src="cid:{{ contact.name }}.png">')
    done = attach(template.id, "me", [Given("a.png", PNG, ""), Given("b.pdf", PDF)])
    assert done.notes[1:] == (
        "the HTML refers to cid:logo.png, and there is no such inline image",
        "the HTML does not refer to cid:a.png: the image goes only with mails that do",
    )
    assert attach(template.id, "me", [Given("logo.png", PNG, "")]).notes[1:] == done.notes[2:]
    detach(template.id, "me", "a.png")
    detach(template.id, "me", "b.pdf")
    assert detach(template.id, "me", "logo.png").notes == done.notes[1:2]


def test_a_mail_gets_what_its_template_has_when_it_is_built(clock: Clock, server: ScriptedServer) -> None:
    account, template = an_account(port=server.port), a_template()
    words = {"template": template, "html": '<img src="cid:logo.png">'}
    for change in (
        lambda: None,
        lambda: attach(template.id, "me", [Given("Übersicht.pdf", PDF), Given("logo.png", PNG, "")]),
        lambda: attach(template.id, "me", [Given("Übersicht.pdf", PDF + b"2")], replace=True),
        lambda: detach(template.id, "me", "Übersicht.pdf"),
    ):
        delivery = a_slot(account, clock.at, **words)
        change()
        deliver_message.deliver([delivery.id], delivery.token)
        clock.tick(60)
    files = [[(part.type, part.content) for part in entity_of(mail + b"\r\n").leaves()[2:]] for mail in server.mails]
    logo = ("image/png", PNG)
    assert files == [[], [logo, ("application/pdf", PDF)], [logo, ("application/pdf", PDF + b"2")], [logo]]
    (part,) = message_from_bytes(server.mails[1], policy=policy.default).iter_attachments()
    assert part.get_filename() == "Übersicht.pdf"


def test_the_bytes_are_read_once_for_many_mails_and_of_a_few_templates_only(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    real = attached.data_of
    monkeypatch.setattr(attached, "data_of", lambda digests: read.append(digests) or real(digests))
    attached._encoded.cache_clear()
    ids = [a_template().id for _ in range(attached.TEMPLATES + 1)]
    for number, template_id in enumerate(ids):
        attach(template_id, "me", [Given("a.txt", f"of this test {number}".encode())])
    for template_id in (ids[0], ids[0], *ids, ids[-1]):
        assert [file.name for file in attached.files_of(template_id)] == ["a.txt"]
    assert len(read) == len(ids)
    attached.files_of(ids[0])
    assert len(read) == len(ids) + 1


def test_a_file_that_is_detached_while_a_mail_is_built_does_not_go_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    template = a_template()
    attach(template.id, "me", [Given("a.txt", b"goes in this moment"), Given("b.txt", b"stays")])
    real = attached.data_of

    def detached_first(digests: Any) -> Any:
        monkeypatch.setattr(attached, "data_of", real)
        detach(template.id, "me", "a.txt")
        return real(digests)

    monkeypatch.setattr(attached, "data_of", detached_first)
    assert [file.name for file in attached.files_of(template.id)] == ["b.txt"]


def test_a_mail_that_its_server_will_not_take_is_not_offered_and_the_account_is_none_the_worse(
    clock: Clock, server: ScriptedServer
) -> None:
    server.replies["EHLO"] = "250-test\r\n250 SIZE 5000"
    account, large, small = an_account(port=server.port), a_template(), a_template()
    attach(large.id, "me", [Given("a.txt", b"x" * 4000)])
    attach(small.id, "me", [Given("a.txt", b"x" * 1000)])
    deliveries = [a_slot(account, clock.at, template=one, contact=a_contact()) for one in (large, large, small)]
    deliver_message.deliver([d.id for d in deliveries], deliveries[0].token)

    assert b"".join(server.received).count(b"MAIL FROM") == len(server.mails) == server.connections == 1
    refused, _, sent = (Delivery.get_by_id(d.id) for d in deliveries)
    assert (refused.state, refused.reason, sent.state) == (State.FAILED, "content_refused", State.SENT)
    attempt = Attempt.select().order_by(Attempt.id).first()
    assert (attempt.charged_to, attempt.verdict, attempt.reply_code) == ("content", "content", None)
    assert attempt.text.endswith("octets, and the server takes 5000 (SIZE)")
    assert (health_of(SmtpAccount.get()).attempts, usage.used_on(account.id, sent.sent_at.date())) == (1, 1)
    assert usage.last_transaction_of(account.id) == sent.sent_at


def test_a_mail_that_is_too_large_for_all_servers_fails_without_a_connection(
    clock: Clock, server: ScriptedServer
) -> None:
    template = a_template()
    attach(template.id, "me", [Given("a.txt", b"x" * ((MAX_MESSAGE - 1000) // 78 * 57))])
    delivery = a_slot(an_account(port=server.port), clock.at, template=template, text="words\n" * 1000)
    deliver_message.deliver([delivery.id], delivery.token)
    stored = Delivery.get()
    assert (stored.state, stored.reason, server.connections) == (State.FAILED, "message_refused", 0)
    assert stored.detail.endswith("octets, more than 10000000")


def names(template: EmailTemplate) -> list[str]:
    """Return the names of a template's attachments."""
    return [a.name for a in attached_to(template.id)]


def a_slot(account: SmtpAccount, at: dt.datetime, **values: Any) -> Delivery:
    """Store a delivery that holds a slot of `account` at `at`."""
    slot = {"account": account, "send_at": at, "token": "slot", "message_id": "<one@example.test>"}
    return a_delivery(State.RESERVED, **slot | values)

"""Attachments as a person meets them: attached, shown, checked, sent to oneself, and let go."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from models import StoredFile, database
from slowpost.catcher import Catcher
from tests.builders import a_contact, a_template, an_account
from tests.cli.conftest import Slowpost
from tests.cli.test_commands import parsed

PNG = b"\x89PNG\r\n\x1a\n\0"
WARNING = "attachments hurt cold mail: filters and people distrust them; a link does less harm"


def test_what_is_attached_is_shown_wherever_the_template_is(furnished: Slowpost) -> None:
    done = furnished("templates", "attach", "1", "offer.pdf", "prices.csv")
    assert done.out.splitlines()[0] == "template 1: attached"
    assert "they add 361 bytes to a mail, which has at most 10,000,000" in done.out
    assert done.err.splitlines()[0] == WARNING
    rows = [
        {"name": "offer.pdf", "type": "application/pdf", "size": 10, "cid": None, "note": None},
        {"name": "prices.csv", "type": "text/csv", "size": 4, "cid": None, "note": None},
    ]
    for words in (["show", "1"], ["preview", "1", "--contact", "1"], ["check", "1"]):
        shown = furnished("templates", *words)
        lines = shown.out.splitlines()
        assert lines[lines.index(WARNING) - 2].split() == ["offer.pdf", "application/pdf", "10"], words
        found = json.loads(furnished("templates", *words, "--json").out)
        assert (found["attachments"], found["warning"]) == (rows, WARNING)


def test_a_template_without_attachments_says_nothing_of_them(furnished: Slowpost) -> None:
    for words in (["show", "1"], ["preview", "1", "--contact", "1"]):
        shown = furnished("templates", *words)
        assert "ATTACHMENT" not in shown.out
        found = json.loads(furnished("templates", *words, "--json").out)
        assert (found["attachments"], found["warning"]) == ([], None)


def test_check_fails_for_an_image_that_is_missing_and_tells_one_that_is_not_shown(furnished: Slowpost) -> None:
    missing = furnished("templates", "check", "1")
    assert missing.code == 1
    assert missing.err.endswith("template 1 refers to inline images that are not there: cid:logo\n")
    assert parsed(furnished("templates", "attach", "1", "logo.png", "--json", "--inline"))["notes"][1:] == [
        "the HTML refers to cid:logo, and there is no such inline image",
        "the HTML does not refer to cid:logo.png: the image goes only with mails that do",
    ]
    assert furnished("templates", "attach", "1", "logo.png", "--inline=logo", "--replace").code == 0
    checked = furnished("templates", "check", "1", "--json")
    assert (checked.code, parsed(checked)["missing"], parsed(checked)["unused"]) == (0, [], [])
    assert furnished("templates", "set", "1", "--no-html").code == 0
    unused = furnished("templates", "check", "1")
    assert unused.code == 0
    assert unused.out.endswith("cid:logo: the HTML does not refer to it, and the image is not sent\n")


def test_a_reference_that_only_some_get_is_found_with_them(furnished: Slowpost) -> None:
    html = "{% if contact.name == 'Ann' %}<img src=\"cid:{{ contact.name }}.png\">{% endif %}"
    furnished("templates", "set", "1", "--html-file", "-", stdin=html)
    assert json.loads(furnished("templates", "check", "1", "--json").out)["missing"] == ["Ann.png"]


def test_a_mail_to_oneself_has_what_is_attached(furnished: Slowpost, tmp_path: Path) -> None:
    furnished("templates", "attach", "1", "-", "--name", "Übersicht.pdf", stdin=b"%PDF-1.7\n\xff")
    with Catcher(tmp_path / "mails") as catcher:
        with database.connection():
            an_account(port=catcher.port)
        assert (
            furnished("templates", "send-test", "1", "--to", "me@h.test", "--account", "1", "--contact", "1").code == 0
        )
        mail = message_from_bytes(catcher.mails[0].file.read_bytes(), policy=policy.default)
    (part,) = mail.iter_attachments()
    assert (part.get_filename(), part.get_payload(decode=True)) == ("Übersicht.pdf", b"%PDF-1.7\n\xff")


def test_what_is_detached_or_removed_with_its_template_is_gone(furnished: Slowpost) -> None:
    furnished("templates", "attach", "1", "offer.pdf", "prices.csv")
    gone = furnished("templates", "detach", "1", "nothing.pdf")
    assert gone.err == "slowpost: template 1 has no attachment 'nothing.pdf'; it has 'offer.pdf', 'prices.csv'\n"
    left = parsed(furnished("templates", "detach", "1", "offer.pdf", "--json"))["attachments"]
    assert [row["name"] for row in left] == ["prices.csv"]
    assert furnished("templates", "remove", "1").code == 0
    with database.connection():
        assert StoredFile.select().count() == 0


@pytest.fixture
def furnished(ready: Slowpost, tmp_path: Path) -> Slowpost:
    """A template whose HTML shows an image, a contact, and files."""
    with database.connection():
        a_template(html='<img src="cid:logo">')
        a_contact(name="Ann")
        a_contact(name="Bob")
    for name, data in (("offer.pdf", b"%PDF-1.7\n\xff"), ("prices.csv", b"a;b\n"), ("logo.png", PNG)):
        (tmp_path / name).write_bytes(data)
    return ready

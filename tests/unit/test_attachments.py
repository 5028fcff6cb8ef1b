"""Mails with files, as a strict reader and Python's `email` see them: each file under its name, byte for byte, in no
more levels than there is something for.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import replace
from email import message_from_bytes, policy
from typing import Any

import pytest

from pipeline.content import headers
from pipeline.content.message import MAX_MESSAGE, MessageRefusedError, build
from pipeline.content.mime import File, encoded, wire_size
from tests.strict_mail import Entity, entity_of
from tests.unit.test_message import AT, ME, STOP, WORDS

PDF, PNG = b"%PDF-1.7\n\xff", b"\x89PNG\r\n\x1a\n"
RICH = replace(WORDS, html='<p>Hello</p><img src="cid:logo.png">', preheader="short")


@pytest.mark.parametrize(
    ("words", "digest"),
    [
        (WORDS, "17d2178a620445a5654465c955955c2290e7a76bc7fba46c8b4a0de07ba6e86e"),
        (
            replace(WORDS, html="<p>x</p>", preheader="short"),
            "754cc97d5601740062f2440d82117bf839ca54e7f1b668560ab1f89761d31e8f",
        ),
        (
            replace(WORDS, text="Grüße\n" * 3, html="<p>ü" + "x" * 100),
            "177a57102dd6bcd9831b93247a3f7dff7b1dacbcd22e8176ee31e6d33844d975",
        ),
        (
            replace(WORDS, text="no newline", html="<p>ü " + "é" * 90 + "</p>\n"),
            "00756fc96455adffdee147ed1ea362080d5b6873bd780d188df31b42d504fe3e",
        ),
    ],
)
def test_a_mail_without_files_has_the_bytes_it_had_before_there_were_any(words: Any, digest: str) -> None:
    assert hashlib.sha256(build(words, ME, AT, STOP).data).hexdigest() == digest


OFFER, LOGO = "application/pdf", "image/png"
ALTERNATIVE = ("multipart/alternative", "text/plain", "text/html")
WITH_LOGO = ("multipart/alternative", "text/plain", ("multipart/related", "text/html", LOGO))


@pytest.mark.parametrize(
    ("words", "files", "outline"),
    [
        (WORDS, ["offer"], ("multipart/mixed", "text/plain", OFFER)),
        (replace(RICH, html="<p>Hi</p>"), ["offer"], ("multipart/mixed", ALTERNATIVE, OFFER)),
        (RICH, ["logo"], WITH_LOGO),
        (RICH, ["offer", "logo", "offer"], ("multipart/mixed", WITH_LOGO, OFFER, OFFER)),
        (replace(RICH, html="<p>Hi</p>"), ["logo"], ALTERNATIVE),
        (WORDS, ["logo"], "text/plain"),
    ],
    ids=["text", "HTML", "an image", "all", "an image that is not referred to", "an image and no HTML"],
)
def test_a_mail_has_the_levels_that_it_needs(words: Any, files: list[str], outline: Any) -> None:
    envelope = build(words, ME, AT, STOP, files=[FILES[name] for name in files])
    assert entity_of(envelope.data).outline() == outline
    assert structure(message_from_bytes(envelope.data, policy=policy.default)) == outline
    assert message_from_bytes(envelope.data, policy=policy.default).defects == []


def test_every_file_arrives_byte_for_byte_and_the_words_as_they_were() -> None:
    rest = bytes(range(256)) * 400
    files = [a_file("rest.bin", "application/octet-stream", rest), a_file("lines.txt", "text/plain", b"a\nb\r\nc")]
    envelope = build(RICH, ME, AT, STOP, files=[*files, FILES["logo"]])
    text, html, image, *attached = entity_of(envelope.data).leaves()
    assert text.content.decode().splitlines() == WORDS.text.splitlines()
    assert b"<p>Hello</p>" in html.content
    assert (image.content, [leaf.content for leaf in attached]) == (PNG, [rest, b"a\nb\r\nc"])
    assert attached[1].parameters == {"charset": "utf-8"}
    other = message_from_bytes(envelope.data, policy=policy.default)
    assert [part.get_payload(decode=True) for part in other.iter_attachments()] == [rest, b"a\nb\r\nc"]


def test_the_html_refers_to_the_image_by_an_id_of_this_mail_alone() -> None:
    html = '<img src="cid:logo.png"><img src=cid:logo.png><a href="cid:logo.pngx">cid:logo.png</a>'
    ids = []
    for number in (1, 2):
        words = replace(RICH, html=html, message_id=f"<{number}@example.test>")
        _, rich, image = entity_of(build(words, ME, AT, STOP, files=[FILES["logo"]]).data).leaves()
        own = image.head.one("content-id")
        assert re.fullmatch(r"<logo\.png@[0-9a-f]{32}>", own)
        assert rich.content.decode().count(f"cid:{own[1:-1]}") == 3
        assert "cid:logo.pngx" in rich.content.decode()
        assert image.disposition() == ("inline", {"filename": "logo.png"})
        ids.append(own)
    assert ids[0] != ids[1]


NAMES = [
    "offer.pdf", "a b.pdf", "Übersicht für 2026.pdf", "名前.pdf", "🐌 👩.pdf", '"; filename="evil.exe', "a;b=c.pdf",
    "100%25.pdf", "it's (1) [2] {3}.pdf", "=?.pdf", "a=?b?=.pdf", "e\u0301.pdf", "a" * 251 + ".pdf", "ü" * 125 + ".pdf",
    "a*=utf-8''b.pdf", "%41.pdf", "<a@b>, c.pdf", "-.pdf", ".pdf", "a  b.pdf", "b; filename*=utf-8''c.exe",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_the_name_that_was_meant_and_no_other(name: str) -> None:
    envelope = build(WORDS, ME, AT, STOP, files=[a_file(name, OFFER, PDF)])
    assert envelope.data.isascii()
    _, part = entity_of(envelope.data).leaves()
    assert part.disposition() == ("attachment", {"filename": name})
    (other,) = message_from_bytes(envelope.data, policy=policy.default).iter_attachments()
    assert (other.get_filename(), other.get_content_type(), other.get_payload(decode=True)) == (name, OFFER, PDF)


@pytest.mark.parametrize("name", ["a\r\nBcc: x@y.test", "a\nb", "a\x00b", "a\u2028b", "\ud800", "=?utf-8?q?a.exe?="])
def test_no_name_of_a_file_forges_a_header(name: str) -> None:
    with pytest.raises(MessageRefusedError, match="a file's name"):
        build(WORDS, ME, AT, STOP, files=[a_file(name, OFFER, PDF)])


def test_a_name_that_would_be_written_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    written = headers.write

    def wrong(name: str, value: Any) -> bytes:
        if name == "Content-Disposition":
            return b'Content-Disposition: attachment; filename="other.exe"\r\n'
        return written(name, value)

    monkeypatch.setattr(headers, "write", wrong)
    with pytest.raises(MessageRefusedError, match="Content-Disposition would not say what was meant"):
        build(WORDS, ME, AT, STOP, files=[FILES["offer"]])


def test_the_same_arguments_give_the_same_bytes_and_no_boundary_stands_twice() -> None:
    files = [FILES["offer"], FILES["logo"]]
    data = build(RICH, ME, AT, STOP, files=files).data
    assert data == build(RICH, ME, AT, STOP, files=files).data
    boundaries = boundaries_of(entity_of(data))
    assert len(set(boundaries)) == len(boundaries) == 3


@pytest.mark.parametrize("size", [0, 1, 2, 3, 56, 57, 58, 114, 1000])
def test_what_a_file_adds_to_a_mail_is_known_before(size: int) -> None:
    files = [FILES["offer"], a_file("Übersicht.csv", "text/csv", os.urandom(size))]
    without, with_it = (len(build(WORDS, ME, AT, STOP, files=some).data) for some in (files[:1], files))
    assert with_it - without == wire_size("Übersicht.csv", "text/csv", size, None)


def test_a_mail_that_is_too_large_is_refused_and_one_that_just_fits_is_built_in_little_time() -> None:
    before = time.process_time()
    room = MAX_MESSAGE - len(build(WORDS, ME, AT, STOP, files=[a_file("a", OFFER, b"")]).data)
    fits = File("a", OFFER, encoded(bytes(room // 78 * 57)))
    data = build(WORDS, ME, AT, STOP, files=[fits]).data
    assert MAX_MESSAGE - 100 < len(data) <= MAX_MESSAGE
    with pytest.raises(MessageRefusedError, match=r"the message has \d+ octets, more than 10000000"):
        build(WORDS, ME, AT, STOP, files=[replace(fits, encoded=fits.encoded + b"A" * 100)])
    assert time.process_time() - before < 5


def a_file(name: str, kind: str, data: bytes) -> File:
    """Return an attachment."""
    return File(name, kind, encoded(data))


FILES = {"offer": a_file("offer.pdf", OFFER, PDF), "logo": File("logo.png", LOGO, encoded(PNG), "logo.png")}


def structure(part: Any) -> Any:
    """Return the types of a message and its parts, as `email` reads them."""
    inner = tuple(structure(one) for one in part.iter_parts())
    return (part.get_content_type(), *inner) if inner else part.get_content_type()


def boundaries_of(entity: Entity) -> list[str]:
    """Return what stands between the parts, of each level."""
    own = [entity.parameters["boundary"]] if entity.parts else []
    return own + [one for part in entity.parts for one in boundaries_of(part)]

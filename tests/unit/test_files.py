"""Which files may go with a mail: of what kind they are by their content, what no receiver takes, what names are."""

from __future__ import annotations

import io
import zipfile

import pytest

from pipeline.content.files import FileError, checked_name, contradiction, row_of, type_of, warning

PNG, JPEG, PDF = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
OFFICE = "application/vnd.openxmlformats-officedocument."


def a_zip(*names: str) -> bytes:
    """Return an archive of small files, the same bytes each time: a test is known by them."""
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(zipfile.ZipInfo(name), "x")
        return file.getvalue()


WORD, SHEET = (a_zip("[Content_Types].xml", "_rels/.rels", part) for part in ("word/document.xml", "xl/workbook.xml"))
UNKNOWN = "application/octet-stream"
KINDS = [
    ("offer.pdf", PDF, "application/pdf", None),
    ("OFFER.PDF", PDF, "application/pdf", None),
    ("photo.jpeg", JPEG, "image/jpeg", None),
    ("logo.png", PNG, "image/png", None),
    ("moving.png", PNG + bytes(20) + b"acTL" + bytes(30), "image/png", None),
    ("offer.docx", WORD, OFFICE + "wordprocessingml.document", None),
    ("prices.xlsx", SHEET, OFFICE + "spreadsheetml.sheet", None),
    ("all.zip", a_zip("a.txt"), "application/zip", None),
    ("broken.zip", a_zip("a.txt")[:40], "application/zip", None),
    ("a.txt", "Grüße\n".encode(), "text/plain", None),
    ("a", b"no extension", "text/plain", None),
    ("a.unheard", b"words", "text/plain", None),
    ("a.csv", b"a;b\r\n", "text/csv", None),
    ("a.ics", b"BEGIN:VCALENDAR\r\n", "text/calendar", None),
    ("mail.eml", b"From: a@b.test\r\n\r\n", "text/plain", None),
    ("car.txt", b"BMW is a car, and no bitmap", "text/plain", None),
    ("plain.pdf", b"%PDF-1.4\nin ASCII", "application/pdf", None),
    ("a.bin", b"\0\1\2\3", UNKNOWN, None),
    ("a.unheard", b"\0\1\2\3", UNKNOWN, None),
    ("offer.pdf", PNG, "image/png", "its name says application/pdf, its content image/png"),
    ("offer.pdf", b"words", "text/plain", "its name says application/pdf, its content text/plain"),
    ("offer.pdf", b"\0\1", UNKNOWN, f"its name says application/pdf, its content {UNKNOWN}"),
    ("a.csv", PDF, "application/pdf", "its name says text/csv, its content application/pdf"),
    (
        "a.csv",
        "Grüße".encode("latin-1"),
        UNKNOWN,
        f"its name says text/csv, its content {UNKNOWN} (a text is UTF-8)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "kind", "note"), KINDS)
def test_the_content_decides_what_a_file_is_and_a_name_that_contradicts_it_is_told(
    name: str, data: bytes, kind: str, note: str | None
) -> None:
    assert type_of(name, data) == kind
    assert contradiction(name, kind) == note


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("setup.exe", b"words", "mail servers refuse files that end in .exe"),
        ("Setup.JS", b"words", "mail servers refuse files that end in .js"),
        ("offer.pdf.scr", PDF, "mail servers refuse files that end in .scr"),
        (".bat", b"words", "mail servers refuse files that end in .bat"),
        ("offer.pdf", b"MZ\x90\0" + bytes(80), "it is a program (.exe)"),
        ("offer", b"\x7fELF\2\1\1" + bytes(80), "it is a program (.elf)"),
        ("all.zip", a_zip("a.txt", "sub/Setup.EXE"), "mail servers refuse an archive with 'sub/Setup.EXE' in it"),
        ("offer.pdf", b"", "it is empty"),
    ],
)
def test_what_receivers_refuse_is_refused(name: str, data: bytes, says: str) -> None:
    with pytest.raises(FileError) as refused:
        type_of(name, data)
    assert str(refused.value).startswith(f"{name}: {says}")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "has 1 to 255 bytes, this one has 0"),
        ("ü" * 128, "has 1 to 255 bytes, this one has 256"),
        ("../offer.pdf", "a name has none of"),
        ("C:\\offer.pdf", "a name has none of"),
        ("offer.pdf:evil.exe", "a name has none of"),
        ('"offer.pdf"', "a name has none of"),
        ("what?.pdf", "a name has none of"),
        ("..", "nor ends with a full stop"),
        ("setup.exe.", "nor ends with a full stop"),
        ("setup.exe ", "ends with a space"),
        (" offer.pdf", "begins nor ends with a space"),
        ("offer\u202efdp.exe", "can't be seen, as U+202E"),
        ("offer\u2066.pdf", "can't be seen, as U+2066"),
        ("offer\u200b.pdf", "can't be seen, as U+200B"),
        ("9.41\u202fAM.png", "can't be seen, as U+202F"),
        ("a\nb.pdf", "can't be seen, as U+000A"),
        ("a\tb.pdf", "can't be seen, as U+0009"),
        ("a\x7f.pdf", "can't be seen, as U+007F"),
        ("a\udcff.pdf", "can't be seen, as U+DCFF"),
        ("=?utf-8?q?offer.exe?=", "a name has none of"),
    ],
)
def test_a_name_with_a_trick_is_refused_in_one_line_that_shows_it(name: str, says: str) -> None:
    with pytest.raises(FileError) as refused:
        checked_name(name)
    assert says in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_name_with_letters_that_were_taken_apart_is_put_together() -> None:
    assert checked_name("Offre d'e\u0301te\u0301.pdf") == "Offre d'\u00e9t\u00e9.pdf"


def test_one_line_says_what_attachments_do() -> None:
    assert warning([]) is None
    assert warning([row_of("offer.pdf", "application/pdf", 1, None)]) == (
        "attachments hurt cold mail: filters and people distrust them; a link does less harm"
    )

"""Files that go with a mail: what they may be called, what kind they are by their content, and what no receiver takes.
Pure.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import filetype

from models.errors import SlowpostError

#: Octets of a name: what file systems take (NAME_MAX of Linux, macOS and NTFS).
MAX_NAME = 255
#: What Gmail refuses, also within an archive (support.google.com/mail/answer/6590); others refuse much of the same.
BLOCKED = frozenset({
    "ade", "adp", "apk", "appx", "appxbundle", "bat", "cab", "chm", "cmd", "com", "cpl", "diagcab", "diagcfg",
    "diagpkg", "dll", "dmg", "ex", "ex_", "exe", "hta", "img", "ins", "iso", "isp", "jar", "jnlp", "js", "jse", "lib",
    "lnk", "mde", "mjs", "msc", "msi", "msix", "msixbundle", "msp", "mst", "nsh", "pif", "ps1", "scr", "sct", "shb",
    "sys", "vb", "vbe", "vbs", "vhd", "vxd", "wsc", "wsf", "wsh", "xll",
})  # fmt: skip
#: Kinds of content that are programs, whatever their name, by the extensions that `filetype` has for them.
PROGRAMS = frozenset({"exe", "elf", "cab", "crx", "deb", "rpm", "wasm"})
#: Mail programs show these, and not all show others (caniemail.com/search/?s=image).
INLINE_TYPES = ("image/png", "image/jpeg", "image/gif")
#: A text has no signature: which kind it is, its name says. (No message/rfc822: that must not be encoded, RFC 2046
#: 5.2.1.)
TEXT_TYPES = {
    "csv": "text/csv",
    "htm": "text/html",
    "html": "text/html",
    "ics": "text/calendar",
    "md": "text/markdown",
    "txt": "text/plain",
    "vcf": "text/vcard",
}
UNKNOWN_TYPE = "application/octet-stream"

#: The names of these as `filetype` has them, by what stands for them in names.
_SAME_EXTENSION = {"jpeg": "jpg", "jpe": "jpg", "tiff": "tif", "mpeg": "mpg"}
#: An animated PNG is a PNG (W3C, Portable Network Graphics, third edition).
_SAME_TYPE = {"image/apng": "image/png"}
#: These are text, and have a signature all the same.
_SIGNED_TEXTS = ("application/pdf", "application/postscript", "application/rtf")
#: Octets that no text has (WHATWG, MIME Sniffing, "binary data byte").
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
#: What makes a path of a name, and what Windows does not take in one (learn.microsoft.com, "Naming Files, Paths, and
#: Namespaces"): readers take such names in different ways.
_NOT_IN_NAME = '/\\:"<>|?*'
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class FileError(SlowpostError, ValueError):
    """A file can't go with a mail; the message says which, and why."""


@dataclass(frozen=True)
class AttachmentRow:
    """A file that goes with the mails of a template.

    Attributes:
        name: its name there.
        type: its media type, by its content.
        size: its bytes; in a mail it is a third more.
        cid: an inline image: what the HTML calls it (`cid:…`); null: an attachment.
        note: what is wrong with its name.
    """

    name: str
    type: str
    size: int
    cid: str | None
    note: str | None


def row_of(name: str, kind: str, size: int, cid: str | None) -> AttachmentRow:
    """Return a file as people see it."""
    return AttachmentRow(name, kind, size, cid, contradiction(name, kind))


def warning(rows: Sequence[AttachmentRow]) -> str | None:
    """Return what attachments do to a mail to strangers, in one line; None: there are none."""
    return "attachments hurt cold mail: filters and people distrust them; a link does less harm" if rows else None


def missing_and_unused(meant: Set[str], rows: Iterable[AttachmentRow]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return those of the ids that HTML refers to which no inline image has, and those of images that it does not."""
    there = {row.cid for row in rows if row.cid is not None}
    return tuple(sorted(meant - there)), tuple(sorted(there - meant))


def composed(name: str) -> str:
    """Return a name in the form in which names are compared: macOS takes letters with accents apart."""
    return unicodedata.normalize("NFC", name)


def checked_name(text: str) -> str:
    """Return a file's name, as names are compared.

    Raises:
        FileError: it is a path, has what can't be seen or turns the text around it, or too many octets.
    """
    name = composed(text)
    unseen = next((c for c in name if not c.isprintable()), None)
    if unseen is not None:
        raise FileError(f"{name!r}: a name has no character that can't be seen, as U+{ord(unseen):04X}")
    if any(c in _NOT_IN_NAME for c in name):
        raise FileError(f"{name!r}: a name has none of {_NOT_IN_NAME}")
    if name != name.strip() or name.endswith("."):
        raise FileError(f"{name!r}: a name neither begins nor ends with a space, nor ends with a full stop")
    octets = len(name.encode())
    if not 1 <= octets <= MAX_NAME:
        raise FileError(f"a file's name has 1 to {MAX_NAME} bytes, this one has {octets}")
    return name


def checked_cid(text: str) -> str:
    """Return by what the HTML names an inline image. Raises FileError."""
    if not _ID.fullmatch(text):
        raise FileError(
            f"{text!r}: the id of an inline image has 1 to 64 letters, digits, . _ and -: give --inline CID"
        )
    return text


def type_of(name: str, data: bytes) -> str:
    """Return the media type of a file by its content; of a text, its name says which kind.

    Raises:
        FileError: it is empty, or of a kind that receivers refuse.
    """
    if not data:
        raise FileError(f"{name}: it is empty")
    found = filetype.guess(data)
    if _extension(name) in BLOCKED:
        raise FileError(f"{name}: mail servers refuse files that end in .{_extension(name)}")
    if found is not None and found.extension in PROGRAMS:
        raise FileError(f"{name}: it is a program (.{found.extension}), which mail servers refuse")
    if _is_text(data) and (found is None or found.mime not in _SIGNED_TEXTS):
        return TEXT_TYPES.get(_extension(name), "text/plain")
    if found is None:
        return UNKNOWN_TYPE
    if found.mime == "application/zip":
        _demand_harmless(name, data)
    return _SAME_TYPE.get(found.mime, str(found.mime))


def contradiction(name: str, kind: str) -> str | None:
    """Return what is to be said of a name whose extension is not that of its content (`kind`); None: nothing."""
    extension = _extension(name)
    known = filetype.get_type(ext=_SAME_EXTENSION.get(extension, extension))
    expected = TEXT_TYPES.get(extension) or (known and known.mime)
    if expected in (None, kind):
        return None
    why = " (a text is UTF-8)" if kind == UNKNOWN_TYPE and extension in TEXT_TYPES else ""
    return f"its name says {expected}, its content {kind}{why}"


def demand_image(name: str, kind: str) -> None:
    """Raise FileError unless mail programs show such a file as an image."""
    if kind not in INLINE_TYPES:
        raise FileError(f"{name}: an inline image is PNG, JPEG or GIF, and this is {kind}")


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return _BINARY.search(data) is None


def _demand_harmless(name: str, data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return
    blocked = next((member for member in inside if _extension(member) in BLOCKED), None)
    if blocked is not None:
        raise FileError(f"{name}: mail servers refuse an archive with {blocked!r} in it")

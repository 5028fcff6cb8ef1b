"""Text of strangers, made harmless for a terminal. Pure.

Names, servers' replies, reasons, previews, the headers of messages: a terminal obeys what stands in them, unless it is
shown as an escape. Whatever is printed goes through here, in `slowpost.cli.saying` and in `logs`.
"""

from __future__ import annotations

import re

#: Control characters but tab and line end (C0, DEL, C1: title, clipboard, clear screen); what turns or hides the text
#: around it (bidirectional controls, UAX 9 section 2; invisible format characters); line ends that only some programs
#: know; and lone surrogates, which can't be encoded.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]|\r(?!\n)"
)


def printable(text: str) -> str:
    r"""Return `text` with what a terminal would obey as escapes, such as `\x1b`; the lines stay as they are."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(error: BaseException) -> str:
    """Return what an error says in one line, or its name if it says nothing."""
    return (str(error) or repr(error)).strip().splitlines()[0][:300] or type(error).__name__


def json_safe(text: str) -> str:
    """Return a JSON text in which the same characters are escaped as JSON does: its values are the same."""
    return _UNSAFE.sub(lambda found: _json_escape(found[0]), text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))

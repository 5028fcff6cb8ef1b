"""What in a mail's words looks as if it were meant for another program, or hides from its reader. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

#: Placeholders that are told apart by their brackets alone.
_MARKED = (
    r"\*\|[^|*\n]{1,60}\|\*",  # *|FNAME|*
    r"<<\s*[A-Za-z][\w .-]{0,40}>>",  # <<Name>>
    r"%%[A-Za-z]\w{0,40}%%|(?<!\w)%[A-Z][A-Z0-9_]{1,40}%(?!\w)",  # %%first_name%%, %FIRSTNAME%
    r"\$\{[^{}\n]{1,60}\}",  # ${name}
    r"\{![^{}\n]{1,60}\}",  # {!Contact.FirstName}
    r"\[\[[^\[\]\n]{1,60}\]\]",  # [[name]]
    r"(?<!\{)\{\$?[A-Za-z][\w .-]{0,40}\}(?!\})",  # {first_name}
    r"(?<!\{)\{[^{}|:;\n]{1,80}(?:\|[^{}|:;\n]{0,80})+\}(?!\})",  # {Hi|Hello}
)
#: What stands in single brackets also where it is meant: only these words make a placeholder of it.
_WORDS = r"(?:first|last|full|your|my|company|contact|recipient|sender|business|job|product)"
_NOUNS = r"(?:name|company|title|city|country|website|industry|position|role|email|phone|address|topic)"
_BRACKETS = rf"\[\s*(?:(?:insert|enter)\b[^\[\]\n]{{0,40}}|(?:{_WORDS}[ _-]?)*{_NOUNS}|{_WORDS}[ _-]?{_NOUNS})\s*\]"
_PLACEHOLDER = re.compile("|".join([*_MARKED, rf"(?i:{_BRACKETS})"]))
#: What is no text of an HTML body.
_NO_TEXT = re.compile(r"<(style|script)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
#: Styles of an element by which nobody sees it.
_HIDDEN = re.compile(
    r"""<[A-Za-z][^<>]{0,1000}\sstyle\s*=\s*(?:"[^"<>]{0,1000}|'[^'<>]{0,1000})(?<![\w-])"""
    r"(?:display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all|font-size\s*:\s*0|opacity\s*:\s*0(?!\.)|max-height\s*:\s*0)",
    re.IGNORECASE,
)


def placeholders(words: Iterable[str], *, is_html: bool = False) -> list[str]:
    """Return placeholders of other programs in texts, each once. They stay in a mail as they are."""
    found = [match[0] for text in words for match in _PLACEHOLDER.finditer(_text_of(text) if is_html else text)]
    return list(dict.fromkeys(found))


def _text_of(body: str) -> str:
    return html.unescape(_TAG.sub("", _NO_TEXT.sub("", body)))


def hides_text(body: str) -> bool:
    """Tell whether an HTML body has an element that its own style hides."""
    return _HIDDEN.search(_NO_TEXT.sub("", body)) is not None

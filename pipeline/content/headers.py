"""Header fields: what is meant becomes lines, and lines are read again, strictly. Pure.

Python's `email` does not write them: it loses the quotes of a name that it folds (CPython gh-80222), so that the name
becomes mailboxes, and spaces of long subjects. Here an element (a name, an address, an id, a URL) is never folded, only
what stands between two. `read` shares nothing with `write` but the grammar, and takes nothing else than what `write`
makes: whoever compares the two knows that the field says what was meant, to every parser.
"""

from __future__ import annotations

import base64
import quopri
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from models import address as addresses
from pipeline.content import parameters
from pipeline.content.parameters import HeaderError, Token

#: Characters of a line with an encoded word, and of such a word (RFC 2047 section 2). Others are folded there, too.
LINE, WORD = 76, 75
_START, _END = "=?utf-8?{}?", "?="
_ROOM = WORD - len(_START.format("q")) - len(_END)
#: What stands for itself in an encoded word, also in one of a name (RFC 2047 section 5 (3)).
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_PLAIN_TEXT = re.compile(r"[!-~](?:[ -~]*[!-~])?")
#: Between words of a text: the only places where it can be folded and stay what it is.
_BETWEEN_WORDS = re.compile(r"(?<=[^ ]) (?=[^ ])")

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOTTED = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\["\\])*"'
_ENCODED = r"=\?utf-8\?[qb]\?[!->@-~]+\?="
_NAME = rf"{_ATOM}(?: {_ATOM})*|{_QUOTED}|{_ENCODED}(?: {_ENCODED})*"
_LOCAL = rf'(?:[^\x00-\x20\x7f()<>\[\]:;@\\,".]+(?:\.[^\x00-\x20\x7f()<>\[\]:;@\\,".]+)*|{_QUOTED})'
_DOMAIN = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
_NAMED = re.compile(rf"(?P<name>{_NAME}) <(?P<local>{_LOCAL})@(?P<domain>{_DOMAIN})>")
_BARE = re.compile(rf"(?P<name>)(?P<local>{_LOCAL})@(?P<domain>{_DOMAIN})")
_ELEMENT = re.compile(r"<[!-;=?-~]+>")
_ID = re.compile(rf"<{_DOTTED}@{_DOTTED}>")
_PHRASE = re.compile(rf"{_ATOM}(?: {_ATOM})*")


@dataclass(frozen=True)
class Text:
    """A text, such as a subject (unstructured; RFC 5322 3.6.5)."""

    text: str


@dataclass(frozen=True)
class Mailbox:
    """A mailbox (RFC 5322 3.4): a name ("" for none), a local part without quotes, a domain in IDNA."""

    name: str
    local: str
    domain: str

    @classmethod
    def of(cls, name: str, address: str) -> Mailbox:
        """Return the mailbox of an address as written."""
        return cls(name, *addresses.split(address))


@dataclass(frozen=True)
class Mailboxes:
    """A list of mailboxes."""

    mailboxes: tuple[Mailbox, ...]


@dataclass(frozen=True)
class Elements:
    """A list of URLs, each in its angle brackets (RFC 2369)."""

    elements: tuple[str, ...]


@dataclass(frozen=True)
class Ids:
    """Ids of messages or parts of them, in angle brackets (RFC 5322 3.6.4, without obsolete forms, domain literals)."""

    ids: tuple[str, ...]


Value = Text | Mailboxes | Elements | Ids | Token


def promises_one_click(*, knows_recipient: bool, is_covered: bool) -> bool:
    """Tell whether `List-Unsubscribe-Post` goes with a mail.

    Args:
        knows_recipient: whether its link says whom to unsubscribe (RFC 8058 section 3.1).
        is_covered: whether a DKIM signature of our own, or one that the account's provider is known to make, covers
            both headers (section 4).
    """
    return knows_recipient and is_covered


def is_id(text: str) -> bool:
    """Tell whether a text is one Message-ID."""
    return _ID.fullmatch(text) is not None


def head(meant: Mapping[str, Value]) -> bytes:
    """Return fields that have been read again. Raises HeaderError."""
    written = b"".join(write(name, value) for name, value in meant.items())
    compare(written.removesuffix(b"\r\n"), meant)
    return written


def compare(head: bytes, meant: Mapping[str, Value], *, besides: Set[str] = frozenset()) -> None:
    """Read a head again.

    Args:
        head: its lines.
        meant: what each field is to say.
        besides: names, in lower case, of fields that may be there, too.

    Raises:
        HeaderError: it does not say what was meant, or says something else.
    """
    said = fields(head)
    kinds = {name.lower(): (name, value) for name, value in meant.items()}
    if sorted(name for name, _ in said) != sorted(kinds.keys() | besides & {name for name, _ in said}):
        raise HeaderError("there are other headers than Slowpost sets")
    for raw_name, raw in said:
        if raw_name in kinds:
            name, value = kinds[raw_name]
            if read(raw, type(value)) != value:
                raise HeaderError(f"{name} would not say what was meant")


def write(name: str, value: Value) -> bytes:
    """Return a field with its CRLF, folded. Raises HeaderError."""
    match value:
        case Text(text):
            tokens = _text(text, LINE - len(name) - 2)
        case Mailboxes(mailboxes):
            tokens = list(_listed([_mailbox(one, LINE - len(name) - 2) for one in mailboxes]))
        case Elements(elements):
            if not all(_ELEMENT.fullmatch(element) for element in elements):
                raise HeaderError("a URL has other characters than it can have")
            tokens = list(_listed([[element] for element in elements]))
        case Ids(ids):
            if not all(map(is_id, ids)):
                raise HeaderError("a Message-ID is none")
            tokens = list(ids)
        case Token():
            tokens = parameters.words(value)
    return _folded(f"{name}:".encode(), [token.encode() for token in tokens])


def read(raw: str, kind: type[Value]) -> Value:
    """Return what an unfolded field says.

    Args:
        raw: what stands behind the colon and its space.
        kind: what it is a list of, or a text, or a token.

    Raises:
        HeaderError: it is not a field of this kind as `write` makes it.
    """
    if kind is Text:
        return Text(_decoded(raw))
    if kind is Elements:
        return Elements(tuple(found[0] for found in _each(raw, _ELEMENT.match)))
    if kind is Ids:
        return Ids(tuple(found[0] for found in _each(raw, _ID.match, between=" ")))
    if kind is Token:
        return parameters.read(raw)
    found = _each(raw, lambda text, at: _NAMED.match(text, at) or _BARE.match(text, at))
    return Mailboxes(tuple(Mailbox(_name(m["name"]), _unquoted(m["local"]), m["domain"]) for m in found))


def fields(head: bytes) -> list[tuple[str, str]]:
    """Return names (in lower case) and unfolded values of the fields of a message's head. Raises HeaderError."""
    try:
        lines = re.sub(r"\r\n(?=[ \t])", "", head.decode()).split("\r\n")
    except UnicodeDecodeError:
        raise HeaderError("a header is not UTF-8") from None
    found = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z-]+", name) or value[:1] not in ("", " "):
            raise HeaderError("a line of the headers is none")
        found.append((name.lower(), value[1:]))
    return found


def _text(text: str, room: int) -> list[str]:
    words = _BETWEEN_WORDS.split(text)
    is_plain = _PLAIN_TEXT.fullmatch(text) and "=?" not in text and max(map(len, words)) <= room
    return words if is_plain else _encoded(text, room)


def _mailbox(mailbox: Mailbox, room: int) -> list[str]:
    address = addresses.join(mailbox.local, mailbox.domain)
    if not mailbox.name:
        return [address]
    if not all(" " <= c <= "~" for c in mailbox.name):
        return [*_encoded(mailbox.name, room), f"<{address}>"]
    is_phrase = _PHRASE.fullmatch(mailbox.name) and "=?" not in mailbox.name
    escaped = re.sub(r'(["\\])', r"\\\1", mailbox.name)
    return [mailbox.name if is_phrase else f'"{escaped}"', f"<{address}>"]


def _listed(elements: Sequence[list[str]]) -> Iterator[str]:
    for number, tokens in enumerate(elements, 1):
        yield from tokens[:-1]
        yield tokens[-1] + ("," if number < len(elements) else "")


def _folded(name: bytes, tokens: Sequence[bytes]) -> bytes:
    lines = [b" ".join([name, *tokens[:1]])]
    for token in tokens[1:]:
        if len(lines[-1]) + 1 + len(token) > LINE:
            lines.append(b"")
        lines[-1] += b" " + token
    return b"\r\n".join(lines) + b"\r\n"


def _encoded(text: str, room: int) -> list[str]:
    """Return encoded words that say `text` when they are put together; the first one has `room` characters."""
    octets = text.encode()
    as_q, as_b = len(_q(octets)), len(_b(octets))
    kind, encode = ("q", _q) if as_q <= as_b else ("b", _b)
    room = min(_ROOM, room - (WORD - _ROOM))
    words, word = [], b""
    for character in text:
        # Whole characters in each (RFC 2047 section 5 (3)).
        longer = word + character.encode()
        if word and len(encode(longer)) > room:
            words.append(word)
            longer, room = character.encode(), _ROOM
        word = longer
    return [_START.format(kind) + encode(word) + _END for word in [*words, word] if word]


def _q(octets: bytes) -> str:
    return "".join("_" if o == 0x20 else chr(o) if o in _SAFE else f"={o:02X}" for o in octets)


def _b(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _each(raw: str, match: Callable[[str, int], re.Match[str] | None], between: str = ", ") -> Iterator[re.Match[str]]:
    at = 0
    while True:
        found = match(raw, at)
        if found is None or raw[found.end() : found.end() + len(between)] not in ("", between):
            raise HeaderError("a list in a header is not as it was meant")
        yield found
        if found.end() == len(raw):
            return
        at = found.end() + len(between)


def _name(raw: str) -> str:
    return _unquoted(raw) if raw.startswith('"') else _decoded(raw)


def _unquoted(raw: str) -> str:
    return re.sub(r"\\(.)", r"\1", raw[1:-1]) if raw.startswith('"') else raw


def _decoded(raw: str) -> str:
    if "=?" not in raw and (not raw or _PLAIN_TEXT.fullmatch(raw)):
        return raw
    if not re.fullmatch(rf"{_ENCODED}(?: {_ENCODED})*", raw):
        raise HeaderError("a header has other characters than it can have")
    try:
        return "".join(_decoded_word(*word.split("?")[2:4]) for word in raw.split(" "))
    except ValueError:
        raise HeaderError("an encoded word says nothing") from None


def _decoded_word(kind: str, text: str) -> str:
    if len(text) > _ROOM:
        raise HeaderError("an encoded word is too long")
    octets = quopri.decodestring(text, header=True) if kind == "q" else base64.b64decode(text, validate=True)
    return octets.decode()

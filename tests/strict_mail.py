"""A strict reader of a mail: its head by RFC 5322, 2047 and 6532, its parts by RFC 2045, 2046, 2183 and 2231. It is
neither Python's `email` nor Slowpost's own. What it does not understand to the letter it refuses.
"""

from __future__ import annotations

import base64
import quopri
import re
from dataclasses import dataclass
from typing import Any

#: Octets of a line (RFC 5322 2.1.1), characters of an encoded word and of a line that has one (RFC 2047 section 2).
MAX_LINE, MAX_WORD, MAX_LINE_WITH_WORD = 998, 75, 76
SPECIALS = '()<>[]:;@\\,."'
#: Recognised in words of a text or of a name (RFC 2047 section 2; no white space, no control characters within).
ENCODED_WORD = re.compile(r"=\?([!-~]+?)\?([bqBQ])\?([!-~]*?)\?=")
#: A parameter in quotes, or as RFC 2231 section 4 has it.
PARAMETER = re.compile(r""";[ ]([a-z]+)(?:="((?:(?!=\?)[ !#-\[\]-~])*)"|\*=utf-8''([^\s;"()<>@,:/?*'=\[\]\\]*))""")


class NotStrictError(AssertionError):
    """The mail is not to the letter."""


@dataclass(frozen=True)
class Mailbox:
    """A mailbox: its name, and its address without quotes."""

    name: str
    local: str
    domain: str


@dataclass(frozen=True)
class Head:
    """Fields in their order, names in lower case, values unfolded."""

    fields: list[tuple[str, str]]

    def one(self, name: str) -> str:
        """Return the value of a field that has to be there once."""
        found = [value for field, value in self.fields if field == name]
        demand(len(found) == 1, f"{name} is there {len(found)} times")
        return found[0]

    def mailbox(self, name: str) -> Mailbox:
        """Return the one mailbox of a field."""
        found = mailboxes(self.one(name))
        demand(len(found) == 1, f"{name} has {len(found)} mailboxes")
        return found[0]

    def ids(self, name: str) -> list[str]:
        """Return the Message-IDs of a field."""
        return message_ids(self.one(name))

    def text(self, name: str) -> str:
        """Return what a person reads in a field without structure."""
        return decoded(self.one(name))


def head_of(data: bytes) -> Head:
    """Read the head of a mail as it goes over the wire. Raises NotStrictError."""
    head, end, _ = data.partition(b"\r\n\r\n")
    demand(bool(end), "no empty line behind the head")
    fields: list[tuple[str, str]] = []
    for octets in head.split(b"\r\n"):
        demand(not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", octets), "a control character")
        demand(len(octets) <= MAX_LINE, "a line is too long")
        line = octets.decode("utf-8")
        if ENCODED_WORD.search(line):
            demand(len(line) <= MAX_LINE_WITH_WORD, "a line with an encoded word is too long")
        if line[:1] in (" ", "\t"):
            demand(bool(fields) and bool(line.strip()), "a line of white space")
            name, value = fields.pop()
            fields.append((name, value + line))
        else:
            found = re.fullmatch(r"([!-9;-~]+):(?: (.*))?", line)
            demand(found is not None, "a line is no field")
            assert found is not None
            fields.append((found[1].lower(), found[2] or ""))
    return Head(fields)


@dataclass(frozen=True)
class Entity:
    """A message, or a part of one: its head, its type with what goes with that, what is in it, and the parts it has."""

    head: Head
    type: str
    parameters: dict[str, str]
    content: bytes
    parts: list[Entity]

    def disposition(self) -> tuple[str, dict[str, str]]:
        """Return how it is to be shown, and its name there."""
        return with_parameters(self.head.one("content-disposition"))

    def outline(self) -> Any:
        """Return the types of it and of its parts."""
        return (self.type, *(part.outline() for part in self.parts)) if self.parts else self.type

    def leaves(self) -> list[Entity]:
        """Return what has no parts, in its order."""
        return [leaf for part in self.parts for leaf in part.leaves()] if self.parts else [self]


def entity_of(data: bytes) -> Entity:
    """Read a mail as it goes over the wire, or a part of it. Raises NotStrictError."""
    head, body = head_of(data), data.partition(b"\r\n\r\n")[2]
    kind, parameters = with_parameters(head.one("content-type"))
    if not kind.startswith("multipart/"):
        return Entity(head, kind, parameters, _content(head, body), [])
    parts = [entity_of(part) for part in _parts(body, parameters["boundary"])]
    demand(kind != "multipart/related" or parameters["type"] == parts[0].type, "related to another type")
    return Entity(head, kind, parameters, b"", parts)


def with_parameters(value: str) -> tuple[str, dict[str, str]]:
    """Read a token with parameters, each of them once and in one piece."""
    token = value.partition(";")[0]
    demand(re.fullmatch(r"[a-z0-9]+(?:/[a-z0-9.+-]+)?", token) is not None, f"no token: {token}")
    found: dict[str, str] = {}
    at = len(token)
    while at < len(value):
        # No two readers agree about escapes and encoded words in quotes.
        parameter = PARAMETER.match(value, at)
        demand(parameter is not None, f"no parameter: {value[at:]}")
        assert parameter is not None
        name, quoted, encoded = parameter.groups()
        demand(name not in found, f"{name} is there twice")
        found[name] = _percent_decoded(encoded) if quoted is None else quoted
        at = parameter.end()
    return token, found


def _percent_decoded(text: str) -> str:
    demand(text.isascii() and not re.search(r"%(?![0-9A-F]{2})", text), "a bare % or more than ASCII")
    return re.sub(rb"%(..)", lambda m: bytes([int(m[1], 16)]), text.encode("ascii")).decode("utf-8")


def _parts(body: bytes, boundary: str) -> list[bytes]:
    first, *parts, last = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("ascii"))
    demand(not first and last in (b"--", b"--\r\n"), "something before the parts, or behind them")
    demand(all(part.startswith(b"\r\n") for part in parts), "a boundary amidst a line")
    return [part.removeprefix(b"\r\n") for part in parts]


def _content(head: Head, body: bytes) -> bytes:
    encoding = head.one("content-transfer-encoding")
    demand(encoding in ("7bit", "quoted-printable", "base64"), f"another encoding: {encoding}")
    if encoding == "quoted-printable":
        return quopri.decodestring(body)
    if encoding == "7bit":
        return body
    demand(all(len(line) <= 76 for line in body.split(b"\r\n")), "a line of base64 is too long")
    return base64.b64decode(body.replace(b"\r\n", b""), validate=True)


def mailboxes(value: str) -> list[Mailbox]:
    """Read a list of mailboxes (RFC 5322 3.4), without groups, comments and obsolete forms."""
    found, tokens = [], [*_tokens(value), (",", "")]
    while tokens:
        end = next(i for i, (kind, _) in enumerate(tokens) if kind == ",")
        found.append(_mailbox(tokens[:end]))
        tokens = tokens[end + 1 :]
    return found


def message_ids(value: str) -> list[str]:
    """Read Message-IDs (RFC 5322 3.6.4): nothing but white space between them, none within."""
    found = value.split()
    for one in found:
        kinds = "".join("a" if kind == "atom" else kind for kind, _ in _tokens(one))
        demand(re.fullmatch(r"<a(?:\.a)*@a(?:\.a)*>", kinds) is not None, f"no Message-ID: {one}")
    demand(bool(found), "a list of no Message-IDs")
    return found


def decoded(value: str) -> str:
    """Read a text: encoded words stand between white space, and what is between two of them is nothing."""
    pieces = re.split(r"([ \t]+)", value)
    words = [ENCODED_WORD.fullmatch(piece) for piece in pieces]
    said = ""
    for number, (piece, word) in enumerate(zip(pieces, words, strict=True)):
        is_between = number % 2 == 1
        if is_between and words[number - 1] and words[number + 1]:
            continue
        said += _decoded_word(word) if word else piece
    return said


def _decoded_word(word: re.Match[str]) -> str:
    charset, encoding, text = word.groups()
    demand(charset.lower() == "utf-8", "an encoded word in another charset")
    demand(len(word[0]) <= MAX_WORD, "an encoded word is too long")
    if encoding.lower() == "b":
        demand(len(text) % 4 == 0, "an encoded word ends amidst")
        return base64.b64decode(text, validate=True).decode("utf-8")
    demand(not re.search(r"=(?![0-9A-F]{2})", text), "an encoded word has a bare =")
    octets = re.sub(rb"=(..)", lambda m: bytes([int(m[1], 16)]), text.replace("_", " ").encode("ascii"))
    return octets.decode("utf-8")


def _tokens(value: str) -> list[tuple[str, str]]:
    """Split into atoms, quoted strings (`"`, without their quotes), white space and specials."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(value):
        c = value[at]
        start = at
        if c in " \t":
            while at < len(value) and value[at] in " \t":
                at += 1
            tokens.append((" ", value[start:at]))
        elif c == '"':
            said = ""
            at += 1
            while True:
                demand(at < len(value), "a quoted string without an end")
                if value[at] == '"':
                    break
                if value[at] == "\\":
                    at += 1
                    demand(at < len(value), "a quoted string without an end")
                said += value[at]
                at += 1
            at += 1
            tokens.append(('"', said))
        elif c in SPECIALS:
            at += 1
            tokens.append((c, c))
        else:
            while at < len(value) and value[at] not in SPECIALS + " \t":
                at += 1
            tokens.append(("atom", value[start:at]))
    return tokens


def _mailbox(tokens: list[tuple[str, str]]) -> Mailbox:
    while tokens and tokens[0][0] == " ":
        tokens = tokens[1:]
    kinds = "".join("a" if kind == "atom" else "q" if kind == '"' else kind for kind, _ in tokens)
    spec = r"(?:a(?:\.a)*|q)@a(?:\.a)*"
    named = re.fullmatch(rf"(?P<name>[aq](?: [aq])*) <(?P<spec>{spec})>", kinds)
    bare = re.fullmatch(spec, kinds)
    demand(bool(named or bare), f"no mailbox: {kinds}")
    start, end = named.span("spec") if named else (0, len(kinds))
    texts = [text for _, text in tokens]
    at = kinds.index("@", start)
    return Mailbox(
        _phrase(tokens[: named.end("name")]) if named else "",
        "".join(texts[start:at]),
        "".join(texts[at + 1 : end]),
    )


def _phrase(tokens: list[tuple[str, str]]) -> str:
    """Read a name: an encoded word stands only where an atom does (RFC 2047 section 5 (3))."""
    said, last_was_encoded = "", False
    for kind, text in tokens:
        word = ENCODED_WORD.fullmatch(text) if kind == "atom" else None
        if kind == " ":
            continue
        if word:
            demand(re.fullmatch(r"[A-Za-z0-9!*+/=_-]*", word[3]) is not None, "a character that a name can't encode so")
        said += (" " if said and not (word and last_was_encoded) else "") + (_decoded_word(word) if word else text)
        last_was_encoded = word is not None
    return said


def demand(is_so: bool, otherwise: str) -> None:
    """Raise NotStrictError unless it is so."""
    if not is_so:
        raise NotStrictError(otherwise)

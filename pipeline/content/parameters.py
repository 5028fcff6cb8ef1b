"""Header fields that are a token with parameters: a type, an encoding, a disposition. Pure; see `headers`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

#: What needs no escape in quotes; what stands for itself beside percent-encoded octets (RFC 2231 section 7).
_QUOTABLE, _UNRESERVED = r"[ !#-\[\]-~]*", "!#$&+-.^_`{|}~"
_ENCODED = rf"(?:%[0-9A-F]{{2}}|[A-Za-z0-9{re.escape(_UNRESERVED)}])*"
_TOKEN = re.compile(r"[a-z0-9.+-]+(?:/[a-z0-9.+-]+)?")
_PARAMETER = re.compile(rf"; ([a-z]+)(?:=\"({_QUOTABLE})\"|\*=utf-8''({_ENCODED}))")


class HeaderError(ValueError):
    """A value can't stand in a header field, or a field is not one that `headers.write` makes; the message says why."""


@dataclass(frozen=True)
class Token:
    """A token with parameters (RFC 2045 5.1, RFC 2183, RFC 2231)."""

    token: str
    parameters: tuple[tuple[str, str], ...] = ()


def words(value: Token) -> list[str]:
    """Return what a field is folded between; a parameter is never folded."""
    found = [value.token, *(name + _said(text) for name, text in value.parameters)]
    return [f"{word};" for word in found[:-1]] + found[-1:]


def read(raw: str) -> Token:
    """Return what an unfolded field says. Raises HeaderError unless it is one as `words` makes it."""
    token = _TOKEN.match(raw)
    if token is None:
        raise HeaderError("a header has no token")
    return Token(token[0], tuple(_read(raw, token.end())))


def _said(text: str) -> str:
    """Return a parameter's value: in quotes, if nothing in it needs an escape, which not every reader knows; else
    percent-encoded (RFC 2231 section 4).
    """
    if re.fullmatch(_QUOTABLE, text) and "=?" not in text:
        return f'="{text}"'
    return f"*=utf-8''{quote(text, safe=_UNRESERVED)}"


def _read(raw: str, at: int) -> Iterator[tuple[str, str]]:
    while at < len(raw):
        found = _PARAMETER.match(raw, at)
        if found is None:
            raise HeaderError("a parameter in a header is not as it was meant")
        name, quoted, encoded = found.groups()
        try:
            yield name, unquote(encoded, errors="strict") if quoted is None else quoted
        except UnicodeDecodeError:
            raise HeaderError("a parameter in a header says nothing") from None
        at = found.end()

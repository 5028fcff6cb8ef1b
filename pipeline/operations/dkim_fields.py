"""What a person writes of an account's DKIM keys, checked and made a value; a key is tried where it is named.

Each function raises `FieldError`, as those of `fields` do. Nothing of a key is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.accounts import signing
from pipeline.content.signature import Algorithm
from pipeline.operations import fields
from pipeline.operations.csv_rows import Parse, Row
from pipeline.operations.fields import FieldError, unquoted

_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL}){{0,3}}")


def selector(text: str) -> str:
    """Return the selector of a key (RFC 6376 section 3.1)."""
    written = text.strip().lower()
    if not _SELECTOR.fullmatch(written):
        raise FieldError("is no selector such as s1 or mail2026", given=written)
    return written


def key_file(algorithm: Algorithm) -> Callable[[str], str]:
    """Return what reads the path of a file that holds a private key, and tries the key."""

    def read(text: str) -> str:
        written = fields.token_file(text)
        try:
            signing.read_key(written, algorithm)
        except signing.KeyFileError as error:
            raise FieldError(str(error)) from None
        return written

    return read


#: How each column is read.
COLUMNS: Mapping[str, Parse] = {
    "dkim_domain": unquoted(fields.domain),
    "dkim_selector": unquoted(selector),
    "dkim_key_file": unquoted(key_file(Algorithm.RSA)),
    "dkim_ed25519_selector": unquoted(selector),
    "dkim_ed25519_key_file": unquoted(key_file(Algorithm.ED25519)),
}


def _or_nothing(parse: Parse) -> Parse:
    return lambda text: parse(text) if text.strip() else None


#: The same where what is there is changed: "" takes it away.
CHANGES: Mapping[str, Parse] = {column: _or_nothing(parse) for column, parse in COLUMNS.items()}


def with_keys(given: Mapping[str, Any]) -> Row:
    """Return values that are given for an account, and with them what goes because of them: a key with its selector,
    and all of it with the RSA key's.
    """
    gone: list[str] = []
    if "dkim_selector" in given and not given["dkim_selector"]:
        gone += COLUMNS
    if "dkim_ed25519_selector" in given and not given["dkim_ed25519_selector"]:
        gone.append("dkim_ed25519_key_file")
    return dict.fromkeys(gone) | dict(given)


def problems(account: Mapping[str, Any]) -> Iterator[str]:
    """Yield, in words, what does not fit together in an account's columns."""
    there = {column for column in COLUMNS if account.get(column)}
    for start in ("dkim", "dkim_ed25519"):
        both = (f"{start}_selector", f"{start}_key_file")
        for given, missing in (both, both[::-1]):
            if given in there and missing not in there:
                yield f"{missing}: it is empty, and there is a {given}"
    beside = there - {"dkim_selector", "dkim_key_file"}
    if beside and not there & {"dkim_selector", "dkim_key_file"}:
        yield f"dkim_selector: it is empty, and there is a {min(beside)}: not every receiver knows Ed25519 (RFC 8463)"
    if "dkim_selector" in there and account["dkim_selector"] == account.get("dkim_ed25519_selector"):
        yield "dkim_ed25519_selector: each key has a selector of its own, and the RSA key has this one"

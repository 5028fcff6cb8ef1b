"""Fields: what is read at a glance is what would be found by taking it apart."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.address import normalise_domain
from pipeline.operations import fields
from tests.unit.random_days import holds_for

_PIECES = [
    "x.test",
    "www.x.test",
    "WWW.Shop-1.Example",
    "www.com",
    "localhost",
    "a_b.test",
    "-a.test",
    "a..test",
    ".test",
]
_PIECES += ["x.test.", "bücher.test", "\u212a.test", f"{'x' * 63}.test", f"{'y' * 64}.test", "long." * 50 + "test"]
_AROUND = [
    "",
    "http://",
    "HTTPS://",
    "ftp://",
    "//",
    "http:",
    "http://me@",
    "http://[",
    "http:///",
    "\t",
    " ",
    "\n",
    "\x00",
]
_BEHIND = ["", "/", "/a//b", "?q=1", "#top", ":80", ":port", "\\@evil.test", "@evil.test", "/\n", "]", " ", "/ü", "\t/"]
_WRITTEN = st.builds("".join, st.tuples(*map(st.sampled_from, (_AROUND, _PIECES, _BEHIND)))) | st.text(max_size=12)


@holds_for(6000)
@given(_WRITTEN)
def test_a_domain_read_at_a_glance_is_the_one_found_by_taking_the_url_apart(written: str) -> None:
    expected = _taken_apart(written.strip())
    if expected is None:
        with pytest.raises(fields.FieldError):
            fields.domain(written)
    else:
        assert fields.domain(written) == expected


def _taken_apart(written: str) -> str | None:
    try:
        host = urlsplit(written if "//" in written else f"//{written}").hostname or ""
    except ValueError:
        return None
    found = normalise_domain(host).removeprefix("www.")
    labels = found.split(".")
    is_domain = len(labels) > 1 and len(found) <= 253 and all(map(fields._LABEL.fullmatch, labels))
    return found if is_domain else None

"""Words that name a person, found and blanked in what programs, servers and people have written. Pure.

A person is named by any spelling of the address, by the whole name, or by the website's domain. A name of one word is
not looked for: it is a word of others' too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from models.address import GOOGLE, normalise

#: What stands where words about a person were.
ERASED = "(erased)"
#: What may be an address in a text, whatever surrounds it. It begins where a word begins, and is no longer than one can
#: be (RFC 5321 4.5.3.1): a text of strangers must not take long.
_AROUND = r"\s<>()\[\],;:\\\"'"
_ADDRESS = re.compile(rf"(?<![^{_AROUND}])[^{_AROUND}]{{1,64}}@[\w.-]{{1,254}}\w")


@dataclass(frozen=True)
class Person:
    """Who is to be found in texts.

    Attributes:
        ids: the person's contacts.
        addresses: normalised.
        words: addresses as they were written, names, a domain.
    """

    ids: frozenset[int]
    addresses: frozenset[str]
    words: frozenset[str]

    def is_named_in(self, text: str) -> bool:
        """Tell whether a text names the person."""
        return self._blanked(text) != text

    def blanked_body(self, body: bytes) -> bytes:
        """Return a message's body without what names the person: as it was, if nothing does.

        Of JSON each text that names the person is blanked, and every text if the message asks for the person's contact:
        then it may say anything about it. Numbers stay, so that other contacts' ids are not lost.
        """
        try:
            content = json.loads(body)
            blanked = self._blanked_json(content, everything=self._is_asked_for(content))
        except (ValueError, RecursionError):
            return self._blanked(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        return body if blanked == content else json.dumps(blanked).encode()

    def is_asked_for_by(self, body: bytes) -> bool:
        """Tell whether a message asks for one of the person's contacts."""
        try:
            return self._is_asked_for(json.loads(body))
        except (ValueError, RecursionError):
            return False

    def _is_asked_for(self, content: Any) -> bool:
        if isinstance(content, dict):
            content = [content.get("contact_id"), content.get("contact_ids")]
        values = content if isinstance(content, list) else [content]
        flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
        return any(isinstance(v, int) and v in self.ids for v in flat)

    def _blanked_json(self, content: Any, *, everything: bool) -> Any:
        match content:
            case str():
                return ERASED if everything or self.is_named_in(content) else content
            case list():
                return [self._blanked_json(value, everything=everything) for value in content]
            case dict():
                return {self._blanked(k): self._blanked_json(v, everything=everything) for k, v in content.items()}
        return content

    def _blanked(self, text: str) -> str:
        if "@" in text:
            text = _ADDRESS.sub(lambda found: ERASED if self._is_address(found[0]) else found[0], text)
        return self._words.sub(ERASED, text)

    def _is_address(self, text: str) -> bool:
        return text.rpartition("@")[2].lower() in self._domains and normalise(text) in self.addresses

    @cached_property
    def _domains(self) -> frozenset[str]:
        """The domains of all spellings: whatever stands at another one need not be looked at closely."""
        written = {text.rpartition("@")[2].lower() for text in self.addresses | self.words}
        return frozenset(written if written.isdisjoint(GOOGLE) else written.union(GOOGLE))

    @cached_property
    def _words(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_pattern, sorted(self.words))), re.IGNORECASE)


def named_by(name: str) -> Iterable[str]:
    """Yield the name if it is one by which a person can be found: of several words."""
    if len(name.split()) > 1:
        yield name


def _pattern(word: str) -> str:
    """Return what finds a word in a text, and not within a longer one; also as JSON or Python escape it."""
    forms = {word, json.dumps(word)[1:-1], ascii(word)[1:-1]}
    found = (r"\s+".join(re.escape(part) for part in form.split()) for form in sorted(forms))
    return "|".join(rf"(?<!\w){form}(?!\w)" for form in found)

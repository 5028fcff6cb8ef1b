"""Open time: when something is open, as spans of instants, and how much of it lies before an instant. Pure."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable
from dataclasses import dataclass

#: An instant from which something is open, and one from which it is closed (UTC).
Span = tuple[dt.datetime, dt.datetime]


@dataclass(frozen=True)
class OpenTime:
    """Open time: spans in order that don't overlap. An offset is the open time since the first span began."""

    spans: tuple[Span, ...]

    @classmethod
    def merged(cls, spans: Iterable[Span]) -> OpenTime:
        """Return the open time of spans in any order that may overlap or be empty."""
        merged: list[Span] = []
        for opens, closes in sorted(span for span in spans if span[0] < span[1]):
            if merged and opens <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], closes))
            else:
                merged.append((opens, closes))
        return cls(tuple(merged))

    @functools.cached_property
    def total(self) -> dt.timedelta:
        """All the open time there is."""
        return sum((closes - opens for opens, closes in self.spans), dt.timedelta(0))

    def contains(self, at: dt.datetime) -> bool:
        """Tell whether it is open at `at`."""
        return self.soonest(at) == at

    def offset_of(self, at: dt.datetime) -> dt.timedelta:
        """Return the open time before `at`."""
        return sum((min(at, closes) - opens for opens, closes in self.spans if opens < at), dt.timedelta(0))

    def at(self, offset: dt.timedelta) -> dt.datetime | None:
        """Return the instant with this offset (below zero: the first); None if there is not so much open time."""
        offset = max(offset, dt.timedelta(0))
        for opens, closes in self.spans:
            if offset < closes - opens:
                return opens + offset
            offset -= closes - opens
        return None

    def soonest(self, at: dt.datetime) -> dt.datetime | None:
        """Return the first open instant at or after `at`, or None."""
        for opens, closes in self.spans:
            if at < closes:
                return max(at, opens)
        return None

    def __and__(self, other: OpenTime) -> OpenTime:
        """Return the time that is open in both."""
        both = ((max(a, c), min(b, d)) for a, b in self.spans for c, d in other.spans)
        return OpenTime(tuple((opens, closes) for opens, closes in both if opens < closes))

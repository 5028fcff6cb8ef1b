"""The words of what comes back: which kind a message is, and what is known of it. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a message is. Each is one of these; what follows from it is decided elsewhere."""

    BOUNCE = "bounce"  # a delivery report: failed, for one recipient at least
    DELIVERY_NOTICE = "delivery_notice"  # a delivery report: delayed, delivered, relayed or expanded
    COMPLAINT = "complaint"
    AUTOMATIC = "automatic"
    HAS_LEFT = "has_left"  # an automatic answer: the person does not work there any more
    RECEIPT = "receipt"
    CALENDAR = "calendar"
    CHALLENGE = "challenge"  # "confirm that you are human"
    UNSUBSCRIBE = "unsubscribe"
    REPLY = "reply"
    SENT = "sent"  # a copy in the Sent folder
    OTHER = "other"


class Action(StrEnum):
    """What became of a recipient (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True)
class Recipient:
    """One recipient of a delivery report.

    Attributes:
        address: as the report writes it; None: it names none.
        action: what became of it.
        status: the enhanced status code (RFC 3463), such as `5.1.1`; None: unknown.
        diagnostic: what the server said, or what the report says of it.
        final_address: to whom it was handed on, where that is another address (RFC 3464 2.3.2).
    """

    address: str | None
    action: Action
    status: str | None = None
    diagnostic: str = ""
    final_address: str | None = None


@dataclass(frozen=True)
class Classified:
    """What a message is, and why.

    Attributes:
        kind: what it is.
        evidence: why, in words, the weightiest first.
        is_guess: nothing but words or a sender's name says so: no standard's field does.
        quoted_ids: Message-IDs from the part that quotes our headers; of a copy in Sent, its own. If one of them is
            ours, that is strong evidence. With angle brackets, like all ids here.
        answered_ids: Message-IDs that it answers (In-Reply-To, then References): a hint at which mail is meant.
        recipients: of a delivery report; of a copy in Sent, to whom it went.
        until: the day until which somebody is away.
        token: what stood behind "unsubscribe" in the subject.
    """

    kind: Kind
    evidence: tuple[str, ...]
    is_guess: bool = False
    quoted_ids: tuple[str, ...] = ()
    answered_ids: tuple[str, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    until: dt.date | None = None
    token: str | None = None

    def strong(self, ours: Collection[str]) -> str | None:
        """Return the Message-ID that is ours, in the part that quotes our headers; None: there is none.

        Args:
            ours: which of all `quoted_ids` we, or the provider in our place, have given.
        """
        return next((one for one in self.quoted_ids if one in ours), None)

    def guessed(self, ours: Collection[str]) -> str | None:
        """Return the Message-ID that is ours among those it answers; None: there is none."""
        return next((one for one in self.answered_ids if one in ours), None)

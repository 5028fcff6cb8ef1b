"""The list of addresses and domains that must never be mailed: what a person puts on it, and takes off.

Writes: the list, the enrolments that end with it, what waits and is skipped, and the action without the address. The
claim asks the list again.
"""

from __future__ import annotations

from dataclasses import dataclass

from models import Suppression, SuppressionKind, Website, address, database
from models.control import record_action
from models.suppression import suppress
from pipeline.operations import fields, stops
from pipeline.operations.done import Done, OperationRefusedError
from pipeline.rules.forgotten import forgotten_among


@dataclass(frozen=True)
class SuppressionDone(Done):
    """An address or a domain that is on the list, or off it.

    Attributes:
        kind: which of the two it is.
        value: as it is compared: in lower case, and an address in the one spelling that stands for all (for Gmail:
            without dots and +tag).
        changed: false if it was on the list already.
    """

    kind: SuppressionKind
    value: str
    changed: bool


def value_of(text: str) -> tuple[SuppressionKind, str]:
    """Return kind and normalised value of an address or a domain. Raises FieldError."""
    if "@" in text:
        return SuppressionKind.ADDRESS, address.normalise(fields.email(text))
    return SuppressionKind.DOMAIN, fields.domain(text)


def add(text: str, who: str, reason: str = "") -> SuppressionDone:
    """Suppress an address, or a domain with all its subdomains. Raises FieldError."""
    kind, value = value_of(text)
    with database.transaction():
        # A forgotten person is suppressed by a hash already; the address must not come back by this door.
        forgotten = kind is SuppressionKind.ADDRESS and forgotten_among([value])
        handoffs = stops.suppressed([(kind, value)], database.now())
        added = 0 if forgotten else suppress(kind, [value], reason or "added by hand", database.now())
        record_action(who, "suppress", f"{kind} added", database.now(), "" if forgotten else reason)
    return SuppressionDone(kind, value, bool(added), handoffs=tuple(handoffs))


def remove(text: str, who: str, reason: str = "") -> SuppressionDone:
    """Take an address or a domain off the list.

    Raises:
        FieldError: it is neither.
        OperationRefusedError: it is not on the list, or the person has asked to be forgotten.
    """
    kind, value = value_of(text)
    which = (Suppression.kind == kind) & Suppression.value.in_(address.forms(value))
    with database.transaction():
        # What one of its people has asked for goes with it.
        website = Website.domain.in_([value, f"www.{value}"]) & Website.opt_out_id.is_null(False)
        if kind is SuppressionKind.DOMAIN:
            database.lock_rows(Website, website)
            Website.update(opt_out_id=None).where(website).execute()
        if not Suppression.delete().where(which).execute():
            if kind is SuppressionKind.ADDRESS and forgotten_among([value]):
                raise OperationRefusedError(f"{value} has asked to be forgotten, and stays suppressed")
            raise OperationRefusedError(f"{value} is not suppressed")
        record_action(who, "unsuppress", f"{kind} removed", database.now(), reason)
    return SuppressionDone(kind, value, changed=True)

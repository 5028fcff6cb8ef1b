"""Daily at 23:00: switch off accounts that have gone bad."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.accounts import health


@dataclass(frozen=True)
class SwitchedOff:
    """An account that was switched off, since too few of its mails were accepted.

    Attributes:
        id: the account.
        name: what you call it.
    """

    id: int
    name: str


def check() -> list[SwitchedOff]:
    """Check all accounts; return those that were switched off."""
    return [SwitchedOff(account.id, account.name) for account in health.check()]

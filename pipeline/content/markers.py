"""Rendered texts: how long they may be, and the markers that stand in them for the sender's fields, until an account is
chosen. Pure.
"""

from __future__ import annotations

#: Characters one part of a message may have; providers refuse far less (Gmail clips HTML at 102 kB).
MAX_OUTPUT = 500_000
#: Between these stands a field of the sender that is filled in when the account is known (private use area of Unicode).
MARK_START, MARK_END = "\ue000", "\ue001"
SENDER_FIELDS = ("name", "email", "signature")


def sender_marker(field: str) -> str:
    """Return what stands in a rendered text for a field of the sender."""
    return f"{MARK_START}sender.{field}{MARK_END}"

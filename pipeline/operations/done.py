"""What all actions have in common: what they return, and how they refuse. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import SlowpostError
from pipeline.flow import Handoff


@dataclass(frozen=True, kw_only=True)
class Done:
    """An action that is committed.

    Attributes:
        handoffs: what is to be handed on now. If that can't be sent nothing is lost: the next sweep finds it.
    """

    handoffs: tuple[Handoff, ...] = ()


class OperationRefusedError(SlowpostError):
    """What a person asked for can't be done as things are; nothing has been changed, and the message says why."""

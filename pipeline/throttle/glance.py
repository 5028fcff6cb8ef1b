"""A glance at the backlog: enough to tell whether a decision could change anything, without reading a delivery."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.throttle.types import Group, Waiting


def glance(top: Mapping[Group, int], counts: Mapping[Group, int]) -> tuple[list[Waiting], dict[Group, int]]:
    """Return a head with one delivery of each group, and how many are unseen behind it. If a decision with these
    changes no slot, one with all that waits changes none; but that an account is kept for what all others have failed,
    and whose clock opens later, is not seen: that gets its slot when its clock opens.

    Args:
        top: for each group that may go today, the highest priority of what may go now.
        counts: how many of each group may go today.
    """
    # The latest jitter: a time that is before a clock opens by one's own jitter may be in its hours by another's.
    head = [Waiting(0, priority, share=1.0, group=group) for group, priority in top.items()]
    # As many as could be more urgent than all others: an account may be kept for them.
    return head, {group: max(0, counts.get(group, 1) - 1) for group in top}

"""Who can have what the accounts have left: mails that only some accounts may send, so that most of them go. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

#: Accounts, by id.
Senders = frozenset[int]


def shares(left: Mapping[int, int], wanted: Mapping[Senders, int]) -> dict[Senders, int]:
    """Return how many mails of each set of senders can go.

    Sets with few accounts come first, each takes from the accounts that the fewest others want. That is the most that
    can go where of two sets one contains the other or they have no account in common.

    Args:
        left: how many mails each account may still send, by id.
        wanted: how many mails wait, by the accounts that may send them.
    """
    rest = dict(left)
    wanted_by = Counter(account_id for senders in wanted for account_id in senders)
    found = {}
    for senders in sorted(wanted, key=lambda senders: (len(senders), sorted(senders))):
        missing = wanted[senders]
        for account_id in sorted(senders & rest.keys(), key=lambda i: (wanted_by[i], i)):
            taken = min(missing, rest[account_id])
            rest[account_id] -= taken
            missing -= taken
        found[senders] = wanted[senders] - missing
    return found

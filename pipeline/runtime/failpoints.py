"""Failpoints: named places between two steps, at which a fault test lets a process die, freeze or fail.

Off, and free of cost, unless SLOWPOST_FAILPOINTS names a directory when the process starts. There a file whose name is
a failpoint's arms it: the process that comes to it and removes the file does what the file says, so that it happens
once, however many processes there are.

    kill        SIGKILL to itself
    stop        SIGSTOP to itself; somebody continues it
    raise       an exception that nobody expects
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

VARIABLE = "SLOWPOST_FAILPOINTS"

_STAGES = ("intake", "dedupe", "render", "reserve")
_STEPS = ("got", "wrote", "committed", "published")

#: Every failpoint, in the order of the route. `tests/faults` compares the list with the code.
NAMES = (
    *(f"{stage}:{step}" for stage in _STAGES for step in _STEPS),
    "deliver:got",
    "smtp:connected",
    "smtp:offered",
    "claim:wrote",
    "claim:committed",
    "smtp:dot",
    "smtp:replied",
    "outcome:wrote",
    "outcome:committed",
    "deliver:committed",
    "deliver:published",
    *(f"record:{step}" for step in _STEPS),
)
#: Where several messages are one call, and where one call hands on several messages.
OF_GROUPS = ("group:gathered", "group:committed", "confirms:half")
#: The same beside the route, where replies are noted, in the web process, and in the batch publisher.
OF_REPLIES = tuple(f"replied:{step}" for step in _STEPS)
OF_CONSENT = ("unsubscribe:wrote",)
OF_INBOUND = ("mailbox:read", "inbound:got", "inbound:wrote", "copy:intended")
OF_PUBLISHER = ("publish:prepared", "publish:wrote", "publish:committed")


class FailpointError(Exception):
    """What an armed failpoint raises."""


def _nothing(_name: str) -> None:
    return


#: A process dies once: while one thread of it does what a file says, no other may take a second file.
_one_at_a_time = threading.Lock()


def _armed(name: str) -> None:
    file = Path(_directory) / name
    with _one_at_a_time:
        try:
            action = file.read_text()
            file.unlink()
        except FileNotFoundError:
            return
        if action == "raise":
            raise FailpointError(name)
        # To this thread: a signal to the process stops another first, and this one would run on for a moment.
        signal.pthread_kill(threading.get_ident(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[action])


# Not a setting: nobody who sends mail has a use for it.
_directory = os.environ.get(VARIABLE, "")

#: Called at each place with its name.
failpoint = _armed if _directory else _nothing

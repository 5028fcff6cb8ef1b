"""How many requests a client may make, and all together: counted minute by minute. Pure, but for the clock."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

#: Seconds for which requests are counted together.
PERIOD = 60.0


class Limits:
    """Counts requests, of several threads."""

    def __init__(self, per_client: int, in_all: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Take how many requests a minute one client may make, and all together."""
        self._per_client, self._in_all, self._clock = per_client, in_all, clock
        self._lock = threading.Lock()
        self._since = clock()
        # It can't grow beyond what all may ask: whoever is refused for that is not counted.
        self._made: Counter[str] = Counter()
        self._sum = 0

    def allow(self, client: str) -> bool:
        """Count a request of a client, unless it is one too many; tell whether it is not."""
        with self._lock:
            if self._clock() - self._since >= PERIOD:
                self._since, self._sum = self._clock(), 0
                self._made.clear()
            if self._sum >= self._in_all or self._made[client] >= self._per_client:
                return False
            self._made[client] += 1
            self._sum += 1
            return True

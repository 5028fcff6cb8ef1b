"""The one that asks DNS. Each question is asked once and its answer kept; many threads may ask at the same time.

Reads: DNS, through the system's servers or those it is given. Writes nothing. Trouble is an answer, too: what could not
be had is never taken for "there is none".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum

import dns.exception
import dns.nameserver
import dns.rdtypes.txtbase
import dns.resolver

#: Seconds for one question, with all repeats to all servers.
TIMEOUT = 4.0


class Kind(StrEnum):
    """What is asked for."""

    A = "A"
    AAAA = "AAAA"
    MX = "MX"
    PTR = "PTR"
    TXT = "TXT"


@dataclass(frozen=True)
class Answer:
    """What DNS says.

    Attributes:
        records: each as text: of a TXT record its parts in one (RFC 7208, section 3.3), of an MX record preference and
            server, "." for none.
        exists: False: there is no such name at all.
        asked: False: DNS could not be asked, so that nothing is known.
    """

    records: tuple[str, ...] = ()
    exists: bool = True
    asked: bool = True


UNASKED = Answer(asked=False)

#: A way to ask: a name, and what is wanted of it.
Ask = Callable[[str, Kind], Answer]


class Dns:
    """Asks DNS."""

    def __init__(self, servers: Sequence[tuple[str, int]] = (), max_silent: int | None = None) -> None:
        """Ask `servers` (addresses and ports), or, without any, those that the system names; nobody any more after
        `max_silent` questions in a row that got no answer.
        """
        self._resolver = _resolver(servers)
        self._max_silent = max_silent
        self._answers: dict[tuple[str, Kind], Future[Answer]] = {}
        self._lock = threading.Lock()
        self._silent = 0

    def __call__(self, name: str, kind: Kind) -> Answer:
        """Return what DNS says, from memory if it was asked before."""
        with self._lock:
            answer = self._answers.get((name, kind))
            is_new = answer is None
            if answer is None:
                answer = self._answers[name, kind] = Future()
        if is_new:
            answer.set_result(self._ask(name, kind))
        return answer.result()

    def forget(self) -> None:
        """Forget all answers."""
        with self._lock:
            self._answers.clear()

    def _ask(self, name: str, kind: Kind) -> Answer:
        if self._resolver is None or (self._max_silent is not None and self._silent >= self._max_silent):
            return UNASKED
        try:
            # With a dot at its end, or the domains that the system searches would be tried as well.
            found = self._resolver.resolve(
                name.rstrip(".") + ".", kind, lifetime=TIMEOUT, raise_on_no_answer=False, search=False
            )
            answer = Answer(tuple(map(_text, found.rrset or ())))
        except dns.resolver.NXDOMAIN:
            answer = Answer(exists=False)
        except dns.exception.Timeout:
            self._silent += 1
            return UNASKED
        except (dns.exception.DNSException, OSError, UnicodeError):
            # A server that can't say (SERVFAIL), or a name that is none.
            answer = UNASKED
        self._silent = 0
        return answer


def _resolver(servers: Sequence[tuple[str, int]]) -> dns.resolver.Resolver | None:
    """Return a resolver; None where the system names no servers."""
    try:
        resolver = dns.resolver.Resolver(configure=not servers)
    except dns.exception.DNSException:
        return None
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
    return resolver


def _text(record: object) -> str:
    if isinstance(record, dns.rdtypes.txtbase.TXTBase):
        return b"".join(record.strings).decode("utf-8", "replace")
    return str(record)

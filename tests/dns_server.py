"""A DNS server on loopback that answers from a zone a test writes down; nothing is ever asked outside of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

#: In place of records: no answer at all; "I can't say".
SILENT = "silent"
SERVFAIL = "servfail"

#: "example.test MX" → its records as a zone file has them, SILENT or SERVFAIL. A name without any record of any type,
#: and without one below it, does not exist.
Zone = Mapping[str, Sequence[str] | str]

#: What a program asks first to find out whether DNS is to be believed.
REAL: Zone = {"gmail.com MX": ["5 gmail-smtp-in.l.google.com."], "outlook.com MX": ["5 outlook-com.olc.example."]}


class DnsServer:
    """Answers over UDP; `asked` is what it was asked, `address` what MAIL_DNS_SERVERS has to be."""

    def __init__(self, zone: Zone) -> None:
        """Answer from `zone`."""
        self.zone = {_key(*name.split()): records for name, records in zone.items()}
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> DnsServer:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop."""
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            wire, sender = self._socket.recvfrom(65536)
            if not wire:
                return
            reply = self._reply(dns.message.from_wire(wire))
            if reply is not None:
                self._socket.sendto(reply.to_wire(), sender)

    def _reply(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name, kind = _key(question.name.to_text(), dns.rdatatype.to_text(question.rdtype))
        self.asked.append((name, kind))
        records = self.zone.get((name, kind), ())
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if records == SILENT:
            return None
        if records == SERVFAIL:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            reply.answer.append(dns.rrset.from_text_list(question.name, 60, dns.rdataclass.IN, kind, list(records)))
        elif not any(there == name or there.endswith(f".{name}") for there, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply


def _key(name: str, kind: str) -> tuple[str, str]:
    return name.rstrip(".").lower(), kind

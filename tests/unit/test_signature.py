"""A signature of our own holds as long as nothing is changed or added, and each of a received mail's is tried."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.content.message import Rendered, Sender, Unsubscribe, build
from pipeline.content.signature import ALWAYS, SigningKey, covers_unsubscribe, signed
from pipeline.content.thread import MailIds, Thread
from pipeline.dns.resolver import Dns
from pipeline.dns.signatures import Signature, signatures_of
from tests.dkim_keys import signing_keys, zone_of
from tests.dns_server import SERVFAIL, DnsServer

ONE_CLICK = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


def test_both_signatures_hold_and_cover_what_people_unsubscribe_by(signer: Signer) -> None:
    found = signer.tried(signer.mail)
    assert [(s.selector, s.algorithm, s.problem) for s in found] == [
        ("r1", "rsa-sha256", None),
        ("e1", "ed25519-sha256", None),
    ]
    assert all(s.covers_unsubscribe for s in found)
    assert all(set(ALWAYS) | {"reply-to", "in-reply-to", "references", "mime-version"} <= set(s.signed) for s in found)
    tags = {tag.strip().split("=")[0] for tag in field_of(signer.mail).decode().split(";")}
    assert tags == {"v", "a", "c", "d", "i", "q", "s", "t", "h", "bh", "b"}
    assert b"c=relaxed/relaxed" in signer.mail
    assert max(map(len, signer.mail.split(b"\r\n"))) < 80
    assert signer.mail.count(b"\n") == signer.mail.count(b"\r\n")


@pytest.mark.parametrize(
    "name",
    [
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Reply-To",
        "References",
    ],
)
@pytest.mark.parametrize("above", [True, False])
def test_a_second_one_of_a_header_breaks_it_wherever_it_is_added(signer: Signer, name: str, above: bool) -> None:
    line = f"{name}: x@evil.test\r\n".encode()
    head, _, body = signer.mail.partition(b"\r\n\r\n")
    changed = line + signer.mail if above else head + b"\r\n" + line + b"\r\n" + body
    assert all(s.problem for s in signer.tried(changed))


def test_a_missing_one_can_not_be_added_either(signer: Signer) -> None:
    without = signed(signer.unsigned.removeprefix(ONE_CLICK), signer.keys[:1])
    assert [s.problem for s in signer.tried(without)] == [None]
    assert all(s.problem for s in signer.tried(ONE_CLICK + without))


def test_what_a_relay_does_on_its_way_leaves_it_valid(signer: Signer) -> None:
    relayed = b"Received: from a by b\r\nX-Spam: no\r\n" + signer.mail.replace(b"Subject: A", b"Subject:   A")
    assert [s.problem for s in signer.tried(relayed)] == [None, None]
    assert [s.problem for s in signer.tried(relayed.replace(b"\r\n", b"\n"))] == [None, None]
    assert all(s.problem for s in signer.tried(relayed.replace(b"Hello", b"Hallo")))


def test_a_key_that_is_not_there_is_told_from_one_that_can_not_be_asked_for(signer: Signer) -> None:
    rsa, ed25519 = signer.keys
    zone = dict(zone_of(ed25519)) | {f"{rsa.name} TXT": SERVFAIL}
    with DnsServer(zone) as server:
        first, second = signatures_of(signer.mail, Dns([("127.0.0.1", server.port)]))
    assert (first.asked, second.asked, second.problem) == (False, True, None)
    with DnsServer({"other.test A": ["192.0.2.1"]}) as server:
        first, second = signatures_of(signer.mail, Dns([("127.0.0.1", server.port)]))
    assert {(s.asked, s.problem) for s in (first, second)} == {(True, "DNS has no key for it")}


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"v=1",
        b"v=1; a=rsa-sha256; d=x; s=y; h=from; bh=?; b=?",
        b"v=1; a=ed25519-sha256; d=example.test; s=e1; h=From; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA",
        b"\xff=\xff; v=1; a=rsa-sha256; b=AAAA; bh=AAAA; d=\xff; h=\xff; s=\xff",
        b"v=1; a=rsa-sha256; b=AAAA; bh=AAAA; d=example.test; h=from; s=r1; l=" + b"9" * 76,
        b"a; b=; b=",
        b"v=1; " * 5000,
    ],
)
def test_a_signature_that_is_none_is_an_answer(signer: Signer, field: bytes) -> None:
    found = signer.tried(b"DKIM-Signature: " + field + b"\r\nFrom: a@example.test\r\n\r\n")
    assert [s.covers_unsubscribe for s in found] == [False]
    assert found[0].problem
    assert found[0].problem.isprintable()


@pytest.mark.parametrize("message", [b"", b"\r\n", b" x", b"\xff\xfe", b"no colon\r\n\r\n", b"DKIM-Signature"])
def test_a_mail_that_is_none_has_no_signature(signer: Signer, message: bytes) -> None:
    assert signer.tried(message) == ()


def test_only_so_many_signatures_are_tried(signer: Signer) -> None:
    assert len(signer.tried(b"DKIM-Signature: v=1\r\n" * 1000 + signer.mail)) == 10


def test_both_headers_have_to_be_among_those_that_are_signed() -> None:
    assert covers_unsubscribe(["From", " List-Unsubscribe", "LIST-UNSUBSCRIBE-POST "])
    assert not covers_unsubscribe(["from", "list-unsubscribe"])
    assert not covers_unsubscribe(["list-unsubscribe-post"])


def test_an_invalid_signature_covers_nothing() -> None:
    valid = Signature("x.test", "s", "rsa-sha256", ("list-unsubscribe", "list-unsubscribe-post"), None)
    assert valid.covers_unsubscribe
    assert not replace(valid, problem="it does not match").covers_unsubscribe


class Signer:
    """A mail that is signed by two keys, and a DNS that has them."""

    def __init__(self, keys: tuple[SigningKey, SigningKey], port: int) -> None:
        words = Rendered(
            "ann@example.test", "Ann", "A question", "Hello Ann,\n.hidden dot \n", None, None, "<2@x.test>"
        )
        sender = Sender("me@example.test", "Me", "reply@example.test")
        at = dt.datetime(2026, 6, 2, 14, tzinfo=dt.UTC)
        links = Unsubscribe("stop@example.test", "https://example.test/stop")
        built = build(words, sender, at, links, Thread((MailIds("<1@x.test>", None),)))
        self.keys, self._port = keys, port
        self.unsigned = ONE_CLICK + built.data
        self.mail = signed(self.unsigned, keys)

    def tried(self, message: bytes) -> tuple[Signature, ...]:
        """Try the signatures of a message."""
        return signatures_of(message, Dns([("127.0.0.1", self._port)]))


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """Two keys, made once."""
    keys = signing_keys(Path(tmp_path_factory.mktemp("keys")))
    with DnsServer(zone_of(*keys)) as server:
        yield Signer(keys, server.port)


def field_of(mail: bytes) -> bytes:
    """Return the first signature, unfolded."""
    first = re.split(rb"\r\n(?![ \t])", mail)[0]
    return first.replace(b"\r\n", b"").removeprefix(b"DKIM-Signature:")

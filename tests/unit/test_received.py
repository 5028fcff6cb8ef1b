"""What a receiving server has written into a mail is read, and nothing that came with the mail is taken for it."""

from __future__ import annotations

import pytest

from pipeline.dns.alignment import is_aligned
from pipeline.dns.received import Spf, read

#: As Google's and Microsoft's servers write them, with names of the tests.
GOOGLE = b"""\
Authentication-Results: mx.google.test;
       dkim=pass header.i=@a.test header.s=s1 header.b=AbCd;
       spf=pass (google.test: domain of bounce@b.a.test designates 192.0.2.1 (a; b) as permitted sender)
       smtp.mailfrom=bounce@b.a.test;
       dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=a.test
"""
MICROSOFT = b"""\
Authentication-Results: spf=softfail (sender IP is 192.0.2.1)
 smtp.mailfrom=b.a.test; dkim=none (message not signed) header.d=none;
Received-SPF: SoftFail (protection.outlook.test: domain of transitioning b.a.test discourages use of
 192.0.2.1 as permitted sender)
"""


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (GOOGLE, Spf("pass", "b.a.test")),
        (MICROSOFT, Spf("softfail", "b.a.test")),
        (b"Return-Path: <me@a.test>\nReceived-SPF: Pass (x: y) client-ip=192.0.2.1\n", Spf("pass", "a.test")),
        (b'Received-SPF: fail (no) receiver=x; envelope-from="me@A.test"; helo=y\n', Spf("fail", "a.test")),
        (b"Received-SPF: none\n", Spf("none", None)),
        (b"Received: from a by b (spf=pass smtp.mailfrom=x@y.test)\n", None),
        (b"Authentication-Results: mx.test; none\n", None),
    ],
)
def test_what_the_receiver_says_of_spf(head: bytes, expected: Spf | None) -> None:
    assert read(head + b"From: me@a.test\n\n").spf == expected


def test_only_the_first_servers_results_are_its_own() -> None:
    forged = b"Authentication-Results: evil.test; spf=pass smtp.mailfrom=a.test\n"
    own = (
        b"Authentication-Results: mx.test; dkim=fail\nAuthentication-Results: mx.test; spf=fail smtp.mailfrom=@a.test\n"
    )
    assert read(own + forged).spf == Spf("fail", "a.test")
    assert read(b"Authentication-Results: mx.test; dkim=fail\n" + forged).spf is None


def test_from_and_message_id_count_where_there_is_one() -> None:
    head = b"From: Me <me@A.test>\r\nMessage-Id:\r\n <1@a.test>\r\nSubject: one\r\n two\r\n"
    found = read(head + b"\r\nFrom: x@y.test\r\n")
    assert (found.from_domain, found.message_id, found.subject) == ("a.test", "<1@a.test>", "one two")
    twice = read(head + head)
    assert (twice.from_domain, twice.message_id) == (None, None)


@pytest.mark.parametrize(
    "message", [b"", b"\n", b"\xff: \xff\n\n", b"From: \xff\n", b"From:(((((\n", b":\n" * 9, b"\xef\xbb\xbf"]
)
def test_a_mail_that_is_none_says_nothing(message: bytes) -> None:
    found = read(message)
    assert (found.from_domain, found.spf) == (None, None)


@pytest.mark.parametrize(
    ("one", "other", "aligned"),
    [
        ("example.co.uk", "EXAMPLE.co.uk", True),
        ("bounce.example.co.uk", "news.example.co.uk", True),
        ("example.co.uk", "other.co.uk", False),
        ("co.uk", "example.co.uk", False),
        ("one.github.io", "two.github.io", False),
        ("xn--mller-kva.example", "müller.example", True),
        ("a.test", "evil-a.test", False),
        ("", "a.test", False),
    ],
)
def test_domains_are_aligned_where_one_organisation_has_both(one: str, other: str, aligned: bool) -> None:
    assert is_aligned(one, other) is aligned

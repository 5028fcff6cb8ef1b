"""By what a client is known: nobody hides behind an address of their own making."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from slowpost.web.clients import client_of
from slowpost.web.limits import Limits

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("connects", "forwarded_for", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        # Not a proxy: its words are its own.
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        # What stands before the last untrusted address can be made up.
        ("10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.1.1.1", "198.51.100.1"),
        ("10.0.0.1", "10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "", "2001:db8:1:2::/64"),
        ("", "198.51.100.1", ""),
    ],
)
def test_a_client_is_known_by_what_a_trusted_proxy_has_appended(connects: str, forwarded_for: str, client: str) -> None:
    assert client_of(connects, forwarded_for, PROXIES) == client


def test_a_minute_later_requests_are_answered_again_and_nobody_uses_up_what_others_may() -> None:
    now = [0.0]
    limits = Limits(per_client=2, in_all=3, clock=lambda: now[0])
    assert [limits.allow(client) for client in "aaaabb"] == [True, True, False, False, True, False]
    now[0] = 59.9
    assert not limits.allow("c")
    now[0] = 60.0
    assert [limits.allow(client) for client in "aac"] == [True, True, True]

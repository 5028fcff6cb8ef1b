"""Debian's postgrey in front of a real Postfix, on the clock by which Slowpost waits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.interop.conftest import Outreach
from tests.interop.listeners import DOMAIN
from tests.interop.postfix import GREYLISTED, Postfix

READER = f"reader1@{DOMAIN}"
MINUTE = dt.timedelta(minutes=1)
REFUSED, ACCEPTED = ("failed", "recipient", 450), ("accepted", "nobody", 250)


@pytest.mark.parametrize(("seconds", "waits"), [(300, [15]), (900, [15]), (3600, [15, 60])])
def test_a_greylisted_recipient_is_tried_after_15_minutes_and_after_an_hour_more(
    outreach: Outreach, postfix: Postfix, configure: Callable[..., None], seconds: int, waits: list[int]
) -> None:
    configure(mail_spread="off")
    outreach.add_accounts(postfix.account(GREYLISTED[seconds]))
    outreach.write_to({"email": READER})

    outreach.pass_time(minutes=1)
    assert outreach.deliveries() == {READER: ("ready", None)}
    assert outreach.attempts() == [REFUSED]
    assert postfix.readers() == {}

    outreach.pass_time(hours=6)
    assert outreach.deliveries() == {READER: ("sent", "accepted")}
    assert outreach.attempts() == [*[REFUSED] * len(waits), ACCEPTED]
    gaps = [later - earlier for earlier, later in pairwise(outreach.attempts_at())]
    assert [gap // MINUTE for gap in gaps] == waits
    assert len(postfix.mails("reader1")) == 1
    assert outreach.account().failures_in_row == 0

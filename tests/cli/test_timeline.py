"""`timeline` shows a day in characters, `status --watch` shows itself anew, `web password` makes a hash."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from models import Attempt, ChargedTo, Outcome, SmtpAccount, State, database
from models.control import PROGRAM, record_action
from pipeline.runtime.settings import settings
from pipeline.smtp.verdict import Verdict
from slowpost.cli import status as status_command
from slowpost.web.passwords import Passwords
from slowpost.web.sessions import Role
from tests.builders import a_contact, a_delivery, an_account
from tests.cli.conftest import Slowpost
from tests.conftest import Clock


def test_a_day_is_a_line_of_characters_for_each_account_with_why_it_does_not_send(
    ready: Slowpost, clock: Clock
) -> None:
    with database.connection():
        account = a_day(clock)
    shown = ready("timeline").out.splitlines()
    assert shown[0] == "Tue 2026-06-02 (America/New_York), the window is open 08:00 to 17:00"
    assert shown[1].split() == ["00", "03", "06", "09", "12", "15", "18", "21"]
    # From 8 o'clock on, each character is a quarter of an hour; it is 10.
    line = shown[2].removeprefix(f"{'A':24}{'2/14':9}")
    assert line == " " * 32 + "●x·#▒▒▒·|" + "·" * 27
    assert shown[3].startswith("x bounced; # trouble; ● sent; ")
    assert shown[4] == "A rests 09:00 to 09:45: connect: timed out"
    assert account.id == 1


def test_programs_get_the_day_and_the_figures_of_days(ready: Slowpost, clock: Clock) -> None:
    with database.connection():
        a_day(clock)
    day = json.loads(ready("timeline", "2026-06-02", "--json").out)
    (of_account,) = day["accounts"]
    assert of_account["figures"] == day["figures"]
    assert {name: number for name, number in day["figures"].items() if number} == {
        "sent": 1,
        "bounced": 1,
        "trouble": 1,
    }
    assert [mark["what"] for mark in of_account["marks"]] == ["sent", "bounced", "trouble"]
    days = json.loads(ready("timeline", "--days", "3", "--json").out)
    assert (days["first"], days["last"], len(days["days"])) == ("2026-05-31", "2026-06-02", 1)
    table = ready("timeline", "--days", "3").out.splitlines()
    assert [line.split()[:3] for line in table[1:]] == [
        ["2026-05-31", "0", "0"],
        ["2026-06-01", "0", "0"],
        ["2026-06-02", "1", "1"],
    ]


def test_status_shows_itself_anew_until_it_is_stopped(
    ready: Slowpost, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[float] = []

    def wait(seconds: float) -> None:
        rounds.append(seconds)
        with database.connection():
            an_account(name=f"account of round {len(rounds)}")
        if len(rounds) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(status_command.time, "sleep", wait)
    shown = ready("status", "--watch")
    assert rounds == [5, 5]
    assert [text.count("account of round 1") for text in shown.out.split("Ctrl-C ends it")] == [0, 1, 0]
    assert ready("status", "--watch", "--json").code == 2


def test_a_password_becomes_a_hash_that_the_settings_take(ready: Slowpost, configure: Any) -> None:
    made = ready("web", "password", "--password-stdin", stdin="fifteen letters and more\n")
    assert (made.code, re.fullmatch(r"scrypt:\S+\n", made.out) is not None) == (0, True)
    configure(mail_web_password_hash=made.out.strip())
    known = Passwords(settings())
    assert [known.role_of(given) for given in ("fifteen letters and more", "fifteen letters")] == [Role.OPERATOR, None]
    short = ready("web", "password", "--password-stdin", stdin="short\n")
    assert (short.code, short.out) == (1, "")
    assert "it needs 15 at least" in short.err


def a_day(clock: Clock) -> SmtpAccount:
    """Store an account that has sent at 8:00, had a bounce at 8:15, failed at 8:45, and rested from 9:00 to 9:45; in
    New York it is 10:00.
    """
    account = an_account(name="A", daily_limit=14)
    for minutes, outcome, charged_to, verdict in (
        (0, Outcome.ACCEPTED, ChargedTo.NOBODY, Verdict.ACCEPTED),
        (15, Outcome.FAILED, ChargedTo.RECIPIENT, Verdict.RECIPIENT_FOR_GOOD),
        (45, Outcome.FAILED, ChargedTo.ACCOUNT, Verdict.ACCOUNT_FOR_NOW),
    ):
        at = clock.at.replace(hour=12, minute=minutes)
        said = {"outcome": outcome, "charged_to": charged_to, "verdict": verdict, "finished_at": at, "claimed_at": at}
        # Nobody picks them again.
        delivery = a_delivery(State.FAILED, contact=a_contact(validated=False))
        Attempt.create(delivery=delivery, account=account, local_on=at.date(), phase="dot", **said)
    begins, until = clock.at.replace(hour=13), clock.at.replace(hour=13, minute=45)
    record_action(PROGRAM, "rest", "account 1", begins, f"until {until.isoformat()}, after: connect: timed out")
    return account

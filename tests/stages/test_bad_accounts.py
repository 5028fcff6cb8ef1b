"""Twenty accounts, six of them bad, and three hundred contacts, fifteen of whom are refused in every way that has been
mistaken for somebody else's fault: all that can be sent is sent, and nobody else pays.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from models import Attempt, Delivery, SmtpAccount, State, Suppression
from pipeline import deliver_message
from pipeline.accounts.identity import endpoint_of
from pipeline.reports.account_status import AccountStatus
from pipeline.reports.status import status
from slowpost.catcher import Catcher
from tests.accelerated import run
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.conftest import Clock
from tests.smtp_server import Drip, ScriptedServer

#: What fifteen recipients are answered → what becomes of the delivery, and for what reason.
ANSWERS = {
    "554 delivery error: dd This account has been disabled or discontinued [#102]": ("bounced", "recipient_refused"),
    "550 5.2.1 This account is disabled": ("bounced", "recipient_refused"),
    "550 5.1.1 User account suspended": ("bounced", "recipient_refused"),
    "450 4.3.2 System not accepting network messages": ("failed", "no_account_accepts"),
    "554 5.7.1 Relay access denied": ("failed", "no_account_accepts"),
    "553 5.7.2 [TSS09] All messages from 192.0.2.1 will be permanently deferred": ("failed", "refused_by_policy"),
    "554 5.7.9 Message not accepted for policy reasons": ("failed", "refused_by_policy"),
    "550 5.7.1 SPF fail: not allowed to send": ("failed", "refused_by_policy"),
    "550 5.7.129 RESOLVER.RST.RestrictedToRecipientsPermission; not authorized": ("failed", "refused_by_policy"),
    "550 Administrative prohibition": ("failed", "refused_by_policy"),
    "550 5.1.0 Sender denied": ("failed", "refused_by_policy"),
    "450 4.2.1 Peak SMTP relay limit exceeded for customer": ("failed", "no_account_accepts"),
    "451 4.3.0 Temporary lookup failure": ("failed", "no_account_accepts"),
    "452 4.2.2 Mailbox daily receive limit reached": ("failed", "attempts_used_up"),
    "450 4.7.1 Recipient rate limit exceeded": ("failed", "attempts_used_up"),
}


def test_everything_that_can_be_sent_is_sent_and_each_bad_account_is_known_for_what_it_is(
    sqlite: str, clock: Clock, bad: dict[str, SmtpAccount], good: list[SmtpAccount]
) -> None:
    template = a_template()
    # The bad ones among the good ones, as they come in a list: one in twenty.
    for number in range(300):
        name = f"refused{number // 20}" if number % 20 == 10 else f"person{number}"
        a_delivery(contact=a_contact(email=f"{name}@site{number}.test"), template=template)

    for _ in range(5):
        said = run_a_day(clock)

    ends = {d.recipient.partition("@")[0]: (d.state, d.reason) for d in Delivery.select()}
    as_spam = [name for name, end in ends.items() if end == ("failed", "content_refused")]
    assert 0 < len(as_spam) <= 10
    answered = dict(zip((f"refused{number}" for number in range(15)), ANSWERS.values(), strict=True))
    expected = {name: answered.get(name, ("sent", "accepted")) for name in ends if name not in as_spam}
    assert {name: end for name, end in ends.items() if name not in as_spam} == expected
    closed_list = {d.address for d in Delivery.select().where(Delivery.state == State.BOUNCED)}
    assert {s.value for s in Suppression.select()} == closed_list
    assert closed_list <= {f"refused{number}@site{number * 20 + 10}.test" for number in range(3)}

    seen = {account.id: account for account in said}
    states = {name: seen[account.id] for name, account in bad.items()}
    assert {name: account.state for name, account in states.items()} == {
        "login refused": "off",
        "timeout": "off",
        # Nothing was left to try it with on the last day.
        "over quota": "on",
        "spam": "off",
        "password": "off",
        "tarpit": "off",
    }
    limited = states["over quota"].limited
    assert limited is not None
    assert (limited.limit < limited.own, "5.4.5" in limited.after) == (True, True)
    assert all(sends_of(account) <= 10 for account in bad.values())
    assert {seen[account.id].state for account in good} <= {"on"}


def run_a_day(clock: Clock) -> tuple[AccountStatus, ...]:
    """Go on until 17:00 in New York, compare what is said of accounts then with a count by hand, and return it; let the
    night pass.
    """
    opens = clock.at
    run(clock, dt.timedelta(hours=9) - dt.timedelta(seconds=1))
    said = status({}).accounts
    for account in said:
        assert account.used == counted_by_hand(account, opens) <= account.limit, account
    run(clock, dt.timedelta(hours=15))
    clock.tick(1)
    return said


def counted_by_hand(account: AccountStatus, since: dt.datetime) -> int:
    """Count what was accepted, and what was refused otherwise than by the account's fault."""
    rows = Attempt.select().where((Attempt.account == account.id) & (Attempt.finished_at >= since))
    return sum(row.outcome == "accepted" or row.charged_to in ("recipient", "site", "content") for row in rows)


def sends_of(account: SmtpAccount) -> int:
    """Return how often an account tried to send."""
    return int(Attempt.select().where(Attempt.account == account.id).count())


@pytest.fixture
def servers(clock: Clock) -> Iterator[ExitStack]:
    """The mail servers of a test, in the morning; connections to them are closed before they are."""
    clock.at = clock.at.replace(hour=12)
    with ExitStack() as stack:
        yield stack
        deliver_message.connections.close()


@pytest.fixture
def bad(servers: ExitStack, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> dict[str, SmtpAccount]:
    """Six accounts that can't send, each in its own way."""
    key = Fernet(Fernet.generate_key())
    ours = Fernet.generate_key()
    configure(secret_key=ours.decode())
    # Nobody has to wait for a minute to see that a server does not answer.
    monkeypatch.setattr(deliver_message, "endpoint_of", lambda account: replace(endpoint_of(account), timeout=0.2))
    secret = Fernet(ours).encrypt(b"secret").decode()

    def served_by(replies: dict[str, str | None], **values: object) -> SmtpAccount:
        server = servers.enter_context(ScriptedServer(replies))
        return an_account(port=server.port, **values)

    return {
        "login refused": served_by(
            {"EHLO": "250-test\r\n250 AUTH PLAIN", "AUTH": "535 5.7.8 refused"}, username="me", password=secret
        ),
        "timeout": served_by({"EHLO": ""}),
        "over quota": served_by({"MAIL": "550 5.4.5 Daily user sending limit exceeded"}),
        "spam": served_by({"DOT": "554 5.7.1 refused as spam"}),
        "password": served_by({}, username="me", password=key.encrypt(b"secret").decode()),
        "tarpit": served_by({"EHLO": Drip("250 " + "so " * 1000)}),
    }


@pytest.fixture
def good(servers: ExitStack, tmp_path: Path) -> list[SmtpAccount]:
    """Fourteen accounts at a server that refuses fifteen recipients."""
    answers = list(ANSWERS)

    def refuse(recipient: str, _data: bytes | None) -> str | None:
        name = recipient.partition("@")[0]
        return answers[int(name.removeprefix("refused"))] if name.startswith("refused") else None

    catcher = servers.enter_context(Catcher(tmp_path / "mails", refuse=refuse))
    return [an_account(port=catcher.port) for _ in range(14)]

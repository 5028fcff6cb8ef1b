"""A mail server that does what none should, at every step of the dialogue: nothing is lost, nothing is sent twice, and
in doubt is exactly what nobody can know.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

from models import Attempt, ChargedTo, Delivery, Outcome, State
from pipeline.accounts.passwords import encrypt
from tests.builders import a_template, an_account
from tests.faults import fleet as fleets
from tests.faults.fleet import Fleet
from tests.faults.oracle import (
    ACTIONS,
    AFTER_ACCEPTING,
    DATA_TIMEOUT,
    SMTP_TIMEOUT,
    STEPS,
    Misbehaviour,
    misbehaved,
    misbehaving,
)


def test_a_mail_server_misbehaves_at_every_step(
    postgres: str,
    rabbitmq: str,
    tmp_path: Path,
    configure: Callable[..., None],
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    key = Fernet.generate_key().decode()
    configure(database_url=postgres, mail_retry_backoff=BACKOFF, secret_key=key)
    a_template()
    # What an account asks for, so that its dialogues come to these steps.
    asks_for = {"STARTTLS": {"security": "starttls"}, "AUTH": {"username": "me", "password": encrypt("secret")}}
    wanted = MISBEHAVIOURS * counts(1, 5)
    environment = fleets.environment(
        postgres,
        rabbitmq,
        MAIL_SMTP_TIMEOUT=f"{SMTP_TIMEOUT:g}",
        MAIL_DATA_TIMEOUT=f"{DATA_TIMEOUT:g}",
        MAIL_RETRY_BACKOFF=BACKOFF,
        # All accounts have a slot at once, and a few threads wait for servers that are silent: none is to be missed.
        MAIL_MAX_LATENESS="300",
        # Of the full count, many are refused: that is not to pause the template.
        MAIL_BOUNCE_LIMIT="1",
        SECRET_KEY=key,
    )
    with misbehaving(tmp_path, wanted) as (good, *bad):
        for port in [good] * GOOD_ACCOUNTS:
            an_account(port=port)
        for port, misbehaviour in zip(bad, wanted, strict=True):
            an_account(port=port, **asks_for.get(misbehaviour.step, {}))
        with Fleet(environment, tmp_path, size=2, threads=8) as fleet:
            first = fleet.pids
            _publish_until_all_have_misbehaved(fleet, tmp_path, len(wanted))
            seconds = fleet.settle()
            assert fleet.pids == first
    done = misbehaved(tmp_path)
    refused = {m.recipient: ENDS[m.kind.step] for m in done if m.kind.action == "5yz" and m.kind.step in ENDS}
    doubtful = [m for m in done if m.kind.leaves_doubt]
    may_end = frozenset(refused)
    assert fleet.violations(tmp_path / "accepted", [m.time for m in doubtful], may_end_otherwise=may_end) == []
    assert Counter(m.kind for m in done) == Counter(wanted)
    states = {d.recipient: d.state for d in Delivery.select()}
    assert {r: states[r] for r in refused} == refused
    in_doubt = {r for r, state in states.items() if state == State.IN_DOUBT}
    touched = {m.recipient: str(m.kind) for m in done}
    assert in_doubt == {m.recipient for m in doubtful}, {touched.get(r) for r in in_doubt}
    longest = _longest_hold_by_timeout(tmp_path)
    assert longest[SMTP_TIMEOUT] < SMTP_TIMEOUT + SLACK, longest
    assert longest[DATA_TIMEOUT] < DATA_TIMEOUT + SLACK, longest
    assert _log_without_traceback(fleet)
    report(
        misbehaviours=len(done),
        contacts=len(states),
        charged_to_accounts=_charged_to_accounts(),
        in_doubt=len(doubtful),
        of_these_accepted=sum(m.kind.accepts for m in doubtful),
        longest_hold_s={f"{timeout:g}": round(held, 2) for timeout, held in longest.items()},
        settled_in_s=round(seconds, 1),
    )


BACKOFF = "2"
#: What a mail server can do wrong; the envelope's part of it both in one write and step by step.
MISBEHAVIOURS = (
    *(Misbehaviour(step, action) for step in STEPS for action in ACTIONS),
    *(Misbehaviour(step, action, pipelining=False) for step in ("MAIL", "RCPT", "DATA") for action in ACTIONS),
    *(Misbehaviour("DOT", action) for action in AFTER_ACCEPTING),
)
#: Accounts that always behave, and seconds for all accounts to have misbehaved.
GOOD_ACCOUNTS, PATIENCE = 5, 900
#: A step may hold a worker for its timeout and so many seconds, on a machine that is busy.
SLACK = 1.5
#: A refusal for good that names no reason ends a delivery: by policy or for its content, and nobody is suppressed.
ENDS = {"RCPT": State.FAILED, "DATA": State.FAILED, "DOT": State.FAILED}


def _publish_until_all_have_misbehaved(fleet: Fleet, folder: Path, number: int) -> None:
    deadline = time.monotonic() + PATIENCE
    fleet.publish(2 * number)
    while (missing := number - len(misbehaved(folder))) > 0:
        assert time.monotonic() < deadline, f"{missing} have not misbehaved: {fleet.log()[-2000:]}"
        if not Delivery.select().where(Delivery.state == State.READY).exists():
            fleet.publish(10)
        time.sleep(0.5)


def _longest_hold_by_timeout(folder: Path) -> dict[float, float]:
    """Return how long a client has waited at most, by the timeout of the step."""
    held = {SMTP_TIMEOUT: 0.0, DATA_TIMEOUT: 0.0}
    for row in misbehaved(folder):
        timeout = DATA_TIMEOUT if row.kind.step == "DOT" else SMTP_TIMEOUT
        assert row.held is not None, f"somebody still waits: {row}"
        if row.kind.action != "too-late":
            held[timeout] = max(held[timeout], row.held)
    return held


def _charged_to_accounts() -> int:
    """Count the deliveries that an account failed and another attempt brought out."""
    failed = Attempt.select(Attempt.delivery).where(Attempt.charged_to == ChargedTo.ACCOUNT)
    brought_out = (Attempt.outcome == Outcome.ACCEPTED) & Attempt.delivery.in_(failed)
    return Attempt.select().where(brought_out).count()


def _log_without_traceback(fleet: Fleet) -> bool:
    return not any(word in fleet.log() for word in ("Traceback", '"fault"', " fault "))

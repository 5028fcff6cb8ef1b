"""Whose fault a reply is: replies that real providers give, each with its verdict."""

from __future__ import annotations

import smtplib
import ssl

import pytest

from models import ChargedTo
from pipeline.smtp.reply import Phase, Reply, Verdict, judge, judge_failure
from tests.unit.replies import REPLIES


@pytest.mark.parametrize(("phase", "code", "text", "verdict"), REPLIES, ids=[f"{c} {t[:40]}" for _, c, t, _ in REPLIES])
def test_a_reply_is_charged_to_the_one_whose_fault_it_is(phase: Phase, code: int, text: str, verdict: Verdict) -> None:
    assert judge(phase, Reply(code, text)) is verdict


@pytest.mark.parametrize("code", [200, 250, 251, 299])
def test_only_a_2yz_to_the_dot_is_accepted(code: int) -> None:
    assert judge(Phase.DOT, Reply(code, "ok")) is Verdict.ACCEPTED
    assert judge(Phase.RCPT, Reply(code, "ok")) is not Verdict.ACCEPTED


@pytest.mark.parametrize("code", [None, -1, 354, 0, 199, 300])
def test_a_reply_that_is_none_says_nothing_after_the_dot(code: int | None) -> None:
    assert judge(Phase.DOT, Reply(code, "garbage")) is Verdict.UNKNOWN
    assert judge(Phase.DATA, Reply(code, "garbage")) is Verdict.ACCOUNT_FOR_NOW


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("timed out"),
        ConnectionRefusedError(111, "refused"),
        ConnectionResetError(104, "reset"),
        smtplib.SMTPServerDisconnected("closed"),
        ssl.SSLCertVerificationError("self-signed"),
        OSError(101, "network is unreachable"),
        ValueError("a reply that is none"),
    ],
)
def test_a_failure_is_the_accounts_before_the_dot_and_nobodys_after_it(error: Exception) -> None:
    assert judge_failure(Phase.RCPT, error).verdict is Verdict.ACCOUNT_FOR_NOW
    assert judge_failure(Phase.DOT, error).verdict is Verdict.UNKNOWN
    assert judge_failure(Phase.DOT, error).reply.text


def test_every_verdict_is_charged_to_somebody() -> None:
    assert {v: v.charged_to for v in Verdict} == {
        Verdict.ACCEPTED: ChargedTo.NOBODY,
        Verdict.RECIPIENT_FOR_GOOD: ChargedTo.RECIPIENT,
        Verdict.SITE_BY_POLICY: ChargedTo.SITE,
        Verdict.RECIPIENT_FOR_NOW: ChargedTo.RECIPIENT,
        Verdict.GREYLISTED: ChargedTo.RECIPIENT,
        Verdict.MAILBOX_FULL: ChargedTo.RECIPIENT,
        Verdict.CONTENT: ChargedTo.CONTENT,
        Verdict.ACCOUNT_FOR_NOW: ChargedTo.ACCOUNT,
        Verdict.ACCOUNT_QUOTA: ChargedTo.ACCOUNT,
        Verdict.LOGIN_REFUSED: ChargedTo.ACCOUNT,
        Verdict.ACCOUNT_FOR_GOOD: ChargedTo.ACCOUNT,
        Verdict.UNKNOWN: ChargedTo.NOBODY,
    }


def test_the_enhanced_status_code_is_read_from_the_start_of_the_text() -> None:
    assert Reply(550, "5.1.1 no").enhanced == "5.1.1"
    assert Reply(550, "see 5.1.1").enhanced is None

"""Whose fault a reply is: replies that real servers gave, row by row, and what must hold for any reply."""

from __future__ import annotations

import smtplib
import ssl
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ChargedTo
from pipeline.smtp.reply import Phase, Reply, Verdict, judge, judge_failure
from tests.effort import counts
from tests.unit.replies import REPLIES, RealReply


@pytest.mark.parametrize("said", REPLIES, ids=str)
def test_a_reply_is_charged_to_the_one_whose_fault_it_is(said: RealReply) -> None:
    assert judge(said.phase, said.reply) is said.verdict, said.source


SUPPRESSES = [said for said in REPLIES if said.verdict is Verdict.RECIPIENT_FOR_GOOD]


@pytest.mark.parametrize("said", SUPPRESSES, ids=str)
@pytest.mark.parametrize("policy", ["blocked as spam", "message refused by policy: DMARC, blocked"])
def test_a_reply_that_also_speaks_of_policy_suppresses_nobody(said: RealReply, policy: str) -> None:
    reply = Reply(said.reply.code, f"{said.reply.text} {policy}")
    assert judge(said.phase, reply) is not Verdict.RECIPIENT_FOR_GOOD


#: The words of every refusal in the data that suppresses nobody, without those that say "does not exist" or "closed".
OF_CLOSED_MAILBOXES = (
    *("unknown", "invalid", "illegal", "unrout", "exist", "not", "no", "n't", "find", "found"),
    *("disabled", "deactivated", "suspended", "terminated", "inactive", "closed", "nullmx", "mailbox unavailable"),
)
POLICY_WORDS = sorted(
    {
        word
        for said in REPLIES
        if said.verdict is not Verdict.RECIPIENT_FOR_GOOD
        for word in said.reply.text.split()
        if not any(stem in word.lower() for stem in OF_CLOSED_MAILBOXES)
    }
)
#: Those that the table names, and others.
CODES_4YZ = (400, 421, 432, 450, 451, 452, 454, 499)
CLOSED_CODES = {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.1"}


@given(
    phase=st.sampled_from([Phase.RCPT, Phase.DATA, Phase.DOT]),
    code=st.integers(500, 599).filter(lambda code: code not in (521, 556)),
    enhanced=st.tuples(st.integers(0, 7), st.integers(0, 999)).map(lambda xy: f"5.{xy[0]}.{xy[1]}"),
    words=st.lists(st.sampled_from(POLICY_WORDS), max_size=30),
)
def test_nothing_but_the_closed_list_suppresses(phase: Phase, code: int, enhanced: str, words: list[str]) -> None:
    text = " ".join([*([] if enhanced in CLOSED_CODES else [enhanced]), *(w for w in words if w not in CLOSED_CODES)])
    assert judge(phase, Reply(code, text)) is not Verdict.RECIPIENT_FOR_GOOD


@pytest.mark.parametrize("code", counts(CODES_4YZ, range(400, 500)))
def test_a_4yz_never_suppresses_and_never_blames_the_content(code: int) -> None:
    for said in REPLIES:
        verdict = judge(said.phase, Reply(code, said.reply.text))
        assert verdict is not Verdict.RECIPIENT_FOR_GOOD
        assert said.phase is not Phase.RCPT or verdict is not Verdict.CONTENT


@pytest.mark.parametrize(
    ("phase", "code", "verdict"),
    [
        (Phase.RCPT, 450, Verdict.RECIPIENT_FOR_NOW),
        (Phase.RCPT, 571, Verdict.SITE_BY_POLICY),
        (Phase.DATA, 451, Verdict.RECIPIENT_FOR_NOW),
        (Phase.DOT, 451, Verdict.RECIPIENT_FOR_NOW),
        (Phase.DOT, 571, Verdict.CONTENT),
        (Phase.MAIL, 451, Verdict.ACCOUNT_FOR_NOW),
        (Phase.MAIL, 550, Verdict.ACCOUNT_FOR_GOOD),
        (Phase.AUTH, 535, Verdict.LOGIN_REFUSED),
        (Phase.CONNECT, 554, Verdict.ACCOUNT_FOR_NOW),
    ],
)
def test_what_no_row_knows_goes_to_the_one_who_is_asked_about(phase: Phase, code: int, verdict: Verdict) -> None:
    assert judge(phase, Reply(code, "no reason given")) is verdict


def test_a_closed_mailbox_after_rcpt_is_the_recipients_only_where_the_words_say_so() -> None:
    closed = Reply(554, "This account has been disabled or discontinued")
    recipients = Reply(554, f"Sorry, your message to x@example.com cannot be delivered. {closed.text}")
    assert judge(Phase.RCPT, closed) is Verdict.RECIPIENT_FOR_GOOD
    assert judge(Phase.DOT, closed) is Verdict.ACCOUNT_FOR_GOOD
    assert judge(Phase.DOT, recipients) is Verdict.RECIPIENT_FOR_GOOD


def test_a_full_mailbox_is_the_accounts_where_the_words_say_your_mailbox() -> None:
    assert judge(Phase.RCPT, Reply(552, "5.2.2 Your mailbox is full")) is Verdict.ACCOUNT_FOR_NOW
    assert judge(Phase.RCPT, Reply(552, "5.2.2 The mailbox is full")) is Verdict.MAILBOX_FULL


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT])
@pytest.mark.parametrize("said", [(552, "5.3.4 too large"), (550, "5.3.4 too large"), (554, "5.2.3 too big")])
def test_a_message_that_is_too_large_is_nobodys_fault_but_its_own(phase: Phase, said: tuple[int, str]) -> None:
    assert judge(phase, Reply(*said)) is Verdict.CONTENT


def test_only_the_start_of_a_reply_is_judged() -> None:
    assert judge(Phase.RCPT, Reply(550, f"{'x' * 2000} user unknown")) is Verdict.SITE_BY_POLICY


HOSTILE = [
    "\n",
    "https://",
    "unrout",
    "ip ",
    "a" * 64 + " ",
    "your account ",
    "no such a b ",
    "user a ",
    "5.1.1 \n",
    "a@",
]


@pytest.mark.parametrize("words", HOSTILE, ids=repr)
def test_a_hostile_reply_costs_little_whatever_it_repeats(words: str) -> None:
    reply = Reply(550, (words * 800_000)[:800_000])
    judge(Phase.RCPT, reply)
    started = time.process_time()
    judge(Phase.RCPT, reply)
    assert time.process_time() - started < 0.05  # a few milliseconds; unbounded, some took minutes


def test_addresses_and_links_are_no_words() -> None:
    assert Reply(550, "5.1.1 <spam@example.com>:\n5.1.1 no, see https://example.com/blocked").words == "< >: no, see"


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
    assert Reply(550, "#5.1.0 Address rejected.").enhanced == "5.1.0"
    assert Reply(550, "see 5.1.1").enhanced is None

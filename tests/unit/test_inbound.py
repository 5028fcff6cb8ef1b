"""What a message is: the edges of each rule, and that nothing a stranger sends stops or slows the reader."""

from __future__ import annotations

import datetime as dt
import time
import tracemalloc

import pytest
from hypothesis import strategies as st

from pipeline.inbound import bounce
from pipeline.inbound.classify import Place, classify
from pipeline.inbound.kinds import Action, Classified, Kind, Recipient
from pipeline.inbound.message import MAX_BYTES, read
from pipeline.inbound.plain import own_lines
from pipeline.smtp.reply import Verdict
from tests import effort
from tests.corpus.table import CORPUS
from tests.faults.fuzzing import fuzz

TODAY = dt.date(2026, 11, 28)
OURS = "<5c1f2e6a9d0b@example.com>"


def test_a_report_with_a_recipient_that_failed_is_a_bounce_whatever_became_of_the_others() -> None:
    found = _of(report(("a@example.net", "delivered", "2.0.0"), ("b@example.net", "failed", "5.1.1")))

    assert found.kind is Kind.BOUNCE
    assert [(one.address, one.action) for one in found.recipients] == [
        ("a@example.net", Action.DELIVERED),
        ("b@example.net", Action.FAILED),
    ]


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", "Delayed (still trying)"])
def test_a_report_is_judged_by_its_action_and_not_by_its_subject(action: str) -> None:
    found = _of(report(("a@example.net", action, "4.4.7"), subject="Undelivered Mail Returned to Sender"))

    assert found.kind is Kind.DELIVERY_NOTICE
    assert not found.is_guess


def test_our_message_id_in_the_part_that_quotes_our_headers_is_strong_evidence() -> None:
    found = _of(report(("a@example.net", "failed", "5.1.1"), quoted=f"Message-ID: {OURS}"))

    assert found.strong({OURS}) == OURS


@pytest.mark.parametrize("name", ["X-Microsoft-Original-Message-ID", "X-Google-Original-Message-ID"])
def test_our_message_id_is_found_where_a_provider_has_put_it(name: str) -> None:
    found = _of(report(("a@example.net", "failed", "5.1.1"), quoted=f"Message-ID: <b@wire.example>\n{name}: {OURS}"))

    assert found.strong({OURS}) == OURS
    assert found.strong({"<b@wire.example>"}) == "<b@wire.example>"


@pytest.mark.parametrize("where", ["In-Reply-To", "References", "Subject", "X-Other"])
def test_our_message_id_anywhere_else_in_a_report_is_no_strong_evidence(where: str) -> None:
    found = _of(report(("a@example.net", "failed", "5.1.1"), more=f"{where}: {OURS}\n", quoted="Subject: x"))

    assert found.kind is Kind.BOUNCE
    assert found.strong({OURS}) is None


def test_our_message_id_in_the_copy_below_an_older_report_is_strong_evidence() -> None:
    raw = (
        "From: MAILER-DAEMON@example.org\nSubject: failure notice\n\nHi. This is the qmail-send program.\n"
        "\n<a@example.net>:\nSorry, no mailbox here by that name. (#5.1.1)\n"
        "\n--- Below this line is a copy of the message.\n\n"
        f"Return-Path: <us@example.com>\nMessage-ID: {OURS}\nTo: a@example.net\n\nHello\n"
    )

    found = _of(raw)

    assert (found.kind, found.is_guess, found.strong({OURS})) == (Kind.BOUNCE, True, OURS)
    assert [(one.address, one.status) for one in found.recipients] == [("a@example.net", "5.1.1")]
    assert bounce.verdict(found.recipients[0]) is Verdict.RECIPIENT_FOR_GOOD


def test_what_a_reply_quotes_is_none_of_its_own_lines() -> None:
    assert own_lines("Yes.\n\nOn Monday, Us wrote:\n> Hello\n\nRegards") == ["Yes."]
    assert own_lines("> Hello\n\nYes.\n> again\nlost") == ["Yes."]
    assert own_lines("Ja.\n\nVon: Us\nGesendet: Montag") == ["Ja."]


def test_a_report_that_a_person_attaches_is_the_persons_mail() -> None:
    attached = report(("a@example.net", "failed", "5.1.1"), quoted=f"Message-ID: {OURS}").replace("\n", "\r\n")
    raw = (
        f"From: p@example.net\nIn-Reply-To: {OURS}\nSubject: Re: Hello\n"
        "Content-Type: multipart/mixed; boundary=out\n\n"
        "--out\nContent-Type: text/plain\n\nThis came back.\n"
        f"--out\nContent-Type: message/rfc822\n\n{attached}\n--out--\n"
    )

    assert _of(raw).kind is Kind.REPLY


def test_a_postmaster_who_answers_is_a_person() -> None:
    raw = (
        f"From: postmaster@example.net\nIn-Reply-To: {OURS}\nSubject: Re: Delivery problem\n\nYes, we looked into it.\n"
    )

    assert _of(raw).kind is Kind.REPLY


@pytest.mark.parametrize(
    ("recipient", "verdict"),
    [
        (("5.1.1", "550 5.1.1 <a@example.net>: Recipient address rejected: User unknown"), Verdict.RECIPIENT_FOR_GOOD),
        (("5.0.0", "550 5.1.1 no such user here"), Verdict.RECIPIENT_FOR_GOOD),
        (("5.1.1", ""), Verdict.RECIPIENT_FOR_GOOD),
        (("5.7.1", "550 5.7.1 Message rejected due to policy"), Verdict.SITE_BY_POLICY),
        (("5.7.26", "550-5.7.26 Unauthenticated mail, user unknown to SPF"), Verdict.SITE_BY_POLICY),
        (("5.2.2", "552 5.2.2 mailbox full"), Verdict.MAILBOX_FULL),
        (("4.4.7", "delivery time expired"), Verdict.RECIPIENT_FOR_NOW),
        ((None, ""), Verdict.UNKNOWN),
    ],
)
def test_a_failure_is_judged_by_the_table_for_replies(recipient: tuple[str | None, str], verdict: Verdict) -> None:
    status, diagnostic = recipient

    assert bounce.verdict(Recipient("a@example.net", Action.FAILED, status, diagnostic)) is verdict


@pytest.mark.parametrize(
    "field",
    [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated (vacation)",
        "X-Autoreply: yes",
        "X-Autorespond: Hello",
        "X-MS-Exchange-Inbox-Rules-Loop: p@example.net",
        "Precedence: auto_reply",
        "Return-Path: <>",
    ],
)
def test_a_field_says_that_an_answer_is_automatic(field: str) -> None:
    found = _of(answer(more=f"{field}\n"))

    assert (found.kind, found.is_guess) == (Kind.AUTOMATIC, False)


@pytest.mark.parametrize(
    "field", ["X-Auto-Response-Suppress: DR, OOF, AutoReply", "Precedence: bulk", "Precedence: junk"]
)
def test_a_weak_field_says_so_of_what_is_no_reply_by_its_subject(field: str) -> None:
    machines = answer(more=f"{field}\n").replace("Subject: Re: Hello", "Subject: Your request")

    assert _of(machines).kind is Kind.AUTOMATIC
    assert _of(answer(more=f"{field}\n")).kind is Kind.REPLY


@pytest.mark.parametrize(
    "field",
    [
        "Auto-Submitted: no",
        "X-Auto-Response-Suppress: DR, RN, NRN",
        "X-Autoreply: no",
        "Precedence: list",
    ],
)
def test_a_field_that_persons_mails_have_too_says_nothing(field: str) -> None:
    assert _of(answer(more=f"{field}\n")).kind is Kind.REPLY


def test_an_automatic_answer_with_the_null_return_path_is_no_bounce_for_the_numbers_in_it() -> None:
    text = "We are at 450 Main Street, 555 1234. For a delivery that failed write to the shop."
    raw = answer(text, more="Return-Path: <>\nAuto-Submitted: auto-replied\n").replace("Re: Hello", "Thank you")

    assert _of(raw).kind is Kind.AUTOMATIC


def test_who_says_that_a_colleague_has_left_is_a_person() -> None:
    text = "Anna has left the company. I do her work now."

    assert _of(answer(text)).kind is Kind.REPLY
    assert _of(answer(text, more="Auto-Submitted: auto-replied\n")).kind is Kind.HAS_LEFT


@pytest.mark.parametrize(
    "text",
    [
        "Anna has left the office and is back on Monday.",
        "I have left for my holiday.",
        "I am no longer working today.",
        "I am no longer at my desk.",
        "Ich bin heute nicht mehr im Büro.",
        "Nobody reads this mailbox until Monday.",
    ],
)
def test_who_is_away_has_not_left(text: str) -> None:
    assert _of(answer(text, more="Auto-Submitted: auto-replied\n")).kind is Kind.AUTOMATIC


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        ("Automatic reply: Hello", Kind.AUTOMATIC),
        ("AUTO: Anna is out of the office", Kind.AUTOMATIC),
        ("Re: Out of the office? A tool for that", Kind.REPLY),
        ("AW: Abwesenheiten im Team", Kind.REPLY),
        ("Auto: a question on the car", Kind.REPLY),
    ],
)
def test_a_subject_is_a_guess_that_no_reply_to_ours_is_taken_for(subject: str, kind: Kind) -> None:
    found = _of(answer().replace("Subject: Re: Hello", f"Subject: {subject}"))

    assert (found.kind, found.is_guess) == (kind, kind is Kind.AUTOMATIC)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("back on 2026-12-07", dt.date(2026, 12, 7)),
        ("back on December 7th", dt.date(2026, 12, 7)),
        ("back on 7 December 2026", dt.date(2026, 12, 7)),
        ("away 1 December to 5 January", dt.date(2027, 1, 5)),
        ("away December 10-21", dt.date(2026, 12, 21)),
        ("back on 2026-11-28", None),  # today
        ("back on 2027-01-27", dt.date(2027, 1, 27)),  # in 60 days
        ("back on 2027-01-28", None),  # in 61
        ("back on 2031-12-07", None),
        ("back on 31 June, or 12/07/2026", None),
        ("version 2026-12-071", None),
    ],
)
def test_the_last_day_that_is_named_within_sixty_days_counts(text: str, until: dt.date | None) -> None:
    assert _of(answer(text, more="Auto-Submitted: auto-replied\n")).until == until


@pytest.mark.parametrize(
    "line",
    ["Unsubscribe", "please remove me.", "STOP", "Remove me from your list, thanks!", "Bitte abmelden", "Désabonner"],
)
def test_a_first_line_that_asks_to_be_left_alone_unsubscribes(line: str) -> None:
    assert _of(answer(f"\n\n{line}\n\nOn Monday, Us <us@example.com> wrote:\n> Hello")).kind is Kind.UNSUBSCRIBE


@pytest.mark.parametrize(
    "text",
    [
        "Please do not stop, go on!",
        "How can I unsubscribe my colleague?",
        "Stop by on Monday.",
        "Fine.\nunsubscribe",
        "Yes\n> unsubscribe",
    ],
)
def test_other_first_lines_do_not(text: str) -> None:
    assert _of(answer(text)).kind is Kind.REPLY


def test_a_mail_that_answers_nothing_does_not_unsubscribe_by_its_first_line() -> None:
    assert _of("From: p@example.net\nSubject: Offer\n\nunsubscribe\n").kind is Kind.OTHER


def test_the_token_is_what_stands_behind_the_word_in_the_subject() -> None:
    found = _of("From: p@example.net\nSubject: unsubscribe abc.DEF-_1\nAuto-Submitted: auto-replied\n\n")

    assert (found.kind, found.token) == (Kind.UNSUBSCRIBE, "abc.DEF-_1")


def test_the_parent_is_the_first_of_what_an_answer_answers() -> None:
    found = _of("From: p@example.net\nSubject: Re: x\nReferences: <1@example.com>\n <2@example.com>\n\nYes.\n")

    assert found.answered_ids == ("<2@example.com>", "<1@example.com>")
    assert found.guessed({"<1@example.com>"}) == "<1@example.com>"


def test_a_copy_in_sent_is_ours_by_its_own_header_alone() -> None:
    ours = f"From: us@example.com\nTo: p@example.net\nMessage-ID: {OURS}\n\nHello\n"
    persons = (
        f"From: us@example.com\nTo: P <p@example.net>\nMessage-ID: <other@example.com>\nIn-Reply-To: {OURS}\n\nHi\n"
    )

    assert _of(ours, Place.SENT).strong({OURS}) == OURS
    assert _of(persons, Place.SENT).strong({OURS}) is None
    assert [one.address for one in _of(persons, Place.SENT).recipients] == ["p@example.net"]


@pytest.mark.parametrize("charset", ["utf-8", "x-unknown", "iso-2022-jp", "utf-16", "base64", ""])
def test_a_wrong_character_set_leaves_the_words_readable(charset: str) -> None:
    raw = f"In-Reply-To: {OURS}\nContent-Type: text/plain; charset={charset}\n\nunsubscribe, merci\n".encode()

    assert classify(raw, TODAY).kind in (Kind.UNSUBSCRIBE, Kind.REPLY)
    assert read(raw).parts


HEAD = b"From: mailer-daemon@example.com\nReturn-Path: <>\nSubject: Undelivered mail\n"
HOSTILE = {
    "a message of 50 MB": HEAD + b"\n" + (b"y" * 76 + b"\n") * 650_000,
    "50 MB in one line": HEAD + b"\n" + b"y" * 50_000_000,
    "multipart nested 10,000 times": HEAD
    + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(10_000)),
    "messages nested 10,000 times": HEAD + b"Content-Type: message/rfc822\n\n" * 10_000,
    "100,000 fields": HEAD + b"A: b\n" * 100_000,
    "30,000 parameters": b"Content-Type: " + b'a;b="c";' * 30_000 + b"\n\n",
    "30,000 encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 30_000 + b"\n\n",
    "tags that never end": b"Content-Type: text/html\n\n" + b"<style" * 40_000,
    "empty lines": HEAD + b"\n" * MAX_BYTES,
    "NUL": b"\0" * MAX_BYTES,
    "a form of an older report": HEAD + b"\nSorry, unable to deliver your message to\n" + (b"q" * 990 + b"\n") * 300,
    **{
        f"nothing but {word!r}": HEAD + b"\n" + word * (MAX_BYTES // len(word))
        for word in (
            b"a@",
            b"mail ",
            b"click link ",
            b"message-id: <",
            b"jan 1 ",
            b"received: x\n",
            b"550 ",
            b"-",
            b"> ",
        )
    },
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_message_costs_little(raw: bytes) -> None:
    started = time.process_time()
    classify(raw, TODAY)

    assert time.process_time() - started < 0.8  # the worst takes a third of that; without the limits, minutes


def test_a_message_of_fifty_megabytes_takes_the_memory_of_a_small_one() -> None:
    raw = HOSTILE["a message of 50 MB"]
    tracemalloc.start()
    classify(raw, TODAY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 10_000_000


def test_fuzz_any_bytes_are_something() -> None:
    """Random bytes, and real mails with random pieces put in or cut out."""
    mails = [file.read_bytes()[:6_000] for file in sorted(CORPUS.glob("*/*.eml"))[::12]]
    pieces = st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [b"\n\n", b"\r\n", b"--", b"=?x?b?", b"Content-Type: multipart/mixed\n", b"\xff\xfe", b"<", b";"]
        ),
    )
    spliced = st.builds(
        lambda mail, at, cut, piece: mail[:at] + piece + mail[at + cut :],
        st.sampled_from(mails),
        st.integers(0, 6_000),
        st.integers(0, 400),
        pieces,
    )

    def is_something(raw: bytes) -> None:
        for place in Place:
            assert classify(raw, TODAY, place).evidence

    fuzz(is_something, st.one_of(st.binary(max_size=400), spliced, spliced), cases=effort.counts(60, 50_000))


def _of(raw: str, place: Place = Place.RECEIVED) -> Classified:
    return classify(raw.encode(), TODAY, place)


def answer(text: str = "Thank you.", *, more: str = "") -> str:
    """Return a mail that answers ours."""
    return f"From: P <p@example.net>\nTo: us@example.com\nSubject: Re: Hello\nIn-Reply-To: {OURS}\n{more}\n{text}\n"


def report(
    *recipients: tuple[str, str, str],
    subject: str = "Report",
    more: str = "",
    quoted: str = "Message-ID: <x@example.com>",
) -> str:
    """Return a delivery report on recipients: address, action and status."""
    blocks = "\n\n".join(
        f"Final-Recipient: rfc822; {address}\nAction: {action}\nStatus: {status}"
        for address, action, status in recipients
    )
    return (
        f"From: Mail Delivery System <mailer-daemon@example.org>\nSubject: {subject}\n{more}"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=in\n\n"
        "--in\nContent-Type: text/plain\n\nThis is the mail system.\n"
        f"--in\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; example.org\n\n{blocks}\n\n"
        f"--in\nContent-Type: text/rfc822-headers\n\n{quoted}\n\n--in--\n"
    )

"""A mail says in its headers which ones it follows, to any parser, and its subject goes with theirs."""

from __future__ import annotations

import re
from email import message_from_bytes, policy

import pytest

from pipeline.content.message import MessageRefusedError, build
from pipeline.content.thread import MailIds, Thread, subject_after
from tests.strict_mail import head_of
from tests.unit.test_message import AT, ME, STOP, WORDS


def test_both_parsers_read_the_mails_before_and_the_last_of_them_is_the_parent() -> None:
    data = build(WORDS, ME, AT, STOP, Thread((OURS_ALONE, ON_WIRE, OFFICE))).data
    parents, all_before = [OFFICE.wire_message_id], ["<1@a.test>", "<2@a.test>", SES_ID, "<3@a.test>", OFFICE_ID]
    head = head_of(data)
    assert (head.ids("in-reply-to"), head.ids("references")) == (parents, all_before)
    again = message_from_bytes(data, policy=policy.default)
    assert (str(again["In-Reply-To"]).split(), str(again["References"]).split()) == (parents, all_before)


def test_without_the_wires_id_the_parent_is_known_by_ours_and_a_first_mail_has_none() -> None:
    assert head_of(build(WORDS, ME, AT, STOP, Thread((ON_WIRE, OURS_ALONE))).data).ids("in-reply-to") == ["<1@a.test>"]
    names = {name for name, _ in head_of(build(WORDS, ME, AT, STOP).data).fields}
    assert not names & {"in-reply-to", "references"}


def test_a_provider_that_keeps_our_id_is_named_once() -> None:
    assert Thread((MailIds("<1@a.test>", "<1@a.test>"),)).references == ("<1@a.test>",)


@pytest.mark.parametrize("length", [20, 290])
def test_of_a_long_conversation_the_first_and_the_last_mails_are_named_in_lines_of_whole_ids(length: int) -> None:
    ids = [f"<{number:04}{'x' * (length - 13)}@a.test>" for number in range(100)]
    data = build(WORDS, ME, AT, STOP, Thread(tuple(map(MailIds, ids)))).data
    named = head_of(data).ids("references")
    assert len(" ".join(["References:", *named])) <= 998
    assert named == [ids[0], *ids[1 - len(named) :]]
    assert len(named) >= 3
    folded = re.search(rb"References: [^\r]*(?:\r\n [^\r]*)*", data)
    assert folded is not None
    assert all(re.fullmatch(rb"(?:References:)?(?: <[^ <>]+>)+", line) for line in folded[0].split(b"\r\n"))


@pytest.mark.parametrize(
    "hostile",
    ["<a@b>\r\nBcc: x@y.test", "<a@b> <c@d>", "<a@b", "a@b", "<a>", "<a @b>", "<a@b@c>", "<ä@b>", "<>", "", "<a@b>,"],
)
def test_what_is_no_id_gets_into_no_header(hostile: str) -> None:
    with pytest.raises(MessageRefusedError, match="Message-ID"):
        build(WORDS, ME, AT, STOP, Thread((MailIds("<1@a.test>", hostile),)))


@pytest.mark.parametrize(
    ("before", "plain", "as_reply"),
    [
        (["A question"], "A question", "Re: A question"),
        (["A question", "A question", "Re: A question"], "A question", "Re: A question"),
        # Whoever began with a reply has no second one put before it.
        (["Re: A question"], "Re: A question", "Re: A question"),
        (["RE : A question"], "RE : A question", "RE : A question"),
        (["re[2]: A question"], "re[2]: A question", "re[2]: A question"),
        (["Reason: none"], "Reason: none", "Re: Reason: none"),
        # A mail with a subject of its own gives it to those after it.
        (["A question", "News", "Re: News"], "News", "Re: News"),
        (["News", "A question", "News"], "News", "Re: News"),
    ],
)
def test_a_mail_without_a_subject_has_that_of_its_conversation(before: list[str], plain: str, as_reply: str) -> None:
    assert subject_after(before, reply_prefix=False) == plain
    assert subject_after(before, reply_prefix=True) == as_reply


SES_ID = "<0100018f2b7c9d1e-5c1f8a52-6a3e-4c0e-9d0a-0f3b2a1c4d5e-000000@email.amazonses.com>"
OFFICE_ID = "<AM0PR01MB0000ABCDEF0123456789ABCDEF@AM0PR01MB0000.eurprd01.prod.outlook.com>"
OURS_ALONE, ON_WIRE, OFFICE = MailIds("<1@a.test>"), MailIds("<2@a.test>", SES_ID), MailIds("<3@a.test>", OFFICE_ID)

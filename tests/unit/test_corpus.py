"""The corpus: real mails from public collections, each recognised for what a person says that it is."""

from __future__ import annotations

import re

import pytest

from pipeline.imap.connection import FIELDS
from pipeline.inbound.heads import head_in, may_report
from pipeline.inbound.kinds import Kind
from tests import effort
from tests.corpus.table import CORPUS, REPORTS, Labelled, lines, read
from tests.corpus.unreal import unreal

#: A person wrote these.
PERSONS = {Kind.REPLY, Kind.UNSUBSCRIBE}
AUTOMATIC = {Kind.AUTOMATIC, Kind.HAS_LEFT}


def test_of_a_hundred_delivery_reports_ninety_five_are_recognised_with_their_recipient() -> None:
    reports = [one for one in read() if one.kind in REPORTS]

    assert len(reports) >= 120
    assert sum(one.is_right for one in reports) / len(reports) >= 0.95, _table()


def test_no_persons_reply_is_taken_for_a_bounce() -> None:
    assert [one.file for one in read() if one.kind in PERSONS and one.found.kind in REPORTS] == []


def test_no_report_is_taken_for_what_a_person_wrote() -> None:
    assert [one.file for one in read() if one.kind in REPORTS and one.found.kind in PERSONS] == []


def test_nothing_but_a_report_is_taken_for_one() -> None:
    assert [one.file for one in read() if one.kind not in REPORTS and one.found.kind in REPORTS] == []


def test_a_delay_is_no_bounce_and_a_bounce_no_delay() -> None:
    mixed_up = [one.file for one in read() if {one.kind, one.found.kind} == REPORTS]

    assert mixed_up == []


@pytest.mark.parametrize(
    "kind",
    [Kind.AUTOMATIC, Kind.HAS_LEFT, Kind.COMPLAINT, Kind.RECEIPT, Kind.CALENDAR, Kind.CHALLENGE, Kind.UNSUBSCRIBE],
)
def test_every_mail_of_the_smaller_kinds_is_recognised(kind: Kind) -> None:
    mails = [one for one in read() if one.kind is kind]

    assert mails
    assert [one.file for one in mails if not one.is_right] == []


def test_persons_replies_are_recognised_in_many_languages() -> None:
    replies = [one for one in read() if one.kind is Kind.REPLY]

    assert sum(one.is_right for one in replies) / len(replies) >= 0.95, _table()
    assert len({one.language for one in replies if one.is_right}) >= 12


def test_by_its_header_alone_a_mailbox_fetches_every_report_and_complaint_and_few_others() -> None:
    fetched = {one.file: may_report(head_in(_fields_asked_for(one))) for one in read()}

    of_kinds = {*REPORTS, Kind.COMPLAINT}
    assert [one.file for one in read() if one.kind in of_kinds and not fetched[one.file]] == []
    others = [one for one in read() if one.kind in (Kind.REPLY, Kind.OTHER)]
    assert sum(fetched[one.file] for one in others) <= len(others) / 5


def test_the_corpus_has_what_it_is_said_to_have() -> None:
    mails = read()
    automatic = [one for one in mails if one.kind in AUTOMATIC]

    assert sum(one.kind is Kind.REPLY for one in mails) >= 30
    assert len(automatic) >= 25
    assert sum(_is_written(one) for one in automatic) <= 15
    assert sum(_is_written(one) for one in mails if one.kind in REPORTS) == 0


def test_every_mail_has_a_label_and_every_folder_a_licence() -> None:
    assert sorted(str(file.relative_to(CORPUS)) for file in CORPUS.glob("*/*.eml")) == sorted(
        one.file for one in read()
    )
    folders = {one.file.split("/")[0] for one in read()} - {"written"}
    assert [name for name in folders if not (CORPUS / name / "LICENSE").exists()] == []
    assert sum(file.stat().st_size for file in CORPUS.rglob("*.*")) < 1_500_000


def test_nobodys_address_is_in_it() -> None:
    some = read()[:: effort.counts(5, 1)]
    real = [one.file for one in some if unreal(data := (CORPUS / one.file).read_bytes()) != data]

    assert real == []


def _is_written(one: Labelled) -> bool:
    return one.file.startswith("written/")


def _table() -> str:
    return "\n".join(["", *lines()])


def _fields_asked_for(one: Labelled) -> bytes:
    """Return of a mail's header what a mailbox is asked for."""
    head = (CORPUS / one.file).read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    names = "|".join(FIELDS).encode()
    return b"".join(re.findall(rb"^(?:%s)[ \t]*:.*\n?(?:[ \t].*\n?)*" % names, head, re.IGNORECASE | re.MULTILINE))

"""What strangers have written, as a terminal, a program and a spreadsheet get it."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from models import Attempt, DeadLetter, Reason, State, database
from models.suppression import suppress
from pipeline.runtime import logs
from pipeline.runtime.printable import printable
from tests.builders import a_contact, a_delivery, a_template, a_website, an_account
from tests.cli.conftest import Slowpost

#: Sets the title, writes the clipboard, clears the screen; the same in C1; hides; turns; goes back; forges a line.
HOSTILE = "\x1b]0;own\x07\x1b]52;c;cm0=\x07\x1b[2J\x9b2J\x08\x7f\u202emoc\u2066\u200b\u2028\U000e0041\rid: 7"
MARKUP = "[red]Ann[/red] [link=https://x.test]:bee:"
#: Whatever of it a terminal would obey, or not show.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0041]")

SHOWN = [
    ["contacts", "list"], ["contacts", "find", "Ann"], ["contacts", "show", "1"], ["why", "1"], ["why", "2"],
    ["accounts", "list"], ["templates", "list"], ["templates", "show", "1"], ["templates", "preview", "1", "--contact",
    "1"], ["suppress", "list"], ["log"], ["log", "--csv"], ["dead", "list"], ["dead", "show", "1"], ["status"],
    ["plan"], ["in-doubt", "list"], ["doctor", "--offline"], ["templates", "check", "1"],
]  # fmt: skip


def test_a_terminal_obeys_nothing_that_strangers_have_written(written_by_strangers: Slowpost) -> None:
    said = ""
    for words in SHOWN:
        result = written_by_strangers(*words)
        said += result.out + result.err
        assert OBEYED.findall((result.out + result.err).replace("\r\n", "\n")) == [], words
    assert r"\x1b]0;own\x07" in said
    # In a table, where rich would make colours, links and bees of it.
    assert MARKUP in written_by_strangers("templates", "list").out


def test_in_json_the_values_are_as_they_were_written_and_the_text_is_harmless(written_by_strangers: Slowpost) -> None:
    result = written_by_strangers("contacts", "show", "1", "--json")
    assert json.loads(result.out)["name"] == f"Ann {HOSTILE}"
    assert OBEYED.findall(result.out) == []


def test_an_error_that_quotes_what_was_given_is_one_harmless_line(written_by_strangers: Slowpost) -> None:
    for words in (["send", HOSTILE], ["contacts", "import", HOSTILE], ["contacts", "show", f"a@b{HOSTILE}"], [HOSTILE]):
        result = written_by_strangers(*words)
        assert result.code in (1, 2)
        assert OBEYED.findall(result.err) == []
        assert len(result.err.splitlines()) == 1


def test_a_refused_line_of_a_file_is_harmless(ready: Slowpost, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"email,name\nno{HOSTILE.replace(chr(13), '')},Ann\n{MARKUP},x\n")
    result = ready("contacts", "import", "a.csv")
    assert [line[:6] for line in result.err.splitlines()[:2]] == ["line 2", "line 3"]
    assert OBEYED.findall(result.err) == []


def test_a_fault_of_the_program_is_told_harmlessly(ready: Slowpost, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise AssertionError(HOSTILE)

    monkeypatch.setattr("pipeline.reports.contacts.contacts", fails)
    result = ready("contacts", "list")
    assert result.code == 1
    assert r"AssertionError: \x1b]0;own" in result.err
    assert OBEYED.findall(result.err) == []


def test_the_log_on_a_terminal_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(json=False)
    try:
        logs.log.warning("waiting", reason=HOSTILE, ids=[HOSTILE], **{HOSTILE[:9]: 1})
        logging.getLogger("pika").warning("no such actor %s", HOSTILE)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("dramatiq").exception("failed")
    finally:
        logs.configure(json=True)
    said = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().err)  # structlog's own colours
    assert said.count("own") >= 4
    assert OBEYED.findall(said) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Dvořák, 李, Ñandú\u00a0– a\u200cb 👩\u200d🔬\ttab\nline\r\nnext", None),
        ("a\rb", r"a\rb"),
        ("\udcff", r"\udcff"),
        ("\ufeff\u061c", r"\ufeff\u061c"),
    ],
)
def test_what_is_no_danger_stays_as_it_is(text: str, shown: str | None) -> None:
    assert printable(text) == (text if shown is None else shown)
    assert printable(printable(text)) == printable(text)


FORMULAS = [
    ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
    ("+1+cmd", "'+1+cmd"),
    ("-1+cmd", "'-1+cmd"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "'\t'=1"),
    ("  =1", "  '=1"),
    ("\r=1", r"'\r'=1"),
    ("＝1", "'＝1"),
    ('x;=HYPERLINK("https://x.test")', 'x;\'=HYPERLINK("https://x.test")'),
    ("5.1.1 a - b = c, x@y.test", "5.1.1 a - b = c, x@y.test"),
    ("-5", "-5"),
    ("+3,5 %", "'+3,5 %"),
    ("250", "250"),
]


@pytest.mark.parametrize(("said", "cell"), FORMULAS)
def test_no_cell_of_the_csv_is_a_formula_and_numbers_stay_numbers(ready: Slowpost, said: str, cell: str) -> None:
    with database.connection():
        an_attempt(a_delivery(State.FAILED), an_account(name=said), said)
    (row,) = csv.DictReader(io.StringIO(ready("log", "--csv").out, newline=""))
    assert (row["text"], row["account"], row["reply_code"]) == (cell, cell, "550")


def test_an_argument_that_is_no_text_is_one_line(ready: Slowpost) -> None:
    for words in (["suppress", "add", "x.test", "--reason", "\udcff"], ["contacts", "import", "\udcff.csv"]):
        result = ready(*words)
        assert (result.code, len(result.err.splitlines())) == (2, 1)
        assert "is not UTF-8: " in result.err


def test_a_password_that_is_no_text_is_one_line_and_not_shown(ready: Slowpost) -> None:
    add = ["accounts", "add", "--host", "h.test", "--from", "me@h.test", "--username", "me", "--password-stdin"]
    result = ready(*add, stdin=b"s3cret\xff\n")
    assert (result.code, result.err) == (1, "slowpost: the password is not UTF-8\n")


def an_attempt(delivery: Any, account: Any, text: str) -> None:
    """Store an attempt that the server has refused with a text."""
    now = database.now()
    refused = {"outcome": "failed", "charged_to": "content", "phase": "dot", "reply_code": 550, "text": text}
    Attempt.create(delivery=delivery, account=account, claimed_at=now, finished_at=now, **refused)


@pytest.fixture
def written_by_strangers(ready: Slowpost) -> Slowpost:
    """Rows of each kind, with hostile text wherever a stranger's text can stand."""
    with database.connection():
        now = database.now()
        website = a_website(domain="bees.test", title=HOSTILE)
        ann = a_contact(name=f"Ann {HOSTILE}", website=website, extra={f"x{HOSTILE}": HOSTILE})
        template = a_template(name=MARKUP, subject=f"Hi {HOSTILE}", text=f"Dear {HOSTILE}", preheader=HOSTILE)
        account = an_account(name=HOSTILE, from_name=HOSTILE, disabled_reason=HOSTILE, enabled=False)
        failed = a_delivery(State.FAILED, contact=ann, template=template, reason=Reason.FAULT, detail=HOSTILE)
        an_attempt(failed, account, HOSTILE)
        doubt = a_delivery(State.IN_DOUBT, account=account, message_id=HOSTILE, detail=HOSTILE)
        an_attempt(doubt, account, HOSTILE)
        message = {"kind": "message", "queue": HOSTILE, "body": HOSTILE.encode(), "message_id": HOSTILE}
        DeadLetter.create(**message, reason=HOSTILE, detail=HOSTILE, created_at=now)
        suppress("domain", [HOSTILE], HOSTILE, now)
    return ready

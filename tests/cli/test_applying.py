"""`campaigns apply` as a person meets it: what would change is shown, then asked, and a mistake has its line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from models import Campaign, database
from tests.builders import a_list, a_template, an_account
from tests.cli.conftest import Slowpost
from tests.cli.test_bad_input import contents

DOCS = Path(__file__).parents[2] / "docs"
FILE = """\
name: Spring
lists: [dentists]
accounts: [sales]
limit: 40
steps:
  - template:
      name: hello
      subject: Hello
      text: |
        Dear
        reader
"""
NO_FOOTER = (
    "can't run: step 1, template 1: its text has no {{ unsubscribe }}\n"
    "can't run: step 1, template 1: its text has no {{ postal_address }} "
    "(if that has a reason: --no-footer-because REASON when it is started)\n"
)


def test_what_would_change_is_shown_and_then_done(furnished: Slowpost) -> None:
    Path("spring.yaml").write_text(FILE)
    shown = (
        "Spring (new)\n  name: Spring\n  lists: dentists\n  accounts: sales\n  limit: 40\n  weight: 1\n"
        "  share-contacts: no\n  stop-website: no\n  when-account-off: wait\n  reply-prefix: no\n"
        "  steps[1].templates: hello\n  templates[hello].subject: Hello\n  templates[hello].text: new, 2 lines\n"
        f"{NO_FOOTER}"
    )
    before = contents()
    looked = furnished("campaigns", "apply", "spring.yaml", "--dry-run")
    assert (looked.code, looked.out, contents()) == (0, shown, before)
    done = furnished("campaigns", "apply", "spring.yaml", "--yes", "--reason", "go")
    assert (done.code, done.out) == (0, f"{shown}campaign 1 (Spring): made\n")
    before = contents()
    again = furnished("campaigns", "apply", "spring.yaml")
    assert (again.code, again.out) == (0, f"Spring (campaign 1, draft, is like that already)\n{NO_FOOTER}")
    assert contents() == before

    Path("spring.yaml").write_text(FILE.replace("40", "60").replace("reader", "you"))
    changed = furnished("campaigns", "apply", "spring.yaml", "--yes")
    assert changed.out == (
        "Spring (campaign 1, draft)\n  limit: 40 → 60\n  templates[hello].text:\n    @@ -1,2 +1,2 @@\n     Dear\n"
        f"    -reader\n    +you\n{NO_FOOTER}campaign 1 (Spring): changed\n"
    )


@pytest.mark.parametrize(("answer", "code", "is_made"), [("y", 0, True), ("n", 1, False), ("\x04", 130, False)])
def test_a_person_at_a_terminal_is_asked(furnished: Slowpost, answer: str, code: int, is_made: bool) -> None:
    Path("spring.yaml").write_text(FILE)
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    command = [sys.executable, "-m", "slowpost", "campaigns", "apply", "spring.yaml"]
    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False)
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, "Do that? [y/N]: " in done.stderr) == (code, True)
    assert done.stdout.startswith("Spring (new)\n")
    with database.connection():
        assert Campaign.select().exists() == is_made


@pytest.mark.parametrize("stdin", ["a file", "closed"])
def test_where_nobody_can_be_asked_nothing_is_changed(furnished: Slowpost, stdin: str) -> None:
    Path("spring.yaml").write_text(FILE)
    before = contents()
    if stdin == "closed":
        command = f"{sys.executable} -m slowpost campaigns apply spring.yaml <&-"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        code, err = done.returncode, done.stderr
    else:
        result = furnished("campaigns", "apply", "spring.yaml")
        code, err = result.code, result.err
    assert (code, contents()) == (2, before)
    assert err.startswith("slowpost campaigns apply: there is no terminal to ask whether to do that: give --yes, or")


def test_each_mistake_is_a_line_of_its_own_that_an_editor_finds(furnished: Slowpost) -> None:
    Path("spring.toml").write_text("nmae = 'x'\n\nlists = ['dentist']\n")
    refused = furnished("campaigns", "apply", "spring.toml", "--yes")
    first, second, third, last = refused.err.splitlines()
    assert (refused.code, refused.out) == (1, "")
    assert first.startswith("spring.toml:1: nmae: there is no such key (did you mean 'name'?); allowed: name, lists,")
    assert second == "spring.toml:1: name: it is missing: a campaign needs a name"
    assert third.startswith("spring.toml:3: lists[1]: there is no list 'dentist' (did you mean 'dentists'?)")
    assert last == "slowpost: spring.toml: 3 mistakes, nothing was changed"
    told = json.loads(furnished("campaigns", "apply", "spring.toml", "--yes", "--json").out)
    assert [(one["line"], one["field"]) for one in told["mistakes"]] == [(1, "nmae"), (1, "name"), (3, "lists[1]")]
    assert (told["id"], told["changed"], told["changes"]) == (None, False, [])


def test_files_are_found_beside_the_campaigns_file(furnished: Slowpost) -> None:
    Path("mails").mkdir()
    Path("mails/spring.yml").write_text(FILE.replace("text: |\n        Dear\n        reader", "text-file: '-'"))
    Path("mails/-").write_text("Dear {{ x\n")
    refused = furnished("campaigns", "apply", "mails/spring.yml", "--dry-run")
    assert "mails/spring.yml:9: steps[1].template.text-file: line 1: unexpected" in refused.err
    Path("mails/-").write_bytes(b"Dear\nreader\xff\n")
    refused = furnished("campaigns", "apply", "mails/spring.yml", "--dry-run")
    assert "/mails/-: it is not UTF-8 (line 2)\n" in refused.err
    Path("mails/-").write_text("Dear\n")
    assert "templates[hello].text: Dear" in furnished("campaigns", "apply", "mails/spring.yml", "--dry-run").out


def test_a_file_may_begin_with_a_byte_order_mark_and_have_the_line_ends_of_windows(furnished: Slowpost) -> None:
    Path("spring.yaml").write_bytes(b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode())
    assert furnished("campaigns", "apply", "spring.yaml", "--yes").code == 0
    toml = furnished("campaigns", "show", "spring", "--format", "toml").out
    stdin = b"\xef\xbb\xbf" + toml.replace("\n", "\r\n").encode()
    again = furnished("campaigns", "apply", "-", "--format", "toml", stdin=stdin)
    assert (again.code, again.out.splitlines()[0]) == (0, "Spring (campaign 1, draft, is like that already)")


@pytest.mark.parametrize("form", ["yaml", "toml"])
def test_both_files_of_the_pages_describe_the_same_campaign(furnished: Slowpost, form: str) -> None:
    with database.connection():
        a_list(name="customers")
        a_template(name="last")
    made = furnished("campaigns", "apply", str(DOCS / "campaign.yaml"), "--yes")
    assert (made.code, made.err) == (0, "")
    again = furnished("campaigns", "apply", str(DOCS / f"campaign.{form}"))
    assert again.out.splitlines()[0] == "spring (campaign 1, draft, is like that already)"


@pytest.fixture
def furnished(ready: Slowpost) -> Slowpost:
    """A list, and an account."""
    with database.connection():
        a_list(name="dentists")
        an_account(name="sales")
    return ready

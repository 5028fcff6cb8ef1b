"""`inbound import` takes an mbox, a Maildir, a file or a pipe; each mail has its effect once, however it comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from models import Delivery, InboundMail, State, Suppression, database
from pipeline.inbound.message import MAX_BYTES
from pipeline.inbound.sources import mails_in
from pipeline.runtime.failpoints import VARIABLE
from tests.builders import a_delivery, an_account
from tests.cli.conftest import Slowpost
from tests.inbound_mails import a_bounce, an_answer

FIRST, SECOND = "<first@example.com>", "<second@example.com>"
SEPARATOR = "From x@x.test Mon Jun  1 12:00:00 2026\n"
NEWS = "From: news@example.net\nMessage-ID: <news@example.net>\nSubject: News\n\nNews\n\n>From the editor\n"


def test_what_has_come_from_one_file_is_seen_in_another(ready: Slowpost, tmp_path: Path) -> None:
    mails = some_mails()
    mbox, maildir, single = tmp_path / "mbox", tmp_path / "Maildir", tmp_path / "reply.eml"
    mbox.write_text("".join(f"{SEPARATOR}{mail}\n" for mail in mails))
    for name in ("new", "cur", "tmp"):
        (maildir / name).mkdir(parents=True)
    for number, mail in enumerate(mails):
        (maildir / ("new" if number else "cur") / str(number)).write_bytes(mail.replace("\n", "\r\n").encode())
    (maildir / "tmp" / "half").write_text(an_answer(SECOND))
    single.write_text(mails[1])

    done = json.loads(ready("inbound", "import", str(mbox), "--account", "1", "--json").out)

    kinds = {"bounce": 1, "reply": 1, "other": 1}
    nothing = {"seen": 0, "early": 0, "ended_doubt": 0, "warnings": []}
    assert done == {"read": 3, "kinds": kinds, "effects": {"bounced": 1, "replied": 1}} | nothing
    assert ready("inbound", "import", str(mbox)).out == "3 mails: nothing of ours; 2 seen before\n"
    assert ready("inbound", "import", str(maildir)).out == "3 mails: nothing of ours; 2 seen before\n"
    assert ready("inbound", "import", str(single)).out == "1 mails: nothing of ours; 1 seen before\n"
    assert ready("inbound", "import", "-", stdin=mails[0]).out == "1 mails: nothing of ours; 1 seen before\n"
    listed = json.loads(ready("inbound", "list", "--json").out)
    assert [(row["kind"], row["effect"], row["delivery_id"], row["mailbox_id"]) for row in listed] == [
        ("reply", "replied", 2, 1),
        ("bounce", "bounced", 1, 1),
    ]
    assert "a delivery report: failed" in ready("inbound", "list").out


def test_what_is_no_mail_or_not_there_is_refused_in_one_line(ready: Slowpost, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("email,name\nann@example.test,Ann\n")
    for name, says in (("nowhere", "there is no such file"), ("people.csv", "neither"), (".", "no Maildir")):
        refused = ready("inbound", "import", str(tmp_path / name))
        assert (refused.code, refused.out, len(refused.err.splitlines())) == (1, "", 1)
        assert says in refused.err
    assert ready("inbound", "import", "-").out == "0 mails: nothing of ours\n"


def test_of_a_large_mail_no_more_is_kept_than_is_looked_at(tmp_path: Path) -> None:
    size = 50_000_000
    with (tmp_path / "mbox").open("wb") as file:
        file.write(SEPARATOR.encode() + b"Message-ID: <large@x.test>\n\n")
        file.truncate(size)
        file.seek(size)
        file.write(b"\n\n" + SEPARATOR.encode() + b"Message-ID: <next@x.test>\n\nnext\n")
    tracemalloc.start()
    try:
        large, following = mails_in(tmp_path / "mbox")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
    assert (len(large.octets), large.size) == (MAX_BYTES, size - len(SEPARATOR))
    assert following.octets == b"Message-ID: <next@x.test>\n\nnext\n"


@pytest.mark.parametrize("place", ["inbound:got", "inbound:wrote"])
def test_a_kill_between_reading_and_recording_loses_nothing(ready: Slowpost, tmp_path: Path, place: str) -> None:
    (tmp_path / "mbox").write_text("".join(f"{SEPARATOR}{mail}\n" for mail in some_mails()))
    armed = tmp_path / "failpoints"
    armed.mkdir()
    (armed / place).write_text("kill")
    words = [sys.executable, "-m", "slowpost", "inbound", "import", "mbox"]

    killed = subprocess.run(words, cwd=tmp_path, env=environment(armed), check=False, capture_output=True)

    assert killed.returncode == -signal.SIGKILL
    with database.connection():
        assert (InboundMail.select().count(), Suppression.select().count()) == (0, 0)
    assert ready("inbound", "import", str(tmp_path / "mbox")).out == "3 mails: 1 bounced, 1 replied\n"


def some_mails() -> list[str]:
    """Store two deliveries that were sent; return a bounce of one, a reply to the other, and a mail of nobody's."""
    with database.connection():
        an_account()
        sent = [a_delivery(State.SENT, message_id=name, sent_at=database.now()) for name in (FIRST, SECOND)]
        to = Delivery.get_by_id(sent[0].id).address
    return [a_bounce(FIRST, to=to), an_answer(SECOND, "Yes.\n\nFrom me"), NEWS]


def environment(armed: Path) -> dict[str, str]:
    """Return this process's environment with failpoints."""
    return os.environ | {VARIABLE: str(armed)}

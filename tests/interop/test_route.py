"""The whole route as a person starts it, through real mail servers, and what lies in the readers' mailboxes then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.interop.conftest import as_csv
from tests.interop.exim import Exim
from tests.interop.listeners import DOMAIN, LOGINS, READERS, MailServer
from tests.interop.mailboxes import Mail
from tests.interop.postfix import Postfix


def test_every_login_sends_one_mail_and_a_second_parser_reads_what_was_rendered(
    tmp_path: Path, postfix: Postfix, exim: Exim
) -> None:
    servers: list[MailServer] = [postfix, exim]
    slowpost = Slowpost(tmp_path)
    slowpost("init")
    accounts = [
        server.account(listener, name=f"{server.name} {number}", from_name=f"Käthe {number}, {server.name}")
        for server in servers
        for number, listener in enumerate(LOGINS)
    ]
    slowpost("accounts", "import", "-", stdin=as_csv(accounts))
    contacts = [
        {"email": f"{reader}@{DOMAIN}", "name": NAMES[number % len(NAMES)]}
        for number, reader in enumerate(READERS[: len(accounts)])
    ]
    slowpost("contacts", "import", "-", stdin=as_csv(contacts))
    (tmp_path / "letter.html").write_text(HTML)
    words = ["--subject", SUBJECT, "--text-file", "-", "--html-file", "letter.html", "--preheader", "Für dich"]
    slowpost("templates", "add", "letter", *words, stdin=TEXT)
    slowpost("publish")

    attempts = slowpost.run_until_attempted(len(contacts))

    assert [attempt["outcome"] for attempt in attempts] == ["accepted"] * len(accounts)
    assert {attempt["account"] for attempt in attempts} == {account["name"] for account in accounts}
    contact_of = {c["id"]: c["email"] for c in json.loads(slowpost("contacts", "list", "--json"))}
    account_of = {contact_of[attempt["contact_id"]]: attempt["account"] for attempt in attempts}
    for contact in contacts:
        reader = contact["email"].partition("@")[0]
        (sender,) = (account for account in accounts if account["name"] == account_of[contact["email"]])
        (server,) = (server for server in servers if sender["name"].startswith(server.name))
        (mail,) = server.mails(reader)
        compare(mail, contact, sender)
    found = [reader for server in servers for reader, number in server.readers().items() for _ in range(number)]
    assert sorted(found) == sorted(READERS[: len(accounts)])


#: Names that are hard on headers: umlauts, what looks like another mailbox, quotes, what has to be folded.
NAMES = [
    "Jörg Müller",
    "Your bank <service@bank.example>, Robert Example of the Department for Everything and More",
    'Ann "Annie" O\'Neil, Jr.',
    "名前",
    "Wolfeschlegelsteinhausenbergerdorff der Ältere, Kammersänger und Oberstudienrat im Ruhestand",
    "",
]
SUBJECT = "Grüße, {{ contact.name or 'you' }}: 20 % für die nächste Überraschung, und noch mehr, das gefaltet wird"
LONG = "word " * 300
TEXT = f"""Dear {{{{ contact.name }}}},
.
..two dots, a tab\tand a space at the end\x20
From here on: ÄÖÜ ß € 🐌, and a long line: {LONG}

{{{{ sender.name }}}}
"""
HTML = f"""<html><body><p title="{{{{ contact.name }}}}">Dear {{{{ contact.name }}}} &amp; all,</p>
.
<p>ÄÖÜ ß € 🐌 {LONG}</p></body></html>
"""
#: Seconds until all have been sent.
PATIENCE = 120


def compare(mail: Mail, contact: dict[str, str], sender: dict[str, Any]) -> None:
    """Compare a mail with what was written, rendered by hand."""
    name = contact["name"]
    assert mail.mailbox("to") == (name, contact["email"])
    assert mail.mailbox("from") == (sender["from_name"], sender["from_address"])
    assert mail.header("subject") == (
        f"Grüße, {name or 'you'}: 20 % für die nächste Überraschung, und noch mehr, das gefaltet wird"
    )
    assert mail.header("x-preheader") == "Für dich"
    parts = mail.parts()
    assert parts["text/plain"].split("\n") == [
        f"Dear {name},",
        ".",
        "..two dots, a tab\tand a space at the end ",
        f"From here on: ÄÖÜ ß € 🐌, and a long line: {LONG}",
        "",
        sender["from_name"],
        "",
    ]
    escaped = name.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;").replace("'", "&#39;")
    before, hidden, after = parts["text/html"].partition("Für dich</div>")
    assert before.startswith('<html><body><div style="display:none;')
    assert hidden
    assert after.split("\n") == [
        f'<p title="{escaped}">Dear {escaped} &amp; all,</p>',
        ".",
        f"<p>ÄÖÜ ß € 🐌 {LONG}</p></body></html>",
        "",
    ]


class Slowpost:
    """The program in processes of its own, with an embedded broker and an SQLite file, always open, not spread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = os.environ | {
            "DATABASE_URL": f"sqlite:///{folder}/slowpost.db",
            "MAIL_WINDOW_START": "0",
            "MAIL_WINDOW_END": "0",
            "MAIL_WINDOW_TIMEZONE": "UTC",
            "MAIL_SPREAD": "off",
        }

    def __call__(self, *words: str, stdin: str = "") -> str:
        """Return what a command prints. It has to succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "slowpost", *words],
            cwd=self._folder,
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_until_attempted(self, number: int) -> list[dict[str, Any]]:
        """Let `slowpost run` make so many attempts; return its log of them."""
        command = [sys.executable, "-m", "slowpost", "run"]
        with subprocess.Popen(command, cwd=self._folder, env=self._environment, stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + PATIENCE
            while len(attempts := self._ended()) < number and time.monotonic() < deadline:
                time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said.decode()
        assert len(attempts) == number, said.decode()
        assert DOMAIN not in said.decode()
        return attempts

    def _ended(self) -> list[dict[str, Any]]:
        return [attempt for attempt in json.loads(self("log", "--json")) if attempt["outcome"] != "open"]

"""The demo: the whole route on sample data, embedded, with a mail catcher on loopback. Nothing leaves the machine.

Reads: nothing but a number. Writes: a folder with a database, the mails as `.eml` files, and the sample files it
imports. It ends with what each contact became and what to do next.
"""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from models import Attempt, Contact, Delivery, EmailTemplate, SmtpAccount, State, database, schema
from models.states import UNFINISHED
from pipeline.flow import TRIGGER
from pipeline.operations import imports
from pipeline.operations.csv_rows import Listener
from pipeline.runtime import logs
from pipeline.runtime.setting_urls import EMBEDDED
from pipeline.runtime.settings import settings
from slowpost import demo_campaign
from slowpost.catcher import Catcher
from slowpost.cli.output import show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import Refused

MARKER = "made by slowpost demo"
#: Seconds after which the demo gives up.
PATIENCE = 50
ACCOUNTS = 3

SUBJECT = "A question about {{ website.title }}"
TEXT = """Hello {{ contact.name }},

I read what you wrote on {{ website.domain }} about {{ contact.topic }}, and have a question about it.

{{ sender.signature }}
{{ postal_address }}
Not interested? {{ unsubscribe }}
"""
HTML = """<p>Hello {{ contact.name }},</p>
<p>I read what you wrote on <b>{{ website.domain }}</b> about {{ contact.topic }}, and have a question about it.</p>
<p>{{ sender.signature }}<br>{{ postal_address }}<br><a href="{{ unsubscribe }}">Not interested?</a></p>
"""

#: What makes the demo quick, whatever the hour and whatever the surroundings are set to.
SETTINGS = {
    "BROKER_URL": EMBEDDED,
    "MAIL_WINDOW_START": "0",
    "MAIL_WINDOW_END": "0",
    "MAIL_WINDOW_DAYS": "mon-sun",
    "MAIL_WINDOW_TIMEZONE": "UTC",
    "MAIL_SPREAD": "off",
    "MAIL_MIN_INTERVAL": "0.2",
    "MAIL_DAILY_LIMIT": "10000",
    "MAIL_MAX_ATTEMPTS": "3",
    "MAIL_RETRY_BACKOFF": "1,2",
    "MAIL_DEDUPE_CONTACT_DAYS": "90",
    "MAIL_DEDUPE_WEBSITE_DAYS": "7",
    "MAIL_UNSUBSCRIBE_MAILTO": "stop@sender.example",
    "MAIL_UNSUBSCRIBE_URL": "https://sender.example/stop",
    "MAIL_POSTAL_ADDRESS": "1 Example Street, Exampletown",
}


def run_demo(contacts: int, folder: Path) -> None:
    """Run the whole route for `contacts` sample contacts in `folder`, and say what came of it.

    Raises:
        Refused: the folder holds something else, or the route did not end in time.
    """
    _make_folder(folder)
    os.environ.update(SETTINGS | {"DATABASE_URL": f"{database.SQLITE}{folder.resolve()}/slowpost.db"})
    settings.cache_clear()
    logs.configure(level=40)
    database.connect(settings().database_url)
    started = time.monotonic()
    with Catcher(folder / "mails", refuse=_refuse) as catcher, database.connection():
        schema.migrate()
        say(f"A mail catcher listens on 127.0.0.1:{catcher.port}; nothing leaves this machine.")
        ids = _sample(contacts, folder, catcher.port)
        say(f"Imported {len(ids)} contacts, {ACCOUNTS} accounts and a template. Sending ...")
        _send(ids, started)
        _report(folder, len(catcher.mails), time.monotonic() - started)


def _make_folder(folder: Path) -> None:
    marker = folder / ".slowpost-demo"
    if folder.exists() and any(folder.iterdir()):
        if not marker.exists():
            raise Refused(f"{folder} is not empty, and no earlier demo made it: choose another with --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(MARKER + "\n")


def _people(number: int) -> Iterator[dict[str, str]]:
    """Yield sample contacts: ten that show what can happen, the others ordinary."""
    for i in range(1, number + 1):
        yield {
            "email": f"person{i}@site{i}.example",
            "name": f"Person {i}",
            "website": f"site{i}.example",
            "topic": "bees",
        }
    special: list[tuple[str, str, str, str]] = [
        ("colleague@site1.example", "A colleague of Person 1", "site1.example", "bees"),
        ("j.doe@gmail.com", "Jo Doe", "jodoe.example", "tea"),
        ("jdoe+news@gmail.com", "Jo Doe again", "jodoe-two.example", "tea"),
        ("never@suppressed.example", "Suppressed", "suppressed.example", "rain"),
        ("nobody@bounce.example", "Bounces", "bounce.example", "rain"),
        ("busy@mailbox.example", "Mailbox busy", "mailbox.example", "rain"),
        ("strict@filter.example", "Refuses as spam", "filter.example", "rain"),
        ("notopic@untold.example", "No topic", "untold.example", ""),
        ("unchecked@new.example", "Not validated", "new.example", "rain"),
    ]
    for email, name, website, topic in special:
        validated = "no" if email.startswith("unchecked") else "yes"
        yield {"email": email, "name": name, "website": website, "topic": topic, "validated": validated}


def _refuse(recipient: str, data: bytes | None) -> str | None:
    replies: dict[str, tuple[str, bool]] = {
        "nobody@bounce.example": ("550 5.1.1 The email account that you tried to reach does not exist", False),
        "busy@mailbox.example": ("450 4.2.0 The recipient's mailbox is busy", False),
        "strict@filter.example": ("554 5.7.1 Message refused as spam", True),
    }
    reply, at_the_end = replies.get(recipient, (None, False))
    return reply if reply and at_the_end == (data is not None) else None


def _sample(contacts: int, folder: Path, port: int) -> list[int]:
    _write_csv(folder / "contacts.csv", list(_people(max(1, contacts - 9))))
    titles = [{"domain": p["website"], "title": p["website"].split(".")[0].title()} for p in _people(contacts - 9)]
    _write_csv(folder / "websites.csv", titles)
    senders = [
        {"name": f"Sender {i}", "host": "127.0.0.1", "port": str(port), "security": "plain", "from_name": f"Sender {i}",
         "from_address": f"sender{i}@sender.example", "signature": f"Best regards, Sender {i}"}
        for i in range(1, ACCOUNTS + 1)
    ]  # fmt: skip
    _write_csv(folder / "accounts.csv", senders)
    _write_csv(folder / "suppress.csv", [{"value": "suppressed.example", "reason": "asked us to"}])
    load: dict[str, Callable[..., Any]] = {
        "websites": imports.websites, "contacts": imports.contacts, "accounts": imports.accounts,
        "suppress": imports.suppressions,
    }  # fmt: skip
    for name, run in load.items():
        with (folder / f"{name}.csv").open(newline="") as file:
            run(file, Listener())
    now = database.now()
    EmailTemplate.create(name="question", subject=SUBJECT, text=TEXT, html=HTML, created_at=now, updated_at=now)
    return [c.id for c in Contact.select().order_by(Contact.id)]


def _write_csv(file: Path, rows: list[dict[str, str]]) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list({k: None for row in rows for k in row}))
        writer.writeheader()
        writer.writerows(rows)


def _send(ids: list[int], started: float) -> None:
    from actors import entry
    from slowpost import service

    def wait() -> None:
        _until_ended(Delivery.select().count(), started)

    with service.working():
        entry.enter(ids)
        _until_ended(len(ids), started)
        say("Publishing the first five again: nobody is written twice ...")
        entry.enter(ids[:5])
        entry.publish([TRIGGER])
        _until_ended(len(ids) + 5, started)
        demo_campaign.prepare(EmailTemplate.get())
        demo_campaign.first_mails(wait)
        demo_campaign.a_day_passes()
        demo_campaign.second_mails(wait)


def _until_ended(deliveries: int, started: float) -> None:
    while True:
        done = Delivery.select().where(Delivery.state.not_in(UNFINISHED)).count()
        if done == deliveries and not Delivery.select().where(_not_recorded()).exists():
            return
        if time.monotonic() - started > PATIENCE:
            raise Refused(f"only {done} of {deliveries} have ended after {PATIENCE} s")
        time.sleep(0.1)


def _not_recorded() -> Any:
    return (Delivery.state == State.SENT) & Delivery.recorded_at.is_null()


def _report(folder: Path, mails: int, seconds: float) -> None:
    plain = Delivery.campaign.is_null()
    query = Delivery.select(Delivery, Contact).join(Contact).where(plain).order_by(Delivery.id)
    rows = [
        {"email": d.recipient, "state": d.state, "reason": d.reason, "detail": (d.detail or "")[:70]} for d in query
    ]
    ordinary = [r for r in rows if r["reason"] == "accepted"]
    special = [r for r in rows if r["reason"] != "accepted"]
    say()
    columns = {"email": "CONTACT", "state": "BECAME", "reason": "BECAUSE", "detail": "DETAIL"}
    show_table(ordinary[:5] + special, columns, "")
    say(f"… and {len(ordinary) - 5} more, sent like the first five.\n" if len(ordinary) > 5 else "")
    demo_campaign.report()
    attempts = Attempt.select().count()
    accounts = SmtpAccount.select().count()
    say(f"{mails} mails in {seconds:.0f} s, {attempts} attempts over {accounts} accounts: {folder}/mails/*.eml")
    mails_of, url = shlex.quote(f"{folder}/mails"), shlex.quote(f"{database.SQLITE}{folder}/slowpost.db")
    say(
        f"""
What next:
  cat {mails_of}/0001-*.eml
  DATABASE_URL={url} slowpost status       accounts, deliveries, window
  DATABASE_URL={url} slowpost log          each attempt, and whose fault it was
  DATABASE_URL={url} slowpost dead list    what was given up, until you decide
With your own mailboxes: install -m 600 .env.example .env, slowpost init, slowpost accounts add,
slowpost contacts import, slowpost templates add, slowpost run. (slowpost is in .venv/bin.)"""
    )

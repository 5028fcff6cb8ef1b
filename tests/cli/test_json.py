"""`--json` is the report, field for field, and `docs/json.md` says so: same keys always, numbers as numbers, lists as
lists.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import click
import dramatiq
import pytest

from actors.rabbitmq.broker import QuorumBroker
from models import (
    Attempt,
    CampaignSender,
    Contact,
    EmailTemplate,
    InboundMail,
    OptOut,
    SelfMail,
    SmtpAccount,
    State,
    database,
)
from models.control import record_action
from models.dead_letter import file_deliveries, file_message
from models.suppression import suppress
from pipeline.accounts import passwords
from pipeline.accounts.self_mail import SUBJECT
from slowpost.cli import COMMANDS, cli
from slowpost.cli.acting import shown
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_list,
    a_template,
    a_website,
    an_account,
    an_attachment,
    an_enrolment,
    on_its_way,
)
from tests.cli.conftest import Slowpost
from tests.cli.json_page import ACTIONS, OTHERS, PAGE, PARTS, REPORTS, item_of, page
from tests.dns_server import REAL, DnsServer
from tests.smtp_server import ScriptedServer


def test_the_page_is_what_the_reports_are() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.cli.json_page"


def test_every_command_that_has_json_is_on_the_page() -> None:
    names = [name.partition(" --")[0] for _, part in PARTS.values() for name in part]
    on_page = {" ".join(w for w in name.split() if w.islower()) for name in names}
    assert {" ".join(words) for words in with_json()} == on_page


@pytest.mark.parametrize("command", REPORTS)
def test_a_report_prints_each_key_with_its_type(furnished: Slowpost, command: str) -> None:
    words = [
        {
            "CONTACT": "1",
            "ACCOUNT_ID": "1",
            "LIST": "1",
            "CAMPAIGN": "1",
            "TEXT": "site",
            "TEMPLATE_ID": "1",
            "LETTER_ID": "1",
        }.get(w, w)
        for w in command.split()
    ]
    printed = json.loads(furnished(*words, "--json").out)
    assert printed
    assert list(misfits(printed, REPORTS[command], command)) == []


@pytest.mark.parametrize("command", ["status", "plan", "log", "accounts list", "contacts list", "dead list"])
def test_a_report_of_nothing_has_the_same_keys(ready: Slowpost, command: str) -> None:
    printed = json.loads(ready(*command.split(), "--json").out)
    assert list(misfits(printed, REPORTS[command], command)) == []


@pytest.mark.parametrize("command", ACTIONS)
def test_an_action_prints_each_key_with_its_type_and_its_warnings(eventful: Slowpost, command: str) -> None:
    printed = json.loads(acted(eventful, command))
    assert printed.pop("warnings") == []
    assert list(misfits(printed, ACTIONS[command], command)) == []
    # A list that is empty would fit any type. (The tables are there already.)
    assert [] not in printed.values() or command == "init"


@pytest.mark.parametrize("command", [command for command in OTHERS if not command.startswith("topology")])
def test_what_the_schedule_and_trials_print_has_each_key_with_its_type(eventful: Slowpost, command: str) -> None:
    printed = json.loads(acted(eventful, command))
    assert printed
    assert list(misfits(printed, OTHERS[command], command)) == []
    assert command != "templates check TEMPLATE_ID" or printed["failures"]


def test_a_migration_of_queues_has_the_same_keys_beforehand_and_afterwards(
    slowpost: Slowpost, configure: Callable[..., None], rabbitmq_url: str
) -> None:
    configure(broker_url=rabbitmq_url)
    usual, broker = dramatiq.get_broker(), QuorumBroker(rabbitmq_url, middleware=[])
    dramatiq.set_broker(broker)
    try:
        with broker.own_connection() as connection:
            connection.channel().queue_declare("intake", durable=True)
        for options, moved in (["--dry-run"], None), ([], 0):
            printed = json.loads(slowpost("topology", "migrate", *options, "--json").out)
            assert [step["moved"] for step in printed] == [moved]
            assert list(misfits(printed, OTHERS["topology migrate"], "topology migrate")) == []
    finally:
        dramatiq.set_broker(usual)
        with broker.own_connection() as connection:
            connection.channel().queue_delete("intake")
        broker.close()


def test_several_reasons_are_a_list_and_health_is_numbers(furnished: Slowpost) -> None:
    status = json.loads(furnished("status", "--json").out)
    (skipped,) = (row for row in status["deliveries"] if row["state"] == "skipped")
    assert skipped["reason"] == "in_flight,suppressed_address"
    assert skipped["reasons"] == ["in_flight", "suppressed_address"]
    assert [account["health"] for account in status["accounts"]] == [{"accepted": 1, "attempts": 1, "rate": 1.0}]
    assert "100% of 1" in furnished("status").out


def test_the_window_has_the_same_keys_open_and_closed(ready: Slowpost, clock: Any) -> None:
    clock.set(2026, 6, 2, 14)
    opened = json.loads(ready("status", "--json").out)["window"]
    clock.set(2026, 6, 2, 3)
    closed = json.loads(ready("status", "--json").out)["window"]
    assert opened == {"open": True, "closes": "2026-06-02T21:00:00Z", "opens": None}
    assert closed == {"open": False, "closes": None, "opens": "2026-06-02T12:00:00Z"}


#: Of a mail that an account of `eventful` has sent to itself.
NONCE = "0123456789abcdef" * 2

#: What each command gets beside its name (with --json), in the world of `eventful`.
WORDS: Mapping[str, str] = {
    "send CONTACT": "free@example.test",
    "accounts add": "--host h.test --from new@h.test",
    "accounts set ACCOUNT_ID": "1 --daily-limit 3 --tag brand-a",
    "cancel": "--template demanding",
    "lists add NAME": "new",
    "lists rename LIST NAME": "1 new",
    "lists remove LIST": "free",
    "lists put LIST CONTACT...": "1 free@example.test 99",
    "lists take LIST CONTACT...": "1 1 99",
    "campaigns add NAME": "new --list 1 --tag nobody",
    "campaigns apply FILE": "- --format yaml --yes",
    "campaigns set CAMPAIGN": "2 --limit 3",
    "campaigns start CAMPAIGN": "2 --no-footer-because none",
    "campaigns enrol CAMPAIGN CONTACT...": "1 free@example.test 99",
    "campaigns resume CAMPAIGN": "3",
    "campaigns add-step CAMPAIGN": "2 --template unused --after 3",
    "campaigns set-step CAMPAIGN STEP": "2 1 --template unused",
    "campaigns remove-step CAMPAIGN STEP": "2 1",
    "templates add NAME": "new --subject Hello --text-file -",
    "templates set TEMPLATE_ID": "1 --subject Hi",
    "templates remove TEMPLATE_ID": "unused",
    "templates attach TEMPLATE_ID FILE...": "1 - --name other.txt",
    "templates detach TEMPLATE_ID NAME": "1 offer.txt",
    "templates rerender TEMPLATE_ID": "demanding",
    "templates check TEMPLATE_ID": "demanding",
    "templates preview TEMPLATE_ID": "1 --contact 1",
    "templates send-test TEMPLATE_ID": "1 --to me@h.test --account 1 --contact 1",
    "doctor --send ACCOUNT_ID": "3",
    "suppress remove VALUE": "suppressed@example.test",
    "suppress add VALUE": "other.test",
    "contacts replied CONTACT...": "1 99",
    "dead replay LETTER_ID...": "2 99",
    "dead discard LETTER_ID...": "1 99",
    "in-doubt resolve DELIVERY_ID": "3 --sent",
}

#: What imports read: a line that is taken, and one that is refused.
FILES: Mapping[str, str] = {
    "accounts": "host,from_address\nh.test,new@h.test\nh.test,nobody\n",
    "contacts": "email\nann@example.test\nnobody\n",
    "websites": "domain\nx.test\n?\n",
    "suppress": "value\nx.test\n?\n",
    "templates": "Hello\n",
    "inbound": "From: a@example.test\nMessage-ID: <2@x>\nIn-Reply-To: <1@x.test>\nSubject: Re: Hello\n\nYes.\n",
    "doctor": f"From: a@example.test\nDKIM-Signature: v=1; d=x; s=y\nSubject: {SUBJECT} {NONCE}\n"
    "Received-SPF: pass envelope-from=a@example.test\nMessage-ID: <1@x>\n\n",
    "campaigns": "name: new\nlists: [1]\ntags: [nobody]\nsteps: [{template: unused}]\n",
}


@pytest.fixture
def furnished(ready: Slowpost, configure: Callable[..., None]) -> Iterator[Slowpost]:
    """A database in which each report has something to say, and most fields are filled in; and a DNS."""
    with DnsServer(REAL | {"example.test MX": ["0 ."]}) as dns, database.connection():
        configure(mail_dns_servers=dns.address)
        now = database.now()
        contact = a_contact(website=a_website(extra={"pages": 3}), extra={"topic": "bees"}, last_contacted_at=now)
        account = an_account(enabled_at=now, warmup_start=1, warmup_step=2, warmup_on=dt.date(2026, 6, 1))
        template = a_template(html='<img src="cid:logo">')
        for number, cid in enumerate((None, "logo")):
            an_attachment(template, name=["offer.txt", "logo.png"][number], cid=cid)
        members = a_list(contact, name="list one")
        running = a_campaign(
            (0, [a_template()]), lists=[members], accounts=[account], without=[a_list(name="list two")],
            no_footer_because="none", starts_on=now.date(), ends_on=dt.date(2100, 1, 1), daily_limit=9,
        )  # fmt: skip
        an_enrolment(running, contact, state="replied")
        an_enrolment(running, position=2, due_at=now)
        an_enrolment(running)
        suppress("address", [contact.address], "asked", now)
        two = "in_flight,suppressed_address"
        a_delivery(State.SKIPPED, contact=contact, template=template, reason=two)
        sent = a_delivery(State.SENT, contact=contact, reason="accepted", sent_at=now)
        doubtful = a_delivery(State.IN_DOUBT, account=account, message_id="<1@x.test>", detail="no reply")
        a_delivery(State.READY)
        failed = a_delivery(State.FAILED, reason="fault")
        for delivery, outcome, code in ((sent, "accepted", 250), (doubtful, "in_doubt", None)):
            Attempt.create(
                delivery=delivery, account=account, token=outcome, outcome=outcome, charged_to="nobody",
                claimed_at=now, finished_at=now, local_on=now.date(), reply_code=code,
            )  # fmt: skip
        about = {"verdict": "recipient_for_good", "reply_code": 550, "enhanced_code": "5.1.1", "mailbox": account}
        said = {"kind": "bounce", "named_by": "quoted", "effect": "bounced", "evidence": "a delivery report: failed"}
        InboundMail.create(key="k", delivery=sent, read_at=now, **said, **about)
        file_message("intake", b"\xff{", "the body is not JSON", now, message_id="m1")
        file_deliveries({failed.id: ("fault", "KeyError")}, now)
        record_action("ann", "pause", f"account {account.id}", now, "a try")
        OptOut.create(delivery=sent, contact=contact, choice="pause", way="page", made_at=now, until=now)
        yield ready


@pytest.fixture
def eventful(furnished: Slowpost, configure: Callable[..., None]) -> Iterator[Slowpost]:
    """The same with something to do for each action, and its first account's server; WORDS names its templates."""
    configure(mail_window_start=0, mail_window_end=0)
    with ScriptedServer() as server:
        with database.connection():
            now = database.now()
            SmtpAccount.update(port=server.port).execute()
            SelfMail.create(account=1, nonce=NONCE, message_id="<1@x>", sent_of="", local_on=now.date(), sent_at=now)
            a_template(name="unused")
            a_list(name="free")
            passwords.encrypt("a key is made")
            # Nothing answers where its mailbox is.
            nowhere = {"imap_host": "127.0.0.1", "imap_port": 1, "imap_username": "me", "imap_security": "plain"}
            bad = an_account(enabled_at=now, username="me", password="by no key", **nowhere)
            assert an_account(port=server.port).id == 3
            draft = a_campaign((0, [a_template()]), (3, [a_template()]), accounts=[bad], lists=[1], state="draft")
            CampaignSender.create(campaign=draft, tag="nobody")
            a_campaign((0, [a_template()]), accounts=[bad], lists=[1], state="paused", no_footer_because="-")
            demanding = a_template(name="demanding", text="{{ contact.topic }}")
            a_delivery(State.READY, template=demanding)
            on_its_way(an_enrolment(a_campaign(), Contact.get_by_id(1)), State.READY, template=demanding)
            an_enrolment(a_campaign((0, [a_template()]), accounts=[SmtpAccount.get_by_id(1)]))
            a_contact(email="free@example.test")
            a_contact(email="abuse@example.test")
            suppress("address", ["suppressed@example.test"], "asked", now)
            for number in range(10):
                Attempt.create(
                    delivery=a_delivery(State.FAILED), account=bad, token=f"t{number}", outcome="failed",
                    charged_to="account", claimed_at=now, finished_at=now, local_on=now.date(),
                )  # fmt: skip
        yield furnished


def acted(slowpost: Slowpost, command: str) -> str:
    """Run a command that acts, and return what it printed."""
    names = [word for word in command.split() if word.islower()]
    words = WORDS.get(command, "-" if command.endswith("FILE") else "1" if names != command.split() else "")
    with database.connection():
        ids = {t.name: str(t.id) for t in EmailTemplate.select()}
    return slowpost(*names, *(ids.get(w, w) for w in words.split()), "--json", stdin=FILES.get(names[0], "")).out


def with_json() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command that takes `--json`."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)  # type: ignore[arg-type]
        inner = {(name, sub): found for sub, found in getattr(command, "commands", {}).items()}
        for words, found in {(name,): command, **inner}.items():
            if any("--json" in option.opts for option in found.params):
                yield words


def misfits(value: Any, kind: Any, where: str) -> Iterator[str]:
    """Yield what of a JSON value is not as its type says."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if value is not None:
            yield from misfits(value, next(k for k in typing.get_args(kind) if k is not type(None)), where)
    elif typing.get_origin(kind) in (list, tuple):
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no list"
        else:
            for inner in value:
                yield from misfits(inner, item_of(kind), f"{where}[]")
    elif dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if list(value) != shown(kind):
            yield f"{where}: {list(value)}"
        for name, inner in value.items():
            yield from misfits(inner, hints[name], f"{where}.{name}")
    elif not is_a(value, kind):
        yield f"{where}: {value!r} is no {kind}"


def is_a(value: Any, kind: Any) -> bool:
    """Tell whether a JSON value is a plain one of a type."""
    if kind is dt.datetime:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value))
    if kind is dt.date:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value))
    if kind in (int, float):
        return isinstance(value, kind) and not isinstance(value, bool)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return value in list(kind)
    return isinstance(value, dict if typing.get_origin(kind) is Mapping else kind)

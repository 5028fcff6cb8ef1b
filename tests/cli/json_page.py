"""`docs/json.md`, written from the types and docstrings of what commands print.

`python -m tests.cli.json_page` writes it anew.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Any

from models import State
from pipeline.accounts.self_mail import SelfMailRead
from pipeline.inbound.importing import InboundImported
from pipeline.inbound.reader import MailboxRead
from pipeline.operations.accounts import AccountDone, LoggedIn
from pipeline.operations.attachments import AttachmentsDone
from pipeline.operations.batches import Imported
from pipeline.operations.campaign_apply import CampaignApplied
from pipeline.operations.campaign_states import CampaignStarted, CampaignStopped
from pipeline.operations.campaign_steps import StepDone
from pipeline.operations.campaigns import CampaignDone, CampaignWritten
from pipeline.operations.cancel import Cancelled
from pipeline.operations.check_contacts import ContactsChecked
from pipeline.operations.decisions import DoubtResolved
from pipeline.operations.enrolling import EnrolDone
from pipeline.operations.forget import Forgotten
from pipeline.operations.lists import ListDone, MembersDone
from pipeline.operations.pause import PauseDone
from pipeline.operations.rekey import Rekeyed
from pipeline.operations.rerender import Rerendered
from pipeline.operations.self_mail import SelfMailSent
from pipeline.operations.send import Entered
from pipeline.operations.suppression import SuppressionDone
from pipeline.operations.templates import TemplateDone
from pipeline.operations.trials import Checked, Preview, TestSent
from pipeline.reports.accounts import AccountRow
from pipeline.reports.actions import ActionRow
from pipeline.reports.backlog import BacklogRow
from pipeline.reports.campaign_check.findings import CampaignChecked
from pipeline.reports.campaign_report import CampaignReport
from pipeline.reports.campaigns import CampaignDetails, CampaignRow
from pipeline.reports.contacts import ContactDetails, ContactRow
from pipeline.reports.dead_letters import DeadLetterDetails, DeadLetterRow
from pipeline.reports.doctor.findings import Diagnosis
from pipeline.reports.doubt import DoubtRow
from pipeline.reports.inbound import InboundRow
from pipeline.reports.lists import ListDetails, ListRow
from pipeline.reports.log import AttemptRow
from pipeline.reports.plan import Plan
from pipeline.reports.reasons import WORDS
from pipeline.reports.running import Running
from pipeline.reports.status import Status
from pipeline.reports.story import Story
from pipeline.reports.suppressions import SuppressionRow
from pipeline.reports.templates import TemplateDetails, TemplateRow
from pipeline.reports.timeline import Day, Days
from pipeline.reports.why import Why
from schedules.check_health import SwitchedOff
from schedules.publish_batch import Batch
from schedules.sweep import Swept
from slowpost.cli.acting import shown
from slowpost.cli.contacts import Noted
from slowpost.cli.dead import Decided
from slowpost.cli.service import Initialised
from slowpost.cli.topology import Difference

PAGE = Path(__file__).parents[2] / "docs" / "json.md"

#: A command as it is called → the type of what it prints with `--json`: a dataclass, or a list of one.
REPORTS: Mapping[str, Any] = {
    "status": Status,
    "status --check": Running,
    "plan": Plan,
    "timeline": Day,
    "timeline --days 7": Days,
    "why CONTACT": Why,
    "backlog": list[BacklogRow],
    "doctor": Diagnosis,
    "log": list[AttemptRow],
    "accounts list": list[AccountRow],
    "accounts show ACCOUNT_ID": AccountRow,
    "contacts list": list[ContactRow],
    "contacts find TEXT": list[ContactRow],
    "contacts show CONTACT": ContactDetails,
    "contacts story CONTACT": Story,
    "lists list": list[ListRow],
    "lists show LIST": ListDetails,
    "campaigns list": list[CampaignRow],
    "campaigns show CAMPAIGN": CampaignDetails,
    "campaigns report CAMPAIGN": CampaignReport,
    "templates list": list[TemplateRow],
    "templates show TEMPLATE_ID": TemplateDetails,
    "dead list": list[DeadLetterRow],
    "dead show LETTER_ID": DeadLetterDetails,
    "in-doubt list": list[DoubtRow],
    "suppress list": list[SuppressionRow],
    "inbound list": list[InboundRow],
    "actions": list[ActionRow],
}

#: The same of what people do: each of these prints `warnings` besides.
ACTIONS: Mapping[str, Any] = {
    "send CONTACT": Entered,
    "publish": Batch,
    "pause": PauseDone,
    "resume": PauseDone,
    "cancel": Cancelled,
    "accounts add": AccountDone,
    "accounts enable ACCOUNT_ID": AccountDone,
    "accounts disable ACCOUNT_ID": AccountDone,
    "accounts reset ACCOUNT_ID": AccountDone,
    "accounts remove ACCOUNT_ID": AccountDone,
    "accounts set ACCOUNT_ID": AccountRow,
    "accounts test ACCOUNT_ID": LoggedIn,
    "accounts rekey": Rekeyed,
    "accounts import FILE": Imported,
    "contacts import FILE": Imported,
    "websites import FILE": Imported,
    "suppress import FILE": Imported,
    "contacts replied CONTACT...": Noted,
    "contacts forget CONTACT": Forgotten,
    "lists add NAME": ListDone,
    "lists rename LIST NAME": ListDone,
    "lists remove LIST": ListDone,
    "lists put LIST CONTACT...": MembersDone,
    "lists take LIST CONTACT...": MembersDone,
    "campaigns add NAME": CampaignWritten,
    "campaigns set CAMPAIGN": CampaignWritten,
    "campaigns apply FILE": CampaignApplied,
    "campaigns start CAMPAIGN": CampaignStarted,
    "campaigns pause CAMPAIGN": CampaignDone,
    "campaigns resume CAMPAIGN": CampaignDone,
    "campaigns stop CAMPAIGN": CampaignStopped,
    "campaigns enrol CAMPAIGN CONTACT...": EnrolDone,
    "campaigns add-step CAMPAIGN": StepDone,
    "campaigns set-step CAMPAIGN STEP": StepDone,
    "campaigns remove-step CAMPAIGN STEP": StepDone,
    "templates add NAME": TemplateDone,
    "templates set TEMPLATE_ID": TemplateDone,
    "templates activate TEMPLATE_ID": TemplateDone,
    "templates deactivate TEMPLATE_ID": TemplateDone,
    "templates remove TEMPLATE_ID": TemplateDone,
    "templates attach TEMPLATE_ID FILE...": AttachmentsDone,
    "templates detach TEMPLATE_ID NAME": AttachmentsDone,
    "templates rerender TEMPLATE_ID": Rerendered,
    "templates send-test TEMPLATE_ID": TestSent,
    "inbound import FILE": InboundImported,
    "suppress add VALUE": SuppressionDone,
    "suppress remove VALUE": SuppressionDone,
    "dead replay LETTER_ID...": Decided,
    "dead discard LETTER_ID...": Decided,
    "in-doubt resolve DELIVERY_ID": DoubtResolved,
    "doctor --send ACCOUNT_ID": SelfMailSent,
    "init": Initialised,
}

#: The same of what only looks what would be, of the schedule's jobs, and of RabbitMQ's queues.
OTHERS: Mapping[str, Any] = {
    "contacts check": ContactsChecked,
    "campaigns check CAMPAIGN": CampaignChecked,
    "templates preview TEMPLATE_ID": Preview,
    "templates check TEMPLATE_ID": Checked,
    "doctor --received FILE": SelfMailRead,
    "inbound read": list[MailboxRead],
    "sweep": Swept,
    "check-health": list[SwitchedOff],
    "topology migrate": list[Difference],
}

WARNINGS = ("warnings", "list of texts", "what could not be handed on yet; none if all went well.")

ABOUT_REPORTS = """\
`doctor` prints its JSON and has exit code 1 if there is an error, `status --check` if anything is wrong.
"""

ABOUT_ACTIONS = """\
What is printed has been done and is committed (`publish --dry-run` does nothing). If RabbitMQ is away then, or has
other queues than this version's, `warnings` says so, and the sweep goes on with it; the exit code is 0. What needs
RabbitMQ is refused without it, before anything is done: `send`, `init`, and `dead replay` of a message.

Some of it can be refused and the rest done: lines of an import, some of several contacts or dead letters, deliveries
that can't be rendered, passwords that no key decrypts. Then the JSON is printed, stderr says what was refused, and the
exit code is 1 (imports: with --strict, or where no line was taken).
"""

ABOUT_OTHERS = """\
`templates check` prints its JSON and has exit code 1 where the template fails for anybody, or an image is missing,
`contacts check` where DNS can't be asked, `campaigns check` where there is a problem among the findings, `inbound read`
where a mailbox can't be read.
"""

#: The parts of the page: heading → what stands below it, and its commands.
PARTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Reports": (ABOUT_REPORTS, REPORTS),
    "Actions": (ABOUT_ACTIONS, ACTIONS),
    "Trials, the schedule, RabbitMQ's queues": (ABOUT_OTHERS, OTHERS),
}

HEAD = """\
# What `--json` prints

Each command below prints its report, or what it has done, field for field: an object, or a list of objects. The same
keys are there always, null where there is nothing to say; new keys can come.

| type | is |
|---|---|
| number | a JSON number |
| text | a string |
| time | a string, UTC, ISO 8601 to the second: `2026-06-02T14:00:00Z` |
| date | a string, `2026-06-02` |
| state | a string, [one of these](#words) |
| object | an object whose keys are yours |

`list[].key` is a key of each object in a list. CONTACT is a contact's id or its address, LIST a list's name or its id.
A refusal is one line on stderr with nothing on stdout, and exit code 1 (2: the command was called in a wrong way).

This page is written from the program (`python -m tests.cli.json_page`), and a test compares the two.
"""


def page() -> str:
    """Return the page as it has to be."""
    return "\n".join([HEAD, *_commands(), *_words()])


def _commands() -> Iterator[str]:
    for heading, (about, commands) in PARTS.items():
        yield f"## {heading}\n"
        if about:
            yield about
        # Neighbours that print the same share a table.
        for kind, same in groupby(commands, key=commands.__getitem__):
            report = item_of(kind)
            each = "A list, an object for each. " if report is not kind else ""
            names = ", ".join(f"`slowpost {command}`" for command in same)
            yield f"### {names}\n\n{each}{_summary(report)}\n\n| key | type | meaning |\n|---|---|---|"
            lines = [*rows(report), WARNINGS] if commands is ACTIONS else rows(report)
            yield from (f"| `{key}` | {words} | {meaning} |" for key, words, meaning in lines)
            yield ""


def item_of(kind: Any) -> Any:
    """Return the dataclass behind a report's type: itself, or what it is a list of."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) in (list, tuple) else kind


def rows(report: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield key, type and meaning of each field of a report, and of what is inside."""
    kinds, meanings = typing.get_type_hints(report), _meanings(report)
    for name in shown(report):
        kind = kinds[name]
        yield prefix + name, _type(kind), meanings[name]
        inner = item_of(_without_none(kind))
        if dataclasses.is_dataclass(inner):
            yield from rows(inner, f"{prefix}{name}{'[]' if inner is not _without_none(kind) else ''}.")


def _type(kind: Any) -> str:
    plain = _without_none(kind)
    null = "" if plain is kind else " or null"
    if typing.get_origin(plain) in (list, tuple):
        inner = item_of(plain)
        return ("list of objects" if dataclasses.is_dataclass(inner) else f"list of {_type(inner)}s") + null
    if dataclasses.is_dataclass(plain) or typing.get_origin(plain) is not None:
        return "object" + null
    if plain is State:
        return "state" + null
    if issubclass(plain, StrEnum):
        return ", ".join(f"`{word}`" for word in plain) + null
    return _PLAIN[plain] + null


_PLAIN = {int: "number", float: "number", bool: "true or false", str: "text", dt.datetime: "time", dt.date: "date"}


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (kind,) = (part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _meanings(report: Any) -> dict[str, str]:
    """Return what the docstrings of a report, and of what it extends, say of its fields."""
    found: dict[str, str] = {}
    for base in reversed(report.__mro__[:-1]):
        _, _, attributes = (inspect.getdoc(base) or "").partition("Attributes:\n")
        for name, meaning in re.findall(r"^    (\w+): ((?:.|\n {8})+)", attributes, re.MULTILINE):
            found[name] = " ".join(meaning.split()).replace("|", "\\|")
    assert set(found) == {field.name for field in dataclasses.fields(report)}, report
    return found


def _summary(report: Any) -> str:
    return " ".join((inspect.getdoc(report) or "").partition("Attributes:")[0].split())


def _words() -> Iterator[str]:
    yield "## Words\n"
    yield f"States of a delivery, in the order of the route: {', '.join(f'`{state}`' for state in State)}.\n"
    yield "Reasons:\n\n| word | in a sentence |\n|---|---|"
    stands_for = {"until": "a time", "number": "so many", "campaign": "ID", "account": "ID"}
    sentences = {word: sentence.format(**stands_for) for word, sentence in WORDS.items()}
    yield from (f"| `{word}` | {sentence} |" for word, sentence in sentences.items())
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page())

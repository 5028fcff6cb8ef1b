"""A campaign's file as it is read: each mistake with its line, what is meant, and what is allowed; all at once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from models import Action, Campaign, EmailTemplate, WhenAccountIsOff, database
from pipeline.operations import campaign_file
from pipeline.operations.campaign_file import Wanted, WantedStep
from pipeline.operations.campaign_values import Parts
from pipeline.operations.fields import FieldError
from tests.builders import a_list, a_template, an_account
from tests.stages.campaign_mistakes import MISTAKES, NAME, OF_NAME

CASES = [
    pytest.param(form, before + written, where, said, id=f"{name} ({form})")
    for cases, has_name in ((MISTAKES, True), (OF_NAME, False))
    for name, (in_yaml, in_toml, where, said) in cases.items()
    for form, written in (("yaml", in_yaml), ("toml", in_toml))
    if written is not None
    for before in [NAME[form] if has_name else ""]
]


def test_there_are_enough_of_them() -> None:
    assert len(MISTAKES) + len(OF_NAME) > 60


@pytest.mark.parametrize(("form", "text", "where", "said"), CASES)
def test_each_mistake_has_its_line_and_says_what_is_allowed(
    furnished: None, form: str, text: str, where: str, said: str
) -> None:
    (mistake,) = read(text, form).mistakes
    marked = [number for number, line in enumerate(text.splitlines(), 1) if "#!" in line]
    assert [mistake.line] == (marked or [1])
    assert mistake.field == where
    if said.endswith("…"):
        assert mistake.problem.startswith(said.removesuffix("…"))
    else:
        assert mistake.problem == said


def test_all_mistakes_of_a_file_are_said_at_once_by_line(furnished: None) -> None:
    text = (
        "limit: x\nname: Spring\nlists: [a, dentists, b]\nsteps:\n  - template: hello\n    after: 1\n  - quote: maybe\n"
    )
    found = [(one.line, one.field) for one in read(text, "yaml").mistakes]
    assert found == [
        (1, "limit"),
        (3, "lists[1]"),
        (3, "lists[3]"),
        (6, "steps[1].after"),
        (7, "steps[2]"),
        (7, "steps[2].quote"),
        (7, "steps[2]"),
    ]


def test_what_a_file_says_is_read_by_the_parsers_of_the_options(furnished: None) -> None:
    wanted = read(ALL, "yaml")
    assert wanted.mistakes == ()
    assert wanted.values == {
        "name": "Spring",
        "key": "spring",
        "daily_limit": 40,
        "starts_on": dt.date(2026, 7, 1),
        "ends_on": None,
        "hours": "09:00-17:00",
        "weight": 3,
        "shares_contacts": False,
        "stops_website": True,
        "when_account_is_off": WhenAccountIsOff.STOP,
        "reply_prefix": True,
        "no_footer_because": "no: customers",
    }
    assert wanted.parts == Parts(["1"], ["2"], [1], ["brand-a"])
    assert wanted.templates == {
        "new": {"subject": "Hi: {{ contact.name }}", "text": "Dear\n\nReader\n", "html": "good\n", "preheader": None},
        "7": {"subject": None, "text": "Again", "html": None, "preheader": "x"},
    }
    first = {"days": 0, "working_days": True, "quotes": False}
    assert wanted.steps == (
        WantedStep(first, (("new", 1), ("hello", 2))),
        WantedStep({"days": 3, "working_days": False, "quotes": True}, (("7", 1),)),
        WantedStep({"days": 1, "working_days": True, "quotes": False}, (("new", 1),)),
    )


def test_an_endless_id_is_nobodys_on_postgresql_either(postgres: str) -> None:
    text = f"name: Spring\naccounts: [{'9' * 20}, {'9' * 18}]\n"
    assert [one.problem.split(";")[0] for one in read(text, "yaml").mistakes] == [
        f"there is no account {'9' * 20}",
        f"there is no account {'9' * 18}",
    ]


def test_reading_stores_nothing(furnished: None) -> None:
    before = [model.select().count() for model in (Campaign, EmailTemplate, Action)]
    read(ALL, "yaml")
    assert [model.select().count() for model in (Campaign, EmailTemplate, Action)] == before


ALL = """\
name: Spring
lists: [dentists]
without: [2]
accounts: [sales]
tags: [Brand-A]
limit: 40
from: 2026-07-01
until:
hours: 9-17
weight: 3
share-contacts: no
stop-website: yes
when-account-off: stop
reply-prefix: true
no-footer-because: "no: customers"
steps:
  - variants:
      - template:
          name: new
          subject: "Hi: {{ contact.name }}"
          text: |
            Dear

            Reader
          html-file: good.txt
      - template: hello
        weight: 2
  - after: 3
    calendar-days: yes
    quote: yes
    template: {name: "7", text: Again, preheader: x}
  - {after: 1, template: new}
"""


@pytest.fixture
def furnished(sqlite: str) -> None:
    """Two lists, an account and one that was removed, a template, and one of follow-ups."""
    a_list(name="dentists")
    a_list(name="customers")
    an_account(name="sales")
    an_account(name="gone", removed_at=database.now())
    a_template(name="hello")
    a_template(name="again", subject="", active=False)


def read(text: str, form: str) -> Wanted:
    """Read a file that names others of its folder."""

    def beside(path: str) -> str:
        found = {"good.txt": "good\n", "bad.txt": "Hi\n{% x"}.get(path)
        if found is None:
            raise FieldError(f"{Path(path).name}: there is no such file")
        return found

    return campaign_file.read(text, form, beside)

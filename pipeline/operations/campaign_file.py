"""A campaign as a file describes it: read, with all its mistakes. Looks at what there is; writes nothing.

The file says all of the campaign but whether it runs: what it does not say is as in a new one, but for the reason why
it has no footer, which stays as it is. Keys are called like the options of `campaigns add` and `campaigns add-step`,
and read by the same parsers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from models import ContactList, EmailTemplate, SmtpAccount, lookup
from models.contact_list import key_of
from pipeline.operations import campaign_values, fields, toml_nodes, yaml_nodes
from pipeline.operations.campaign_values import VALUES, Parts
from pipeline.operations.csv_rows import Row
from pipeline.operations.file_nodes import Items, Node, SyntaxMistakeError, Text
from pipeline.operations.file_values import Field, Mistake, Reading, nearest
from pipeline.operations.template_file import ReadFile, TemplatesRead, Words

T = TypeVar("T")

FORMATS: Mapping[str, Callable[[str], Node]] = {"yaml": yaml_nodes.read, "toml": toml_nodes.read}
KEYS = ("name", "lists", "without", "accounts", "tags", *(name for name in VALUES if name != "name"), "steps")
STEP_KEYS = ("template", "variants", "after", "calendar-days", "quote")
VARIANT_KEYS = ("template", "weight")

NO_FOOTER = "no-footer-because"
FOLLOWS_NOTHING = "the first step follows nothing: it has neither days after it nor a quote"


@dataclass(frozen=True)
class WantedStep:
    """A step: its columns, and the names of its templates with their weights."""

    values: Mapping[str, Any]
    variants: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Wanted:
    """A campaign as a file describes it.

    Attributes:
        values: by column, all that a person decides.
        parts: its lists and senders.
        templates: those that the file writes, by name: their parts.
        steps: what is sent, in its order.
        mistakes: what is wrong in the file, by line; if anything is, the rest is no campaign.
    """

    values: Row = field(default_factory=dict)
    parts: Parts = field(default_factory=Parts)
    templates: Mapping[str, Words] = field(default_factory=dict)
    steps: tuple[WantedStep, ...] = ()
    mistakes: tuple[Mistake, ...] = ()


def read(text: str, form: str, read_file: ReadFile) -> Wanted:
    """Return the campaign that a file describes, or its mistakes.

    Args:
        text: of the file.
        form: one of FORMATS.
        read_file: reads the files that it names.
    """
    try:
        node = FORMATS[form](text)
    except SyntaxMistakeError as error:
        return Wanted(mistakes=(Mistake(error.line, "", str(error)),))
    reading = Reading()
    wanted = _Campaign(reading, read_file).read(Field(1, "", node))
    return replace(wanted, mistakes=tuple(sorted(reading.mistakes, key=lambda one: one.line)))


@dataclass(frozen=True)
class _Step:
    """A step whose templates are still to be looked for: where each is named, its name or id, its weight."""

    values: Mapping[str, Any]
    variants: list[tuple[Field, str, int]]


class _Campaign:
    def __init__(self, reading: Reading, read_file: ReadFile) -> None:
        self._reading = reading
        self._templates = TemplatesRead(reading, read_file)

    def read(self, whole: Field) -> Wanted:
        if (given := self._reading.table(whole, KEYS)) is None:
            return Wanted()
        values, parts = self._values(given), self._parts(given)
        items = self._reading.items(given.get("steps"), "- template: hello")
        steps = [self._step(item, is_first=not number) for number, item in enumerate(items)]
        # A step may name a template that another one writes, before or behind it.
        wanted = tuple(self._with_templates(step, is_first=not number) for number, step in enumerate(steps))
        return Wanted(values, parts, self._templates.written, wanted)

    def _values(self, given: Mapping[str, Field]) -> Row:
        row = campaign_values.defaults()
        if "name" not in given:
            self._reading.wrong(Field(1, "name", Text(1, "")), "it is missing: a campaign needs a name")
        for name, (column, parse) in VALUES.items():
            row[column] = self._reading.value(given.get(name), parse, row[column])
        for problem in campaign_values.problems(row):
            name, _, said = problem.partition(": ")
            self._reading.wrong(given[name], said)
        if NO_FOOTER not in given:  # `campaigns start` may have said it
            del row[VALUES[NO_FOOTER][0]]
        return row | {"key": key_of(row["name"] or "")}

    def _parts(self, given: Mapping[str, Field]) -> Parts:
        values = self._reading.values
        find_list = _or_nearest(lookup.contact_list, ContactList, ", or make it: `slowpost lists add NAME`")
        lists = values(given.get("lists"), find_list, "[dentists]")
        without = values(given.get("without"), find_list, "[customers]")
        for item, found in without:
            if found in (one for _, one in lists):
                self._reading.wrong(item, "the list is both among its lists and excluded")
        find_account = _or_nearest(lookup.account_of, SmtpAccount, "; `slowpost accounts list` says which there are")
        accounts = values(given.get("accounts"), find_account, "[1, sales]")
        tags = values(given.get("tags"), fields.tag, "[brand-a]")
        return Parts(
            [str(found.id) for _, found in lists],
            [str(found.id) for _, found in without],
            [found.id for _, found in accounts],
            [tag for _, tag in tags],
        )

    def _step(self, item: Field, *, is_first: bool) -> _Step:
        reading = self._reading
        if (given := reading.table(item, STEP_KEYS)) is None:
            return _Step({}, [])
        if is_first:
            for key in given.keys() & {"after", "quote"}:
                reading.wrong(given.pop(key), FOLLOWS_NOTHING)
        elif "after" not in given:
            reading.wrong(item, "after is missing: how many days after the step before?")
        calendar_days = reading.value(given.get("calendar-days"), fields.yes_no, False)
        values = {
            "days": reading.value(given.get("after"), fields.days_after, 0),
            "working_days": not calendar_days,
            "quotes": reading.value(given.get("quote"), fields.yes_no, False),
        }
        return _Step(values, self._variants(item, given))

    def _variants(self, item: Field, given: Mapping[str, Field]) -> list[tuple[Field, str, int]]:
        if {"template", "variants"} <= given.keys():
            self._reading.wrong(given["variants"], "a step has either a template or variants, not both")
        if "variants" not in given:
            return self._variant(item, given, weight=1)
        found: list[tuple[Field, str, int]] = []
        if isinstance(given["variants"].node, Items) and not given["variants"].node.items:
            self._reading.wrong(given["variants"], "a step needs at least one template")
        for variant in self._reading.items(given["variants"], "- template: hello"):
            if (of_variant := self._reading.table(variant, VARIANT_KEYS)) is None:
                continue
            weight = self._reading.value(of_variant.get("weight"), fields.weight, 1)
            found += self._variant(variant, of_variant, weight)
        return found

    def _variant(self, item: Field, given: Mapping[str, Field], weight: int) -> list[tuple[Field, str, int]]:
        if "template" not in given:
            self._reading.wrong(item, "template is missing: what is written?")
            return []
        named = self._templates.read(given["template"])
        return [] if named is None else [(given["template"], named, weight)]

    def _with_templates(self, step: _Step, *, is_first: bool) -> WantedStep:
        variants: dict[str, int] = {}
        for item, named, weight in step.variants:
            if (found := self._template(item, named)) is None:
                continue
            name, is_follow_up = found
            if is_follow_up and is_first:
                self._reading.wrong(item, "it has no subject: it is for mails that follow another")
            if name in variants:
                self._reading.wrong(item, "it is there twice")
            variants[name] = weight
        return WantedStep(step.values, tuple(variants.items()))

    def _template(self, item: Field, named: str) -> tuple[str, bool] | None:
        """Return a template's name, and whether it is that of follow-ups."""
        name = named
        if named not in self._templates.written:
            known, here = self._templates.written, ", or write it here: with name, subject and text"
            find = _or_nearest(lookup.template_of, EmailTemplate, here, known)
            if (found := self._reading.value(replace(item, node=Text(item.line, named)), find, None)) is None:
                return None
            name, is_follow_up = found.name, found.is_follow_up
        if name in self._templates.written:
            is_follow_up = self._templates.written[name]["subject"] is None
        return name, is_follow_up


def _or_nearest(find: Callable[[str], T], model: Any, otherwise: str, known: Iterable[str] = ()) -> Callable[[str], T]:
    """Return what finds a row; if there is none, its error says which one, or of these names, may be meant, and what to
    do otherwise.
    """

    @functools.wraps(find)
    def found(text: str) -> T:
        try:
            return find(text)
        except lookup.NotThereError as error:
            names = [name for (name,) in model.select(model.name).tuples()]
            raise lookup.NotThereError(f"{error}{nearest(text.strip(), [*names, *known])}{otherwise}") from None

    return found

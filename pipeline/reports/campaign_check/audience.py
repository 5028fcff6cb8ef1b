"""Whom a campaign is for, contact by contact: who is left out, who has to wait, whose mails would fail or have a gap.

Reads: the contacts in pages, in the order of their ids; so memory is bounded however many they are. Each step is
rendered as the route does it, for no more contacts than are asked for, evenly among all.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models import Campaign, Contact, Delivery, Reason
from pipeline.campaigns import audience
from pipeline.content.template import Footer, variables_of
from pipeline.content.uses import OBJECTS, Needed
from pipeline.reports.campaign_check.findings import About, CampaignFinding, Severity, Tally
from pipeline.reports.campaign_check.rendering import Trials
from pipeline.reports.campaign_check.words import Written
from pipeline.reports.reasons import Because, in_words
from pipeline.rules import contact as contact_rules
from pipeline.rules import duplicates, sequences
from pipeline.rules.suppressed import suppressed_among
from pipeline.runtime.settings import settings
from pipeline.throttle.wall_clock import midnight
from pipeline.throttle.window import SendingWindow

#: Contacts read at a time.
PAGE = 5000

OnProgress = Callable[[int, int], object]


@dataclass
class Looked:
    """What was seen of an audience.

    Attributes:
        number: how many contacts it has.
        goes: to how many of them nothing keeps the campaign from writing, now or after others.
        left_out: who is never written to as things stand, by the reason.
        waits: who has to wait for something else, by the reason.
        elsewhere: who is in another campaign's sequence.
        closed: whose clock has no hour in common with window and campaign, by zone.
        missing, blank: by what is needed: who has none of these columns, or only blank ones.
    """

    number: int = 0
    goes: int = 0
    left_out: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    waits: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    elsewhere: Tally = field(default_factory=Tally)
    closed: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    missing: dict[Needed, Tally] = field(default_factory=lambda: defaultdict(Tally))
    blank: dict[Needed, Tally] = field(default_factory=lambda: defaultdict(Tally))


class Audience:
    """Goes through the contacts of a campaign."""

    def __init__(self, campaign: Campaign, templates: Sequence[Written], trials: Trials, now: dt.datetime) -> None:
        self._campaign, self._templates, self._trials, self._now = campaign, templates, trials, now
        self._window = SendingWindow.from_settings(settings())
        self._opens: dict[str, bool] = {}
        self.seen = Looked()

    def look(self, limit: int, on_progress: OnProgress) -> Looked:
        """Look at all of them, and render the mails of at most `limit`; `on_progress` is told how far that is."""
        seen, query = self.seen, audience.meant(self._campaign)
        total = int(query.count())
        apart = max(1, -(-total // limit)) if limit else 0
        last = 0
        while page := list(query.where(Contact.id > last).order_by(Contact.id).limit(PAGE)):
            last = page[-1].id
            going = self._going(page)
            self._look_at_columns(going)
            first = seen.number
            chosen = {c.id for place, c in enumerate(page, first) if apart and place % apart == 0}
            self._trials.render([c for c in going if c.id in chosen])
            seen.number += len(page)
            seen.goes += len(going)
            on_progress(seen.number, total)
        return seen

    def _going(self, page: Sequence[Contact]) -> list[Contact]:
        """Return those to whom the campaign can write; count the others, and those who have to wait."""
        against: dict[int, list[str]] = defaultdict(list)
        for contact_id, reasons in contact_rules.reasons_against_each(page, self._now).items():
            # With the campaign's own hours, that is asked below.
            against[contact_id] += [reason for reason in reasons if reason is not Reason.NO_COMMON_WINDOW]
        suppressed = suppressed_among((c.address for c in page), self._now)
        for c in page:
            if c.address in suppressed:
                against[c.id].append(duplicates.REASON_OF[suppressed[c.address]])
        self._count(self.seen.left_out, against)
        going = [c for c in page if not against[c.id]]
        for c in going:
            if not self._opens_for(c.timezone or ""):
                self.seen.closed[c.timezone or ""].add([c.id])
        going = [c for c in going if self._opens_for(c.timezone or "")]
        self._count(self.seen.waits, self._waiting([c for c in going if is_first(c)]))
        return going

    @staticmethod
    def _count(tallies: dict[str, Tally], reasons_of: Mapping[int, Sequence[str]]) -> None:
        for contact_id in sorted(reasons_of):
            for reason in reasons_of[contact_id]:
                tallies[reason].add([contact_id])

    def _opens_for(self, zone: str) -> bool:
        """Tell whether there is an hour that is open on the window's clock, the campaign's and the contact's."""
        if zone not in self._opens:
            window, starts_on, ends_on = self._window, self._campaign.starts_on, self._campaign.ends_on
            at = self._now if starts_on is None else max(self._now, midnight(window.zone, starts_on))
            is_over = ends_on is not None and ends_on < window.local_date(at)
            opens = window.soonest(at, zone, self._campaign.hours)
            in_time = opens is not None and (ends_on is None or window.local_date(opens) <= ends_on)
            self._opens[zone] = is_over or in_time
        return self._opens[zone]

    def _waiting(self, first: Sequence[Contact]) -> dict[int, list[str]]:
        """Return what keeps first mails from going now, by contact; another campaign's sequence is counted apart."""
        against: dict[int, list[str]] = defaultdict(list)
        for rule in duplicates.RULES:
            taken = rule.taken((c.__data__[rule.of_contact.name] for c in first), (), self._now)
            for c in first:
                if c.__data__[rule.of_contact.name] in taken:
                    against[c.id].append(rule.reason)
        candidates = [
            Delivery(id=c.id, contact=c.id, address=c.address, website=c.website_id, position=1) for c in first
        ]
        for contact_id in sequences.kept_back(candidates):
            against[contact_id].append(Reason.IN_SEQUENCE)
        if not self._campaign.shares_contacts:
            outside = [c.id for c in first if getattr(c, "enrolled", None) is None]
            self.seen.elsewhere.add(audience.in_another(self._campaign, outside))
        return against

    def _look_at_columns(self, going: Sequence[Contact]) -> None:
        needed = {one.key: one.uses for one in self._templates}
        for contact in going:
            uses = [needed[key] for key in self._trials.keys_of(contact) if key in needed]
            has = columns_of(contact)
            demanded = {n for use in uses for n in use.demanded}
            for one in demanded:
                if not any(column in has for column in one):
                    self.seen.missing[one].add([contact.id])
            for one in {n for use in uses for n in use.printed}:
                values = [has[column] for column in one if column in has]
                if values and not any(map(is_there, values)):
                    self.seen.blank[one].add([contact.id])


def is_first(contact: Contact) -> bool:
    """Tell whether a contact of an audience still waits for its first mail, and none is on its way."""
    enrolled = getattr(contact, "enrolled", None)
    return enrolled is None or (enrolled.position == 1 and enrolled.delivery_id is None)


def columns_of(contact: Contact) -> dict[str, Any]:
    """Return the values of a contact and its website, by the name by which templates ask for them."""
    variables = variables_of(contact, contact.website if contact.website_id else None, Footer())
    return {f"{of}.{name}": value for of in OBJECTS for name, value in (variables[of] or {}).items()}


def is_there(value: Any) -> bool:
    """Tell whether a value shows in a mail."""
    return value is not None and (not isinstance(value, str) or bool(value.strip()))


def findings(seen: Looked, has_audience: bool) -> Iterator[CampaignFinding]:
    """Yield what there is to say about an audience; `has_audience`: it has a list, or somebody enrolled."""
    if has_audience and not seen.goes:
        nobody = (
            "nobody is on its lists" if not seen.number else f"none of its {seen.number} contacts can be written to"
        )
        yield CampaignFinding(Severity.PROBLEM, About.AUDIENCE, nobody, contacts=seen.number)
    for needed, tally in sorted(seen.missing.items(), key=lambda item: sorted(item[0])):
        yield _column(needed, tally, is_missing=True)
    for needed, tally in sorted(seen.blank.items(), key=lambda item: sorted(item[0])):
        yield _column(needed, tally, is_missing=False)
    for zone, tally in sorted(seen.closed.items()):
        closed = CampaignFinding(
            Severity.PROBLEM,
            About.HOURS,
            f"no hour is open by the window, the campaign's hours and dates and the clock of {zone or 'the window'}: "
            "these contacts are never written to",
            "other hours or dates: `slowpost campaigns set`",
        )
        yield tally.put(closed)
    for reason, tally in sorted(seen.left_out.items()):
        yield tally.put(CampaignFinding(Severity.NOTE, About.LEFT_OUT, f"left out: {_in_words(reason)}"))
    if seen.elsewhere.number:
        elsewhere = "in another campaign's sequence: they come when that has ended"
        yield seen.elsewhere.put(CampaignFinding(Severity.NOTE, About.WAITS, elsewhere))
    for reason, tally in sorted(seen.waits.items()):
        yield tally.put(CampaignFinding(Severity.NOTE, About.WAITS, f"they wait: {_in_words(reason)}"))


def _in_words(reason: str) -> str:
    return in_words(Because(reason), settings().mail_window_timezone)


def _column(needed: Needed, tally: Tally, *, is_missing: bool) -> CampaignFinding:
    names = sorted(needed)
    column = " and ".join(names)
    example = names[0]
    what = "not there, so their mails would fail" if is_missing else "blank, so their mails would have a gap"
    remedy = f"fill the column in, or write {{{{ {example}|default('…', true) }}}}"
    if is_missing:
        remedy += f", or {{% if {example} is defined %}}"
    are = "are" if len(names) > 1 else "is"
    found = f"{column} {are} {what}"
    return tally.put(CampaignFinding(Severity.PROBLEM, About.COLUMN, found, remedy, column=column))

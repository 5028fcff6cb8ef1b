"""A campaign's mails rendered for contacts, as a trial: by the process that renders for the route, with its limits, and
made into messages as they are before they are sent. Writes and sends nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from models import Campaign, Contact
from pipeline.accounts.consent import offered
from pipeline.accounts.template_limits import IN_ROW
from pipeline.campaigns.steps import Steps, variant_for
from pipeline.content import message, suspects
from pipeline.content.consent import EXAMPLE
from pipeline.content.message import MessageRefusedError, Rendered, Sender
from pipeline.content.template import Before, Footer, Parts, TemplateError, TemplateLimitError, render
from pipeline.content.thread import subject_after
from pipeline.reports.campaign_check.findings import About, CampaignFinding, Severity, Tally
from pipeline.reports.campaign_check.words import Written, placeholder
from pipeline.runtime.settings import settings

#: In place of what is known only when a mail is sent.
_MESSAGE_ID, _SUBJECT = "<trial@slowpost.invalid>", "[the subject of the mail before]"

#: A step's position, and a template.
Key = tuple[int, int]


@dataclass
class _Came:
    """What came of the trials of a template: for whom it fails, with the first problem; and placeholders in its mails
    that are not in its source.
    """

    tried: int = 0
    fails: Tally = field(default_factory=Tally)
    problem: str = ""
    strange: Tally = field(default_factory=Tally)
    placeholders: tuple[str, ...] = ()
    stopped: int = 0


class Trials:
    """Renders the mails of a campaign."""

    def __init__(self, campaign: Campaign, steps: Steps, templates: Sequence[Written], sender: Sender) -> None:
        self._campaign, self._steps, self._sender = campaign, steps, sender
        self._templates = [one for one in templates if one.mistake is None]
        self._footer = Footer.from_settings(settings())
        self._came: dict[Key, _Came] = defaultdict(_Came)

    @property
    def rendered(self) -> int:
        """How many mails were rendered."""
        return sum(came.tried for came in self._came.values())

    def keys_of(self, contact: Contact) -> list[Key]:
        """Return step and template of each mail that a contact has still to get."""
        enrolled = getattr(contact, "enrolled", None)
        first = 1 if enrolled is None else enrolled.position
        found = []
        for (_, position), step in self._steps.step_of.items():
            template = variant_for(contact.id, step.id, self._steps.variants_of.get(step.id, ()))
            if position >= first and template is not None:
                found.append((position, template.id))
        return found

    def render(self, contacts: Sequence[Contact]) -> None:
        """Render all mails of some contacts, template by template: each is compiled once."""
        keys_of = {contact.id: set(self.keys_of(contact)) for contact in contacts}
        subjects: dict[int, list[str]] = defaultdict(list)
        for one in self._templates:
            came = self._came[one.key]
            for contact in contacts:
                if one.key in keys_of[contact.id] and came.stopped < IN_ROW:
                    self._try(one, contact, came, subjects[contact.id])

    def _try(self, one: Written, contact: Contact, came: _Came, subjects: list[str]) -> None:
        came.tried += 1
        before = None
        if one.step.position > 1:
            subject = subject_after(subjects, reply_prefix=self._campaign.reply_prefix) if subjects else _SUBJECT
            before = Before(subject)
        website = contact.website if contact.website_id else None
        try:
            parts = render(one.template, contact, website, self._footer, before)
            self._build(contact, parts)
        except (TemplateError, MessageRefusedError) as error:
            came.fails.add([contact.id])
            came.problem = came.problem or str(error)
            came.stopped = came.stopped + 1 if isinstance(error, TemplateLimitError) else 0
            return
        came.stopped = 0
        subjects.append(parts.subject)
        strange = [found for found in _strange(parts) if found not in one.placeholders]
        if strange:
            came.strange.add([contact.id])
            came.placeholders = came.placeholders or tuple(strange)

    def _build(self, contact: Contact, parts: Parts) -> None:
        words = Rendered(
            contact.email, contact.name, parts.subject, parts.text, parts.html, parts.preheader, _MESSAGE_ID
        )
        message.build(words, self._sender, dt.datetime(2000, 1, 1, tzinfo=dt.UTC), offered(EXAMPLE))

    def findings(self) -> Iterator[CampaignFinding]:
        """Yield for whom mails fail, and what in them is strange."""
        for one in self._templates:
            came = self._came[one.key]
            if came.fails.number:
                more = " (the others were not tried: that takes too long)" if came.stopped == IN_ROW else ""
                problem = CampaignFinding(
                    Severity.PROBLEM,
                    About.RENDERING,
                    f"{came.fails.number} of {came.tried} mails that were tried fail, such as: {came.problem}{more}",
                    f"`slowpost templates preview {one.template.id} --contact {came.fails.ids[0]}` shows it",
                )
                yield one.of_it(came.fails.put(problem))
            if came.strange.number:
                yield one.of_it(came.strange.put(placeholder(came.placeholders, in_mails=True)))


def _strange(parts: Parts) -> list[str]:
    texts = [parts.subject, parts.preheader or "", parts.text]
    html = suspects.placeholders([parts.html], is_html=True) if parts.html else []
    return suspects.placeholders(texts) + html

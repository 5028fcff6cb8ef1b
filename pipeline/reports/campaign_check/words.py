"""What a campaign's templates say, looked at in their source. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from models import EmailTemplate, Step
from pipeline.campaigns.steps import Steps
from pipeline.content import suspects
from pipeline.content.files import missing_and_unused, warning
from pipeline.content.mime import references
from pipeline.content.template import TemplateError, check_syntax
from pipeline.content.uses import Uses, uses
from pipeline.delivery.attachments import rows_of
from pipeline.reports.campaign_check.findings import About, CampaignFinding, Severity

#: What is shown of placeholders.
SHOWN = 5


@dataclass(frozen=True)
class Written:
    """A template of a step.

    Attributes:
        step: the step.
        template: what is written.
        uses: what its parts use.
        placeholders: those of other programs in its words.
        mistake: why it can't be compiled.
    """

    step: Step
    template: EmailTemplate
    uses: Uses
    placeholders: tuple[str, ...] = ()
    mistake: str | None = None

    @property
    def key(self) -> tuple[int, int]:
        """By what it is known: the step's position, and the template."""
        return self.step.position, self.template.id

    def of_it(self, finding: CampaignFinding) -> CampaignFinding:
        """Return a finding as one about this template of this step."""
        return replace(finding, step=self.step.position, template_id=self.template.id)

    @classmethod
    def of(cls, step: Step, template: EmailTemplate) -> Written:
        """Read a template. It is compiled first, by the process that can be stopped."""
        try:
            check_syntax(template)
        except TemplateError as error:
            return cls(step, template, Uses(), mistake=str(error))
        html = uses([template.html or ""])
        found = uses([template.subject, template.preheader or "", template.text])
        placeholders = suspects.placeholders(found.words)
        placeholders += suspects.placeholders(["".join(html.words)], is_html=True)
        both = Uses(found.demanded | html.demanded, found.printed | html.printed)
        return cls(step, template, both, tuple(dict.fromkeys(placeholders)))


def written(steps: Steps) -> list[Written]:
    """Return the templates of a campaign, in the order of its steps."""
    in_order = [step for _, step in sorted(steps.step_of.items())]
    return [Written.of(step, template) for step in in_order for template, _ in steps.variants_of.get(step.id, ())]


def findings(one: Written) -> Iterator[CampaignFinding]:
    """Yield what there is to say about a template of a step."""
    yield from map(one.of_it, _of_template(one))


def _of_template(one: Written) -> Iterator[CampaignFinding]:
    template = one.template
    if one.mistake is not None:
        yield CampaignFinding(Severity.PROBLEM, About.RENDERING, one.mistake, "correct it: `slowpost templates set`")
    if template.paused_at is not None:
        yield CampaignFinding(
            Severity.PROBLEM,
            About.PAUSED,
            f"it is paused{f': {template.paused_after}' if template.paused_after else ''}; nothing of it is sent",
            f"`slowpost resume --template {template.id}`",
        )
    if one.step.position > 1 and not template.is_follow_up:
        yield CampaignFinding(
            Severity.NOTE,
            About.CONVERSATION,
            "it has a subject of its own, so Gmail shows it as a new conversation",
            "a template without a subject has that of the mail before: `slowpost templates add --follow-up`",
        )
    if one.placeholders:
        yield placeholder(one.placeholders)
    yield from _hidden(template)
    yield from _files(template)


def placeholder(found: Iterable[str], *, in_mails: bool = False) -> CampaignFinding:
    """Return the finding that there are placeholders of another program in a template, or only in its mails."""
    shown = ", ".join(list(dict.fromkeys(found))[:SHOWN])
    where = "its mails have, from a column," if in_mails else "it has"
    return CampaignFinding(
        Severity.PROBLEM,
        About.PLACEHOLDER,
        f"{where} what looks like another program's placeholder: {shown}; it is sent as it stands",
        "correct the contacts' columns" if in_mails else "write {{ contact.name }} and so on",
    )


def _hidden(template: EmailTemplate) -> Iterator[CampaignFinding]:
    if template.preheader and template.html is not None:
        yield CampaignFinding(
            Severity.NOTE,
            About.HIDDEN_TEXT,
            "its preheader stands in the HTML as text that nobody sees, which spam filters hold against a mail",
            "leave it out (`slowpost templates set --no-preheader`): the first sentence is shown in its place",
        )
    elif template.html is not None and suspects.hides_text(template.html):
        yield CampaignFinding(
            Severity.NOTE,
            About.HIDDEN_TEXT,
            "its HTML has text that nobody sees, such as a hidden preheader; spam filters hold that against a mail",
            "take it out: mail programs show the first sentence in its place",
        )


def _files(template: EmailTemplate) -> Iterator[CampaignFinding]:
    rows = rows_of(template.id)
    if (said := warning(rows)) is not None:
        yield CampaignFinding(Severity.NOTE, About.ATTACHMENTS, said)
    missing, _ = missing_and_unused(references(template.html or ""), rows)
    for cid in missing:
        yield CampaignFinding(
            Severity.PROBLEM,
            About.ATTACHMENTS,
            f"its HTML refers to cid:{cid}, and there is no such inline image",
            f"`slowpost templates attach {template.id} FILE --inline {cid}`",
        )

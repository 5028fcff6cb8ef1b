"""What has come of a campaign: how far it is, and the figures of its steps and their variants side by side. Reads only.

Every sum is one of the rows that it stands above: enrolled are those who wait and those who have ended, mails of a step
are those of its variants.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import combinations
from typing import Any

from models import Campaign, CampaignState, EmailTemplate, EnrolmentState, State, Step, Variant, database, lookup
from pipeline.reports import campaign_counts, proportions
from pipeline.reports.campaign_counts import WaitsFor
from pipeline.reports.ends import End, end_of

#: Digits of a share.
DIGITS = 4


@dataclass(frozen=True)
class Figures:
    """What came of mails.

    Attributes:
        sent: mails that a server has accepted.
        bounced: mails whose recipient was refused for good.
        failed: mails that were given up.
        replied: mails to which their recipient has replied before another one of the campaign was sent.
        unsubscribed: mails after which their recipient has unsubscribed, likewise.
        bounced_rate: bounced of those that were sent, bounced or failed, 0 to 1; null where there are none.
        failed_rate: failed of the same.
        replied_rate: replied of those that were sent; null where there are none.
        unsubscribed_rate: unsubscribed of the same.
    """

    sent: int
    bounced: int
    failed: int
    replied: int
    unsubscribed: int
    bounced_rate: float | None
    failed_rate: float | None
    replied_rate: float | None
    unsubscribed_rate: float | None


@dataclass(frozen=True)
class VariantFigures(Figures):
    """A template that a step was sent with.

    Attributes:
        template_id: the template.
        name: what you call it.
        weight: how often it is chosen beside the others; null: it is no variant of the step any more.
    """

    template_id: int
    name: str
    weight: int | None


class Verdict(StrEnum):
    """Whether two variants can be told apart by their replies."""

    DIFFERENT = "different"
    TOO_FEW = "too_few"
    EQUAL = "equal"
    NOTHING_SENT = "nothing_sent"


@dataclass(frozen=True)
class Comparison:
    """Two variants of a step compared by their replies.

    Attributes:
        template_ids: the two of them; first the one with the higher rate of replies.
        p_value: how probable a difference at least as great is by chance alone (Fisher's exact test, two-sided); null
            before both were sent.
        alpha: below which p value the difference can be told: 0.05, divided by how many pairs the step has.
        needed: mails of each with which a difference like this one is seen in 8 of 10 cases; null where both rates are
            equal, or not both were sent.
        more: how many mails of each that is more than were sent; 0 where the difference can be told.
        verdict: whether the difference can be told.
    """

    template_ids: tuple[int, ...]
    p_value: float | None
    alpha: float
    needed: int | None
    more: int | None
    verdict: Verdict


@dataclass(frozen=True)
class StepFigures(Figures):
    """A step of a campaign.

    Attributes:
        step: which one, from 1.
        variants: what it was sent with.
        comparisons: each two of its variants.
    """

    step: int
    variants: tuple[VariantFigures, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class CampaignReport(Figures):
    """What has come of a campaign.

    Attributes:
        id: the campaign.
        name: what you call it.
        state: where it stands.
        started_at: when it was started (UTC).
        expected_end: on which date its last mail is expected, if nothing changes, and if not, why that can't be told;
            null: it is done.
        enrolled: contacts that have ever been put into it: those that wait and those that have ended.
        waiting: how many wait for what: an outcome, a decision (in doubt), the start, resumption of what is paused, an
            account, a mail on its way, room for the first mail (or the day on which it may be written to), the due
            time of the next step, room for that.
        ended: how many have ended, by how: finished, replied, bounced, unsubscribed, suppressed, failed, forgotten,
            stopped.
        replied_to_none: contacts that have replied, or unsubscribed, before any mail of it was sent to them; they stand
            at no step.
        steps: its steps, with their variants.
    """

    id: int
    name: str
    state: CampaignState
    started_at: dt.datetime | None
    expected_end: End | None
    enrolled: int
    waiting: Mapping[str, int]
    ended: Mapping[str, int]
    replied_to_none: int
    steps: tuple[StepFigures, ...]


#: The columns of the CSV, in their order.
COLUMNS = (
    *("campaign_id", "campaign", "step", "template_id", "template", "weight"),
    *(field.name for field in fields(Figures)),
)


def report(
    named: str, progress: Callable[[float], object] = lambda _: None, *, with_end: bool = True
) -> CampaignReport:
    """Return what has come of a campaign.

    Args:
        named: the campaign, by its name or id.
        progress: see `end_of`.
        with_end: whether its end is worked out, which can take seconds; else `expected_end` is null.

    Raises:
        NotThereError: there is no such campaign.
    """
    found = lookup.campaign(named)
    waiting, ended = campaign_counts.stands(found, database.now())
    answers = campaign_counts.answers(found)
    steps = tuple(_steps(found, answers))
    has_end = with_end and found.state != CampaignState.DONE
    return CampaignReport(
        **_sum(steps),
        id=found.id,
        name=found.name,
        state=CampaignState(found.state),
        started_at=found.started_at,
        expected_end=end_of([found], progress)[found.id] if has_end else None,
        enrolled=waiting.total() + ended.total(),
        waiting={word: waiting[word] for word in WaitsFor if waiting[word]},
        ended={state: ended[state] for state in EnrolmentState if ended[state]},
        replied_to_none=answers.get(None, Counter()).total(),
        steps=steps,
    )


def rows(found: CampaignReport) -> Iterator[Mapping[str, Any]]:
    """Yield a row of the CSV for each step and variant, by column."""
    for step in found.steps:
        for variant in step.variants:
            of_step = {"campaign_id": found.id, "campaign": found.name, "step": step.step, "template": variant.name}
            yield of_step | {name: value for name, value in vars(variant).items() if name in COLUMNS}


def _steps(campaign: Campaign, answers: Mapping[Any, Counter[EnrolmentState]]) -> Iterator[StepFigures]:
    mails = campaign_counts.mails(campaign)
    weights = _weights(campaign)
    pairs = weights.keys() | mails.keys() | {pair for pair in answers if pair is not None}
    ids = [template_id for _, template_id in pairs]
    names = dict(EmailTemplate.select(EmailTemplate.id, EmailTemplate.name).where(EmailTemplate.id.in_(ids)).tuples())
    for position in sorted({position for position, _ in pairs}):
        variants = tuple(
            VariantFigures(
                **_figures(mails.get(pair, Counter()), answers.get(pair, Counter())),
                template_id=pair[1],
                name=names[pair[1]],
                weight=weights.get(pair),
            )
            for pair in sorted(pairs)
            if pair[0] == position
        )
        yield StepFigures(**_sum(variants), step=position, variants=variants, comparisons=tuple(compared(variants)))


def _weights(campaign: Campaign) -> dict[tuple[int, int], int]:
    """Return the weight of each variant, by its step's position and its template."""
    columns = (Step.position, Variant.template, Variant.weight)
    query = Variant.select(*columns).join(Step).where(Step.campaign == campaign.id)
    return {(position, template_id): weight for position, template_id, weight in query.tuples()}


def compared(variants: Sequence[VariantFigures]) -> Iterator[Comparison]:
    """Yield each two variants of a step, compared by their replies."""
    pairs = list(combinations(variants, 2))
    for pair in pairs:
        first, second = sorted(pair, key=lambda variant: -(variant.replied_rate or 0))
        yield _compared(first, second, proportions.ALPHA / len(pairs))


def _compared(first: VariantFigures, second: VariantFigures, alpha: float) -> Comparison:
    ids = (first.template_id, second.template_id)
    if not first.sent or not second.sent:
        return Comparison(ids, None, alpha, None, None, Verdict.NOTHING_SENT)
    p_value = proportions.p_value((first.replied, second.replied), (first.sent, second.sent))
    needed = proportions.needed(first.replied / first.sent, second.replied / second.sent, alpha)
    if needed is None:
        return Comparison(ids, p_value, alpha, None, None, Verdict.EQUAL)
    if p_value < alpha:
        return Comparison(ids, p_value, alpha, needed, 0, Verdict.DIFFERENT)
    more = max(1, needed - min(first.sent, second.sent))
    return Comparison(ids, p_value, alpha, needed, more, Verdict.TOO_FEW)


def _figures(mails: Counter[State], answers: Counter[EnrolmentState]) -> dict[str, Any]:
    return _with_rates(
        sent=mails[State.SENT],
        bounced=mails[State.BOUNCED],
        failed=mails[State.FAILED],
        replied=answers[EnrolmentState.REPLIED],
        unsubscribed=answers[EnrolmentState.UNSUBSCRIBED],
    )


def _sum(parts: Sequence[Figures]) -> dict[str, Any]:
    counted = ("sent", "bounced", "failed", "replied", "unsubscribed")
    return _with_rates(**{name: sum(getattr(part, name) for part in parts) for name in counted})


def _with_rates(**counts: int) -> dict[str, Any]:
    tried = counts["sent"] + counts["bounced"] + counts["failed"]
    of = {"bounced": tried, "failed": tried, "replied": counts["sent"], "unsubscribed": counts["sent"]}
    rates = {f"{name}_rate": round(counts[name] / number, DIGITS) if number else None for name, number in of.items()}
    return counts | rates

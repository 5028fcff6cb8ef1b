"""A step of a campaign for one contact: which of its variants is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from models import EmailTemplate, Step, Variant


@dataclass(frozen=True)
class Steps:
    """The steps of some campaigns, with their variants.

    Attributes:
        step_of: by campaign and position.
        variants_of: by step: template and weight, in the order of the templates' ids.
        paused: templates that are paused.
    """

    step_of: dict[tuple[int, int], Step]
    variants_of: dict[int, list[tuple[EmailTemplate, int]]]
    paused: frozenset[int]

    @classmethod
    def of(cls, campaign_ids: Collection[int]) -> Steps:
        """Read the steps of campaigns."""
        steps = list(Step.select().where(Step.campaign.in_(list(campaign_ids))))
        variants = (
            Variant.select(Variant, EmailTemplate)
            .join(EmailTemplate)
            .where(Variant.step.in_([step.id for step in steps]))
            .order_by(Variant.step, Variant.template)
        )
        found: dict[int, list[tuple[EmailTemplate, int]]] = {}
        for variant in variants:
            found.setdefault(variant.step_id, []).append((variant.template, variant.weight))
        paused = frozenset(t.id for some in found.values() for t, _ in some if t.paused_at is not None)
        return cls({(step.campaign_id, step.position): step for step in steps}, found, paused)

    def template_for(self, campaign_id: int, position: int, contact_id: int) -> EmailTemplate | None:
        """Return the template of a step that a contact gets, always the same; None if the step is not there, or its
        template is paused.
        """
        step = self.step_of.get((campaign_id, position))
        template = variant_for(contact_id, step.id, self.variants_of.get(step.id, ())) if step is not None else None
        return template if template is not None and template.id not in self.paused else None


def variant_for(contact_id: int, step_id: int, variants: Sequence[tuple[EmailTemplate, int]]) -> EmailTemplate | None:
    """Return the variant of a step that a contact gets: the same contact and step, the same variant; by weight."""
    total = sum(weight for _, weight in variants)
    digest = hashlib.sha256(f"variant:{contact_id}:{step_id}".encode()).digest()
    rest = int.from_bytes(digest[:8], "big") * total >> 64
    for template, weight in variants:
        if rest < weight:
            return template
        rest -= weight
    return None

"""Stage 6: the outcome is counted, and the next reservation triggered.

Reads: deliveries that have ended or are in doubt and are not recorded, and the accounts that failed. Writes: what
people are shown (template use, when contact and website were last contacted), and `recorded_at`. Hands on: a trigger
to *reserve slot*.
Trouble: a delivery is counted once, since counting and `recorded_at` are one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from peewee import fn

from models import Attempt, Contact, Delivery, EmailTemplate, State, Website, database
from models.attempt import COUNTS_AGAINST_HEALTH
from models.compiled import among, compiled
from models.delivery import in_states, of_ids
from models.states import RECORDED
from pipeline.accounts import bounces, health
from pipeline.flow import TRIGGER, Handoff
from pipeline.runtime.failpoints import failpoint


def record(delivery_ids: Sequence[int]) -> list[Handoff]:
    """Count those of `delivery_ids` that are not recorded; check the health of accounts that failed, and whether too
    many have bounced; return a trigger.
    """
    with database.transaction():
        due = of_ids(delivery_ids) & Delivery.state.in_(RECORDED) & Delivery.recorded_at.is_null()
        _lock(due)
        recorded = list(Delivery.update(recorded_at=database.now()).where(due).returning(Delivery).execute())
        sent = [d for d in recorded if d.state == State.SENT]
        for template_id, times in sorted(Counter(d.template_id for d in sent).items()):
            EmailTemplate.update(times_used=EmailTemplate.times_used + times).where(
                EmailTemplate.id == template_id
            ).execute()
        if sent:
            Website.update(last_contacted_at=_last_sent(Delivery.website == Website.id)).where(
                Website.id.in_(sorted({d.website_id for d in sent if d.website_id}))
            ).execute()
            Contact.update(last_contacted_at=_last_sent(Delivery.contact == Contact.id)).where(
                Contact.id.in_([d.contact_id for d in sent])
            ).execute()
        failpoint("record:wrote")
    health.check(_accounts_that_failed(delivery_ids))
    bounced = [d for d in recorded if d.state in (State.BOUNCED, State.FAILED)]
    bounces.check(_accounts_of(bounced), bounced)
    return [TRIGGER]


def _lock(due: Any) -> None:
    """Lock what is going to be counted, and before that, as `database.LOCK_ORDER` has it, where it is counted."""
    for model, column in (
        (EmailTemplate, Delivery.template),
        (Website, Delivery.website),
        (Contact, Delivery.contact),
    ):
        database.lock_rows(model, model.id.in_(Delivery.select(column).where(due)))
    database.lock_rows(Delivery, due)


def _last_sent(which: Any) -> Any:
    # The latest of all, not of those recorded now: an older one may be recorded late.
    return Delivery.select(fn.MAX(Delivery.sent_at)).where(which & in_states(State.SENT))


def _accounts_of(deliveries: Sequence[Delivery]) -> set[int]:
    return {account_id for (account_id,) in _tried().rows(ids=[d.id for d in deliveries])}


@compiled
def _tried() -> Any:
    return Attempt.select(Attempt.account).where(among(Attempt.delivery, "ids")).distinct().tuples()


def _accounts_that_failed(delivery_ids: Sequence[int]) -> set[int]:
    return {account_id for (account_id,) in _failed().rows(ids=delivery_ids)}


@compiled
def _failed() -> Any:
    failed = among(Attempt.delivery, "ids") & Attempt.charged_to.in_(COUNTS_AGAINST_HEALTH)
    return Attempt.select(Attempt.account).where(failed).distinct().tuples()

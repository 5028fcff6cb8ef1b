"""May this person still be written to, asked for the last time: what can have changed since the contact was selected.

Reads only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from models import Contact, Delivery, Purpose, Reason, Website
from models.compiled import Question, among, compiled
from pipeline.rules import contact as contact_rules
from pipeline.rules import domains, sequences, suppressed
from pipeline.rules.addresses import domain_of
from pipeline.rules.duplicates import REASON_OF
from pipeline.rules.forgotten import Hashes
from pipeline.runtime import keys


def reasons_to_skip(deliveries: Sequence[Delivery], now: dt.datetime) -> dict[int, list[Reason]]:
    """Return why deliveries must not be sent any more, by id: suppressed meanwhile, kept out by the contact's own rules
    (imported anew as not validated, for example), of a sequence that has ended, or of a campaign that is not for the
    contact any more. Those without a reason are left out.
    """
    listed = suppressed.suppressed_among((d.address for d in deliveries), now)
    contacts = _contacts().rows(ids={d.contact_id for d in deliveries})
    kept_out = contact_rules.reasons_against_each(contacts, now)
    on_list = {address: [REASON_OF[kind]] for address, kind in listed.items()}
    against = {d.id: on_list.get(d.address, []) + kept_out.get(d.contact_id, []) for d in deliveries}
    for delivery_id in sequences.ended(deliveries):
        against[delivery_id].append(Reason.SEQUENCE_ENDED)
    for delivery_id in sequences.excluded(deliveries):
        against[delivery_id].append(Reason.ON_EXCLUDED_LIST)
    return {i: reasons for i, reasons in against.items() if reasons}


def questions(deliveries: Sequence[Delivery], known: Hashes) -> list[Question]:
    """Return what `reasons_to_skip` asks, where forgotten people are known by these hashes."""
    return [
        keys.question(Purpose.FORGOTTEN),
        suppressed.question((d.address for d in deliveries), known),
        _contacts().asks(ids={d.contact_id for d in deliveries}),
        domains.question(domain_of(d.contact.address) for d in deliveries),
        *sequences.questions(deliveries),
    ]


@compiled
def _contacts() -> Any:
    return Contact.select(Contact, Website).left_outer_join(Website).where(among(Contact.id, "ids"))

"""Contacts that a person puts into a campaign by name, beside those of its lists.

Writes: enrolments batch by batch, and the action with its reason. Who is in it already stays as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from models import Enrolment, database, lookup
from pipeline.campaigns import audience
from pipeline.operations.batches import Record, in_batches
from pipeline.operations.campaigns import demand_open, locked
from pipeline.operations.csv_rows import Listener, RefusedLine, Row, Summary
from pipeline.operations.done import Done
from pipeline.operations.lists import contacts_in, ids_of


@dataclass(frozen=True)
class EnrolDone(Done):
    """Contacts that were put into a campaign.

    Attributes:
        id: the campaign.
        name: what you call it.
        enrolled: contacts that are in it now and were not.
        already: those that were in it, whatever has become of it.
        in_another: those that were not put into it, since another campaign's sequence goes on for them.
        refused: those that are not there.
        refused_lines: which those are, by their place among those that were named; each is on stderr, too.
    """

    id: int
    name: str
    enrolled: int
    already: int
    in_another: int
    refused: int
    #: Filled in by whoever listened and has kept them.
    refused_lines: tuple[RefusedLine, ...] = ()


def enrol(named: str, contacts: Iterable[str], listener: Listener, who: str, reason: str = "") -> EnrolDone:
    """Put contacts into a campaign, batch by batch; it need not be running.

    Args:
        named: the campaign, by its name or id.
        contacts: each an id or an address.
        listener: who is told of refused contacts, and how it goes.
        who: who does it; kept with the action.
        reason: why; kept with the action.

    Raises:
        NotThereError: there is no such campaign.
        OperationRefusedError: it is done.
    """
    campaign = lookup.campaign(named)
    demand_open(campaign)
    counts: list[audience.Enrolled] = []
    store = partial(_store, campaign_id=campaign.id, counts=counts)
    record = Record(who, "enrol", f"campaign {campaign.id}", reason)
    rows = contacts_in(contacts, listener)
    done = in_batches(rows, lambda row: row["contact"], store, listener, record, (Enrolment,))
    already, in_another = sum(c.already for c in counts), sum(c.in_another for c in counts)
    # Of two lines that name the same contact the second finds it enrolled.
    twice = done.unchanged - already - in_another
    return EnrolDone(campaign.id, campaign.name, done.added, already + twice, in_another, done.refused)


def _store(
    rows: dict[str, Row],
    lines: dict[str, int],
    summary: Summary,
    listener: Listener,
    *,
    campaign_id: int,
    counts: list[audience.Enrolled],
) -> None:
    database.lock_publisher()
    campaign = locked(str(campaign_id))
    demand_open(campaign)
    ids = ids_of(rows, lines, listener)
    found = audience.enrol(campaign, ids, database.now())
    counts.append(found)
    # Who has been forgotten in between is not there any more.
    summary.refused += len(rows) - len(ids) + len(found.unknown)
    summary.added += found.enrolled
    summary.unchanged += len(ids) - len(found.unknown) - found.enrolled

"""Every minute: end the campaigns whose last date is over, put back on the route what the broker lost, mark what is in
doubt, keep the dead letters' copies; say what is wrong with the running of the program; sum the days that are over.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass

from actors import entry
from actors.rabbitmq.dead_letters import InStep
from models import Kind, daily_figures, database
from pipeline import sweep as lost_and_found
from pipeline.flow import TRIGGER, Stage
from pipeline.operations import campaign_states
from pipeline.watch import alarm, hearts, problems


@dataclass(frozen=True)
class Swept:
    """What the sweep put back on the route, and what it did about RabbitMQ's queue `dead-letter`, and the days before.

    Attributes:
        ended: campaigns that it has ended, since their last date is over.
        dedupe: deliveries put back to *check duplicates*.
        render: deliveries put back to *render message*.
        reserve: 1 if *reserve slot* was asked to look at the backlog.
        deliver: deliveries put back to *deliver message*.
        record: deliveries put back to *record outcome*.
        dead_letters: how the queue was brought in step with `slowpost dead list`.
        summed: days (UTC) whose figures it has summed.
    """

    ended: tuple[int, ...]
    dedupe: int
    render: int
    reserve: int
    deliver: int
    record: int
    dead_letters: InStep
    summed: tuple[dt.date, ...]


def sweep() -> Swept:
    """Sweep once; on the hour, compare each dead letter and not only how many there are.

    Raises:
        ConnectionClosed: RabbitMQ is away; what the database alone needs has been done.
    """
    ended = campaign_states.end_over()
    handoffs = lost_and_found.sweep()
    if TRIGGER not in handoffs and any(campaign.handoffs for campaign in ended):
        handoffs.append(TRIGGER)
    try:
        entry.publish(handoffs)
        dead_letters = entry.keep_in_step(thorough=database.now().minute == 0)
    except entry.AWAY:
        hearts.ran(Kind.SWEEP, waits_for=problems.RABBITMQ)
        alarm.look()
        raise
    hearts.ran(Kind.SWEEP)
    alarm.look()
    # Last: a fault there keeps nobody from anything else.
    summed = daily_figures.sum_days()
    counts: Counter[Stage] = Counter()
    for handoff in handoffs:
        counts[handoff.stage] += max(1, len(handoff.ids))
    return Swept(
        ended=tuple(campaign.id for campaign in ended),
        dedupe=counts[Stage.DEDUPE],
        render=counts[Stage.RENDER],
        reserve=counts[Stage.RESERVE],
        deliver=counts[Stage.DELIVER],
        record=counts[Stage.RECORD],
        dead_letters=dead_letters,
        summed=tuple(summed),
    )

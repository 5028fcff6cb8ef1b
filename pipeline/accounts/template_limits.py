"""Limits of rendering: a template that is stopped by them three times in a row is paused, and somebody is told.

Reads: what became of the template's deliveries since a person resumed it. Writes: the pause and the action. Each time
costs a thread seconds, and what is wrong with a template seldom concerns one contact alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from models import Cause, Delivery, EmailTemplate, Event, Reason
from models.delivery import in_states
from models.states import ENDED_BY_ATTEMPT
from pipeline.accounts.alerts import Alert
from pipeline.accounts.stopping import stop
from pipeline.capacity.pausing import Target

#: So many in a row pause a template.
IN_ROW = 3
#: Ended deliveries of a template that are looked through for them.
_LAST = 1_000


def check(template_ids: Iterable[int]) -> None:
    """Pause those of these templates whose last three deliveries that were rendered were stopped by a limit; alert."""
    running = EmailTemplate.id.in_(list(template_ids)) & EmailTemplate.paused_at.is_null()
    for template in EmailTemplate.select().where(running):
        stopped = _last_stopped(template)
        if len(stopped) == IN_ROW and not _rendered_since(template, stopped):
            reason = f"{IN_ROW} deliveries in a row were stopped by a limit, the last: {stopped[0].detail}"
            stop(Target(template_id=template.id), Alert.PAUSED_BY_LIMIT, reason)


def _last_stopped(template: EmailTemplate) -> list[Delivery]:
    """Return the last deliveries that were stopped, at most three, since the template was resumed."""
    ended = (Delivery.template == template.id) & in_states(*ENDED_BY_ATTEMPT)
    if template.resumed_at is not None:
        ended &= Delivery.updated_at >= template.resumed_at
    query = Delivery.select(Delivery.id, Delivery.reason, Delivery.detail).where(ended)
    latest = query.order_by(Delivery.updated_at.desc(), Delivery.id.desc()).limit(_LAST)
    return [d for d in latest if d.reason == Reason.TEMPLATE_LIMIT][:IN_ROW]


def _rendered_since(template: EmailTemplate, stopped: list[Delivery]) -> bool:
    """Tell whether anything else became of a delivery that was rendered after the first of these."""
    of_render = Event.cause == Cause.RENDER
    first = Event.select(Event.id).where(Event.delivery.in_([d.id for d in stopped]) & of_render).order_by(Event.id)
    later = (Event.id > first.limit(1)) & of_render & (Event.reason.is_null() | (Event.reason != Reason.TEMPLATE_LIMIT))
    return bool(Event.select().join(Delivery).where(later & (Delivery.template == template.id)).exists())

"""Render the waiting deliveries of a template anew after an edit: a few hundred at a time, each time committed.

Writes: the words of deliveries that are `ready` or `reserved`, and the action with its reason. Those whose words
change give their slots back in the same transaction, and are planned anew.
Trouble: whoever stops it keeps what is committed, and can run it again. Nothing is locked while it renders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models import Cause, Delivery, State, database, lookup
from models.control import record_action
from models.delivery import in_states, of_ids
from pipeline.accounts.template_limits import IN_ROW
from pipeline.capacity import slots
from pipeline.content.template import Parts, TemplateError, TemplateLimitError
from pipeline.flow import TRIGGER, chunks
from pipeline.operations.done import Done
from pipeline.render_message import columns, render_all, tokens_of, unedited, with_what_it_needs, words

#: Deliveries that are rendered and stored at a time: few enough that the throttle does not wait for its lock.
AT_ONCE = 200


@dataclass(frozen=True)
class Problem:
    """Why a delivery can't be rendered; it keeps the words it has.

    Attributes:
        delivery_id: the delivery.
        problem: what the template said.
    """

    delivery_id: int
    problem: str


@dataclass(frozen=True)
class Rerendered(Done):
    """What became of the deliveries that wait with a template.

    Attributes:
        rerendered: ids of those that now have the words of the present template.
        errors: those that can't be rendered, and keep the words they have.
    """

    rerendered: tuple[int, ...]
    errors: tuple[Problem, ...]


def rerender(
    template_id: int, who: str, reason: str = "", *, progress: Callable[[int, int], object] = lambda _done, _of: None
) -> Rerendered:
    """Render what is `ready` or `reserved` with a template anew. What can't be rendered keeps its words.

    Args:
        template_id: the template.
        who: who does it; kept with the action.
        reason: why; kept with the action.
        progress: is called after each part that is committed: with how many it has looked at, and how many there are.

    Raises:
        NotThereError: there is no such template.
        TemplateLimitError: three in a row were stopped by a limit; the rest keeps the words it has.
    """
    with database.transaction():
        lookup.template(template_id)
        record_action(who, "rerender", f"template {template_id}", database.now(), reason)
    waiting = Delivery.select(Delivery.id).where(_waits(template_id)).order_by(Delivery.id)
    ids = [i for (i,) in waiting.tuples()]
    rerendered: list[int] = []
    errors: dict[int, str] = {}
    looked_at = stopped = 0
    for part in chunks(ids, AT_ONCE):
        looked_at += len(part)
        while part:
            done, problems, part = _rerender(part, template_id)
            rerendered += done
            errors |= {i: str(error) for i, error in problems.items()}
            for limit in (error for error in problems.values() if isinstance(error, TemplateLimitError)):
                stopped = 1 if done else stopped + 1
                if stopped == IN_ROW:
                    raise TemplateLimitError(f"{limit}; {IN_ROW} in a row were stopped, the rest keeps its words")
        progress(looked_at, len(ids))
    return Rerendered(tuple(rerendered), tuple(Problem(*error) for error in errors.items()), handoffs=(TRIGGER,))


def _waits(template_id: int) -> Any:
    return (Delivery.template == template_id) & in_states(State.READY, State.RESERVED)


def _rerender(ids: Sequence[int], template_id: int) -> tuple[list[int], dict[int, TemplateError], list[int]]:
    """Render deliveries of one template anew, again if it is edited meanwhile; return those that have its words now,
    what is wrong with others, and those that are still to be done.
    """
    while deliveries := with_what_it_needs(of_ids(ids) & _waits(template_id)):
        token_of = tokens_of(deliveries)
        rendered, errors = render_all(deliveries, token_of)
        with database.transaction():
            if unedited(deliveries):
                left = [d.id for d in deliveries if d.id not in rendered and d.id not in errors]
                return _store(deliveries, rendered, token_of), errors, left
    return [], {}, []


def _store(deliveries: Sequence[Delivery], rendered: dict[int, Parts], token_of: Mapping[int, str]) -> list[int]:
    """Store words that are not those that a delivery has; one that is being sent by now keeps its own."""
    unchanged = [d for d in deliveries if d.id in rendered and d.unsubscribe == token_of.get(d.id)]
    same = sorted(d.id for d in unchanged if words(d) == words(rendered[d.id]))
    new = {i: parts for i, parts in rendered.items() if i not in set(same)}
    if not new:
        return same
    slots.give_back(Cause.RERENDER, delivery_ids=new)
    database.lock_rows(Delivery, of_ids(new))
    ready = of_ids(new) & (Delivery.state == State.READY)
    stored = (
        Delivery.update(**columns(new, token_of), updated_at=database.now())
        .where(ready)
        .returning(Delivery.id)
        .execute()
    )
    return sorted([*same, *(row.id for row in stored)])

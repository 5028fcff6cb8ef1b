"""What a thread of a worker takes at once: whole messages that lie ready for one stage, and nothing else."""

from __future__ import annotations

import itertools
from queue import Empty
from typing import Any

import pytest
from dramatiq import MessageProxy
from dramatiq.worker import _WorkQueueItem

from actors.gathering import GATHERS, Ready, parts_of
from actors.intake import encode
from pipeline.flow import Stage


@pytest.mark.parametrize("stage", sorted(GATHERS))
def test_what_lies_ready_for_a_stage_is_taken_at_once_up_to_a_hundred_ids(stage: Stage) -> None:
    assert taken(*(lying(stage, i) for i in range(1, 131))) == [list(range(1, 101)), list(range(101, 131))]


def test_messages_are_not_divided_and_one_that_is_longer_comes_alone() -> None:
    sixty, forty, ten, long = range(1, 61), range(61, 101), range(101, 111), range(200, 450)
    assert taken(*(lying(Stage.DEDUPE, *ids) for ids in (sixty, ten, forty, long))) == [
        [*sixty, *ten],
        [*forty],
        [*long],
    ]


def test_a_slot_is_never_gathered_and_neither_is_a_reply() -> None:
    for stage in (Stage.DELIVER, Stage.REPLIED):
        assert taken(lying(stage, 1), lying(stage, 2)) == [[1], [2]]


def test_what_rabbitmq_gives_out_again_runs_alone() -> None:
    again = lying(Stage.RENDER, 2)
    again.redelivered = True  # type: ignore[attr-defined]
    assert taken(lying(Stage.RENDER, 1), again, lying(Stage.RENDER, 3)) == [[1, 3], [2]]


def test_triggers_are_one_and_what_comes_after_it_was_taken_is_another() -> None:
    ready = filled(lying(Stage.RESERVE), lying(Stage.RESERVE), lying(Stage.RESERVE))
    first = ready.get_nowait().message
    ready.put(_WorkQueueItem(0, lying(Stage.RESERVE)))
    assert [len(parts_of(message)) for message in (first, ready.get_nowait().message)] == [3, 1]


def test_on_intake_template_priority_and_campaign_part_the_groups_and_the_source_does_not() -> None:
    asks: list[dict[str, int]] = [{}, {"template_id": 1}, {"template_id": 1, "priority": 2}, {"campaign_id": 1}]
    messages = [lying(Stage.INTAKE, number, **options) for number, options in enumerate(asks * 2)]
    assert taken(*messages) == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_no_stage_keeps_another_from_its_turn() -> None:
    dedupe = [lying(Stage.DEDUPE, i) for i in range(1, 151)]
    assert taken(*dedupe, lying(Stage.RECORD, 500)) == [list(range(1, 101)), [500], list(range(101, 151))]


def test_a_group_brings_along_what_each_message_says_and_is_done_once() -> None:
    ready = filled(*(lying(Stage.INTAKE, i) for i in (1, 2)))
    message = ready.get_nowait().message
    sources = [message.kwargs["source"], *(other.kwargs["source"] for other in message.kwargs["others"])]
    assert sources == [part.message_id for part in parts_of(message)]
    ready.task_done()
    # What a worker waits for when it is joined.
    assert ready.unfinished_tasks == 0


def taken(*messages: MessageProxy) -> list[list[int]]:
    """Return the ids of what is taken, one call after the other, where all that lies ready."""
    ready, calls = filled(*messages), []
    for _ in itertools.count():
        try:
            message = ready.get_nowait().message
        except Empty:
            return calls
        calls.append([i for part in parts_of(message) for i in part.args[0]])
    raise AssertionError


def filled(*messages: MessageProxy) -> Ready:
    """Return a queue with these messages."""
    ready = Ready()
    for message in messages:
        ready.put(_WorkQueueItem(0, message))
    return ready


def lying(stage: Stage, *ids: int, **options: Any) -> MessageProxy:
    """Return a message as a consumer gives it."""
    return MessageProxy(encode(stage, list(ids), **options))

"""What may be put on a queue, and what a person is told about the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import intake, stages
from pipeline.flow import Stage
from tests.effort import counts


@pytest.mark.parametrize(
    ("content", "ids", "options"),
    [
        (123, [123], {}),
        ([1, 2, 3], [1, 2, 3], {}),
        ({"contact_id": 123}, [123], {}),
        ({"contact_ids": [1, 2], "template_id": 4, "priority": 7}, [1, 2], {"template_id": 4, "priority": 7}),
        ({"contact_ids": [1, 2], "campaign_id": 3}, [1, 2], {"campaign_id": 3}),
    ],
)
def test_plain_json_of_any_program_is_taken(content: Any, ids: list[int], options: dict[str, Any]) -> None:
    assert decoded(content) == (ids, options | {"source": "m1"})


@pytest.mark.parametrize("content", [[1, 2], {"contact_ids": [1, 2]}])
def test_replies_are_taken_like_contacts_and_have_no_options(content: Any) -> None:
    assert decoded(content, "replied") == ([1, 2], {"source": "m1"})
    for key in ("template_id", "priority", "campaign_id"):
        with pytest.raises(intake.UnacceptableError, match=f'unknown key "{key}"'):
            intake.decode("replied", json.dumps({"contact_id": 1, key: 1}).encode(), "m1")


def test_a_message_of_our_own_comes_back_as_it_was_sent() -> None:
    for stage in Stage:
        options = {Stage.DELIVER: {"slot_token": "t"}, Stage.INTAKE: {"priority": 3}}.get(stage, {})
        sent = intake.encode(stage, [1, 2], "m1", **options)
        back = intake.decode(stage, sent.encode(), None).message
        assert back is not None
        assert (back.queue_name, back.actor_name, back.args[0], back.kwargs) == (
            stage,
            intake.ACTOR_OF[stage],
            [1, 2],
            sent.kwargs,
        )


def test_every_stage_has_the_actor_that_messages_for_it_name() -> None:
    assert {stage: getattr(stages, name).stage for stage, name in intake.ACTOR_OF.items()} == {s: s for s in Stage}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"nonsense", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"null", "null is no id"),
        (b"0", "0 is no id (a whole number from 1 to 2147483647)"),
        (b"1.5", "1.5 is no id"),
        (b"true", "true is no id"),
        (b'"1"', '"1" is no id'),
        (b"18446744073709551617", "18446744073709551617 is no id"),
        (b"1" * 5_000, "the body is not JSON"),
        (b"[]", "contact_ids must be a list of 1 to 10000 ids"),
        (json.dumps(list(range(1, 10_002))).encode(), "contact_ids must be a list of 1 to 10000 ids"),
        (b'{"contact_ids": 7}', "contact_ids must be a list of 1 to 10000 ids"),
        (b"{}", "either contact_id or contact_ids is needed"),
        (b'{"contact_id": 1, "contact_ids": [1]}', "either contact_id or contact_ids is needed"),
        (b'{"contact_id": 1, "urgent": true}', 'unknown key "urgent"'),
        (b'{"contact_id": 1, "priority": 10}', "priority 10 is no whole number from 0 to 9"),
        (b'{"contact_id": 1, "priority": true}', "priority true is no whole number from 0 to 9"),
        (b'{"contact_id": 1, "campaign_id": 0}', "campaign_id: 0 is no id"),
        (
            b'{"contact_id": 1, "campaign_id": 3, "template_id": 4}',
            "campaign_id stands alone: a campaign has templates",
        ),
        (b'{"contact_id": 1, "campaign_id": 3, "priority": 4}', "campaign_id stands alone: a campaign has templates"),
        (b'{"contact_id": 1, "template_id": "a\\u0000"}', 'template_id: "a\\u0000" is no id'),
        (b" " * (1024 * 1024 + 1), "the body has 1048577 bytes, allowed are 1048576"),
    ],
)
def test_anything_else_on_intake_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(intake.UnacceptableError) as refusal:
        intake.decode("intake", body, "m1")
    assert str(refusal.value).startswith(reason)


def test_a_bad_id_in_a_list_is_refused_alone() -> None:
    result = intake.decode("intake", b'{"contact_ids": [1, "x", 2, -3], "priority": 5}', "m1")
    assert result.message is not None
    assert result.message.args[0] == [1, 2]
    assert [json.loads(r.body) for r in result.refused] == [
        {"contact_ids": ["x"], "priority": 5},
        {"contact_ids": [-3], "priority": 5},
    ]
    assert [r.reason.partition(" is no id")[0] for r in result.refused] == [
        'contact_ids[1]: "x"',
        "contact_ids[3]: -3",
    ]


ENVELOPE = json.loads(intake.encode(Stage.DEDUPE, [1]).encode())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"queue_name": "render"}, "the envelope is for queue \"render\", it came from 'dedupe'"),
        ({"queue_name": None}, "the envelope is for queue null"),
        ({"args": None}, "the envelope's args, kwargs or message_id"),
        ({"kwargs": []}, "the envelope's args, kwargs or message_id"),
        ({"message_id": 5}, "the envelope's args, kwargs or message_id"),
        ({"args": [[1], [2]]}, "the envelope's args must be one list of ids"),
        ({"args": [[]]}, "the list of ids is empty"),
        ({"args": [["1"]]}, '"1" is no id'),
        ({"args": [[None]]}, "null is no id"),
        ({"kwargs": {"slot_token": "t"}}, "the envelope's kwargs must be empty"),
        ({"actor_name": None}, "unknown actor null"),
        ({"message_id": "a\0b"}, "the envelope's args, kwargs or message_id"),
        ({"message_id": "\ud800"}, "the envelope's args, kwargs or message_id"),
        ({"message_id": "x" * 256}, "the envelope's args, kwargs or message_id"),
    ],
)
def test_nothing_of_an_envelope_is_believed(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(intake.UnacceptableError) as refusal:
        intake.decode("dedupe", json.dumps(ENVELOPE | changes).encode(), None)
    assert str(refusal.value).startswith(reason)


@pytest.mark.parametrize("token", ["a\0b", "\ud800", "", 7, None])
def test_a_slot_token_that_no_database_takes_is_the_messages_fault_and_not_its_deliverys(token: Any) -> None:
    envelope = json.loads(intake.encode(Stage.DELIVER, [1], slot_token="t").encode())
    with pytest.raises(intake.UnacceptableError, match="kwargs must be slot_token"):
        intake.decode("deliver", json.dumps(envelope | {"kwargs": {"slot_token": token}}).encode(), None)


def test_options_that_dramatiq_would_stumble_over_are_left_behind() -> None:
    message = intake.decode("dedupe", json.dumps(ENVELOPE | {"options": None}).encode(), None).message
    assert message is not None
    assert message.options == {}


def test_an_actor_of_a_newer_version_is_told_from_nonsense() -> None:
    with pytest.raises(intake.UnknownActorError, match='unknown actor "check_consent"'):
        intake.decode("dedupe", json.dumps(ENVELOPE | {"actor_name": "check_consent"}).encode(), None)
    with pytest.raises(intake.UnacceptableError) as refusal:
        intake.decode("intake", json.dumps(ENVELOPE | {"queue_name": "intake", "actor_name": "x"}).encode(), None)
    assert type(refusal.value) is intake.UnacceptableError


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=12,
)
KEYS = st.sampled_from(["contact_id", "contact_ids", "template_id", "priority", *ENVELOPE])
NEAR_MISSES = st.dictionaries(KEYS, JSON | st.sampled_from([*ENVELOPE.values(), "intake", [[1]]]), max_size=9)


@settings(max_examples=counts(300, 20_000), deadline=None, derandomize=True)
@given(
    st.binary(max_size=200) | (JSON | NEAR_MISSES).map(lambda value: json.dumps(value).encode()), st.sampled_from(Stage)
)
def test_whatever_comes_is_a_message_or_has_a_reason(body: bytes, stage: Stage) -> None:
    reason, decoded = "", None
    try:
        decoded = intake.decode(stage, body, None)
    except intake.UnacceptableError as refusal:
        reason = str(refusal)
    if decoded is None:
        assert 0 < len(reason) < 400
        assert "\x00" not in reason
        return
    assert decoded.message or decoded.refused
    if decoded.message:
        assert all(isinstance(i, int) for i in decoded.message.args[0])


def decoded(content: Any, queue: str = "intake") -> tuple[list[int], dict[str, Any]]:
    """Return ids and options of a body."""
    message = intake.decode(queue, json.dumps(content).encode(), "m1").message
    assert message is not None
    return message.args[0], message.kwargs

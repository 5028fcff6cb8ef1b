"""What comes off a queue: plain JSON on `intake` and `replied`, and Dramatiq envelopes on every queue. All of it is
untrusted.

Reads: a body and its AMQP properties. Returns: a Dramatiq message for the stage of that queue, or raises
`UnacceptableError` with a reason that a person understands. Nothing of an envelope is believed: not its queue, not its
actor, not the types of its arguments.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any, TypeGuard

from dramatiq import Message

from models.errors import SlowpostError
from pipeline.flow import Stage

#: Bytes of a body, and ids in it.
MAX_BODY = 1024 * 1024
MAX_IDS_IN_MESSAGE = 10_000
#: Bytes of a message id (AMQP 0-9-1 4.2.5.3, short strings).
MAX_TEXT = 255
#: The highest id that its column (PostgreSQL `integer`) can store.
MAX_ID = 2**31 - 1

#: The actor of each stage's queue; a test compares this with `stages.py`.
ACTOR_OF = {
    Stage.INTAKE: "select_contacts",
    Stage.DEDUPE: "check_duplicates",
    Stage.RENDER: "render_message",
    Stage.RESERVE: "reserve_slot",
    Stage.DELIVER: "deliver_message",
    Stage.RECORD: "record_outcome",
    Stage.REPLIED: "take_replies",
}
#: On these, other programs put contact ids: which keys they may add.
KEYS = {Stage.INTAKE: ("template_id", "priority", "campaign_id"), Stage.REPLIED: ()}


class UnacceptableError(SlowpostError, ValueError):
    """A message can't be processed; the text says why."""


class UnknownActorError(UnacceptableError):
    """A well-formed envelope of an inner queue names an actor that this version does not have: a newer one may."""


@dataclass(frozen=True)
class Decoded:
    """What a body asks for: a message (None if no id in it is valid), and the ids of its list that are not valid."""

    message: Message[Any] | None
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Refused:
    """An id of a list that is not valid: a body with it alone, and why it is refused."""

    body: bytes
    reason: str


def decode(queue: str, body: bytes, message_id: str | bytes | None) -> Decoded:
    """Return what a body from `queue` asks for.

    Args:
        queue: the queue it came from.
        body: JSON, as `docs/commands.md` lists it for `intake` and `replied`, or an envelope.
        message_id: the AMQP message id. It becomes the source id, by which a repeated message is recognised; without
            one, each message counts as new. Bytes: it was not UTF-8.

    Raises:
        UnacceptableError: the body is neither, or its values are not allowed.
        UnknownActorError: it is a well-formed envelope on an inner queue, for an actor unknown here.
    """
    source = message_id if is_text(message_id) else None
    if message_id and source is None:
        raise UnacceptableError("the AMQP message_id is no text of 1 to 255 bytes")
    if len(body) > MAX_BODY:
        raise UnacceptableError(f"the body has {len(body)} bytes, allowed are {MAX_BODY}")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise UnacceptableError("the body is not JSON") from None
    stage = Stage(queue)
    if isinstance(content, dict) and "actor_name" in content:
        return _envelope(stage, content, source)
    if stage not in KEYS:
        raise UnacceptableError("the body is no envelope of a stage's message")
    return _plain(stage, content, source or str(uuid.uuid4()))


def is_text(value: Any) -> TypeGuard[str]:
    """Tell whether `value` is text that AMQP and both databases can store: short, without NUL and lone surrogates."""
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= MAX_TEXT and "\0" not in value
    except UnicodeEncodeError:
        return False


def encode(stage: Stage, ids: list[int], message_id: str | None = None, **options: Any) -> Message[Any]:
    """Return the message that asks `stage` to take `ids`."""
    return _message(stage, ids, options, message_id or str(uuid.uuid4()))


def _message(stage: Stage, ids: list[int], options: dict[str, Any], message_id: str) -> Message[Any]:
    if stage in KEYS:
        options = options | {"source": message_id}
    return Message(
        queue_name=stage.value,
        actor_name=ACTOR_OF[stage],
        args=(ids,),
        kwargs=options,
        options={},
        message_id=message_id,
    )


def _envelope(stage: Stage, content: dict[str, Any], message_id: str | None) -> Decoded:
    args, kwargs, own_id = content.get("args"), content.get("kwargs"), content.get("message_id")
    if content.get("queue_name") != stage:
        raise UnacceptableError(
            f"the envelope is for queue {_shown(content.get('queue_name'))}, it came from '{stage}'"
        )
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not is_text(own_id):
        raise UnacceptableError("the envelope's args, kwargs or message_id is missing or of a wrong type")
    if content["actor_name"] != ACTOR_OF[stage]:
        unknown = f"unknown actor {_shown(content['actor_name'])}"
        if stage in KEYS or not isinstance(content["actor_name"], str):
            raise UnacceptableError(unknown)
        raise UnknownActorError(unknown)
    if len(args) != 1 or not isinstance(args[0], list):
        raise UnacceptableError("the envelope's args must be one list of ids")
    if stage in KEYS:
        asked = {k: v for k, v in kwargs.items() if k != "source"}
        return _plain(stage, {"contact_ids": args[0]} | asked, message_id or own_id)
    return Decoded(_message(stage, _ids_of_envelope(stage, args[0]), _options_of_envelope(stage, kwargs), own_id))


def _options_of_envelope(stage: Stage, kwargs: dict[str, Any]) -> dict[str, Any]:
    allowed = {"slot_token"} if stage is Stage.DELIVER else set()
    if set(kwargs) != allowed or not all(map(is_text, kwargs.values())):
        raise UnacceptableError(f"the envelope's kwargs must be {', '.join(allowed) or 'empty'}")
    return kwargs


def _ids_of_envelope(stage: Stage, values: list[Any]) -> list[int]:
    if not values and stage is not Stage.RESERVE:
        raise UnacceptableError("the list of ids is empty")
    bad = [v for v in values if not _is_id(v)]
    if bad:
        raise UnacceptableError(_no_id(bad[0]))
    return values


def _plain(stage: Stage, content: Any, message_id: str) -> Decoded:
    if not isinstance(content, dict):
        content = {"contact_ids": content} if isinstance(content, list) else {"contact_id": content}
    unknown = set(content) - {"contact_id", "contact_ids", *KEYS[stage]}
    if unknown:
        raise UnacceptableError(f"unknown key {_shown(min(unknown))}")
    if ("contact_id" in content) == ("contact_ids" in content):
        raise UnacceptableError("either contact_id or contact_ids is needed")
    values = content["contact_ids"] if "contact_ids" in content else [content["contact_id"]]
    if not isinstance(values, list) or not 0 < len(values) <= MAX_IDS_IN_MESSAGE:
        raise UnacceptableError(f"contact_ids must be a list of 1 to {MAX_IDS_IN_MESSAGE} ids")
    options = _options(content)
    if len(values) == 1 and not _is_id(values[0]):
        raise UnacceptableError(_no_id(values[0]))
    good = [v for v in values if _is_id(v)]
    # Its place tells it from another that reads the same, above all where only the start of both is quoted.
    refused = tuple(
        Refused(json.dumps({"contact_ids": [value]} | options).encode(), f"contact_ids[{place}]: {_no_id(value)}")
        for place, value in enumerate(values)
        if not _is_id(value)
    )
    return Decoded(_message(stage, good, options, message_id) if good else None, refused)


def _options(content: dict[str, Any]) -> dict[str, Any]:
    options = {k: content[k] for k in KEYS[Stage.INTAKE] if content.get(k) is not None}
    for key in ("template_id", "campaign_id"):
        if key in options and not _is_id(options[key]):
            raise UnacceptableError(f"{key}: {_no_id(options[key])}")
    if "campaign_id" in options and len(options) > 1:
        raise UnacceptableError("campaign_id stands alone: a campaign has templates and priorities of its own")
    priority = options.get("priority", 0)
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 9:
        raise UnacceptableError(f"priority {_shown(priority)} is no whole number from 0 to 9")
    return options


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_ID


def _no_id(value: Any) -> str:
    return f"{_shown(value)} is no id (a whole number from 1 to {MAX_ID})"


def _shown(value: Any) -> str:
    """Return a value as a reason can quote it: short, and without characters that a database or terminal can't take."""
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."

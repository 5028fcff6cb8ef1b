"""What a message is: every kind is asked in turn, the surest first. Pure; it never raises.

The order: copies in Sent; what a standard's report says of itself (receipt, complaint, delivery); answers to
invitations; reports in older forms; what a machine wrote; what a person wrote. A person's reply carries none of a
machine's signs, and a report is asked for before an answer, since both can be `Auto-Submitted`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from enum import StrEnum

from pipeline.inbound import automatic, bounce, notices, older, reply
from pipeline.inbound.kinds import Action, Classified, Kind, Recipient
from pipeline.inbound.message import Message, read


class Place(StrEnum):
    """In which kind of folder a message lies."""

    RECEIVED = "received"
    SENT = "sent"


def classify(raw: bytes, today: dt.date, place: Place = Place.RECEIVED) -> Classified:
    """Return what a message is, with the evidence.

    Args:
        raw: the message as the mailbox has it; the first quarter of a megabyte is looked at.
        today: the day on which it is read, in the account's zone; dates without a year are the next ones after it.
        place: in which folder it lies. In Sent each message is a copy of what was sent.
    """
    message = read(raw)
    if place is Place.SENT:
        return _sent(message)
    for asked in (_receipt, _complaint, _delivery_report, _calendar):
        if found := asked(message):
            return _with_ids(found, message)
    if (report := older.find(raw, message)) is not None:
        found = _of_recipients(report.recipients, report.evidence, is_guess=True)
        return _with_ids(replace(found, quoted_ids=older.quoted_ids(message)), message)
    answer = (
        _unsubscribe_subject(message) or _automatic(message, today) or _unsubscribe_line(message) or _reply(message)
    )
    return _with_ids(answer or Classified(Kind.OTHER, ("nothing known",)), message)


def _with_ids(found: Classified, message: Message) -> Classified:
    return replace(found, answered_ids=found.answered_ids or message.head.answered_ids)


def _sent(message: Message) -> Classified:
    to = tuple(Recipient(one, Action.RELAYED) for one in message.head.addresses("to", "cc", "bcc"))
    return Classified(Kind.SENT, ("it lies in Sent",), quoted_ids=message.head.own_ids, recipients=to)


def _receipt(message: Message) -> Classified | None:
    found = notices.receipt(message)
    return Classified(Kind.RECEIPT, (found[0],), quoted_ids=found[1]) if found else None


def _complaint(message: Message) -> Classified | None:
    kind = notices.feedback_type(message)
    if kind is None:
        return None
    what = Kind.COMPLAINT if notices.is_complaint(kind) else Kind.OTHER
    return Classified(what, (f"Feedback-Type: {kind[:40]}",), quoted_ids=older.quoted_ids(message))


def _delivery_report(message: Message) -> Classified | None:
    recipients = bounce.recipients(message)
    if not recipients:
        return None
    actions = ", ".join(dict.fromkeys(one.action.value for one in recipients))
    found = _of_recipients(recipients, (f"a delivery report: {actions}",), is_guess=False)
    return replace(found, quoted_ids=older.quoted_ids(message))


def _of_recipients(recipients: tuple[Recipient, ...], evidence: tuple[str, ...], *, is_guess: bool) -> Classified:
    failed = any(one.action is Action.FAILED for one in recipients)
    kind = Kind.BOUNCE if failed else Kind.DELIVERY_NOTICE
    return Classified(kind, evidence, is_guess=is_guess, recipients=recipients)


def _calendar(message: Message) -> Classified | None:
    method = notices.calendar_method(message)
    return Classified(Kind.CALENDAR, (f"text/calendar, method {method}",)) if method else None


def _automatic(message: Message, today: dt.date) -> Classified | None:
    told = automatic.evidence(message)
    if words := notices.challenge(message):
        is_machine = told is not None or not message.head.answered_ids
        if is_machine:
            return Classified(Kind.CHALLENGE, (words,), is_guess=True)
    if told is None:
        return None
    evidence, is_guess = told
    if automatic.is_bulk(message.head) and not any("auto-replied" in one.lower() for one in evidence):
        return None
    if left := automatic.has_left(message):
        return Classified(Kind.HAS_LEFT, (*evidence, left), is_guess=True)
    until = automatic.away_until(message, today)
    return Classified(Kind.AUTOMATIC, evidence, is_guess=is_guess, until=until)


def _unsubscribe_subject(message: Message) -> Classified | None:
    """Before what is automatic: Apple's Mail says `Auto-Submitted: auto-replied` where its user unsubscribes."""
    found = reply.unsubscribe_subject(message)
    return (
        Classified(Kind.UNSUBSCRIBE, (f"Subject: {message.subject[:80]}",), token=found or None)
        if found is not None
        else None
    )


def _unsubscribe_line(message: Message) -> Classified | None:
    line = reply.unsubscribe_line(message)
    return Classified(Kind.UNSUBSCRIBE, (f"the reply's first line: {line[:80]}",)) if line else None


def _reply(message: Message) -> Classified | None:
    if (found := reply.reply(message)) is None or (found[1] and automatic.is_bulk(message.head)):
        return None
    return Classified(Kind.REPLY, (found[0],), is_guess=found[1])

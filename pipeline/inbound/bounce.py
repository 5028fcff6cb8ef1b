"""Delivery reports by the standard (RFC 3464): what became of which recipient, and what the server said. Pure.

The `Action` decides, never the subject: `failed` is a bounce; `delayed`, `delivered`, `relayed` and `expanded` are only
noted. What a failure means is judged by the one table of `pipeline.smtp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.inbound.head import Head
from pipeline.inbound.kinds import Action, Recipient
from pipeline.inbound.message import Message
from pipeline.smtp.reply import Phase, Reply, Verdict, judge

#: Characters of what a server said.
MAX_DIAGNOSTIC = 1_000

#: `failed (bounced)`, `Failed`: the first word counts (RFC 3464 2.3.3). The others are not the standard's.
_ACTIONS = {
    **{action.value: action for action in Action},
    **{"failure": Action.FAILED, "expired": Action.FAILED, "bounced": Action.FAILED},
    **{"delay": Action.DELAYED, "deliverable": Action.DELIVERED},
}
#: An enhanced status code anywhere in a text (RFC 3463).
STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
#: `rfc822; address`, `smtp; text` (RFC 3464 2.1.2).
_TYPED = re.compile(r"\s*[A-Za-z0-9-]{1,30}\s*;\s*(.*)", re.DOTALL)
_ADDRESS = re.compile(r"[^\s<>()\[\]:;,\"]{1,128}@[^\s<>()\[\]:;,\"]{1,255}|\"[^\"\n]{1,64}\"@[^\s<>;,]{1,255}")
#: A reply in a server's words: its code, then perhaps the enhanced one; not part of a number or an address.
CODE = re.compile(r"(?<![\d.@\w-])([45]\d\d)(?:[ -]+#?(?=[45]\.\d)|(?=[ :,-]))(?!:\d)")


def recipients(message: Message) -> tuple[Recipient, ...]:
    """Return the recipients that a report names, by its own delivery-status part; none if it has none."""
    parts = message.of_type("message/delivery-status", "message/global-delivery-status")
    return tuple(one for part in parts for one in of_blocks(part.blocks))


def of_blocks(blocks: tuple[Head, ...]) -> Iterator[Recipient]:
    """Return a recipient for each group of fields that says what became of one (RFC 3464 2.3).

    Some servers leave out the empty line between two recipients, or put it between the fields of one.
    """
    group: dict[str, str] = {}
    for head in blocks:
        for name, value in head.fields:
            if name in _OF_RECIPIENT and name in group:
                if found := _recipient(group):
                    yield found
                group = {}
            if name in _OF_RECIPIENT:
                group[name] = value
        if found := _recipient(group):
            yield found
            group = {}


_OF_RECIPIENT = {
    *("original-recipient", "final-recipient", "action", "status", "diagnostic-code", "x-actual-recipient"),
    "x-notes",
}


def _recipient(fields: dict[str, str]) -> Recipient | None:
    word = re.match(r"\s*([A-Za-z]+)", fields.get("action", ""))
    status = STATUS.search(fields.get("status", ""))
    action = _ACTIONS.get(word[1].lower()) if word else None
    if action is None and status:
        action = {"2": Action.DELIVERED, "4": Action.DELAYED, "5": Action.FAILED}[status[1][0]]
    if action is None:
        return None
    final = _address(fields.get("final-recipient", ""))
    meant = _address(fields.get("original-recipient", "")) or final or _address(fields.get("x-actual-recipient", ""))
    said = fields.get("diagnostic-code", "")
    typed = _TYPED.fullmatch(said)
    text = (typed[1] if typed else said).strip()[:MAX_DIAGNOSTIC]
    return Recipient(meant, action, status[1] if status else None, text, final if final != meant else None)


def _address(value: str) -> str | None:
    typed = _TYPED.fullmatch(value)
    found = _ADDRESS.search(typed[1] if typed else value)
    return found[0].strip("<>") if found else None


def reply_of(recipient: Recipient) -> Reply:
    """Return the reply that the diagnostic quotes; without one, what the status says.

    The class of a code that is missing is the status's: 550 for 5.x.x, 450 for 4.x.x; without a status, what the action
    says of the words. A status that the server did not
    say itself is put before its words, unless it says nothing (5.0.0).
    """
    found = CODE.search(recipient.diagnostic)
    text = recipient.diagnostic[found.end() :].lstrip(" -:") if found else recipient.diagnostic
    status = recipient.status
    if status and not status.endswith(".0.0") and not re.match(r"#?[245]\.\d", text):
        text = f"{status} {text}".strip()
    if found:
        return Reply(int(found[1]), text)
    of_text = STATUS.search(recipient.diagnostic[:100])
    status = status or (of_text[1] if of_text else None)
    if status is None and text:
        status = "5" if recipient.action is Action.FAILED else "4"
    return Reply(int(status[0]) * 100 + 50 if status else None, text)


def verdict(recipient: Recipient) -> Verdict:
    """Return whose fault a failure is, by the table for SMTP replies; UNKNOWN if nothing is said.

    The phase is the one that the report names; where it names none, the one in which most servers refuse.
    """
    if recipient.action in (Action.DELIVERED, Action.RELAYED, Action.EXPANDED):
        return Verdict.ACCEPTED
    reply = reply_of(recipient)
    if reply.code is None:
        return Verdict.UNKNOWN
    return judge(_phase(recipient.diagnostic), reply)


def _phase(text: str) -> Phase:
    for phase, words in _PHASES.items():
        if re.search(words, text, re.IGNORECASE):
            return phase
    return Phase.RCPT


#: As Postfix, Exim and Sendmail name the command that was answered.
_PHASES = {
    Phase.DOT: r"end of data|after (?:end of )?data|end of message|to the dot",
    Phase.DATA: r"in reply to DATA|\bDATA command",
    Phase.MAIL: r"MAIL FROM|in reply to MAIL",
}

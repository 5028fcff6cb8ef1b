"""Delivery reports that no standard describes: by who sends them and by their words. Pure; all of it is a guess.

flufl.bounce (GNU Mailman's detectors) names the addresses of many forms; what it does not know is read from
X-Failed-Recipients (Exim, Gmail) or from the notice's own words. It is asked only where a mailer writes (its name, or
the null return path of RFC 3834 5 and RFC 5321 6.1), so that no person who quotes a report is taken for one.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import logging
import re
from dataclasses import dataclass, replace

from flufl.bounce import all_failures

from pipeline.inbound import bounce, words
from pipeline.inbound.head import ids_in, unique
from pipeline.inbound.kinds import Action, Recipient
from pipeline.inbound.message import MAX_TEXT, Message, bounded, groups_of
from pipeline.smtp.reply import Verdict

#: Octets and lines that flufl.bounce is given: it reads line by line, with each of its patterns.
_MAX_FOR_FLUFL, _MAX_LINES = 40_000, 800
#: Octets of a line (RFC 5322 2.1.1): some of its patterns take the square of a line's length.
_MAX_LINE = 998
#: Recipients of one report that are taken.
_MAX_RECIPIENTS = 50
#: Where the copy of what was sent begins, in a report without parts.
_COPY = re.compile(
    r"^[> ]{0,4}(?:return-path|received|message-id|mime-version|dkim-signature|x-[\w-]{1,40}): ?\S"
    r"|^[-=* ]{3,}[^\n]{0,40}(?:original|copy|returned m|unsent|message (?:header|text|follows)|below (?:this"
    r"|the next) line)"
    r"|^[ >]{0,3}(?:original message|message (?:text|header)s?) follows?"
    r"|^.{0,80}(?:copy of (?:the|your) (?:original )?message|first \d+ lines|headers of the (?:original )?message)",
    re.IGNORECASE | re.MULTILINE,
)
_NULL_PATH = "the return path is null"
_ID_LINE = re.compile(
    r"^[> \t]{0,4}(?:message-id|x-microsoft-original-message-id|x-google-original-message-id)\s*:\s*(<[^\n]{3,500})",
    re.IGNORECASE | re.MULTILINE,
)
_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}")


@dataclass(frozen=True)
class Found:
    """A report in an older form: of whom, and why it is taken for one."""

    recipients: tuple[Recipient, ...]
    evidence: tuple[str, ...]


def find(raw: bytes, message: Message) -> Found | None:
    """Return what a report in an older form says; None if the message is none."""
    mailer = _mailer(message)
    if mailer is None and not _knows_words(message):
        return None
    text = notice(message)
    temporary, permanent = _by_flufl(raw)
    mailer = mailer or ("the words of a mailer" if temporary or permanent else None)
    if not mailer or (words.AUTOMATIC_SUBJECT.match(message.subject) and not message.head.has("x-failed-recipients")):
        return None
    if reports := tuple(bounce.of_blocks(tuple(groups_of(_all_text(message))))):
        return Found(reports, (f"a mailer writes: {mailer}", "the fields of a delivery report in its text"))
    listed = message.head.addresses("x-failed-recipients")
    delayed = _is_delay(message.subject, text)
    if not (listed or permanent or temporary or delayed or _says_so(message, text, by_path_alone=mailer == _NULL_PATH)):
        return None
    addresses = listed or permanent or temporary or _named(message, text) or (None,)
    of_flufl = Action.DELAYED if temporary and not permanent and not listed else Action.FAILED
    action = Action.DELAYED if delayed else of_flufl
    found = tuple(_recipient(one, action, text, is_sure=delayed) for one in addresses[:_MAX_RECIPIENTS])
    how = "flufl.bounce knows the form" if permanent or temporary else "X-Failed-Recipients" if listed else "its words"
    return Found(found, (f"a mailer writes: {mailer}", how))


def notice(message: Message) -> str:
    """Return a report's own words: its texts up to the copy of what was sent."""
    text = message.text
    copy = _COPY.search(text)
    return text[: copy.start()] if copy and copy.start() > 0 else text


def quoted_ids(message: Message) -> tuple[str, ...]:
    """Return the Message-IDs of the copy of what was sent, be it a part or in the midst of the text."""
    texts = [part.text for part in message.own if part.text]
    in_text = [one for text in texts for line in _ID_LINE.findall(text[:MAX_TEXT])[:20] for one in ids_in(line)]
    # A report whose boundaries are broken swallows the copy.
    in_fields = [one for part in message.own for block in part.blocks for one in block.own_ids]
    return unique([*message.quoted_ids, *in_text, *in_fields])


def _mailer(message: Message) -> str | None:
    """Return by what a mailer is known that wrote this; None if a person may have."""
    sender = message.head.get("from")
    is_reply = _is_reply(message)
    # A postmaster is a person, too, and answers; a machine's "Re:" begins with the server's reply.
    if is_reply and not bounce.CODE.search(message.text[:300]):
        return None
    if sender and words.MAILER_ADDRESS.search(sender):
        return f"From: {sender[:100]}"
    if is_reply:
        return None
    if message.head.has("x-failed-recipients"):
        return "X-Failed-Recipients"
    if message.type == "multipart/report":
        return "multipart/report"
    if not sender or words.MAILER_NAME.search(sender):
        return f"From: {sender[:100]}"
    path = message.head.get("return-path") if message.head.has("return-path") else None
    if path is not None and (path.strip() in ("", "<>") or words.MAILER_ADDRESS.search(f"{path}@")):
        return _NULL_PATH
    return None


def _says_so(message: Message, text: str, *, by_path_alone: bool) -> bool:
    """Tell whether the subject is a report's, or the notice has its words or a server's reply.

    Of what has nothing but the null return path only the surest words count: automatic answers have that, and numbers.
    """
    if words.BOUNCE_SUBJECT.search(message.subject):
        return True
    if by_path_alone:
        return bool(words.NOT_DELIVERED.search(text[:500]))
    return bool(words.BOUNCE_SUBJECT.search(text[:3_000]) or bounce.CODE.search(text[:3_000]))


def _knows_words(message: Message) -> bool:
    """Tell whether the subject is a report's, and nothing says that a person answers or forwards one."""
    return bool(words.BOUNCE_SUBJECT.search(message.subject)) and not (_is_reply(message) or message.head.answered_ids)


def _is_reply(message: Message) -> bool:
    """Tell whether the subject is a reply's; some reports keep the "Re:" of what was sent."""
    return bool(words.REPLY_SUBJECT.match(message.subject)) and not words.OF_A_REPLY.search(message.subject)


def _all_text(message: Message) -> str:
    return "\n\n".join(part.text for part in message.of_type("text/plain"))


def _by_flufl(raw: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the addresses that failed for now, and those for good."""
    with contextlib.suppress(Exception):  # a detector that stumbles over a broken mail says nothing
        logging.getLogger(
            "flufl.bounce"
        ).disabled = True  # it would log each detector, and a mail's words with an error
        lines = [line[:_MAX_LINE] for line in bounded(raw[:_MAX_FOR_FLUFL]).split(b"\n")[:_MAX_LINES]]
        parsed = email.message_from_bytes(b"\n".join(lines), policy=email.policy.compat32)
        if not parsed.get("from"):
            parsed["from"] = "nobody@invalid"  # without a sender, one of its detectors raises
        temporary, permanent = all_failures(parsed)
        return _sorted(temporary), _sorted(permanent)
    return (), ()


def _sorted(found: object) -> tuple[str, ...]:
    decoded = [one.decode("utf-8", "replace") for one in found if isinstance(one, bytes)]  # type: ignore[attr-defined]
    return tuple(sorted(one.strip("<> ") for one in decoded if "@" in one))


def _is_delay(subject: str, text: str) -> bool:
    """Tell whether it is not over yet: the subject says so, or the first words of the notice."""
    return bool(words.DELAY.search(subject) or words.STILL_TRYING.search(text[:1_500]))


def _named(message: Message, text: str) -> tuple[str, ...]:
    """Return the addresses in a notice's words that are neither the reader's nor the mailer's own."""
    own = {one.lower() for one in message.head.addresses("to", "from", "reply-to")}
    found = unique([one.strip(".") for one in _ADDRESS.findall(text[:4_000])])
    return tuple(one for one in found if one.lower() not in own and not words.MAILER_ADDRESS.search(one))[:1]


def _recipient(address: str | None, action: Action, text: str, *, is_sure: bool) -> Recipient:
    """`is_sure`: the notice itself says that it is a delay; flufl.bounce calls some for-good failures temporary."""
    said = _said_of(address, text)
    status = bounce.STATUS.search(said)
    found = Recipient(address, action, status[1] if status else None, said[: bounce.MAX_DIAGNOSTIC])
    failed = replace(found, action=Action.FAILED)
    is_for_good = said.startswith("5") or bounce.verdict(failed) is Verdict.RECIPIENT_FOR_GOOD
    return failed if is_for_good and not is_sure else found


def _said_of(address: str | None, text: str) -> str:
    """Return what the notice says of an address: from the first reply's code behind it to the end of the paragraph.

    If there is no code behind it, the first in the text; if there is none at all, the words behind the address.
    """
    at = text.lower().find(address.lower()) if address else -1
    behind = text[at + len(address or "") :] if at >= 0 else text
    for part in (behind[:3_000], text[:6_000]):
        if code := bounce.CODE.search(part) or bounce.STATUS.search(part):
            return " ".join(re.split(r"\n[ \t]*\n", part[code.start() :], maxsplit=1)[0].split())
    paragraphs = [one for one in re.split(r"\n[ \t]*\n", behind[:3_000].strip(" >:\n\t")) if one.strip()]
    return " ".join(" ".join(paragraphs[:2]).split())

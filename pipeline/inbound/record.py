"""Records a mail that came back: once, with what follows from it.

Reads: the mail, and which delivery its Message-IDs name. Writes, in one transaction: what follows (`effects`), and the
row by which the mail is known again; of two processes with the same mail one writes, and the other undoes what it has
begun. Before it, in a transaction of its own that does nothing twice: a delivery in doubt is `sent`, since what comes
back was accepted. Hands on: what is free now, and to *record outcome*.
Trouble: whatever is cut off is as if the mail had not been seen.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from peewee import fn

from models import (
    Cause,
    Contact,
    Delivery,
    Effect,
    InboundMail,
    NamedBy,
    Reason,
    SmtpAccount,
    State,
    database,
    transition,
)
from models.address import forms
from models.compiled import among, compiled
from models.delivery import in_states
from pipeline.accounts import bounces
from pipeline.flow import Handoff, Stage
from pipeline.inbound.bounce import reply_of, verdict
from pipeline.inbound.classify import Place, classify
from pipeline.inbound.effects import Came, account_of, failed_of, known, take
from pipeline.inbound.kinds import Classified, Kind
from pipeline.inbound.sources import Mail
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow

#: What a Message-ID means that stands in the part that quotes our headers; all others are about what they answer.
_BY_QUOTE = (Kind.BOUNCE, Kind.DELIVERY_NOTICE, Kind.COMPLAINT, Kind.RECEIPT, Kind.OTHER)
#: What follows where it does not depend on the kind.
_BY_NAME = {NamedBy.RECIPIENT: Effect.GUESS, NamedBy.COPY: Effect.FOUND}
#: Evidence in the program's own words, or in those of a standard, which is kept as it is. Of all other only what stands
#: before its colon is, such as a field's name: a stranger's words may name people.
_KEPT = re.compile(
    r"a delivery report: [a-z, ]+|text/calendar, method [a-z]+|it lies in Sent|In-Reply-To or References"
    r"|the return path is null|the fields of a delivery report in its text|flufl\.bounce knows the form"
    r"|X-Failed-Recipients|Feedback-Type: [a-z-]+"
    r"|Auto-Submitted: auto-(?:replied|generated|notified)"
)
_NAME = re.compile(r"([A-Za-z][A-Za-z' -]{0,60}):")


class SeenError(Exception):
    """Another process has recorded the mail meanwhile."""


@dataclass(frozen=True)
class Recorded:
    """What was done with a mail.

    Attributes:
        kind: what it is.
        effect: what followed; None: nothing was stored.
        was_seen: whether it had been recorded before.
        is_early: whether the delivery that it is about is being sent at this moment: it is to be read again.
        ended_doubt: whether a delivery in doubt is `sent` by it.
        handoffs: what is to be handed on.
    """

    kind: Kind
    effect: Effect | None = None
    was_seen: bool = False
    is_early: bool = False
    ended_doubt: bool = False
    handoffs: tuple[Handoff, ...] = ()


def today() -> dt.date:
    """Return the day on which mails are read: today in the window's zone."""
    return SendingWindow.from_settings(settings()).local_date(database.now())


def record(mail: Mail, read_on: dt.date, *, place: Place = Place.RECEIVED, mailbox: int | None = None) -> Recorded:
    """Record a mail, with what follows from it. Again: changes nothing. Of one that is none of ours the database is
    asked but once.

    Args:
        mail: as it was read.
        read_on: the day, in the window's zone.
        place: in which folder it lay.
        mailbox: the account whose mailbox that is; None: unknown.
    """
    found = classify(mail.octets, read_on, place)
    own = mail.head.own_ids
    ours = deliveries_named({*own, *found.quoted_ids, *found.answered_ids})
    if place is not Place.SENT and ours and (any(one in ours for one in own) or _is_by_account(mail)):
        found = classify(mail.octets, read_on, Place.SENT)
    meant = _meant(found, ours)
    if meant is None:
        return Recorded(found.kind)
    delivery, named_by = meant
    if InboundMail.select().where(InboundMail.key == mail.key).exists():
        return Recorded(found.kind, was_seen=True)
    if named_by is NamedBy.RECIPIENT:
        return _recorded(mail, found, delivery, named_by, mailbox)
    if delivery.state == State.SENDING:
        return Recorded(found.kind, is_early=True)
    ended_doubt = delivery.state == State.IN_DOUBT and _end_doubt(delivery)
    if named_by is NamedBy.COPY and not ended_doubt:
        return Recorded(found.kind)  # there is one of each mail
    return _recorded(mail, found, delivery, named_by, mailbox, ended_doubt=ended_doubt)


def _recorded(
    mail: Mail,
    found: Classified,
    delivery: Delivery,
    named_by: NamedBy,
    mailbox: int | None,
    *,
    ended_doubt: bool = False,
) -> Recorded:
    """Do what follows, and store it, in one transaction."""
    failpoint("inbound:got")
    came = Came(found, delivery)
    try:
        with database.transaction():
            effect = _BY_NAME[named_by] if named_by in _BY_NAME else take(came)
            _store(mail, came, named_by, effect, mailbox)
            failpoint("inbound:wrote")
    except SeenError:
        return Recorded(found.kind, was_seen=True)
    if came.counts and (account_id := account_of(delivery)) is not None:
        bounces.check([account_id], [delivery])
    handoffs = [*came.handoffs, *([Handoff(Stage.RECORD, [delivery.id])] if ended_doubt else [])]
    return Recorded(found.kind, effect, ended_doubt=ended_doubt, handoffs=tuple(handoffs))


def _store(mail: Mail, came: Came, named_by: NamedBy, effect: Effect, mailbox: int | None) -> None:
    """Store the row by which a mail is known again; raise SeenError if it is there."""
    found, delivery = came.found, came.delivery
    # Who forgets the person has locked the contact, too: it comes before this, or blanks what is stored here.
    contact = database.for_update(Contact.select().where(Contact.id == delivery.contact_id)).get()
    is_forgotten = contact.forgotten_at is not None
    failed = failed_of(found, delivery)
    reply = reply_of(failed) if failed is not None else None
    row = InboundMail.insert(
        key=mail.key,
        kind=found.kind,
        delivery=delivery.id,
        named_by=named_by,
        effect=effect,
        evidence="" if is_forgotten else _evidence(found),
        verdict=verdict(failed) if failed is not None else None,
        reply_code=reply.code if reply is not None else None,
        enhanced_code=failed.status if failed is not None else None,
        mailbox=mailbox,
        read_at=database.now(),
    ).on_conflict(action="nothing")
    if not list(row.returning(InboundMail.id).execute()):
        raise SeenError


def _evidence(found: Classified) -> str:
    """Return why a mail was taken for what it is, without a stranger's words."""
    names = [one if _KEPT.fullmatch(one) else named[1] if (named := _NAME.match(one)) else "" for one in found.evidence]
    return "; ".join(dict.fromkeys(name or "its words" for name in names))


def _end_doubt(delivery: Delivery) -> bool:
    """Bring a delivery from doubt to `sent`, if the claim that it was read with is its last; none of its attempts is
    rewritten.
    """
    with database.transaction():
        # Who claims has locked the account, too.
        database.lock_rows(SmtpAccount, SmtpAccount.id == delivery.account_id)
        same = (Delivery.id == delivery.id) & (Delivery.token == delivery.token)
        about = {"cause": Cause.INBOUND, "reason": Reason.FOUND_BY_MAIL, "account": delivery.account_id}
        sent: dict[str, Any] = {"sent_at": database.now(), "recorded_at": None}
        return bool(transition(State.IN_DOUBT, State.SENT, same, **about, **sent))


def _meant(found: Classified, ours: Mapping[str, Delivery]) -> tuple[Delivery, NamedBy] | None:
    """Return the delivery that a mail is about, and how surely; None: it is none of ours."""
    if found.kind is Kind.UNSUBSCRIBE and found.token and (by_token := _of_token(found.token)) is not None:
        return by_token, NamedBy.TOKEN
    is_about_quoted = found.kind in _BY_QUOTE or found.kind is Kind.SENT
    name = found.strong(ours) if is_about_quoted else found.guessed(ours)
    if name is not None:
        by_copy = NamedBy.COPY if found.kind is Kind.SENT else NamedBy.QUOTED
        return ours[name], by_copy if is_about_quoted else NamedBy.ANSWERED
    if found.kind in (Kind.BOUNCE, Kind.DELIVERY_NOTICE) and (last := _last_to(found)) is not None:
        return last, NamedBy.RECIPIENT
    return None


def deliveries_named(ids: Collection[str]) -> dict[str, Delivery]:
    """Return our deliveries by those Message-IDs, ours or the provider's, that are among `ids`."""
    ids = [one for one in ids if one.isprintable()]
    found = _named().rows(ids=ids) if ids else []
    return {name: d for d in found for name in (d.wire_message_id, d.message_id) if name in ids}


@compiled
def _named() -> Any:
    named = among(Delivery.message_id, "ids") | among(Delivery.wire_message_id, "ids")
    return Delivery.select().where(named).order_by(Delivery.id)


def _of_token(token: str) -> Delivery | None:
    """Return the delivery whose mail had this token: one that was rendered with it, so that no key is needed."""
    number = token.partition(".")[0]
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    found: Delivery | None = Delivery.get_or_none(Delivery.id == int(number))
    is_its = found is not None and found.unsubscribe and compare_digest(found.unsubscribe.encode(), token.encode())
    return found if is_its else None


def _last_to(found: Classified) -> Delivery | None:
    """Return the last mail that was sent to a recipient whom a report names."""
    addresses = sorted({form for address in known(one.address for one in found.recipients) for form in forms(address)})
    if not addresses:
        return None
    sent = Delivery.address.in_(addresses) & in_states(State.SENT)
    last: Delivery | None = Delivery.select().where(sent).order_by(Delivery.sent_at.desc()).first()
    return last


def _is_by_account(mail: Mail) -> bool:
    """Tell whether a person has sent a mail with one of our accounts: wherever it lies, it answers nothing of ours."""
    senders = [address.lower() for address in mail.head.addresses("from") if address.isprintable()]
    return bool(senders) and SmtpAccount.select().where(fn.LOWER(SmtpAccount.from_address).in_(senders)).exists()

"""Conversations: what a delivery takes from those that it follows, one after another.

Reads: the mails before, to the same contact, and who has sent the last one. Writes nothing.
One that begins anew, since another account sends it than has sent those, takes their subject alone, and those that
follow it know of nothing before it.
A contact has one unfinished delivery at most (a unique index). So what a delivery follows has ended by the time that it
is on the route: it was sent, or never will be.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from models import Attempt, Delivery, Outcome, SmtpAccount, State
from models.compiled import among, compiled
from pipeline.accounts.identity import sender_of
from pipeline.content.message import fill_sender
from pipeline.content.quote import Quoted
from pipeline.content.template import Before
from pipeline.content.thread import NO_THREAD, MailIds, Thread, subject_after
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow


def thread_of(delivery: Delivery) -> Thread:
    """Return which mails a delivery follows, for its headers."""
    if delivery.follows_id is None or delivery.begins_anew:
        return NO_THREAD
    mails = _mails_before([delivery.id])[delivery.id]
    return Thread(tuple(MailIds(mail.message_id, mail.wire_message_id) for mail in mails))


def before_each(deliveries: Sequence[Delivery]) -> dict[int, Before]:
    """Return what deliveries take from the mails that they follow, by id; without those that follow none, or one that
    was not sent.

    The sender's fields in them become those of the account that has sent the last one, as it is now.
    """
    following = [d for d in deliveries if d.follows_id is not None]
    if not following:
        return {}
    mails_before = _mails_before(d.id for d in following)
    sendings = {a.delivery_id: a for a in _sendings().rows(ids=[d.follows_id for d in following])}
    return {
        d.id: _before(d, mails_before[d.id], sendings[d.follows_id])
        for d in following
        if d.follows_id in sendings and d.follows_id in (mail.id for mail in mails_before[d.id])
    }


def _before(delivery: Delivery, mails: Sequence[Delivery], sending: Attempt) -> Before:
    sender, last = sender_of(sending.account), sending.delivery
    subject = subject_after([mail.subject for mail in mails], reply_prefix=delivery.reply_prefix)
    quoted = Quoted(last.text, last.html, sender, last.sent_at.astimezone(_clock_of(delivery)))
    return Before(fill_sender(subject, sender, as_html=False), quoted if delivery.quotes else None)


def _clock_of(delivery: Delivery) -> dt.tzinfo:
    """Return the recipient's time zone, the window's where it is not known."""
    window = SendingWindow.from_settings(settings())
    there = window.in_zone(delivery.timezone) if delivery.timezone else None
    return (there or window).zone


def _mails_before(delivery_ids: Iterable[int]) -> dict[int, list[Delivery]]:
    """Return ids and subjects of the mails before each delivery, the oldest first."""
    mails: dict[int, list[Delivery]] = {i: [] for i in delivery_ids}
    for mail in sorted(_conversations().rows(ids=list(mails)), key=attrgetter("id")):
        mails[mail.follower].append(mail)
    return mails


@compiled
def _conversations() -> Any:
    of_it = (Delivery.id.alias("follower"), Delivery.contact.alias("contact_id"), Delivery.follows.alias("mail_id"))
    start = Delivery.select(*of_it).where(among(Delivery.id, "ids"))
    conversation = start.cte("conversation", recursive=True, columns=("follower", "contact_id", "mail_id"))
    follower, contact_id, mail_id = conversation.c.follower, conversation.c.contact_id, conversation.c.mail_id
    before = Delivery.alias()
    further = before.select(follower, contact_id, before.follows).join(conversation, on=(before.id == mail_id))
    # As `Delivery.begins_anew` has it.
    begins_anew = before.position.is_null(False) & before.sender_id.is_null()
    conversation = conversation.union_all(further.where(before.follows.is_null(False) & ~begins_anew))
    mail = (Delivery.id, Delivery.subject, Delivery.message_id, Delivery.wire_message_id)
    was_sent = (Delivery.state == State.SENT) & (Delivery.contact == contact_id)
    mails = Delivery.select(follower, *mail).join(conversation, on=(Delivery.id == mail_id)).where(was_sent)
    return mails.with_cte(conversation).objects()


@compiled
def _sendings() -> Any:
    """Return the query of mails with the attempts that have sent them, of each the one that counts last."""
    last = (Delivery.id, Delivery.text, Delivery.html, Delivery.sent_at)
    sent = among(Attempt.delivery, "ids") & Attempt.outcome.in_([Outcome.ACCEPTED, Outcome.IN_DOUBT])
    # A person who is forgotten at this moment has no words any more.
    sent &= Delivery.text.is_null(False)
    query = Attempt.select(Attempt.id, *last, SmtpAccount).join(Delivery).switch(Attempt).join(SmtpAccount)
    return query.where(sent).order_by(Attempt.outcome.desc(), Attempt.id)

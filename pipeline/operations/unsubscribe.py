"""What a recipient asks for through the link in a mail: no more mails, none to the company, or none for some time; and
takes back.

Reads: the delivery of the link, its contact, and others with the same address, who are the same person. Writes, in one
transaction: the request, the suppressions that it is for, what waits for these people cancelled or skipped, their
enrolments ended, and the action. Asks for no broker: what got free is found by the next trigger.
Trouble: none is left half done. A claim that comes later finds its slot lost; one that was faster has sent.
"""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path

from models import (
    Cause,
    Contact,
    Delivery,
    Enrolment,
    EnrolmentState,
    OptOut,
    Reason,
    State,
    Suppression,
    SuppressionKind,
    Website,
    database,
)
from models.address import forms, normalise
from models.control import record_action, wake_by
from models.delivery import in_states
from models.enrolment import ends
from models.opt_out import Choice as Choice
from models.opt_out import Way as Way
from models.states import NOT_CLAIMED
from models.suppression import suppress
from pipeline.accounts import consent
from pipeline.accounts.alerts import Alert, alert
from pipeline.content.consent import TRIAL as TRIAL
from pipeline.content.consent import Tokens as Tokens
from pipeline.operations.cancel import cancel_where, end_waiting, lock_waiting
from pipeline.operations.standing import Standing as Standing
from pipeline.operations.standing import contact_of, is_over, open_requests_of, standing_of
from pipeline.rules.company import company_of
from pipeline.rules.domains import DOMAIN
from pipeline.runtime import secret_key
from pipeline.runtime.failpoints import failpoint

#: How long "not now" is.
PAUSE = dt.timedelta(days=90)
#: Contacts of a company above which the operator is asked whether it is right that nobody there is written to.
MANY = 20
#: Who acts.
RECIPIENT = "recipient"
#: What a request ends: also what has failed, and would go on with a replay.
_ENDED = (EnrolmentState.ACTIVE, EnrolmentState.FAILED)
#: What the mail whose link was used answers, where its sequence is over.
_ANSWERED = (EnrolmentState.FINISHED, EnrolmentState.STOPPED)


def make_key() -> Path | None:
    """Make the key of the links if it is not there; return the key file, if one was made. Raises KeyLockedError,
    SecretKeyError.
    """
    with secret_key.noticing_a_new_one() as new_key:
        consent.make_key()
    return new_key.path


def tokens() -> Tokens:
    """Return what reads the tokens of links. Raises KeyLockedError, NoKeyError."""
    return consent.of_key()


def standing(delivery_id: int) -> Standing | None:
    """Return how it stands with the person that a mail was to; None: there is no such mail. Changes nothing."""
    if delivery_id == TRIAL:
        return Standing()
    contact = contact_of(delivery_id)
    return None if contact is None else standing_of(contact)


def ask(delivery_id: int, choice: Choice, way: Way) -> Standing | None:
    """Do what the recipient of a mail asks for. Again: changes nothing.

    Args:
        delivery_id: the mail whose link was used.
        choice: what is asked for. COMPANY of somebody whose company can't be told is NEVER.
        way: how.

    Returns:
        How it stands then; None: there is no such mail.
    """
    if delivery_id == TRIAL:
        return Standing()
    if choice is Choice.NEVER and (before := _who_has_left(delivery_id)) is not None:
        return before
    with database.transaction():
        contact = contact_of(delivery_id)
        if contact is None:
            return None
        if contact.forgotten_at is None:
            if not _Request(contact, delivery_id, choice, way).carry_out():
                return Standing(never=True)
            failpoint("unsubscribe:wrote")
        return standing_of(contact)


def take_back(delivery_id: int) -> Standing | None:
    """Take back what the recipient of a mail has asked for through a link, whichever; what others have suppressed, and
    what was cancelled, stays so. Again: changes nothing.
    """
    if delivery_id == TRIAL:
        return Standing()
    with database.transaction():
        contact = contact_of(delivery_id)
        if contact is None:
            return None
        ids = [opt_out.id for opt_out in open_requests_of(contact)]
        if ids:
            websites = Website.opt_out_id.in_(ids)
            database.lock_rows(Website, websites)
            Website.update(opt_out_id=None).where(websites).execute()
            now = database.now()
            OptOut.update(taken_back_at=now).where(OptOut.id.in_(ids)).execute()
            Suppression.delete().where(Suppression.opt_out_id.in_(ids)).execute()
            record_action(RECIPIENT, "take back", f"contact {contact.id}", now, f"through delivery {delivery_id}")
        return standing_of(contact)


def _who_has_left(delivery_id: int) -> Standing | None:
    """Return how it stands with somebody who has asked for no mail before, and gets none: a mail program that asks
    again waits for nobody's lock.
    """
    contact = contact_of(delivery_id)
    if contact is None or not any(opt_out.choice == Choice.NEVER for opt_out in open_requests_of(contact)):
        return None
    found = standing_of(contact)
    return found if found.never else None


class _Request:
    """One request, in the caller's transaction."""

    def __init__(self, contact: Contact, delivery_id: int, choice: Choice, way: Way) -> None:
        self._contact, self._delivery_id, self._way = contact, delivery_id, way
        self._company = company_of(contact) if choice is Choice.COMPANY else None
        self._choice = Choice.NEVER if choice is Choice.COMPANY and self._company is None else choice
        self._person = normalise(contact.address)

    def carry_out(self) -> bool:
        """Do what is asked for; false: the person has been forgotten since the contact was read, and stays so."""
        website = Website.id == self._contact.website_id
        if self._company is not None:
            database.lock_rows(Website, website)
        contacts = self._lock_contacts()
        if self._contact.id not in contacts:
            return False
        own = [i for i, address in contacts.items() if i == self._contact.id or address in forms(self._person)]
        others = sorted(contacts.keys() - set(own))
        now = database.now()
        until = now + PAUSE if self._choice is Choice.PAUSE else None
        same = next(
            (o for o in open_requests_of(self._contact) if o.choice == self._choice and not is_over(o, now)), None
        )
        has_stopped = self._stop(own, others, now)
        opt_out_id = same.id if same is not None else self._note(now, until)
        for kind, value in self._values():
            suppress(kind, [value], _WORDS[self._choice], now, until=until, opt_out_id=opt_out_id)
        if self._company is not None:
            Website.update(opt_out_id=opt_out_id).where(website & Website.opt_out_id.is_null()).execute()
        if len(contacts) > MANY and same is None:
            self._ask_operator(len(contacts), now)
        if has_stopped:
            # An embedded `run` looks for it every second; with RabbitMQ the sweep finds the room.
            wake_by(now)
        return True

    def _lock_contacts(self) -> dict[int, str]:
        """Lock the person's contacts, and for the company those of its website and domain; return their addresses by
        id.
        """
        which = (Contact.id == self._contact.id) | Contact.address.in_(forms(self._person))
        if self._company is not None:
            at_domain = (self._company == DOMAIN) | DOMAIN.endswith(f".{self._company}")
            which |= (Contact.website == self._contact.website_id) | at_domain
        # Whoever picks for them locks the contact, too: nothing is picked between here and the commit.
        rows = Contact.select(Contact.id, Contact.address).where(which & Contact.forgotten_at.is_null())
        return {contact.id: contact.address for contact in database.for_update(rows.order_by(Contact.id))}

    def _stop(self, own: list[int], others: list[int], now: dt.datetime) -> bool:
        """End enrolments, and cancel or skip what waits; tell whether anything did."""
        # Nothing is picked for them meanwhile. Most wait for nothing: then nobody's slots need to be locked.
        waits = Delivery.select().where(Delivery.contact.in_([*own, *others]) & in_states(*NOT_CLAIMED)).exists()
        if waits:
            lock_waiting(Delivery.contact.in_([*own, *others]))
        # Before what waits is cancelled: nobody has stopped them by hand.
        end = (EnrolmentState.UNSUBSCRIBED, now, Reason.UNSUBSCRIBED)
        ends(Enrolment.contact.in_(own), *end, origins=_ENDED)
        answered = Delivery.select(Delivery.enrolment).where(Delivery.id == self._delivery_id)
        ends(Enrolment.id.in_(answered), *end, origins=_ANSWERED)
        if others:
            ends(Enrolment.contact.in_(others), EnrolmentState.SUPPRESSED, now, Reason.WEBSITE_UNSUBSCRIBED)
        return waits and self._take_off(own, others)

    @staticmethod
    def _take_off(own: list[int], others: list[int]) -> bool:
        """Cancel or skip what waits; tell whether anything did."""
        stopped = cancel_where(Delivery.contact.in_(own), Cause.UNSUBSCRIBE, Reason.UNSUBSCRIBED)
        if others:
            about = (State.SKIPPED, Cause.UNSUBSCRIBE, Reason.WEBSITE_UNSUBSCRIBED)
            stopped += end_waiting(Delivery.contact.in_(others), *about)
        return bool(stopped)

    def _note(self, now: dt.datetime, until: dt.datetime | None) -> int:
        """Store the request; return its id."""
        what = f"{self._choice} by {self._way}, through delivery {self._delivery_id}"
        record_action(RECIPIENT, "unsubscribe", f"contact {self._contact.id}", now, what)
        values = {"choice": self._choice, "way": self._way, "made_at": now, "until": until}
        return int(OptOut.insert(delivery=self._delivery_id, contact=self._contact.id, **values).execute())

    def _values(self) -> list[tuple[SuppressionKind, str]]:
        company = [(SuppressionKind.DOMAIN, self._company)] if self._company is not None else []
        return [(SuppressionKind.ADDRESS, self._person), *company]

    def _ask_operator(self, number: int, now: dt.datetime) -> None:
        why = f"one of {number} contacts of website {self._contact.website_id} wants nobody there to be written to; "
        why += "that holds; if it is not right: `slowpost suppress remove DOMAIN`"
        database.after_commit(partial(alert, Alert.COMPANY_UNSUBSCRIBED, why, now))


#: What stands with a suppression.
_WORDS = {
    Choice.NEVER: "unsubscribed",
    Choice.COMPANY: "unsubscribed with the whole company",
    Choice.PAUSE: "wants no mails for some time",
}

"""A sequence that goes on keeps first and plain mails away from its contact and its website, and is kept back by
none of the rules about mails of the last days.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models import Contact, Delivery, Enrolment, EnrolmentState, State
from models.suppression import suppress
from pipeline import check_duplicates
from pipeline.campaigns import picking
from pipeline.capacity.room import room
from pipeline.reports.why import why
from pipeline.rules.eligible import eligible
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_template,
    a_website,
    an_account,
    an_enrolment,
    on_its_way,
)
from tests.conftest import Clock


def test_a_follow_up_is_kept_back_by_suppression_alone(any_database: str, clock: Clock) -> None:
    website = a_website()
    contact, suppressed = (a_contact(website=website) for _ in range(2))
    a_delivery(State.SENT, contact=contact, sent_at=clock.at)
    a_delivery(State.READY, contact=a_contact(website=website))
    an_enrolment(a_campaign(), a_contact(website=website), position=2)
    suppress("address", [suppressed.address], "", clock.at)
    steps = [checked(an_enrolment(a_campaign(), c, position=2)) for c in (contact, suppressed)]
    assert [outcome_of(d) for d in steps] == [("cleared", None), ("skipped", "suppressed_address")]


@pytest.mark.parametrize(
    ("colleague", "kept_back"),
    [
        ({"position": 2}, True),
        ({"position": 1}, False),
        ({"position": 2, "state": EnrolmentState.REPLIED}, False),
        ({"position": 3, "state": EnrolmentState.FINISHED}, False),
    ],
)
def test_a_first_mail_waits_for_a_sequence_of_its_website_that_has_begun(
    any_database: str, clock: Clock, colleague: dict[str, object], kept_back: bool
) -> None:
    website = a_website()
    an_enrolment(a_campaign(), a_contact(website=website), **colleague)
    campaign = a_campaign((0, [a_template()]), accounts=[an_account()])
    first = an_enrolment(campaign, a_contact(website=website))
    an_enrolment(a_campaign(), first.contact, position=2)
    assert (first.id in picking.pick(room(clock.at), clock.at)) is not kept_back
    expected = ("skipped", "in_sequence") if kept_back else ("cleared", None)
    assert outcome_of(checked(first)) == expected
    assert Enrolment.get_by_id(first.id).state == EnrolmentState.ACTIVE


def test_a_plain_mail_is_not_sent_into_a_sequence(any_database: str, clock: Clock) -> None:
    website, template = a_website(), a_template()
    enrolled = an_enrolment(a_campaign(), a_contact(email="j.doe@gmail.com", website=website), position=2).contact
    same_person, colleague = a_contact(email="jdoe@gmail.com"), a_contact(website=website)
    waits = an_enrolment(a_campaign(), a_contact(website=a_website())).contact
    its_colleague, stranger = a_contact(website=waits.website), a_contact()
    ended = an_enrolment(a_campaign(), state=EnrolmentState.REPLIED).contact
    kept_back, fit = [enrolled, same_person, colleague, waits], [its_colleague, stranger, ended]

    assert eligible(template, 10, 0) == [c.id for c in fit]
    assert [outcome_of(checked_plain(c)) for c in kept_back] == [("skipped", "in_sequence")] * 4
    assert [outcome_of(checked_plain(c)) for c in fit] == [("cleared", None)] * 3
    assert "in_sequence" in [because.reason for because in why(same_person.id).again]


def test_without_the_rule_of_websites_a_sequence_keeps_back_its_own_person_alone(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_dedupe_website_days=0)
    website, template = a_website(), a_template()
    enrolled = an_enrolment(a_campaign(), a_contact(website=website), position=2).contact
    colleague = a_contact(website=website)
    assert eligible(template, 10, 0) == [colleague.id]
    assert outcome_of(checked_plain(colleague)) == ("cleared", None)
    assert outcome_of(checked_plain(enrolled)) == ("skipped", "in_sequence")


def test_what_belongs_to_a_sequence_that_has_ended_is_not_cleared(any_database: str) -> None:
    enrolment = an_enrolment(a_campaign(), position=2, state=EnrolmentState.STOPPED)
    assert outcome_of(checked(enrolment)) == ("skipped", "sequence_ended")


def checked(enrolment: Enrolment) -> Delivery:
    """Return the delivery of an enrolment's step after *check duplicates*."""
    delivery = on_its_way(enrolment, State.SELECTED, website=enrolment.contact.website_id)
    check_duplicates.clear([delivery.id])
    return delivery


def checked_plain(contact: Contact) -> Delivery:
    """Return a plain delivery to a contact after *check duplicates*; it keeps nobody else back."""
    delivery = a_delivery(State.SELECTED, contact=contact)
    check_duplicates.clear([delivery.id])
    row = Delivery.get_by_id(delivery.id)
    Delivery.update(state=State.CANCELLED).where(Delivery.id == delivery.id).execute()
    return row


def outcome_of(delivery: Delivery) -> tuple[str, str | None]:
    """Return state and reason as stored, of a plain one as it was."""
    row = delivery if delivery.campaign_id is None else Delivery.get_by_id(delivery.id)
    return row.state, row.reason

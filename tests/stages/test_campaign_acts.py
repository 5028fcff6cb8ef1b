"""Campaigns as people make and move them: who comes in, what stops them, and what is planned anew."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from models import (
    AccountTag,
    Action,
    Campaign,
    CampaignState,
    Contact,
    Delivery,
    Enrolment,
    EnrolmentState,
    SmtpAccount,
    State,
    Step,
    Variant,
    database,
    transition,
)
from models.delivery import of_ids
from models.lookup import NotThereError
from models.states import Cause
from pipeline.campaigns import audience
from pipeline.campaigns.audience import Enrolled
from pipeline.capacity import room
from pipeline.operations import accounts, campaign_states, campaign_steps, campaign_values, campaigns, imports
from pipeline.operations import lists as list_operations
from pipeline.operations import templates as template_operations
from pipeline.operations.campaign_values import Parts
from pipeline.operations.csv_rows import Listener
from pipeline.operations.done import OperationRefusedError
from pipeline.operations.fields import FieldError
from pipeline.reports import campaigns as reports
from schedules import publish_batch
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_list,
    a_template,
    an_account,
    an_enrolment,
)
from tests.conftest import Clock, until_waiting_for_a_lock
from tests.stages.test_select_contacts import in_a_thread


def test_who_is_on_a_list_and_on_none_that_is_excluded_comes_in_once(any_database: str) -> None:
    urgent, plain, customer, gone, busy = (a_contact(priority=p) for p in (7, 0, 0, 0, 0))
    members = a_list(urgent, plain, customer, gone, busy)
    Contact.update(forgotten_at=database.now()).where(Contact.id == gone.id).execute()
    an_enrolment(a_campaign(), busy)
    campaign = a_campaign(lists=[members, a_list(urgent)], without=[a_list(customer)])

    assert enrolled_by_lists(campaign) == Enrolled(enrolled=2, in_another=1)
    assert enrolled_by_lists(campaign) == Enrolled(enrolled=0, in_another=1)

    of_campaign = Enrolment.select().where(Enrolment.campaign == campaign.id).order_by(Enrolment.id)
    assert [(e.contact_id, e.state, e.position, e.priority, e.due_at) for e in of_campaign] == [
        (urgent.id, EnrolmentState.ACTIVE, 1, 7, None),
        (plain.id, EnrolmentState.ACTIVE, 1, 0, None),
    ]


def test_a_campaign_that_shares_contacts_takes_those_of_others_and_an_ended_sequence_keeps_nobody(
    any_database: str,
) -> None:
    busy, finished = a_contact(), a_contact()
    other = a_campaign()
    an_enrolment(other, busy)
    an_enrolment(other, finished, state=EnrolmentState.FINISHED)
    members = a_list(busy, finished)
    assert enrolled_by_lists(a_campaign(lists=[members])) == Enrolled(enrolled=1, in_another=1)
    assert enrolled_by_lists(a_campaign(lists=[members], shares_contacts=True)) == Enrolled(enrolled=2)


def test_contacts_that_are_named_come_in_and_each_that_does_not_is_counted_with_its_reason(any_database: str) -> None:
    new, there, busy, gone = (a_contact() for _ in range(4))
    Contact.update(forgotten_at=database.now()).where(Contact.id == gone.id).execute()
    campaign = a_campaign()
    an_enrolment(campaign, there, state=EnrolmentState.REPLIED)
    an_enrolment(a_campaign(), busy)
    with database.transaction():
        database.lock_publisher()
        ids = [new.id, there.id, busy.id, gone.id, 999]
        found = audience.enrol(campaign, ids, database.now())
    assert found == Enrolled(enrolled=1, already=1, in_another=1, unknown=(gone.id, 999))
    assert Enrolment.get(contact=there).state == EnrolmentState.REPLIED


def test_nobody_who_is_just_being_forgotten_comes_in(postgres: str) -> None:
    contact = a_contact()
    campaign = a_campaign(lists=[a_list(contact)])
    with database.transaction():
        database.lock_rows(Contact, Contact.id == contact.id)
        enrolling = in_a_thread(lambda: enrolled_by_lists(campaign))
        enrolling.start()
        until_waiting_for_a_lock()
        Contact.update(forgotten_at=database.now()).where(Contact.id == contact.id).execute()
    enrolling.join()
    assert Enrolment.select().count() == 0


def test_an_imported_priority_reaches_the_sequences_that_go_on(any_database: str) -> None:
    contact = a_contact(email="ann@x.test")
    going_on = an_enrolment(a_campaign(), contact)
    ended = an_enrolment(a_campaign(), contact, state=EnrolmentState.FINISHED)
    imports.contacts(["email,priority\n", "ann@x.test,8\n"], Listener())
    assert [Enrolment.get_by_id(e.id).priority for e in (going_on, ended)] == [8, 0]


def test_a_start_enrols_and_runs_and_a_second_one_changes_nothing(ready_world: World) -> None:
    done = campaign_states.start(ready_world.named, "me", reason="go")
    assert (done.state, done.changed, done.enrolled, done.notes) == (CampaignState.RUNNING, True, 1, ())
    assert Campaign.get().started_at is not None
    again = campaign_states.start(ready_world.named, "me")
    assert (again.state, again.changed, again.enrolled) == (CampaignState.RUNNING, False, 0)
    assert actions() == [("start", f"campaign {done.id}", "go")]


@pytest.mark.parametrize(
    ("lack", "said"),
    {
        "nobody": (lambda w: w.change(lists=[]), "it has neither a list nor anybody enrolled"),
        "no account": (lambda _: SmtpAccount.update(removed_at=database.now()).execute(), "no account sends it"),
        "no step": (lambda _: (Variant.delete().execute(), Step.delete().execute()), "it has no step"),
        "no subject": (
            lambda w: template_operations.change(w.first.id, "me", {"subject": None}),
            "it has no subject, it is for mails that follow another",
        ),
        "over": (lambda w: w.set(ends_on=dt.date(2026, 6, 1)), "its last date, 2026-06-01, is over"),
        "closed": (lambda w: w.configure(mail_window_start=12), "hours: 09:00-11:00 is not inside the window's"),
        "no unsubscribe": (
            lambda w: template_operations.change(w.second.id, "me", {"text": "{{ postal_address }}"}),
            r"step 2, template \d+: its text has no {{ unsubscribe }} \(if that has a reason: --no-footer-because",
        ),
        "a comment": (
            lambda w: template_operations.change(w.second.id, "me", {"text": "1 Road {# {{ unsubscribe }} #}"}),
            "its text has no {{ unsubscribe }}",
        ),
        "only in text": (
            lambda w: template_operations.change(w.first.id, "me", {"html": "<p>{{ unsubscribe }}"}),
            "its HTML has no {{ postal_address }}",
        ),
        "no setting": (lambda w: w.configure(mail_postal_address=""), "and MAIL_POSTAL_ADDRESS is not set"),
    }.values(),
)
def test_a_campaign_that_lacks_something_neither_starts_nor_goes_on(
    ready_world: World, lack: Callable[[World], Any], said: str
) -> None:
    lack(ready_world)
    with pytest.raises(OperationRefusedError, match=said):
        campaign_states.start(ready_world.named, "me")
    assert (Campaign.get().state, Enrolment.select().count()) == (CampaignState.DRAFT, 0)
    ready_world.set(state=CampaignState.PAUSED)
    with pytest.raises(OperationRefusedError, match=said):
        campaign_states.resume(ready_world.named, "me")


def test_the_postal_address_itself_does_for_its_variable_and_a_reason_does_for_both(ready_world: World) -> None:
    template_operations.change(ready_world.second.id, "me", {"text": "{{ unsubscribe }}\n1  Main\nRoad"})
    template_operations.change(ready_world.first.id, "me", {"text": "Hello"})
    with pytest.raises(OperationRefusedError, match="step 1"):
        campaign_states.start(ready_world.named, "me")
    campaign_states.start(ready_world.named, "me", no_footer_because="customers")
    assert Campaign.get().no_footer_because == "customers"
    assert ("allow no footer", f"campaign {ready_world.campaign.id}", "customers") in actions()


def test_who_is_put_on_a_list_of_a_running_campaign_gets_its_first_mail_with_the_next_batch(ready_world: World) -> None:
    ready_world.start()
    list_operations.put("dentists", [str(a_contact(email="new@x.test").id)], Listener(), "me")
    batch = publish_batch.publish()
    assert len(batch.enrolment_ids) == 2
    assert {d.recipient for d in Delivery.select()} >= {"new@x.test"}
    ready_world.set(state=CampaignState.PAUSED)
    list_operations.put("dentists", [str(a_contact().id)], Listener(), "me")
    publish_batch.publish()
    assert Enrolment.select().count() == 2


def test_an_account_that_loses_a_tag_gives_its_slot_back(ready_world: World) -> None:
    planned = a_slot()
    AccountTag.create(account=planned.account_id, tag="brand-a")
    accounts.change(planned.account_id, "me", {}, untags=["other"])
    assert state_of(planned) == State.RESERVED
    accounts.change(planned.account_id, "me", {}, untags=["brand-a"])
    assert state_of(planned) == State.READY


def test_a_tag_that_no_account_has_is_said(ready_world: World) -> None:
    AccountTag.create(account=ready_world.account, tag="brand-a")
    done = ready_world.change(tags=["Brand-A", "brand-b"])
    assert done.notes == ("no account has the tag brand-b",)
    assert [sender.id for sender in reports.campaign("1").senders] == [ready_world.account.id]


def test_from_a_pause_on_nothing_of_a_campaign_has_a_slot_and_others_keep_theirs(ready_world: World) -> None:
    ready_world.start()
    ours, others = a_slot(campaign=ready_world.campaign), a_slot()
    assert room.room(database.now()).campaigns != {}
    done = campaign_states.pause(ready_world.named, "me", "too many")
    assert (done.state, done.changed, done.handoffs) == (CampaignState.PAUSED, True, ())
    assert (state_of(ours), state_of(others)) == (State.READY, State.RESERVED)
    assert room.room(database.now()).campaigns == {}
    assert not campaign_states.pause(ready_world.named, "me").changed
    resumed = campaign_states.resume(ready_world.named, "me")
    assert (resumed.state, resumed.changed, len(resumed.handoffs)) == (CampaignState.RUNNING, True, 1)
    assert [verb for verb, _, _ in actions()] == ["start", "pause", "resume"]


def test_a_draft_can_neither_be_paused_nor_resumed_and_what_is_done_stays_so(ready_world: World) -> None:
    for move in (campaign_states.pause, campaign_states.resume):
        with pytest.raises(OperationRefusedError, match="has not been started"):
            move(ready_world.named, "me")
    assert campaign_states.stop(ready_world.named, "me").changed
    assert not campaign_states.stop(ready_world.named, "me").changed
    moves: list[Callable[[], Any]] = [
        lambda: campaign_states.start(ready_world.named, "me"),
        lambda: campaign_states.resume(ready_world.named, "me"),
        lambda: ready_world.change(lists=[]),
        lambda: campaign_steps.remove(ready_world.named, 1, "me"),
    ]
    for move in moves:
        with pytest.raises(OperationRefusedError, match="is done"):
            move()


def test_a_stop_cancels_what_waits_and_ends_every_sequence_and_a_claimed_mail_goes_on(ready_world: World) -> None:
    ready_world.start()
    waiting, between, claimed = (an_enrolment(ready_world.campaign, position=p) for p in (1, 2, 1))
    ready, sending = (
        a_delivery(state, campaign=ready_world.campaign, enrolment=e, contact=e.contact, position=1, token="t")
        for state, e in ((State.READY, waiting), (State.SENDING, claimed))
    )
    for delivery, enrolment in ((ready, waiting), (sending, claimed)):
        Enrolment.update(delivery_id=delivery.id).where(Enrolment.id == enrolment.id).execute()
    ended = an_enrolment(ready_world.campaign, state=EnrolmentState.REPLIED)

    done = campaign_states.stop(ready_world.named, "me")

    assert (done.state, done.stopped, done.cancelled) == (CampaignState.DONE, 4, 1)
    assert (state_of(ready), state_of(sending)) == (State.CANCELLED, State.SENDING)
    stopped = {e.id: (e.state, e.delivery_id) for e in Enrolment.select() if e.id != ended.id}
    assert {state for state, _ in stopped.values()} == {EnrolmentState.STOPPED}
    assert stopped[between.id] == (EnrolmentState.STOPPED, None)
    assert Enrolment.get_by_id(ended.id).state == EnrolmentState.REPLIED
    transition(State.SENDING, State.SENT, of_ids([sending.id]), cause=Cause.DELIVER, sent_at=database.now())
    last = Enrolment.get_by_id(claimed.id)
    assert (last.state, last.delivery_id) == (EnrolmentState.STOPPED, None)


@pytest.mark.parametrize(
    ("changes", "parts", "planned_anew"),
    [
        ({"limit": "3"}, {}, True),
        ({"hours": "10:00-11:00"}, {}, True),
        ({"until": "2030-01-01"}, {}, True),
        ({}, {"accounts": [2]}, True),
        ({}, {"tags": ["brand-a"]}, True),
        ({"name": "other", "weight": "2", "reply-prefix": "yes"}, {}, False),
        ({"hours": "09:00-11:00", "limit": ""}, {"accounts": [1]}, False),
        ({}, {"without": ["customers"]}, False),
    ],
)
def test_a_change_of_what_slots_are_planned_by_gives_them_back_and_no_other_does(
    ready_world: World, changes: dict[str, str], parts: dict[str, Any], planned_anew: bool
) -> None:
    an_account()
    a_list(name="customers")
    ready_world.start()
    ours, others = a_slot(campaign=ready_world.campaign), a_slot()
    done = campaigns.change(ready_world.named, campaign_values.parsed(changes), Parts(**parts), "me")
    assert state_of(ours) == (State.READY if planned_anew else State.RESERVED)
    assert state_of(others) == State.RESERVED
    assert len(done.handoffs) == planned_anew


def test_a_running_campaign_stays_one_that_could_be_started(ready_world: World) -> None:
    ready_world.start()
    for break_it in (
        lambda: ready_world.change(accounts=[]),
        lambda: campaigns.change("1", campaign_values.parsed({"until": "2026-06-01"}), Parts(), "me"),
        lambda: campaign_steps.change("1", 2, [(a_template(text="Hello").id, 1)], "me"),
    ):
        before = reports.campaign("1")
        with pytest.raises(OperationRefusedError, match="can't run"):
            break_it()
        assert reports.campaign("1") == before


def test_values_that_do_not_fit_together_are_refused(ready_world: World) -> None:
    ready_world.set(starts_on=dt.date(2026, 7, 1))
    with pytest.raises(FieldError, match="until: 2026-06-30 is before from, 2026-07-01"):
        campaigns.change("1", campaign_values.parsed({"until": "2026-06-30"}), Parts(), "me")
    with pytest.raises(FieldError, match="both among its lists and excluded"):
        ready_world.change(without=["dentists"])
    with pytest.raises(NotThereError, match="there is no list 'dentist'"):
        ready_world.change(lists=["dentist"])
    with pytest.raises(OperationRefusedError, match="there is a campaign 'SPRING' already"):
        campaigns.add(campaign_values.parsed({"name": "SPRING"}), Parts(), "me")


def test_other_days_of_a_step_let_those_who_wait_for_it_wait_anew(ready_world: World) -> None:
    now = database.now()
    waits = an_enrolment(ready_world.campaign, position=2, due_at=now)
    on_its_way = an_enrolment(ready_world.campaign, position=2, due_at=now, delivery_id=77)
    elsewhere = an_enrolment(a_campaign(), position=2, due_at=now)
    campaign_steps.change("spring", 2, [], "me", quotes=True)
    assert Enrolment.get_by_id(waits.id).due_at == now
    assert campaign_steps.change("spring", 2, [], "me", days=5).changed
    assert [Enrolment.get_by_id(e.id).due_at for e in (waits, on_its_way, elsewhere)] == [None, now, now]
    assert not campaign_steps.change("spring", 2, [], "me", days=5).changed


def test_a_step_that_a_mail_was_made_for_stays_and_one_that_nobody_has_reached_goes(ready_world: World) -> None:
    for _ in range(2):
        campaign_steps.add("spring", [(ready_world.second.id, 1)], "me", days=7)
    waits = an_enrolment(ready_world.campaign, position=3, due_at=database.now())
    a_delivery(State.SENT, campaign=ready_world.campaign, position=2)
    a_delivery(State.SKIPPED, campaign=ready_world.campaign, position=3)
    for position in (1, 2):
        with pytest.raises(OperationRefusedError, match=f"has made mails for step {position} or one behind it"):
            campaign_steps.remove("spring", position, "me")
    campaign_steps.remove("spring", 3, "me")
    assert [s.days for s in Step.select().order_by(Step.position)] == [0, 3, 7]
    assert (Enrolment.get_by_id(waits.id).state, Enrolment.get_by_id(waits.id).due_at) == (EnrolmentState.ACTIVE, None)
    campaign_steps.remove("spring", 3, "me")
    assert Enrolment.get_by_id(waits.id).state == EnrolmentState.FINISHED
    campaign_steps.add("spring", [(ready_world.second.id, 1)], "me", days=7)
    assert Enrolment.get_by_id(waits.id).state == EnrolmentState.FINISHED
    with pytest.raises(NotThereError, match="has no step 4"):
        campaign_steps.remove("spring", 4, "me")


def test_a_step_that_becomes_the_first_follows_nothing(ready_world: World) -> None:
    campaign_steps.change("spring", 2, [(ready_world.first.id, 1)], "me", quotes=True)
    campaign_steps.remove("spring", 1, "me")
    (first,) = Step.select()
    assert (first.position, first.days, first.quotes) == (1, 0, False)
    with pytest.raises(FieldError, match="the first step follows nothing"):
        campaign_steps.change("spring", 1, [], "me", days=2)
    with pytest.raises(FieldError, match="after: how many days"):
        campaign_steps.add("spring", [(ready_world.second.id, 1)], "me", days=None)
    with pytest.raises(OperationRefusedError, match="has no subject"):
        campaign_steps.change("spring", 1, [(ready_world.second.id, 1)], "me")


@pytest.mark.parametrize("text", ["x", "0", "1=0", "1=x", "1=", "1,2"])
def test_what_is_no_template_with_a_weight_is_refused(text: str) -> None:
    with pytest.raises(FieldError, match="template: "):
        campaign_steps.variants([text])
    assert campaign_steps.variants(["7", "8=2"]) == [(7, 1), (8, 2)]


def test_what_a_campaign_has_is_not_removed(ready_world: World) -> None:
    for remove in (
        lambda: list_operations.remove("dentists", "me"),
        lambda: template_operations.remove(ready_world.second.id, "me"),
    ):
        with pytest.raises(OperationRefusedError, match="is in the campaign 'Spring'"):
            remove()


def test_the_figures_say_where_everybody_stands(ready_world: World, clock: Clock) -> None:
    campaign, other = ready_world.campaign, a_campaign()
    due = clock.at + dt.timedelta(days=3)
    for position, values in ((1, {}), (1, {}), (2, {"due_at": due}), (2, {"due_at": due + dt.timedelta(days=1)})):
        an_enrolment(campaign, position=position, **values)
    an_enrolment(campaign, position=2, due_at=clock.at, delivery_id=9)
    for state in (EnrolmentState.FINISHED, EnrolmentState.FINISHED, EnrolmentState.REPLIED):
        an_enrolment(campaign, position=3, state=state)
    for position in (1, 1, 2):
        a_delivery(State.SENT, campaign=campaign, position=position)
    a_delivery(State.BOUNCED, campaign=campaign, position=1)

    row, empty = reports.campaigns()

    assert (row.enrolled, row.active, row.ended) == (8, 5, {"finished": 2, "replied": 1})
    assert (row.sent, row.waiting, row.next_due_at) == (3, 2, due)
    assert [(s.active, s.sent) for s in reports.campaign("spring").steps] == [(2, 2), (3, 1)]
    assert (empty.id, empty.enrolled, empty.ended, empty.next_due_at) == (other.id, 0, {}, None)


class World:
    """A campaign that could be started."""

    def __init__(self, configure: Callable[..., None]) -> None:
        self.configure = configure
        configure(mail_unsubscribe_url="https://x.test/no", mail_postal_address="1 Main Road")
        said = "{{ unsubscribe }} {{ postal_address }}"
        self.first, self.second = a_template(text=said), a_template(text=said, subject="", active=False)
        self.account = an_account()
        self.named = "Spring"
        self.campaign = a_campaign(
            (0, [self.first]), (3, [self.second]), name="Spring", hours="09:00-11:00", accounts=[self.account],
            lists=[a_list(a_contact(), name="dentists")], state=CampaignState.DRAFT, started_at=None,
        )  # fmt: skip

    def set(self, **values: Any) -> None:
        """Write columns of it."""
        Campaign.update(**values).where(Campaign.id == self.campaign.id).execute()

    def change(self, **parts: Any) -> campaigns.CampaignWritten:
        """Give it other lists or senders."""
        return campaigns.change(self.named, {}, Parts(**parts), "me")

    def start(self) -> None:
        """Start it."""
        campaign_states.start(self.named, "me")


@pytest.fixture
def ready_world(any_database: str, clock: Clock, configure: Callable[..., None]) -> World:
    """A campaign that could be started, on a Tuesday at 10:00."""
    return World(configure)


def enrolled_by_lists(campaign: Campaign) -> Enrolled:
    """Enrol a campaign's lists as the publisher does."""
    with database.transaction():
        database.lock_publisher()
        return audience.enrol_lists(campaign, database.now())


def a_slot(**values: Any) -> Delivery:
    """Store a delivery with a slot in an hour."""
    at = database.now() + dt.timedelta(hours=1)
    number = Delivery.select().count()
    return a_delivery(State.RESERVED, account=an_account(), send_at=at, token=f"slot {number}", **values)


def state_of(delivery: Delivery) -> str:
    """Return the state of a delivery as it is stored."""
    return str(Delivery.get_by_id(delivery.id).state)


def actions() -> list[tuple[str, str, str]]:
    """Return verb, subject and reason of what was recorded about campaigns."""
    about = Action.select().where(Action.subject.startswith("campaign")).order_by(Action.id)
    return [(a.verb, a.subject, a.reason) for a in about]

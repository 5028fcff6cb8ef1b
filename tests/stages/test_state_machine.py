"""The whole route as a state machine, on both databases: whatever comes in whatever order, nobody is written twice, no
limit is passed, nothing vanishes, and what waits comes to an end.

There is no broker: messages lie in a bag from which they are delivered in any order, twice, or not at all. What holds
is checked by `route_world`, after each step and at each dot.
"""

# ruff: noqa: S608  (what stands in the statements are the tests' own ids)
from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import hypothesis
import pytest
import structlog
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from models import EmailTemplate, SmtpAccount, SuppressionKind, Website, database
from models.lookup import NotThereError
from models.suppression import suppress
from pipeline import select_contacts, sweep
from pipeline.flow import TRIGGER
from pipeline.operations import accounts, cancel, decisions, forget, pause, rerender
from pipeline.operations.decisions import DecisionRefusedError
from pipeline.operations.pause import Target
from tests.builders import a_contact, a_template, an_account
from tests.conftest import Clock
from tests.effort import counts
from tests.stages.route_world import (
    ANSWERS,
    DAY,
    INSTANT,
    MINUTE,
    Dialogue,
    Meanwhile,
    Rules,
    Say,
    Waiting,
    World,
    empty_tables,
    instant,
    rows,
    watch_states,
)


def test_whatever_happens_nothing_is_lost_doubled_or_too_much(
    any_database: str, clock: Clock, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch, silent: None
) -> None:
    watch_states()
    machine = type(
        "Route", (Route,), {"clock": clock, "configure": staticmethod(configure), "monkeypatch": monkeypatch}
    )
    if EXAMPLES:
        machine = hypothesis.seed(SEED)(machine)
    run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(
            max_examples=EXAMPLES or counts(6, 200),
            stateful_step_count=40,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            print_blob=False,
        ),
    )


ME = "state machine"
HOUR = dt.timedelta(hours=1)
RULES = (
    Rules(),
    Rules(spread=False, interval=3600, limit=3),
    Rules(spread=False, interval=0, contact_days=0, limit=4),
    Rules(interval=0, limit=5, website_days=0),
    Rules(hours=(("08:00", "12:00"), ("13:00", "18:00")), zone="Europe/Berlin", days=(0, 1, 2, 3, 4), limit=3),
    Rules(hours=(("22:00", "06:00"),), limit=4, contact_days=1, website_days=1),
    Rules(hours=(("00:00", "00:00"),), interval=600, limit=6, contact_days=2),
)
#: A Tuesday, the last evenings before the clocks change, and one just before midnight in New York.
STARTS = ("2026-06-02T14:00", "2026-03-07T21:30", "2026-10-31T19:00", "2026-03-28T10:00", "2026-06-03T03:58")
ZONES = (*(None,) * 6, "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata", "Asia/Tokyo")
answers = st.one_of(st.just(Say.ACCEPTED), st.sampled_from(ANSWERS))


def passes(time: dt.timedelta) -> Meanwhile:
    """Return the act that so much time passes."""

    def act(world: World, _: Dialogue) -> None:
        world.clock.at += time

    return act


def window_closes(world: World, _: Dialogue) -> None:
    """The dialogue lasts until the window closes."""
    world.clock.at = world.rules.next_change(world.clock.at, opens=False)


def midnight_comes(world: World, _: Dialogue) -> None:
    """The dialogue lasts until the next local date."""
    world.clock.at = world.rules.next_midnight(world.clock.at)


def everything_is_paused(_: World, __: Dialogue) -> None:
    """A person pauses everything."""
    pause.pause(Target(), ME)


def template_is_paused(_: World, __: Dialogue) -> None:
    """A person pauses the template that most deliveries have."""
    pause.pause(Target(template_id=1), ME)


def account_is_paused(_: World, dialogue: Dialogue) -> None:
    """A person pauses the account that is at work."""
    with contextlib.suppress(NotThereError):
        pause.pause(Target(account_id=dialogue.account_id), ME)


def account_is_disabled(world: World, dialogue: Dialogue) -> None:
    """A person switches off the account that is at work."""
    with contextlib.suppress(NotThereError):
        accounts.disable(dialogue.account_id, ME)
        world.publish([TRIGGER])


def account_is_removed(world: World, dialogue: Dialogue) -> None:
    """A person removes the account that is at work."""
    with contextlib.suppress(NotThereError):
        accounts.remove(dialogue.account_id, ME)
        world.publish([TRIGGER])


def limit_is_lowered(world: World, dialogue: Dialogue) -> None:
    """A person lowers the limit of the account that is at work below what it has sent."""
    with contextlib.suppress(NotThereError):
        accounts.change(dialogue.account_id, ME, {"daily_limit": 0})
        world.publish([TRIGGER])


def account_row_has(**changes: Any) -> Meanwhile:
    """Return the act that the row of the account at work changes, and its slot is not given back: the claim decides."""

    def act(_: World, dialogue: Dialogue) -> None:
        SmtpAccount.update(**changes).where(SmtpAccount.id == dialogue.account_id).execute()

    return act


def template_row_is_paused(world: World, _: Dialogue) -> None:
    """The row of the templates changes, and no slot is given back: the claim decides."""
    EmailTemplate.update(paused_at=world.clock.at).execute()


def all_are_suppressed(world: World, _: Dialogue) -> None:
    """A person suppresses the addresses that are at work."""
    ids = ", ".join(str(i) for i in world.at_hand.ids) if world.at_hand else "0"
    addresses = [address for (address,) in rows(f"SELECT address FROM delivery WHERE id IN ({ids})")]
    suppress(SuppressionKind.ADDRESS, addresses, "asked to", database.now())


def all_are_cancelled(world: World, _: Dialogue) -> None:
    """A person cancels the deliveries that are at work."""
    for i in world.at_hand.ids if world.at_hand else ():
        for (contact_id,) in rows(f"SELECT contact_id FROM delivery WHERE id = {i}"):
            with contextlib.suppress(NotThereError):  # forgotten meanwhile
                world.publish(cancel.cancel(ME, contact=contact_id).handoffs)


def same_message_comes_again(world: World, _: Dialogue) -> None:
    """The broker delivers the message a second time, to another process."""
    if world.at_hand:
        world.publish(world.run_stage(world.at_hand))


def other_messages_are_delivered(world: World, _: Dialogue) -> None:
    """Another process works on what is due."""
    due = [m for m in world.due() if m.handoff != world.at_hand]
    for message in due[:3]:
        world.publish(world.run_stage(world.take(message)))


def sweep_runs(world: World, _: Dialogue) -> None:
    """The sweep comes by."""
    if not world.faithful:
        world.publish(sweep.sweep())


BEFORE_CLAIM: tuple[Meanwhile, ...] = (
    passes(dt.timedelta(seconds=1)),
    passes(MINUTE),
    passes(10 * MINUTE),
    window_closes,
    midnight_comes,
    everything_is_paused,
    template_is_paused,
    account_is_paused,
    account_is_disabled,
    account_is_removed,
    limit_is_lowered,
    account_row_has(daily_limit=0),
    account_row_has(enabled=False),
    template_row_is_paused,
    all_are_suppressed,
    all_are_cancelled,
    same_message_comes_again,
    other_messages_are_delivered,
    sweep_runs,
)
AFTER_DOT: tuple[Meanwhile, ...] = (*BEFORE_CLAIM, passes(25 * MINUTE))
acts_before = st.one_of(st.just([]), st.lists(st.sampled_from(BEFORE_CLAIM), max_size=3))
acts_after = st.one_of(st.just([]), st.lists(st.sampled_from(AFTER_DOT), max_size=3))
numbers = st.integers(0, 20)
Act = tuple[str, dict[str, Any]]


def act(method: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Act]:
    """Return the acts that are a method of the machine with such arguments."""
    return st.tuples(st.just(method), st.fixed_dictionaries(arguments))


some_target = st.sampled_from([Target(), Target(template_id=1), Target(template_id=2)])
acts_of_a_person = st.one_of(
    act("account_is_added", limit=st.sampled_from([None, 0, 1, 3])),
    act(
        "account_is_switched",
        pick=numbers,
        verb=st.sampled_from(["disable", "enable", "enable", "remove", "pause", "resume", "resume"]),
    ),
    act(
        "account_is_changed",
        pick=numbers,
        limit=st.sampled_from([None, 0, 1, 2, 5, 20]),
        warmup=st.sampled_from([(None, None), (None, None), (1, 1), (0, 2)]),
    ),
    act("something_is_paused", what=some_target),
    act("something_is_resumed", what=some_target),
    act("something_is_resumed", what=some_target),
    act("something_is_cancelled", pick=numbers, what=st.sampled_from(["contact"] * 5 + ["template"])),
    act("address_is_suppressed", pick=numbers),
    act("person_is_forgotten", pick=numbers),
    act("template_is_rendered_anew", template_id=st.sampled_from([1, 2])),
    act("doubt_is_resolved", pick=numbers, verb=st.sampled_from(["sent", "resend", "resend"])),
    act("doubt_is_resolved", pick=numbers, verb=st.sampled_from(["sent", "resend", "resend"])),
    act("dead_letter_is_decided", pick=numbers, verb=st.sampled_from(["replay", "replay", "discard"])),
    act(
        "contact_is_sent_again",
        pick=numbers,
        priority=st.sampled_from([None, 0, 9]),
        template_id=st.sampled_from([None, 2]),
    ),
)
acts_of_the_surroundings = st.one_of(
    act("same_contacts_come_twice", pick=numbers),
    act("message_is_lost", pick=numbers),
    act("broker_loses_everything"),
    act("sweep_runs"),
    act("sweep_runs"),
    act("frozen_process_wakes"),
    act("frozen_process_wakes"),
)


class Fate(Enum):
    """What becomes of a message: its process dies before it hands on, or before it acknowledges."""

    ONCE = 1
    TWICE = 2
    NOT_ACKNOWLEDGED = 3
    HANDED_ON_BY_NOBODY = 4


@dataclass(frozen=True)
class Happening:
    """A message, what its mail is answered, what happens before the claim and after the dot, and its fate; `repeats`:
    the answer to the COMMIT of its outcome is lost.
    """

    pick: int
    say: Say
    before: Sequence[Meanwhile]
    after: Sequence[Meanwhile]
    fate: Fate
    repeats: bool

    def without_losses(self) -> Happening:
        """Return what happens where nothing is lost and nobody dies."""
        fate = Fate.TWICE if self.fate is Fate.TWICE else Fate.ONCE
        say = self.say if self.say in ANSWERS else Say.ACCEPTED
        return replace(self, say=say, fate=fate, repeats=False)


happenings = st.builds(
    Happening,
    pick=numbers,
    say=st.one_of(st.just(Say.ACCEPTED), st.sampled_from(Say)),
    before=acts_before,
    after=acts_after,
    fate=st.one_of(st.just(Fate.ONCE), st.sampled_from(Fate)),
    repeats=st.booleans(),
)


class Route(RuleBasedStateMachine):
    """Everything that can happen to contacts, messages, accounts and processes.

    `faithful`: in this example nothing is lost and no process dies, and so there is no sweep either: messages alone
    have to carry each delivery to its end.
    """

    clock: Clock
    configure: Callable[..., None]
    monkeypatch: pytest.MonkeyPatch

    @initialize(rules=st.sampled_from(RULES), start=st.sampled_from(STARTS), faithful=st.booleans())
    def begin(self, rules: Rules, start: str, faithful: bool) -> None:
        """Empty tables, two templates, one account."""
        empty_tables()
        self.configure(**rules.settings())
        self.clock.at = dt.datetime.fromisoformat(start).replace(tzinfo=dt.UTC)
        self.world = World(self.clock, self.monkeypatch, rules, faithful=faithful)
        self.contacts: list[int] = []
        self.forgotten: set[int] = set()
        self.messages: list[tuple[str, list[int], int | None, int | None]] = []
        for number in (1, 2):
            a_template(name=f"template {number}")
        self.add_account(None)

    def teardown(self) -> None:
        """All is well from now on: everything that waits comes to its end."""
        if sys.exc_info()[0] is not None or not hasattr(self, "world"):
            return
        world = self.world
        world.clock.at += INSTANT
        world.script.clear()
        self.make_all_well(1000)
        world.run_forward(sweeps=not world.faithful, most_jumps=600, most_days=40)

    @invariant()
    def all_holds(self) -> None:
        """What has to hold does, and time goes on."""
        self.world.check()
        self.clock.at += INSTANT

    # contacts

    @rule(
        number=st.integers(1, 4),
        twin=st.booleans(),
        website=st.sampled_from([None, None, None, None, 1, 2, 3]),
        priority=st.sampled_from([0, 0, 5, 9]),
        zone=st.sampled_from(ZONES),
        template_id=st.sampled_from([None, None, None, 1, 2, 2, 3]),
        at_once=st.booleans(),
    )
    def contacts_arrive(
        self,
        number: int,
        twin: bool,
        website: int | None,
        priority: int,
        zone: str | None,
        template_id: int | None,
        at_once: bool,
    ) -> None:
        """New contacts; `twin`: the first has the address of one that is there already, written differently; `at_once`:
        they go as far as they can.
        """
        values = {"website": website and self.website(website), "priority": priority, "timezone": zone}
        self.new_contacts([values | {"twin": twin and n == 0} for n in range(number)], template_id)
        if at_once:
            self.world.work_off()

    def new_contacts(self, contacts: Sequence[dict[str, Any]], template_id: int | None) -> None:
        """Store contacts, and let one message bring them."""
        ids = []
        for values in contacts:
            n = len(self.contacts) + 1
            twin = values.get("twin", False)
            person = f"person{max(1, n - 2) if twin else n}"
            columns = {k: v for k, v in values.items() if k != "twin"}
            self.contacts.append(a_contact(email=f"{person}+{n}@gmail.com", name=person, **columns).id)
            ids.append(self.contacts[-1])
        self.enter(f"message {len(self.messages)}", ids, template_id, None)

    def contact_is_sent_again(self, pick: int, priority: int | None, template_id: int | None) -> None:
        """Somebody asks for a contact that is there already; of one that is not, too."""
        if not self.contacts:
            return
        ids = [[*self.contacts, 99_999][pick % (len(self.contacts) + 1)]]
        self.enter(f"message {len(self.messages)}", ids, template_id, priority)

    def same_contacts_come_twice(self, pick: int) -> None:
        """The broker delivers a message of the first stage again."""
        if not self.messages:
            return
        self.enter(*self.messages[pick % len(self.messages)], again=True)

    def enter(
        self, source: str, ids: list[int], template_id: int | None, priority: int | None, *, again: bool = False
    ) -> None:
        """Let the first stage take contacts, and remember what has to become of them."""
        if not again:
            self.messages.append((source, ids, template_id, priority))
        if template_id == 3:
            self.world.lettered.add(source)
        else:
            known = {i for i in ids if i in self.contacts and i not in self.forgotten}
            self.world.arrived |= {(source, i) for i in known}
            if known != set(ids):
                self.world.lettered.add(source)
        self.world.publish(
            select_contacts.select(select_contacts.asked(source, ids), template_id=template_id, priority=priority)
        )

    def website(self, number: int) -> Website:
        """Return one of the websites."""
        now = database.now()
        return Website.get_or_create(domain=f"site{number}.test", defaults={"created_at": now, "updated_at": now})[0]

    # messages

    @rule(acts=st.lists(acts_of_the_surroundings, min_size=1, max_size=2), then=st.integers(0, 3))
    def surroundings_act(self, acts: list[Act], then: int) -> None:
        """The broker loses or repeats, the sweep runs, a process wakes; and work goes on for some while."""
        for method, arguments in acts:
            getattr(self, method)(**arguments)
            self.clock.at += INSTANT
        self.work_goes_on(then)

    @precondition(lambda self: self.world.bag)
    @rule(happenings=st.lists(happenings, min_size=1, max_size=6))
    def messages_are_delivered(self, happenings: list[Happening]) -> None:
        """Any messages, each as soon as it is due."""
        for happening in happenings:
            self.deliver(self.world.bag, happening)

    @rule(happenings=st.lists(happenings, min_size=1, max_size=6), well=st.booleans())
    def mails_are_sent(self, happenings: list[Happening], well: bool) -> None:
        """Messages of slots, each at its time; what else lies in the bag is worked off in between; `well`: nothing is
        paused, and an account can send.
        """
        if well:
            self.make_all_well(None)
            if not self.world.unfinished():
                self.new_contacts([{}] * len(happenings), None)
        for happening in happenings:
            self.deliver(self.messages_of_slots(), happening)

    def messages_of_slots(self) -> list[Waiting]:
        """Return them, after some time if there are none now."""
        for _ in range(4):
            while due := [m for m in self.world.due() if not m.handoff.slot_token]:
                self.world.publish(self.world.run_stage(self.world.take(due[0])))
                self.clock.at += INSTANT
            if slots := [m for m in self.world.bag if m.handoff.slot_token]:
                return slots
            if self.world.bag:
                self.clock.at = min(m.due for m in self.world.bag)
            elif not self.world.faithful:
                self.clock.at += MINUTE
                if not self.world.rules.is_open(self.clock.at):
                    self.clock.at = self.world.rules.next_change(self.clock.at, opens=True)
                self.world.publish(sweep.sweep())
        return []

    def make_all_well(self, limit: int | None) -> None:
        """Resume everything, and add an account."""
        for target in (Target(), Target(template_id=1), Target(template_id=2)):
            self.world.publish(pause.resume(target, ME).handoffs)
        usable = "enabled AND removed_at IS NULL AND paused_at IS NULL AND quota_limit IS NULL"
        if limit is not None or not rows(f"SELECT 1 FROM smtp_account WHERE {usable}"):
            self.add_account(limit)
        self.world.publish([TRIGGER])

    def deliver(self, messages: Sequence[Waiting], happening: Happening) -> None:
        """Deliver one of `messages`, with what befalls the mail and the process meanwhile."""
        world, fate = self.world, happening.fate
        if not messages:
            return
        if world.faithful:
            happening = happening.without_losses()
            fate = happening.fate
        message = messages[happening.pick % len(messages)]
        world.clock.at = max(world.clock.at, message.due)
        world.script = [(happening.say, happening.before, happening.after)]
        world.repeats_outcome = happening.repeats
        handoff = message.handoff if fate is Fate.NOT_ACKNOWLEDGED else world.take(message)
        handoffs = world.run_stage(handoff)
        if fate is Fate.TWICE:
            world.clock.at += INSTANT
            handoffs += world.run_stage(handoff)
        if fate is not Fate.HANDED_ON_BY_NOBODY:
            world.publish(handoffs)
        world.repeats_outcome = False
        world.script.clear()

    @precondition(lambda self: self.world.bag)
    @rule(times=st.integers(1, 10), said=st.lists(answers, max_size=3))
    def work_goes_on(self, times: int, said: Sequence[Say] = ()) -> None:
        """All messages are delivered as they become due, for some while."""
        for _ in range(times):
            self.world.work_off(said)
            later = [m.due for m in self.world.bag if m.due > self.clock.at]
            if not later:
                return
            self.clock.at = min(later)
        self.world.work_off(said)

    def message_is_lost(self, pick: int) -> None:
        """The broker loses a message."""
        if self.world.faithful or not self.world.bag:
            return
        self.world.bag.pop(pick % len(self.world.bag))

    def broker_loses_everything(self) -> None:
        """The broker's data is gone."""
        if self.world.faithful or not self.world.bag:
            return
        self.world.bag.clear()

    def sweep_runs(self) -> None:
        """The sweep comes by."""
        if self.world.faithful:
            return
        self.world.publish(sweep.sweep())

    def frozen_process_wakes(self) -> None:
        """A process that hung reads its server's reply, and records it."""
        if not self.world.frozen:
            return
        self.world.thaw()

    # time

    @rule(
        how=st.sampled_from(
            ["second", "minute", "minutes", "hour", "day", "opening", "closing", "midnight", "clocks", "week", "months"]
        )
    )
    def time_passes(self, how: str) -> None:
        """Nobody works meanwhile; `clocks`: to the hour before the clocks change next, in New York or Berlin."""
        at, rules = self.clock.at, self.world.rules
        match how:
            case "opening":
                self.clock.at = rules.next_change(at, opens=True)
            case "closing":
                self.clock.at = max(at, rules.next_change(at, opens=False) - 2 * MINUTE)
            case "midnight":
                self.clock.at = rules.next_midnight(at) - MINUTE / 2
            case "clocks":
                changes = ("2026-03-08T06:00", "2026-03-29T00:00", "2026-10-25T00:00", "2026-11-01T05:00")
                times = (dt.datetime.fromisoformat(change).replace(tzinfo=dt.UTC) for change in changes)
                self.clock.at = next((time for time in times if at < time < at + 10 * DAY), at)
            case _:
                lengths = {"second": MINUTE / 60, "minute": MINUTE, "minutes": 11 * MINUTE, "hour": HOUR, "day": DAY}
                self.clock.at += lengths.get(how) or (8 * DAY if how == "week" else 91 * DAY)

    # accounts

    def account_is_added(self, limit: int | None) -> None:
        """A person adds an account."""
        if rows("SELECT count(*) FROM smtp_account")[0][0] < 5:
            self.add_account(limit)
            self.world.publish([TRIGGER])

    def add_account(self, limit: int | None) -> None:
        """Store an account."""
        number = rows("SELECT count(*) FROM smtp_account")[0][0] + 1
        an_account(name=f"account {number}", from_address=f"me{number}@example.test", daily_limit=limit)

    def account_is_switched(self, pick: int, verb: str) -> None:
        """A person switches an account on or off, pauses or removes it."""
        account_id = self.some("smtp_account", pick)
        with contextlib.suppress(NotThereError):
            match verb:
                case "pause":
                    pause.pause(Target(account_id=account_id), ME)
                case "resume":
                    self.world.publish(pause.resume(Target(account_id=account_id), ME).handoffs)
                case _:
                    getattr(accounts, verb)(account_id, ME)
                    self.world.publish([TRIGGER])

    def account_is_changed(self, pick: int, limit: int | None, warmup: tuple[int | None, int | None]) -> None:
        """A person raises or lowers an account's limit, or begins a warm-up."""
        changes = {"daily_limit": limit, "warmup_start": warmup[0], "warmup_step": warmup[1]}
        with contextlib.suppress(NotThereError):
            accounts.change(self.some("smtp_account", pick), ME, changes)
            self.world.publish([TRIGGER])

    # what a person does

    @rule(acts=st.lists(acts_of_a_person, min_size=1, max_size=3), then=st.integers(0, 3))
    def person_acts(self, acts: list[Act], then: int) -> None:
        """A person does something by hand, and work goes on for some while."""
        for method, arguments in acts:
            getattr(self, method)(**arguments)
            self.clock.at += INSTANT
        self.work_goes_on(then)

    def something_is_paused(self, what: Target) -> None:
        """A person pauses everything, or a template."""
        pause.pause(what, ME)

    def something_is_resumed(self, what: Target) -> None:
        """A person resumes it."""
        self.world.publish(pause.resume(what, ME).handoffs)

    def something_is_cancelled(self, pick: int, what: str) -> None:
        """A person cancels what waits for a contact, or of a template."""
        if not self.contacts:
            return
        contact_id = self.contacts[pick % len(self.contacts)]
        if what == "contact" and contact_id in self.forgotten:
            with pytest.raises(NotThereError):
                cancel.cancel(ME, contact=contact_id)
            return
        target = {"contact": contact_id} if what == "contact" else {"template_id": 2}
        self.world.publish(cancel.cancel(ME, **target).handoffs)

    def address_is_suppressed(self, pick: int) -> None:
        """A person suppresses a contact's address."""
        if not self.contacts:
            return
        ((address,),) = rows(f"SELECT address FROM contact WHERE id = {self.contacts[pick % len(self.contacts)]}")
        suppress(SuppressionKind.ADDRESS, [address], "asked to", database.now())

    def person_is_forgotten(self, pick: int) -> None:
        """A person is erased, with all contacts of the same address."""
        if not self.contacts:
            return
        contact_id = self.contacts[pick % len(self.contacts)]
        with contextlib.suppress(NotThereError, forget.BeingSentError):
            same = rows(f"SELECT id FROM contact WHERE address = (SELECT address FROM contact WHERE id = {contact_id})")
            forget.forget(contact_id, ME)
            self.forgotten |= {i for (i,) in same}
            self.world.publish([TRIGGER])

    def template_is_rendered_anew(self, template_id: int) -> None:
        """A person lets what waits have a template's new words."""
        self.world.publish(rerender.rerender(template_id, ME).handoffs)

    def doubt_is_resolved(self, pick: int, verb: str) -> None:
        """A person decides about a delivery in doubt: at once too, which is refused for a resend."""
        in_doubt = [i for (i,) in rows("SELECT id FROM delivery WHERE state = 'in_doubt' ORDER BY id")]
        if not in_doubt:
            return
        delivery_id = in_doubt[pick % len(in_doubt)]
        claimed = rows(
            f"SELECT max(claimed_at) FROM attempt WHERE delivery_id = {delivery_id} AND outcome = 'in_doubt'"
        )
        if verb == "sent":
            self.world.publish(decisions.resolve_sent(delivery_id, ME).handoffs)
            return
        try:
            handoffs = decisions.resolve_resend(delivery_id, ME).handoffs
        except DecisionRefusedError:
            return
        last = instant(claimed[0][0])
        assert last is None or self.clock.at - last >= 30 * MINUTE, f"delivery {delivery_id} is resent too soon"
        self.world.disown(delivery_id)
        self.world.publish(handoffs)

    def dead_letter_is_decided(self, pick: int, verb: str) -> None:
        """A person replays or discards a dead letter."""
        letters = [i for (i,) in rows("SELECT id FROM dead_letter WHERE resolved_at IS NULL ORDER BY id")]
        if not letters:
            return
        letter_id = letters[pick % len(letters)]
        if verb == "discard":
            decisions.discard(letter_id, ME)
            return

        def put_back(_queue: str | None, body: bytes, source: str) -> None:
            asked: dict[str, Any] = json.loads(body)
            self.enter(source, asked["contact_ids"], asked.get("template_id"), asked.get("priority"))

        try:
            handoffs = decisions.replay(letter_id, ME, put_back=put_back).handoffs
        except DecisionRefusedError:
            return
        self.world.publish(handoffs)

    def some(self, table: str, pick: int) -> int:
        """Return the id of one row of a table."""
        ids = [i for (i,) in rows(f"SELECT id FROM {table} ORDER BY id")]
        return ids[pick % len(ids)]


#: A run of its own, to look for what an ordinary one has no time for: examples, and the seed of each database.
EXAMPLES = int(os.environ.get("SLOWPOST_TEST_EXAMPLES", "0"))
SEED = int(os.environ.get("SLOWPOST_TEST_SEED", "0"))


@pytest.fixture
def silent() -> Any:
    """Log nothing: it is thousands of lines."""
    was = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**was)

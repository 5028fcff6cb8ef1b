"""How it stands at this moment in a few figures, and what waits for a person. Reads only, and nothing that grows with
what was sent.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from models import Campaign, CampaignState, DeadLetter, Delivery, EmailTemplate, SelfMail, SmtpAccount, State, database
from models.control import control
from models.dead_letter import OPEN
from models.delivery import in_states
from pipeline.capacity import usage
from pipeline.reports import running as running_report
from pipeline.reports.account_states import AccountState, note, state_of
from pipeline.reports.happened import Figures, by_day
from pipeline.reports.running import Running, database_in_use
from pipeline.reports.window import WindowStatus, in_a_sentence, window_status
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow


class About(StrEnum):
    """What a person has to look at."""

    EVERYTHING = "everything"
    ACCOUNT = "account"
    CAMPAIGN = "campaign"
    TEMPLATE = "template"
    IN_DOUBT = "in_doubt"
    DEAD_LETTERS = "dead_letters"


@dataclass(frozen=True)
class Need:
    """Something that does not go on without a person.

    Attributes:
        about: what.
        id: which account, campaign or template; null where it is none of them.
        words: all of it in a sentence.
    """

    about: About
    id: int | None
    words: str


@dataclass(frozen=True)
class Now:
    """How it stands.

    Attributes:
        database: the database that says so: its URL without password and options.
        running: who works, and what is wrong with the running of the program.
        summary: window and pause in a sentence.
        window: the window in which mails are sent.
        paused: whether everything is paused.
        today: today's date, in the window's zone.
        figures: how often what happened today.
        used: how many mails of today's limits are used up.
        limit: mails that all accounts which are on may send today.
        next_slot: when the next mail goes that has a slot (UTC); null: none has.
        accounts: how many accounts stand how.
        needs: what does not go on without a person.
    """

    database: str
    running: Running
    summary: str
    window: WindowStatus
    paused: bool
    today: dt.date
    figures: Figures
    used: int
    limit: int
    next_slot: dt.datetime | None
    accounts: dict[str, int]
    needs: tuple[Need, ...]


def now() -> Now:
    """Return how it stands."""
    at, window = database.now(), SendingWindow.from_settings(settings())
    today, paused = window.local_date(at), control().paused_at is not None
    accounts = list(SmtpAccount.select().where(SmtpAccount.removed_at.is_null()).order_by(SmtpAccount.id))
    states = {account.id: state_of(account, at) for account in accounts}
    to_itself = SelfMail.select().where(SelfMail.local_on == today).count()
    limits = (usage.limit_of(account, today) for account in accounts if states[account.id] is not AccountState.OFF)
    return Now(
        database=database_in_use(),
        running=running_report.running(),
        summary=in_a_sentence(window, at, paused=paused),
        window=window_status(window, at),
        paused=paused,
        today=today,
        figures=Figures.summed(by_day(window, today, today)),
        used=usage.used_on_day(today).count() + to_itself,
        limit=sum(limits),
        next_slot=_next_slot(),
        accounts=dict(sorted(Counter(str(state) for state in states.values()).items())),
        needs=tuple(_needs(accounts, states, at, paused=paused)),
    )


def _next_slot() -> dt.datetime | None:
    # Account by account, through the index of slots.
    slots = Delivery.select(Delivery.send_at).where(in_states(State.RESERVED))
    return min((row.send_at for row in slots), default=None)


def _needs(
    accounts: Sequence[SmtpAccount], states: Mapping[int, AccountState], at: dt.datetime, *, paused: bool
) -> Iterator[Need]:
    if paused:
        yield Need(About.EVERYTHING, None, "everything is paused")
    if doubtful := Delivery.select().where(in_states(State.IN_DOUBT)).count():
        yield Need(About.IN_DOUBT, None, f"{_number(doubtful, 'mail')} may have been sent: nobody but you can decide")
    if letters := DeadLetter.select().where(OPEN).count():
        yield Need(About.DEAD_LETTERS, None, f"{_number(letters, 'dead letter')}: given up, until you decide")
    for account in accounts:
        state = states[account.id]
        if state in (AccountState.OFF, AccountState.PAUSED):
            said = note(account, at, settings().mail_window_timezone) or ""
            # Of a pause that the program has made it says so itself.
            words = said if said.startswith(state) else f"{state}{f': {said}' if said else ''}"
            yield Need(About.ACCOUNT, account.id, f"account {account.name} is {words}")
    stopped = (Campaign.state == CampaignState.PAUSED) & Campaign.paused_after.is_null(False)
    for campaign in Campaign.select().where(stopped).order_by(Campaign.id):
        yield Need(About.CAMPAIGN, campaign.id, f"campaign {campaign.name} is paused: {campaign.paused_after}")
    for template in EmailTemplate.select().where(EmailTemplate.paused_at.is_null(False)).order_by(EmailTemplate.id):
        said = f": {template.paused_after}" if template.paused_after else ""
        yield Need(About.TEMPLATE, template.id, f"template {template.name} is paused{said}")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

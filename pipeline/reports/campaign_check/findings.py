"""What the check of a campaign finds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from models import CampaignState

#: Contacts that a finding names.
NAMED = 5


class Severity(StrEnum):
    """Whether a finding hurts. Only a problem makes the exit code 1."""

    PROBLEM = "problem"
    NOTE = "note"


class About(StrEnum):
    """What is looked at."""

    # the campaign
    NOT_READY = "not_ready"
    PAUSED = "paused"
    # its steps and their templates
    CONVERSATION = "conversation"
    PLACEHOLDER = "placeholder"
    HIDDEN_TEXT = "hidden_text"
    ATTACHMENTS = "attachments"
    # whom it is for
    AUDIENCE = "audience"
    LEFT_OUT = "left_out"
    WAITS = "waits"
    COLUMN = "column"
    RENDERING = "rendering"
    # who sends it, and when
    ACCOUNT = "account"
    CAPACITY = "capacity"
    HOURS = "hours"
    DAYS = "days"


@dataclass(frozen=True)
class CampaignFinding:
    """Something that would go wrong, or is to be known.

    Attributes:
        severity: a problem hurts; a note is to be known.
        about: what was looked at.
        found: what there is, or is not.
        remedy: what to do; null where that is plain, or nothing is to be done.
        step: the step that it is about, from 1; null: the campaign, or several.
        template_id: the template, of one step.
        account_id: the account.
        column: the column of contacts or websites, as templates name it.
        contacts: how many contacts it is about; null: it is about none.
        contact_ids: the first five of them.
    """

    severity: Severity
    about: About
    found: str
    remedy: str | None = None
    step: int | None = None
    template_id: int | None = None
    account_id: int | None = None
    column: str | None = None
    contacts: int | None = None
    contact_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class CampaignChecked:
    """What would go wrong with a campaign.

    Attributes:
        id: the campaign.
        name: what you call it.
        state: where it stands.
        hurts: whether there is a problem among the findings.
        audience: contacts that it has still to write to: in it, or on its lists.
        goes: those of them to whom nothing keeps it from writing, now or after others.
        rendered: mails that were rendered for them, as a trial.
        logins: accounts whose login was tried.
        expected_end: the date on which its last mail is expected, if it is started now and nothing changes; null: that
            can't be told.
        findings: problems first.
    """

    id: int
    name: str
    state: CampaignState
    hurts: bool
    audience: int
    goes: int
    rendered: int
    logins: int
    expected_end: dt.date | None
    findings: tuple[CampaignFinding, ...]


class Tally:
    """Contacts counted, the first ones by their ids."""

    def __init__(self) -> None:
        self.number = 0
        self.ids: tuple[int, ...] = ()

    def put(self, finding: CampaignFinding) -> CampaignFinding:
        """Return a finding with these as the contacts that it is about."""
        return replace(finding, contacts=self.number, contact_ids=self.ids)

    def add(self, contact_ids: Iterable[int]) -> None:
        """Count some more."""
        for contact_id in contact_ids:
            self.number += 1
            if len(self.ids) < NAMED:
                self.ids += (contact_id,)

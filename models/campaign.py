"""Campaigns: an audience, the accounts that send, and the steps of what is sent."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Any

import peewee

from models.account import SmtpAccount
from models.account_tag import AccountTag
from models.base import Base
from models.contact_list import ContactList
from models.template import EmailTemplate
from models.utc import UTCDateTimeField


class CampaignState(StrEnum):
    """Where a campaign stands. Only a running one enrols, picks and sends."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"


class WhenAccountIsOff(StrEnum):
    """What becomes of a contact's next step when the account that has written to it is off for good."""

    #: It waits until the account is on again.
    WAIT = "wait"
    #: Another account of the campaign writes, in a new conversation.
    OTHER = "other"
    #: The enrolment ends.
    STOP = "stop"


class Campaign(Base):
    """A campaign.

    `daily_limit`: mails a day at most; None: no limit of its own. `starts_on`, `ends_on`: its first and last date in
    the window's zone. `hours`: its own, inside the window's, as MAIL_WINDOW_HOURS is written; "" for the window's.
    `weight`: its share of the accounts that it shares with others. `shares_contacts`: its contacts may be in other
    campaigns' sequences. `stops_website`: a reply ends it for all contacts of the website. `reply_prefix`: follow-ups
    begin with "Re: ". `no_footer_because`: why its mails may go without postal address or unsubscribe. `paused_after`:
    why the program has paused it; its bounces are counted from `resumed_at`, when a person resumed it.
    """

    name = peewee.TextField()
    key = peewee.TextField(unique=True)
    state = peewee.TextField(default=CampaignState.DRAFT)
    daily_limit = peewee.IntegerField(null=True)
    starts_on = peewee.DateField(null=True)
    ends_on = peewee.DateField(null=True)
    hours = peewee.TextField(default="")
    weight = peewee.IntegerField(default=1)
    shares_contacts = peewee.BooleanField(default=False)
    stops_website = peewee.BooleanField(default=False)
    when_account_is_off = peewee.TextField(default=WhenAccountIsOff.WAIT)
    reply_prefix = peewee.BooleanField(default=False)
    no_footer_because = peewee.TextField(null=True)
    paused_after = peewee.TextField(null=True)
    resumed_at = UTCDateTimeField(null=True)
    started_at = UTCDateTimeField(null=True)
    ended_at = UTCDateTimeField(null=True)
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()


def is_within_dates(campaign: Any, date: dt.date) -> bool:
    """Tell whether a campaign (or a row with its columns) has begun by a date of the window's zone, and is not over."""
    return (campaign.starts_on or date) <= date <= (campaign.ends_on or date)


def within_dates(date: dt.date) -> Any:
    """Return the condition that a campaign has begun by a date of the window's zone, and is not over."""
    begun = Campaign.starts_on.is_null() | (Campaign.starts_on <= date)
    return begun & (Campaign.ends_on.is_null() | (Campaign.ends_on >= date))


class CampaignList(Base):
    """A list whose contacts a campaign is for or, `excluded`, not for."""

    campaign = peewee.ForeignKeyField(Campaign, backref="lists", on_delete="CASCADE", index=False)
    list = peewee.ForeignKeyField(ContactList, on_delete="RESTRICT")
    excluded = peewee.BooleanField(default=False)

    class Meta:
        """A list stands in a campaign once."""

        primary_key = peewee.CompositeKey("campaign", "list")


class CampaignSender(Base):
    """Accounts that send a campaign: one by its id, or all with a tag."""

    campaign = peewee.ForeignKeyField(Campaign, backref="senders", on_delete="CASCADE", index=False)
    account = peewee.ForeignKeyField(SmtpAccount, null=True, index=False)
    tag = peewee.TextField(null=True)

    class Meta:
        """A campaign has an account, and a tag, once."""

        indexes = ((("campaign", "account"), True), (("campaign", "tag"), True))


def senders() -> Any:
    """Return the query of campaign and account of each account that sends one: by its id, or by a tag."""
    pair = (CampaignSender.campaign.alias("campaign"), CampaignSender.account.alias("account"))
    named = CampaignSender.select(*pair).where(CampaignSender.account.is_null(False))
    of_tag = AccountTag.account.alias("account")
    return named | CampaignSender.select(pair[0], of_tag).join(AccountTag, on=AccountTag.tag == CampaignSender.tag)


class Step(Base):
    """A step of a campaign: `days` after the one before, by default working days; the first one on no day of its own.
    `quotes`: the mails before stand below its own words.
    """

    campaign = peewee.ForeignKeyField(Campaign, backref="steps", on_delete="CASCADE", index=False)
    position = peewee.IntegerField()
    days = peewee.IntegerField(default=0)
    working_days = peewee.BooleanField(default=True)
    quotes = peewee.BooleanField(default=False)

    class Meta:
        """A campaign has one step at a position, from 1."""

        table_name = "campaign_step"
        indexes = ((("campaign", "position"), True),)


class Variant(Base):
    """A template that a step may be sent with, and its weight beside the others."""

    step = peewee.ForeignKeyField(Step, backref="variants", on_delete="CASCADE", index=False)
    template = peewee.ForeignKeyField(EmailTemplate, on_delete="RESTRICT")
    weight = peewee.IntegerField(default=1)

    class Meta:
        """A step has a template once."""

        table_name = "step_variant"
        primary_key = peewee.CompositeKey("step", "template")

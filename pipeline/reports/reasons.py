"""The closed list of reasons, as words of the program and as sentences for people. Pure.

`Reason` says how a delivery ended, or what it waits for a person to decide; `NotYet` says what one that waits is
waiting for, what keeps a contact from being picked, or why nobody can tell when a campaign is over.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from models import Reason


class NotYet(StrEnum):
    """What a delivery that waits is waiting for, what keeps a contact from being picked, or an end of a campaign from
    being told; with `Reason`, the closed list of reasons.
    """

    BEING_CHECKED = "being_checked"
    EVERYTHING_PAUSED = "everything_paused"
    TEMPLATE_PAUSED = "template_paused"
    RETRY = "retry"
    WINDOW_CLOSED = "window_closed"
    CONTACT_WINDOW_CLOSED = "contact_window_closed"
    NO_ACCOUNT = "no_account"
    ACCOUNTS_COOLING_DOWN = "accounts_cooling_down"
    LIMITS_REACHED = "limits_reached"
    BEHIND_OTHERS = "behind_others"
    NEXT = "next"
    TURN = "turn"
    SLOT = "slot"
    SLOT_OVERDUE = "slot_overdue"
    BEING_SENT = "being_sent"
    NO_TEMPLATE = "no_template"
    TEMPLATE_DONE = "template_done"
    BELOW_MIN_PRIORITY = "below_min_priority"
    NOT_PICKED_YET = "not_picked_yet"
    CAMPAIGN_DRAFT = "campaign_draft"
    CAMPAIGN_PAUSED = "campaign_paused"
    CAMPAIGN_DONE = "campaign_done"
    CAMPAIGN_NOT_BEGUN = "campaign_not_begun"
    CAMPAIGN_OVER = "campaign_over"
    CAMPAIGN_HOURS_CLOSED = "campaign_hours_closed"
    CAMPAIGN_LIMIT_REACHED = "campaign_limit_reached"
    CAMPAIGN_WITHOUT_ACCOUNT = "campaign_without_account"
    CAMPAIGN_ACCOUNTS_OFF = "campaign_accounts_off"
    SENDER_OFF = "sender_off"
    SENDER_OFF_OTHER = "sender_off_other"
    SENDER_OFF_STOP = "sender_off_stop"
    SENDER_PAUSED = "sender_paused"
    STEP_NOT_DUE = "step_not_due"
    NO_CAPACITY = "no_capacity"
    IN_OTHER_SEQUENCE = "in_other_sequence"
    LEFT_OUT = "left_out"
    NOT_IN_AUDIENCE = "not_in_audience"
    NOBODY_WAITS = "nobody_waits"
    CONTACTS_WAIT = "contacts_wait"
    OVER_BEFORE = "over_before"
    TOO_FAR = "too_far"


#: How a sentence goes on where it is known when its reason passes.
AGAIN = "; again not before {until}"
#: Each reason as a sentence; `{until}` is a time, `{number}` a count, `{campaign}` and `{account}` are ids.
WORDS: dict[str, str] = {
    NotYet.BEING_CHECKED: "it is in the first stages; if it stands still, the sweep puts it back on the route",
    NotYet.EVERYTHING_PAUSED: "everything is paused: `slowpost resume`",
    NotYet.TEMPLATE_PAUSED: "its template is paused: `slowpost resume --template ID`",
    NotYet.RETRY: "an attempt failed for now, the next is not before {until}",
    NotYet.WINDOW_CLOSED: "the window is closed until {until}",
    NotYet.CONTACT_WINDOW_CLOSED: "in the contact's own time zone the window is closed until {until}",
    NotYet.NO_ACCOUNT: "every account is off or paused, or there is none: `slowpost accounts list`",
    NotYet.ACCOUNTS_COOLING_DOWN: "every account that may send it and is below its limit rests after failures, the "
    "first of them until {until}",
    NotYet.LIMITS_REACHED: "every account that may send it has reached its limit of today",
    NotYet.BEHIND_OTHERS: "{number} others that waited longer or are more urgent go first",
    NotYet.NEXT: "it is next: it goes once an account has sent the mail it holds a slot for",
    NotYet.TURN: "it can go, and waits for its turn",
    NotYet.SLOT: "it has a slot",
    NotYet.SLOT_OVERDUE: "its slot was at {until}, and nobody has taken it: `slowpost status`",
    NotYet.BEING_SENT: "it is being sent",
    NotYet.NO_TEMPLATE: "there is no active template",
    NotYet.TEMPLATE_DONE: "the template has been tried with this contact, and is not picked for it again",
    NotYet.BELOW_MIN_PRIORITY: "its priority is below MAIL_PUBLISH_MIN_PRIORITY",
    NotYet.NOT_PICKED_YET: "the batch publisher can pick it, as soon as there is capacity for it",
    NotYet.CAMPAIGN_DRAFT: "campaign {campaign} has not been started: `slowpost campaigns start {campaign}`",
    NotYet.CAMPAIGN_PAUSED: "campaign {campaign} is paused: `slowpost campaigns resume {campaign}`",
    NotYet.CAMPAIGN_DONE: "campaign {campaign} is done",
    NotYet.CAMPAIGN_NOT_BEGUN: "campaign {campaign} begins on {until}",
    NotYet.CAMPAIGN_OVER: "the last date of campaign {campaign} is over: `slowpost campaigns set {campaign} --until "
    "DATE`",
    NotYet.CAMPAIGN_HOURS_CLOSED: "the hours of campaign {campaign} are closed until {until}",
    NotYet.CAMPAIGN_LIMIT_REACHED: "the limit of campaign {campaign} is used up today, or needed for what is on its "
    "way",
    NotYet.CAMPAIGN_WITHOUT_ACCOUNT: "no account sends campaign {campaign}: `slowpost campaigns show {campaign}`",
    NotYet.CAMPAIGN_ACCOUNTS_OFF: "every account that sends campaign {campaign} is off or paused: `slowpost "
    "accounts list`",
    NotYet.SENDER_OFF: "account {account}, which has to send it, is off or no longer campaign {campaign}'s: it waits",
    NotYet.SENDER_OFF_OTHER: "account {account}, which wrote before, is off or no longer campaign {campaign}'s: "
    "another one goes on, in a new conversation",
    NotYet.SENDER_OFF_STOP: "account {account}, which wrote before, is off or no longer campaign {campaign}'s: "
    "its sequence ends",
    NotYet.SENDER_PAUSED: "account {account}, which has to send it, is paused: `slowpost resume --account {account}`",
    NotYet.STEP_NOT_DUE: "the next step of campaign {campaign} is not due before {until}",
    NotYet.NO_CAPACITY: "all that the accounts that may send it can send today is needed for what is on its way",
    NotYet.IN_OTHER_SEQUENCE: "it is in campaign {campaign}, and comes into another only when that has ended for it",
    NotYet.LEFT_OUT: "it is on a list whose contacts campaign {campaign} leaves out",
    NotYet.NOT_IN_AUDIENCE: "it is on no list of a running campaign, and has not been put into one",
    NotYet.NOBODY_WAITS: "nobody waits for a mail of campaign {campaign}",
    NotYet.CONTACTS_WAIT: "{number} contacts of campaign {campaign} wait for something that no time brings: "
    "`slowpost why CONTACT`",
    NotYet.OVER_BEFORE: "the last date of campaign {campaign} comes before {number} contacts have got all of its mails",
    NotYet.TOO_FAR: "campaign {campaign} goes on beyond {until}: no plan looks further",
    Reason.NOT_VALIDATED: "the contact is not validated",
    Reason.INVALID_ADDRESS: "its address is not valid",
    Reason.ROLE_ADDRESS: "its address belongs to a role or a machine, not to a person",
    Reason.DISPOSABLE_DOMAIN: "its address is at a disposable domain, whose addresses live for minutes or hours",
    Reason.DOMAIN_TAKES_NO_MAIL: "its domain takes no mail, according to DNS: see `slowpost contacts check`",
    Reason.WEBSITE_REQUIREMENTS: "its website does not meet the requirements",
    Reason.WEBSITE_UNSUBSCRIBED: "somebody at its website has asked that nobody there be written to",
    Reason.NO_COMMON_WINDOW: "its time zone has no hour in common with the window",
    Reason.UNKNOWN_TIME_ZONE: "its time zone is not known to this machine",
    Reason.IN_FLIGHT: "another mail is on its way to the contact, its address or its website",
    Reason.SUPPRESSED_ADDRESS: "its address is suppressed",
    Reason.SUPPRESSED_DOMAIN: "its domain is suppressed",
    Reason.CONTACTED_RECENTLY: "its address has been written to" + AGAIN,
    Reason.WEBSITE_CONTACTED_RECENTLY: "its website has been written to" + AGAIN,
    Reason.IN_SEQUENCE: "it, or another contact of its website, is in a campaign that goes on",
    Reason.SEQUENCE_ENDED: "its campaign has ended for the contact",
    Reason.ON_EXCLUDED_LIST: "it is on a list whose contacts its campaign is not for",
    Reason.TEMPLATE_ERROR: "its template can't be rendered for it",
    Reason.TEMPLATE_LIMIT: "rendering its template took too much time or memory, and was stopped",
    Reason.NOTHING_TO_FOLLOW: "the mail that it was to follow was not sent",
    Reason.MESSAGE_REFUSED: "its mail can't be made",
    Reason.CONTENT_REFUSED: "a server refused the content",
    Reason.REFUSED_BY_POLICY: "the recipient's server refused the mail by its policy; the address is not suppressed",
    Reason.ATTEMPTS_USED_UP: "all attempts were used up",
    Reason.NO_ACCOUNT_ACCEPTS: "no account could send it",
    Reason.FAULT: "a fault of the program: see `slowpost dead list`",
    Reason.RECIPIENT_REFUSED: "the recipient's server refused the address for good",
    Reason.ACCEPTED: "the recipient's server has accepted it",
    Reason.RESOLVED_SENT: "somebody decided that it was sent",
    Reason.FOUND_BY_MAIL: "a copy of it, its bounce or a reply to it came: it was sent",
    Reason.NO_OUTCOME: "nobody can know whether it was sent: see `slowpost in-doubt list`",
    Reason.CANCELLED: "somebody cancelled it",
    Reason.CAMPAIGN_OVER: "the last date of its campaign is over",
    Reason.REPLIED: "the contact, or another of its website, has replied",
    Reason.UNSUBSCRIBED: "the contact has unsubscribed, or wants no mails for some time",
    Reason.HAS_LEFT: "an automatic answer says that the contact is not there any more",
    Reason.FORGOTTEN: "the contact has been forgotten",
}


#: Reasons that pass by themselves, though nobody can say when.
PASSES = frozenset(
    {
        NotYet.BEING_CHECKED,
        NotYet.LIMITS_REACHED,
        NotYet.BEHIND_OTHERS,
        NotYet.NEXT,
        NotYet.TURN,
        NotYet.NOT_PICKED_YET,
        NotYet.CAMPAIGN_LIMIT_REACHED,
        NotYet.NO_CAPACITY,
        NotYet.SENDER_OFF_OTHER,
    }
)


@dataclass(frozen=True)
class Because:
    """One reason.

    Attributes:
        reason: a word of the closed list below.
        until: until when it applies (UTC), where that is known.
        number: how many others go first, or contacts wait, where that is the reason.
        campaign_id: the campaign that it is about, if it is about one.
        account_id: the account that it is about, if it is about one.
    """

    reason: str
    until: dt.datetime | None = None
    number: int | None = None
    campaign_id: int | None = None
    account_id: int | None = None

    @property
    def passes(self) -> bool:
        """Tell whether it passes without anybody's doing."""
        return self.until is not None or self.reason in PASSES


def in_words(because: Because, zone: dt.tzinfo) -> str:
    """Return a reason as a sentence; its time on the clocks of `zone`."""
    sentence, until = WORDS[because.reason], because.until
    return (sentence if until is not None else sentence.removesuffix(AGAIN)).format(
        until="" if until is None else local(until, zone),
        number=because.number,
        campaign=because.campaign_id,
        account=because.account_id,
    )


def local(at: dt.datetime, zone: dt.tzinfo) -> str:
    """Return a time on the clocks of `zone`, with the day of the week and the zone's name."""
    return f"{at.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}"


def reasons_of(stored: str | None) -> tuple[str, ...]:
    """Return the reasons of a delivery, of which a skip can have several, as they are stored joined by a comma."""
    return tuple(stored.split(",")) if stored else ()

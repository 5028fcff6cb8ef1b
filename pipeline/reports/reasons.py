"""The closed list of reasons, as words of the program and as sentences for people. Pure.

`Reason` says how a delivery ended, or what it waits for a person to decide; `NotYet` says what one that waits is
waiting for, or what keeps a contact from being picked.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from models import Reason


class NotYet(StrEnum):
    """What a delivery that waits is waiting for, or what keeps a contact from being picked; with `Reason`, the closed
    list of reasons.
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
    SLOT = "slot"
    BEING_SENT = "being_sent"
    NO_TEMPLATE = "no_template"
    TEMPLATE_DONE = "template_done"
    BELOW_MIN_PRIORITY = "below_min_priority"
    NOT_PICKED_YET = "not_picked_yet"


#: How a sentence goes on where it is known when its reason passes.
AGAIN = "; again not before {until}"
#: Each reason as a sentence; `{until}` is a time, `{number}` a count.
WORDS: dict[str, str] = {
    NotYet.BEING_CHECKED: "it is in the first stages; if it stands still, the sweep puts it back on the route",
    NotYet.EVERYTHING_PAUSED: "everything is paused: `slowpost resume`",
    NotYet.TEMPLATE_PAUSED: "its template is paused: `slowpost resume --template ID`",
    NotYet.RETRY: "an attempt failed for now, the next is not before {until}",
    NotYet.WINDOW_CLOSED: "the window is closed until {until}",
    NotYet.CONTACT_WINDOW_CLOSED: "in the contact's own time zone the window is closed until {until}",
    NotYet.NO_ACCOUNT: "every account is off or paused, or there is none: `slowpost accounts list`",
    NotYet.ACCOUNTS_COOLING_DOWN: "every account below its limit rests after failures, the first of them until {until}",
    NotYet.LIMITS_REACHED: "every account has reached its limit of today",
    NotYet.BEHIND_OTHERS: "{number} others that waited longer or are more urgent go first",
    NotYet.NEXT: "it is next: it goes once an account has sent the mail it holds a slot for",
    NotYet.SLOT: "it has a slot",
    NotYet.BEING_SENT: "it is being sent",
    NotYet.NO_TEMPLATE: "there is no active template",
    NotYet.TEMPLATE_DONE: "the template has been tried with this contact, and is not picked for it again",
    NotYet.BELOW_MIN_PRIORITY: "its priority is below MAIL_PUBLISH_MIN_PRIORITY",
    NotYet.NOT_PICKED_YET: "the batch publisher can pick it, as soon as there is capacity for it",
    Reason.NOT_VALIDATED: "the contact is not validated",
    Reason.INVALID_ADDRESS: "its address is not valid",
    Reason.ROLE_ADDRESS: "its address belongs to a role or a machine, not to a person",
    Reason.DISPOSABLE_DOMAIN: "its address is at a disposable domain, whose addresses live for minutes or hours",
    Reason.DOMAIN_TAKES_NO_MAIL: "its domain takes no mail, according to DNS: see `slowpost contacts check`",
    Reason.WEBSITE_REQUIREMENTS: "its website does not meet the requirements",
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
    Reason.NO_OUTCOME: "nobody can know whether it was sent: see `slowpost in-doubt list`",
    Reason.CANCELLED: "somebody cancelled it",
    Reason.CAMPAIGN_OVER: "the last date of its campaign is over",
    Reason.REPLIED: "the contact, or another of its website, has replied",
    Reason.FORGOTTEN: "the contact has been forgotten",
}


@dataclass(frozen=True)
class Because:
    """One reason.

    Attributes:
        reason: a word of the closed list below.
        until: until when it applies (UTC), where that is known.
        number: how many others go first, where that is the reason.
    """

    reason: str
    until: dt.datetime | None = None
    number: int | None = None


def in_words(because: Because, zone: dt.tzinfo) -> str:
    """Return a reason as a sentence; its time on the clocks of `zone`."""
    if because.until is None:
        return WORDS[because.reason].removesuffix(AGAIN).format(until="", number=because.number)
    return WORDS[because.reason].format(until=local(because.until, zone), number=because.number)


def local(at: dt.datetime, zone: dt.tzinfo) -> str:
    """Return a time on the clocks of `zone`, with the day of the week and the zone's name."""
    return f"{at.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}"


def reasons_of(stored: str | None) -> tuple[str, ...]:
    """Return the reasons of a delivery, of which a skip can have several, as they are stored joined by a comma."""
    return tuple(stored.split(",")) if stored else ()

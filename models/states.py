"""The states of a delivery, the reasons it can have, and every legal transition."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The state of a delivery."""

    SELECTED = "selected"
    CLEARED = "cleared"
    READY = "ready"
    RESERVED = "reserved"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    SENT = "sent"
    SKIPPED = "skipped"
    BOUNCED = "bounced"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why a delivery ended as it did, or waits for a person. A skip can have several, joined by a comma."""

    # skipped by select contacts
    NOT_VALIDATED = "not_validated"
    INVALID_ADDRESS = "invalid_address"
    ROLE_ADDRESS = "role_address"
    DISPOSABLE_DOMAIN = "disposable_domain"
    DOMAIN_TAKES_NO_MAIL = "domain_takes_no_mail"
    WEBSITE_REQUIREMENTS = "website_requirements"
    WEBSITE_UNSUBSCRIBED = "website_unsubscribed"
    # skipped by select contacts, or by reserve slot when the settings have changed
    NO_COMMON_WINDOW = "no_common_window"
    UNKNOWN_TIME_ZONE = "unknown_time_zone"
    # skipped by select contacts or check duplicates
    IN_FLIGHT = "in_flight"
    SUPPRESSED_ADDRESS = "suppressed_address"
    SUPPRESSED_DOMAIN = "suppressed_domain"
    CONTACTED_RECENTLY = "contacted_recently"
    WEBSITE_CONTACTED_RECENTLY = "website_contacted_recently"
    IN_SEQUENCE = "in_sequence"
    # skipped by check duplicates, or before the dot
    SEQUENCE_ENDED = "sequence_ended"
    ON_EXCLUDED_LIST = "on_excluded_list"
    # failed
    TEMPLATE_ERROR = "template_error"
    TEMPLATE_LIMIT = "template_limit"
    NOTHING_TO_FOLLOW = "nothing_to_follow"
    MESSAGE_REFUSED = "message_refused"
    CONTENT_REFUSED = "content_refused"
    REFUSED_BY_POLICY = "refused_by_policy"
    ATTEMPTS_USED_UP = "attempts_used_up"
    NO_ACCOUNT_ACCEPTS = "no_account_accepts"
    FAULT = "fault"
    # bounced
    RECIPIENT_REFUSED = "recipient_refused"
    # sent
    ACCEPTED = "accepted"
    RESOLVED_SENT = "resolved_sent"
    FOUND_BY_MAIL = "found_by_mail"
    # in doubt
    NO_OUTCOME = "no_outcome"
    # cancelled
    CANCELLED = "cancelled"
    CAMPAIGN_OVER = "campaign_over"
    REPLIED = "replied"
    UNSUBSCRIBED = "unsubscribed"
    HAS_LEFT = "has_left"
    FORGOTTEN = "forgotten"


class Cause(StrEnum):
    """What changed a delivery's state: one of the stages (by the name of its queue), or an act beside the route."""

    INTAKE = "intake"
    DEDUPE = "dedupe"
    RENDER = "render"
    RESERVE = "reserve"
    DELIVER = "deliver"
    SWEEP = "sweep"
    # a stage could not process it
    FAULT = "fault"
    # what a person did
    PAUSE = "pause"
    CANCEL = "cancel"
    REPLIED = "replied"
    INBOUND = "inbound"
    UNSUBSCRIBE = "unsubscribe"
    SUPPRESS = "suppress"
    FORGET = "forget"
    REPLAY = "replay"
    RESOLVE = "resolve"
    RERENDER = "rerender"
    # an account was switched off, changed or removed, by a person or by its health
    ACCOUNT = "account"
    # a campaign was changed or stopped
    CAMPAIGN = "campaign"
    # a migration: what the row said before there were events; what it ended because two addresses are one
    MIGRATION = "migration"
    # an older version of the program, or SQL by hand
    OUTSIDE = "outside"


#: Every legal transition. `cleared` → `skipped`: a migration has found it to be somebody's second one. `ready` or
#: `reserved` → `sent`: a 250 came after a person had decided to send again.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.SELECTED: frozenset({State.CLEARED, State.SKIPPED, State.FAILED, State.CANCELLED}),
    State.CLEARED: frozenset({State.READY, State.SKIPPED, State.FAILED, State.CANCELLED}),
    State.READY: frozenset({State.RESERVED, State.SKIPPED, State.FAILED, State.CANCELLED, State.SENT}),
    State.RESERVED: frozenset(
        {State.SENDING, State.READY, State.SKIPPED, State.BOUNCED, State.FAILED, State.CANCELLED, State.SENT}
    ),
    State.SENDING: frozenset({State.SENT, State.READY, State.BOUNCED, State.FAILED, State.IN_DOUBT}),
    State.IN_DOUBT: frozenset({State.SENT, State.BOUNCED, State.FAILED, State.READY}),
    State.FAILED: frozenset({State.READY}),
    State.SENT: frozenset(),
    State.SKIPPED: frozenset(),
    State.BOUNCED: frozenset(),
    State.CANCELLED: frozenset(),
}

#: Not ended and not claimed: these can still be given up or cancelled, and will use capacity.
NOT_CLAIMED = (State.SELECTED, State.CLEARED, State.READY, State.RESERVED)
#: A contact or an address has at most one delivery in these.
UNFINISHED = (*NOT_CLAIMED, State.SENDING, State.IN_DOUBT)
#: These have an account's slot, or its claim.
HOLDS_SLOT = (State.RESERVED, State.SENDING)
#: These are where a stage is to take them on, or has them: what the sweep looks after.
ON_ROUTE = (State.SELECTED, State.CLEARED, State.RESERVED, State.SENDING)
#: No stage is to take these on: they wait for their turn, or for a person.
WAITS = (State.READY, State.IN_DOUBT)
#: Cleared or further, and not ended: what *check duplicates* looks for.
ON_ITS_WAY = (State.CLEARED, State.READY, State.RESERVED, State.SENDING, State.IN_DOUBT)
#: What *record outcome* counts.
RECORDED = (State.SENT, State.BOUNCED, State.FAILED, State.IN_DOUBT)
#: Ended by what a server said, or could have ended so: what the limit of bounces counts.
ENDED_BY_ATTEMPT = (State.SENT, State.BOUNCED, State.FAILED)
#: After one of these the batch publisher never picks the same template for the same contact again.
TEMPLATE_DONE = (State.SENT, State.BOUNCED, State.FAILED, State.IN_DOUBT, State.CANCELLED)


class IllegalTransitionError(Exception):
    """The program asked for a transition that the table does not have."""

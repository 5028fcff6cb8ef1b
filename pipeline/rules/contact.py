"""May this contact be written to at all: its own state, its address, its website, its time zone. Reads only."""

from __future__ import annotations

import datetime as dt

from models import Contact, Reason
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow


def reasons_against(contact: Contact, now: dt.datetime) -> list[Reason]:
    """Return why a contact can't become a delivery, at `now`: all of the reasons that hold."""
    reasons = []
    if not contact.validated:
        reasons.append(Reason.NOT_VALIDATED)
    if not contact.address_valid:
        reasons.append(Reason.INVALID_ADDRESS)
    if contact.website is not None and not contact.website.meets_requirements:
        reasons.append(Reason.WEBSITE_REQUIREMENTS)
    if contact.timezone and SendingWindow.from_settings(settings()).soonest(now, contact.timezone) is None:
        reasons.append(Reason.NO_COMMON_WINDOW)
    return reasons

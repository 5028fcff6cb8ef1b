"""*Contacts*: found by address, and of one all that has happened, whether it is written to, and why not yet."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from flask import Blueprint, redirect
from flask.typing import ResponseReturnValue

from pipeline.operations import stops
from pipeline.operations.cancel import cancel
from pipeline.reports import contacts as reports
from pipeline.reports import story
from pipeline.reports.why import why
from slowpost.web.operator_pages.acts import Act, Told, asked
from slowpost.web.operator_pages.frame import asked_for, place, render

blueprint = Blueprint("contacts", __name__)

#: Contacts on a page, and deliveries and mails that came back of one.
LIMIT, SHOWN = 50, 30
#: Steps of a contact's story.
STEPS = 100


@blueprint.get("/contacts")
def contacts() -> ResponseReturnValue:
    """Show the contacts by id, or those that are looked for; the only one is shown at once."""
    text, after = asked_for("q"), place("after") or 0
    if re.fullmatch(r"[1-9]\d{0,8}", text):
        return redirect(f"/contacts/{text}", 303)
    rows, goes_on = (reports.with_address(text) if "@" in text else []), None
    if not rows:
        rows, goes_on = reports.look_through(text, LIMIT, after)
    if text and len(rows) == 1 and goes_on is None and not after:
        return redirect(f"/contacts/{rows[0].id}", 303)
    following = None if goes_on is None else "/contacts?" + urlencode({"q": text, "after": goes_on})
    return render("contacts.html", rows=rows, text=text, next=following)


@blueprint.get("/contacts/<int(max=2147483647):contact_id>")
def contact(contact_id: int) -> str:
    """Show one of them."""
    found = reports.contact(contact_id)
    return render(
        "contact.html",
        contact=found,
        deliveries=found.deliveries[: -SHOWN - 1 : -1],
        why=why(contact_id),
        story=story.story(contact_id, STEPS),
    )


@blueprint.route("/contacts/<int(max=2147483647):contact_id>/cancel", methods=["GET", "POST"])
def cancel_waiting(contact_id: int) -> str:
    """Ask whether what waits for it is to be cancelled, or do it."""
    name = reports.contact(contact_id).email
    return asked(
        Act(
            title=f"Cancel what waits for {name}?",
            words="What is on the route is cancelled, and the contact’s campaigns end for it. A mail whose final dot "
            "may have been sent goes on.",
            button="Cancel it",
            back=f"/contacts/{contact_id}",
            do=lambda who, reason: _cancelled(contact_id, who, reason),
            is_grave=True,
        )
    )


@blueprint.route("/contacts/<int(max=2147483647):contact_id>/replied", methods=["GET", "POST"])
def has_replied(contact_id: int) -> str:
    """Ask whether it has replied, or note it."""
    name = reports.contact(contact_id).email
    return asked(
        Act(
            title=f"Has {name} replied?",
            words="Nothing more is written: the contact’s campaigns end, where a campaign says so for others of its "
            "website, too, and what waits is cancelled.",
            button="Has replied",
            back=f"/contacts/{contact_id}",
            do=lambda who, reason: _replied(contact_id, who, reason),
            is_grave=True,
        )
    )


def _cancelled(contact_id: int, who: str, reason: str) -> Told:
    done = cancel(who, contact=contact_id, reason=reason)
    return Told(f"{len(done.cancelled)} mails are cancelled, {len(done.ended)} campaigns have ended.", done)


def _replied(contact_id: int, who: str, reason: str) -> Told:
    done = stops.replied([contact_id], who, reason)
    return Told(f"Noted: {len(done.ended)} campaigns have ended, {len(done.cancelled)} mails are cancelled.", done)

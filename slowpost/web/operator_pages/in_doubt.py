"""*In doubt*: mails that may have been sent; only a person can decide whether they were."""

from __future__ import annotations

from flask import Blueprint

from pipeline.operations import decisions
from pipeline.reports import doubt as reports
from slowpost.web.operator_pages.acts import Act, Told, asked
from slowpost.web.operator_pages.frame import cut, place, render

blueprint = Blueprint("in_doubt", __name__)

#: Deliveries on a page.
LIMIT = 100


@blueprint.get("/in-doubt")
def in_doubt() -> str:
    """Show them."""
    rows, last = cut(reports.in_doubt(limit=LIMIT + 1, after=place("after") or 0), LIMIT)
    return render("in_doubt.html", live=True, rows=rows, next=last and last.delivery_id)


@blueprint.route("/in-doubt/<int(max=2147483647):delivery_id>/sent", methods=["GET", "POST"])
def sent(delivery_id: int) -> str:
    """Ask whether it was sent, or decide so."""
    return asked(
        Act(
            title=f"Was delivery {delivery_id} sent?",
            words="You have found it in the sender’s folder Sent, or the recipient has it. It counts as sent then.",
            button="It was sent",
            back="/in-doubt",
            do=lambda who, reason: _was_sent(delivery_id, who, reason),
            is_grave=True,
        )
    )


@blueprint.route("/in-doubt/<int(max=2147483647):delivery_id>/resend", methods=["GET", "POST"])
def resend(delivery_id: int) -> str:
    """Ask whether it is to be sent again, or decide so."""
    return asked(
        Act(
            title=f"Send delivery {delivery_id} again?",
            words="You are sure that it was not sent: if it was, the person gets it twice. It is refused within 30 "
            "minutes of its claim, and if the person must not be mailed now.",
            button="Send it again",
            back="/in-doubt",
            do=lambda who, reason: _again(delivery_id, who, reason),
            is_grave=True,
        )
    )


def _was_sent(delivery_id: int, who: str, reason: str) -> Told:
    return Told(f"Delivery {delivery_id} counts as sent.", decisions.resolve_sent(delivery_id, who, reason))


def _again(delivery_id: int, who: str, reason: str) -> Told:
    done = decisions.resolve_resend(delivery_id, who, reason)
    return Told(f"Delivery {delivery_id} waits for a slot, and is sent again.", done)

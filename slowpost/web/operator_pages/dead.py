"""*Dead letters*: messages nobody could process and deliveries that were given up, and what to do with each."""

from __future__ import annotations

from flask import Blueprint

from pipeline.operations import decisions
from pipeline.reports import dead_letters as reports
from pipeline.reports.dead_letters import DeadLetterDetails
from slowpost.handing_on import put_back
from slowpost.web.operator_pages.acts import Act, Told, asked
from slowpost.web.operator_pages.frame import asked_for, cut, place, render

blueprint = Blueprint("dead", __name__)

#: Dead letters on a page, and characters of one's message.
LIMIT, LONGEST_BODY = 75, 10_000


@blueprint.get("/dead")
def dead_letters() -> str:
    """Show those that are open, or all of them."""
    with_resolved, after = asked_for("all") == "yes", place("after") or 0
    rows, last = cut(reports.dead_letters(with_resolved=with_resolved, limit=LIMIT + 1, after=after), LIMIT)
    return render("dead_letters.html", live=True, rows=rows, next=last and last.id, with_resolved=with_resolved)


@blueprint.get("/dead/<int(max=2147483647):letter_id>")
def dead_letter(letter_id: int) -> str:
    """Show one of them, with its message."""
    letter = reports.dead_letter(letter_id)
    body = letter.body or ""
    return render("dead_letter.html", letter=letter, body=body[:LONGEST_BODY], is_cut=len(body) > LONGEST_BODY)


@blueprint.route("/dead/<int(max=2147483647):letter_id>/replay", methods=["GET", "POST"])
def replay(letter_id: int) -> str:
    """Ask whether it is to be put back, or do it."""
    letter = reports.dead_letter(letter_id)
    what = (
        f"Its message is put back on the queue {letter.queue}."
        if letter.delivery_id is None
        else "Its delivery waits for a slot again, with as many attempts as a new one. It is refused if the person "
        "must not be mailed now."
    )
    return asked(
        Act(
            title=f"Put back {_name(letter)}?",
            words=what,
            button="Put back",
            back="/dead",
            do=lambda who, reason: _replayed(letter, who, reason),
        )
    )


@blueprint.route("/dead/<int(max=2147483647):letter_id>/discard", methods=["GET", "POST"])
def discard(letter_id: int) -> str:
    """Ask whether it is to be closed, or do it."""
    letter = reports.dead_letter(letter_id)
    return asked(
        Act(
            title=f"Discard {_name(letter)}?",
            words="What was given up stays given up. The dead letter is kept, and is not open any more.",
            button="Discard",
            back="/dead",
            do=lambda who, reason: _discarded(letter, who, reason),
            is_grave=True,
        )
    )


def _name(letter: DeadLetterDetails) -> str:
    of = "" if letter.delivery_id is None else f" of delivery {letter.delivery_id}"
    return f"dead letter {letter.id}{of}"


def _replayed(letter: DeadLetterDetails, who: str, reason: str) -> Told:
    done = decisions.replay(letter.id, who, reason, put_back=put_back)
    return Told(f"The {_name(letter)} was put back.", done, remove_copies=True)


def _discarded(letter: DeadLetterDetails, who: str, reason: str) -> Told:
    done = decisions.discard(letter.id, who, reason)
    return Told(f"The {_name(letter)} is closed.", done, remove_copies=True)

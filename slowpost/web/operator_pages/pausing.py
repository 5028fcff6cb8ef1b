"""Pause everything, and go on with it: the two actions that belong to no page of their own."""

from __future__ import annotations

from flask import Blueprint

from pipeline.operations.pause import PauseDone, Target, pause, resume
from slowpost.web.operator_pages.acts import Act, Told, asked

blueprint = Blueprint("pausing", __name__)


@blueprint.route("/pause", methods=["GET", "POST"])
def pause_everything() -> str:
    """Ask, or do it."""
    return asked(
        Act(
            title="Pause everything?",
            words="No mail goes out until you go on; one whose final dot has been sent can't be taken back. Nothing "
            "is used up, and nothing expires.",
            button="Pause everything",
            back="/",
            do=lambda who, reason: _told(pause(Target(), who, reason), "paused"),
        )
    )


@blueprint.route("/resume", methods=["GET", "POST"])
def resume_everything() -> str:
    """Ask, or do it."""
    return asked(
        Act(
            title="Go on with everything?",
            words="What waits gets its times anew, and goes out as the window and the limits allow. What is paused for "
            "itself (an account, a template, a campaign) stays so.",
            button="Go on",
            back="/",
            do=lambda who, reason: _told(resume(Target(), who, reason), "running"),
        )
    )


def _told(done: PauseDone, state: str) -> Told:
    return Told(f"Everything {'is' if done.changed else 'was already'} {state}.", done)

"""*Campaigns*: what has come of each, step by step and variant by variant, when it ends, and the actions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flask import Blueprint, current_app

from pipeline.operations import campaign_states as operations
from pipeline.operations.campaign_states import CampaignStarted, CampaignStopped
from pipeline.operations.campaigns import CampaignDone
from pipeline.reports import campaign_report
from pipeline.reports import campaigns as reports
from pipeline.reports.campaign_report import CampaignReport
from pipeline.reports.campaigns import CampaignDetails
from pipeline.reports.reasons import in_words
from pipeline.runtime.clocks import elapsed
from pipeline.runtime.settings import settings
from slowpost.web.operator_pages.acts import Act, Told, asked
from slowpost.web.operator_pages.frame import page_of, render

blueprint = Blueprint("campaigns", __name__)

_WORDS = {
    "start": ("Start {}?", "Start", "The contacts of its lists are enrolled, and the next batch picks from it."),
    "pause": ("Pause {}?", "Pause", "Nothing of it is sent until it is resumed. Nothing is used up, nothing expires."),
    "resume": ("Resume {}?", "Resume", "It goes on where it was; its bounces are counted from now on."),
    "stop": (
        "Stop {} for good?",
        "Stop for good",
        "What waits is cancelled, and nobody gets a further step. What is being sent goes on. This can't be undone.",
    ),
}
#: Seconds for which the figures of a campaign's steps are kept.
COUNTED_EVERY = 60
#: What can be done to a campaign, by its state.
ACTS = {"draft": ("start",), "running": ("pause", "stop"), "paused": ("resume", "stop"), "done": ()}


@blueprint.get("/campaigns")
def campaigns() -> str:
    """Show them all."""
    rows = reports.campaigns()
    page = page_of(sorted(rows, key=lambda row: (row.state == "done", row.id)))
    return render("campaigns.html", live=True, campaigns=page.here, page=page)


@blueprint.get("/campaigns/<int(max=2147483647):campaign_id>")
def campaign(campaign_id: int) -> str:
    """Show one of them."""
    details = reports.campaign(str(campaign_id))
    found = _figures(campaign_id)
    most = max((step.sent for step in found.steps), default=0)
    return render("campaign.html", live=True, about=details, found=found, most=most, acts=ACTS[details.state])


def _figures(campaign_id: int) -> CampaignReport:
    """Return what has come of a campaign, counted anew once a minute: with many thousands of mails that takes long."""
    remembered: dict[int, tuple[float, CampaignReport]] = current_app.extensions.setdefault("campaign figures", {})
    counted_at, found = remembered.get(campaign_id, (0.0, None))
    if found is None or elapsed() - counted_at > COUNTED_EVERY:
        found = campaign_report.report(str(campaign_id), with_end=False)
        remembered[campaign_id] = elapsed(), found
    return found


@blueprint.get("/campaigns/<int(max=2147483647):campaign_id>/end")
def end(campaign_id: int) -> str:
    """Show when it is going to be over; that takes a while to work out, so no other page has it."""
    found = campaign_report.report(str(campaign_id))
    end = found.expected_end
    why = None if end is None or end.why is None else in_words(end.why, settings().mail_window_timezone)
    return render("campaign_end.html", found=found, end=end, why=why)


@blueprint.route(
    "/campaigns/<int(max=2147483647):campaign_id>/<any(start, pause, resume, stop):verb>", methods=["GET", "POST"]
)
def act(campaign_id: int, verb: str) -> str:
    """Ask, or do it."""
    about = reports.campaign(str(campaign_id))
    title, button, words = _WORDS[verb]
    return asked(
        Act(
            title=title.format(f"campaign {about.id} ({about.name})"),
            words=words,
            button=button,
            back=f"/campaigns/{about.id}",
            do=partial(_do, verb, about),
            is_grave=verb == "stop",
        )
    )


def _do(verb: str, about: CampaignDetails, who: str, reason: str) -> Told:
    do: Callable[..., CampaignDone] = getattr(operations, verb)
    done = do(str(about.id), who, reason=reason)
    sentence = f"Campaign {done.id} ({done.name}) {'is' if done.changed else 'was already'} {done.state}"
    if isinstance(done, CampaignStarted) and done.changed:
        sentence += f"; {done.enrolled} contacts of its lists were enrolled"
    if isinstance(done, CampaignStopped) and done.changed:
        sentence += f"; it ended for {done.stopped} contacts, and {done.cancelled} mails were cancelled"
    return Told(f"{sentence}.", done)

"""*Templates*: what is written, and the mail that it becomes for a contact."""

from __future__ import annotations

from flask import Blueprint, Response, abort, make_response

from pipeline.operations import templates as operations
from pipeline.operations import trials
from pipeline.operations.pause import PauseDone, Target, pause, resume
from pipeline.operations.templates import TemplateDone
from pipeline.reports import templates as reports
from slowpost.web.operator_pages.acts import Act, Told, asked
from slowpost.web.operator_pages.frame import asked_for, page_of, render

blueprint = Blueprint("templates", __name__)

#: Characters of a part that are shown.
LONGEST = 8_000
#: What the HTML of a mail may do in its frame: be seen, with the images that it brings. `sandbox`: no script runs, no
#: form is sent, and it is nobody's origin (Content Security Policy Level 3, section 6.3.2).
_ONLY_SEEN = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)

_WORDS = {
    "pause": (
        "Pause {}?",
        "Pause",
        "Nothing with it is sent until it is resumed. Nothing is used up, nothing expires.",
    ),
    "resume": ("Resume {}?", "Resume", "What waits with it goes on; its bounces are counted from now on."),
    "activate": ("Activate {}?", "Activate", "It can be picked where nobody names a template."),
    "deactivate": (
        "Deactivate {}?",
        "Deactivate",
        "It is not picked any more where nobody names a template. What waits with it goes on.",
    ),
}
_DONE = {"pause": "paused", "resume": "running", "activate": "active", "deactivate": "not active"}


@blueprint.get("/templates")
def templates() -> str:
    """Show them all."""
    return render("templates.html", live=True, page=page_of(reports.templates()))


@blueprint.get("/templates/<int(max=2147483647):template_id>")
def template(template_id: int) -> str:
    """Show one of them: what it becomes for a contact, and its source."""
    found, contact = reports.template(template_id), asked_for("contact")
    preview, problem = None, None
    if contact:
        try:
            preview = trials.preview(template_id, contact)
        except (trials.NotThereError, trials.TemplateError) as error:
            problem = str(error)
    return render("template.html", found=found, contact=contact, preview=preview, problem=problem, longest=LONGEST)


@blueprint.get("/templates/<int(max=2147483647):template_id>/html")
def html(template_id: int) -> Response:
    """Answer with the HTML of the mail for a contact, for a frame in which it can only be seen."""
    body = trials.html_in_browser(template_id, asked_for("contact"))
    if body is None:
        abort(404)
    answer = make_response(body)
    answer.headers["Content-Security-Policy"] = _ONLY_SEEN
    return answer


@blueprint.route(
    "/templates/<int(max=2147483647):template_id>/<any(pause, resume, activate, deactivate):verb>",
    methods=["GET", "POST"],
)
def act(template_id: int, verb: str) -> str:
    """Ask, or do it."""
    name = f"template {template_id} ({reports.template(template_id).name})"
    title, button, words = _WORDS[verb]
    return asked(
        Act(
            title=title.format(name),
            words=words,
            button=button,
            back=f"/templates/{template_id}",
            do=lambda who, reason: _done(template_id, name, verb, who, reason),
        )
    )


def _done(template_id: int, name: str, verb: str, who: str, reason: str) -> Told:
    done: PauseDone | TemplateDone
    if verb in ("pause", "resume"):
        done = (pause if verb == "pause" else resume)(Target(template_id=template_id), who, reason)
    else:
        done = operations.set_active(template_id, who, active=verb == "activate", reason=reason)
    return Told(f"T{name[1:]} {'is' if done.changed else 'was already'} {_DONE[verb]}.", done)

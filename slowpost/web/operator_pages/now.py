"""*Now*: is anybody working, what is wrong, what needs a person, and how far today is."""

from __future__ import annotations

from flask import Blueprint

from pipeline.reports.running import running
from slowpost.web.operator_pages.frame import render

blueprint = Blueprint("now", __name__)


@blueprint.get("/")
def now() -> str:
    """Show it."""
    return render("now.html", live=True, running=running())

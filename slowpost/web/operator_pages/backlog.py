"""*Backlog*: what is on the route, in which state, what it waits for, and how old it is."""

from __future__ import annotations

from flask import Blueprint

from pipeline.reports import backlog as reports
from slowpost.web.operator_pages.frame import render

blueprint = Blueprint("backlog", __name__)


@blueprint.get("/backlog")
def backlog() -> str:
    """Show it."""
    return render("backlog.html", live=True, rows=reports.backlog())

"""*Actions*: what people, and the program of its own accord, have done: who, when and why."""

from __future__ import annotations

from flask import Blueprint

from pipeline.reports import actions as reports
from slowpost.web.operator_pages.frame import cut, place, render

blueprint = Blueprint("actions", __name__)

#: Actions on a page.
LIMIT = 100
#: Where what an action was done to has a page: its noun → the path.
_PAGES = {"account": "/accounts", "campaign": "/campaigns", "contact": "/contacts", "template": "/templates"}
_PAGES |= {"dead letter": "/dead"}


@blueprint.get("/actions")
def actions() -> str:
    """Show them, the latest first."""
    before = place("before")
    rows, last = cut(reports.actions(LIMIT + 1, before), LIMIT)
    return render(
        "actions.html",
        live=before is None,
        rows=[(row, _where(row.subject)) for row in rows],
        older=last and last.id,
        before=before,
    )


def _where(subject: str) -> str | None:
    noun, _, number = subject.rpartition(" ")
    return f"{_PAGES[noun]}/{number}" if noun in _PAGES and number.isdecimal() else None

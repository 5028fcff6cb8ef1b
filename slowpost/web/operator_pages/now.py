"""*Now*: is anybody working, what is wrong, what needs a person, and how far today is."""

from __future__ import annotations

from flask import Blueprint

from pipeline.reports import now as reports
from pipeline.reports.now import About, Need
from slowpost.web.operator_pages.frame import MENU, render

blueprint = Blueprint("now", __name__)

#: Where a need is met: a path of the menu, or one with an id.
_WHERE = {
    About.ACCOUNT: "/accounts/{}",
    About.CAMPAIGN: "/campaigns/{}",
    About.TEMPLATE: "/templates/{}",
    About.IN_DOUBT: "/in-doubt",
    About.DEAD_LETTERS: "/dead",
    About.EVERYTHING: "/resume",
}


@blueprint.get("/")
def now() -> str:
    """Show it."""
    return render("now.html", live=True, now=reports.now(), where=_where)


def _where(need: Need) -> str | None:
    path = _WHERE[need.about].format(need.id)
    return path if need.about is About.EVERYTHING or f"/{path.split('/')[1]}" in MENU else None

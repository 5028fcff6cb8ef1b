"""*Accounts*: how each stands, what it has used of which limit and why that limit, its health, and the actions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

from flask import Blueprint

from pipeline.operations import accounts as operations
from pipeline.operations.accounts import AccountDone
from pipeline.operations.pause import PauseDone, Target, pause, resume
from pipeline.reports import account_status, timeline
from pipeline.reports import accounts as reports
from slowpost.web.operator_pages.acts import Act, Told, asked
from slowpost.web.operator_pages.days_picture import DaysPicture
from slowpost.web.operator_pages.frame import page_of, render

blueprint = Blueprint("accounts", __name__)

#: Days of the small picture in the list, and of the one of an account.
DAYS, MORE_DAYS = 14, 31

_WORDS = {
    "enable": ("Switch {} on?", "Switch on", "Its health and its bounces are counted from now on."),
    "disable": (
        "Switch {} off?",
        "Switch off",
        "What is planned for it goes to other accounts, where any may send it.",
    ),
    "reset": (
        "Reset {}?",
        "Reset",
        "Its rest ends, and so does the limit learned from its provider; health and bounces are counted from now on.",
    ),
    "pause": ("Pause {}?", "Pause", "It sends nothing until it is resumed. Nothing is used up, nothing expires."),
    "resume": ("Resume {}?", "Resume", "It sends again; its bounces are counted from now on."),
}
_DONE = {"enable": "on", "disable": "off", "reset": "reset", "pause": "paused", "resume": "resumed"}


@blueprint.get("/accounts")
def accounts() -> str:
    """Show them all."""
    page = page_of(list(reports.names()))
    rows, days = account_status.accounts(page.here), _days(DAYS, page.here)
    return render(
        "accounts.html", live=True, accounts=[(row, DaysPicture(days, row.id)) for row in rows], page=page, days=DAYS
    )


@blueprint.get("/accounts/<int(max=2147483647):account_id>")
def account(account_id: int) -> str:
    """Show one of them."""
    about = reports.account(account_id)
    (row,), days = account_status.accounts([account_id]), _days(MORE_DAYS, [account_id])
    today = timeline.day(account_ids=[account_id], with_plan=False).accounts[0]
    picture = DaysPicture(days, account_id)
    return render("account.html", live=True, about=about, row=row, today=today, days=days, picture=picture)


@blueprint.route(
    "/accounts/<int(max=2147483647):account_id>/<any(enable, disable, reset, pause, resume):verb>",
    methods=["GET", "POST"],
)
def act(account_id: int, verb: str) -> str:
    """Ask, or do it."""
    name = f"account {account_id} ({reports.account(account_id).name})"
    title, button, words = _WORDS[verb]
    do = partial(_do, _OPERATIONS[verb], account_id, f"A{name[1:]}", _DONE[verb])
    return asked(Act(title=title.format(name), words=words, button=button, back=f"/accounts/{account_id}", do=do))


def _do(
    operation: Callable[[int, str, str], AccountDone | PauseDone],
    account_id: int,
    name: str,
    state: str,
    who: str,
    reason: str,
) -> Told:
    done = operation(account_id, who, reason)
    was_so = isinstance(done, PauseDone) and not done.changed
    return Told(f"{name} is {state}{', and was so before' if was_so else ''}.", done)


def _pause(account_id: int, who: str, reason: str) -> PauseDone:
    return pause(Target(account_id=account_id), who, reason)


def _resume(account_id: int, who: str, reason: str) -> PauseDone:
    return resume(Target(account_id=account_id), who, reason)


_OPERATIONS: dict[str, Callable[[int, str, str], AccountDone | PauseDone]] = {
    "enable": operations.enable,
    "disable": operations.disable,
    "reset": operations.reset,
    "pause": _pause,
    "resume": _resume,
}


def _days(number: int, account_ids: list[int]) -> timeline.Days:
    today = timeline.today()
    return timeline.days(today - dt.timedelta(days=number - 1), today, account_ids)

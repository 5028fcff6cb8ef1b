"""What all of the operator's pages have: the menu, times and figures in one form, and headers that let a browser load
nothing from elsewhere.

Whatever a page shows is text: it is escaped, and what would turn or hide the text around it is shown as an escape
(`printable`).
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, Response, g, make_response, request
from flask.typing import ResponseReturnValue
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.runtime.printable import printable
from pipeline.runtime.settings import settings
from slowpost.web.operator_pages import sentences

T = TypeVar("T")

#: The menu: path → words. What is nearest to now comes first, what is seldom wanted last.
MENU = {
    "/": "Now",
    "/timeline": "Timeline",
    "/accounts": "Accounts",
    "/campaigns": "Campaigns",
    "/backlog": "Backlog",
    "/contacts": "Contacts",
    "/dead": "Dead letters",
    "/in-doubt": "In doubt",
    "/log": "Log",
    "/templates": "Templates",
    "/actions": "Actions",
}
#: Seconds after which a page is shown anew by itself.
LIVE = 15
#: Characters of what is looked for: more than an address has (RFC 5321 section 4.5.3.1).
_LONGEST = 320
#: Files that pages load: name → type. Nothing in them is secret.
ASSETS = {"operator.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
_ASSETS = Path(__file__).parents[1] / "assets"
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; frame-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@dataclass(frozen=True)
class Paged:
    """A part of many things.

    Attributes:
        here: those of this page.
        first: the number of the first of them, from 1.
        number: which page, from 1.
        pages: how many there are.
        in_all: how many things there are.
    """

    here: list[Any]
    first: int
    number: int
    pages: int
    in_all: int


def page_of(things: Sequence[Any], size: int = 20) -> Paged:
    """Return the part of some things that the request asks for (`?page=2`)."""
    pages = max(1, -(-len(things) // size))
    number = min(max(1, request.args.get("page", 1, type=int)), pages)
    first = (number - 1) * size
    return Paged(list(things[first : first + size]), first + 1, number, pages, len(things))


def asked_for(name: str) -> str:
    """Return a text that the request gives a page; "" where it gives none."""
    return request.args.get(name, "").replace("\x00", "").strip()[:_LONGEST]


def place(name: str) -> int | None:
    """Return the id from which on the request goes on; None where it gives none."""
    given = request.args.get(name, type=int)
    return None if given is None else min(max(0, given), 2**31 - 1)


def cut(rows: Sequence[T], size: int) -> tuple[Sequence[T], T | None]:
    """Return the rows of a page, of one more than it has room for, and the last of them if others follow."""
    return rows[:size], rows[size - 1] if len(rows) > size else None


def render(template: str, *, live: bool = False, **values: Any) -> str:
    """Return a page.

    Args:
        template: its file in `templates/operator/`.
        live: whether it is shown anew by itself; only for a page without forms.
        values: what the template names.
    """
    is_live = live and request.args.get("live") != "off"
    about = {"menu": MENU, "visitor": g.get("visitor"), "path": request.path, "can_be_live": live}
    about |= {"live": LIVE if is_live else None, "zone": str(settings().mail_window_timezone)}
    return _environment().get_template(template).render(about | values)


def problem(status: int, words: str) -> Response:
    """Return a page that says what is wrong, in words for a person."""
    return make_response(render("problem.html", status=status, words=words), status)


def secure(app: Flask) -> None:
    """Give all answers of an application headers by which a browser loads nothing from elsewhere and keeps nothing; a
    view may have set its own.
    """

    @app.after_request
    def with_headers(answer: Response) -> Response:
        answer.headers.setdefault("Content-Security-Policy", _POLICY)
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["X-Robots-Tag"] = "noindex"
        answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return answer


def asset(digest: str, name: str) -> ResponseReturnValue:
    """Answer with one of the files that pages load; its address changes when it does, so a browser may keep it."""
    if name not in ASSETS or _asset_path(name) != f"/assets/{digest}/{name}":
        return problem(404, "There is no such file.")
    answer = Response((_ASSETS / name).read_bytes(), mimetype=ASSETS[name])
    answer.headers["Cache-Control"] = "max-age=31536000, immutable"
    return answer


@functools.cache
def _asset_path(name: str) -> str:
    digest = hashlib.sha256((_ASSETS / name).read_bytes()).hexdigest()[:16]
    return f"/assets/{digest}/{name}"


@functools.cache
def _environment() -> Environment:
    loader = PackageLoader("slowpost.web", "templates/operator")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True)
    made.lstrip_blocks = True
    made.globals |= {"asset": _asset_path, "form_token": _form_token}
    made.filters |= {"at": at, "clock": clock, "date": date, "percent": percent, "number": number}
    made.filters |= {"because": sentences.because, "reason": sentences.reason, "duration": sentences.duration}
    made.filters |= {"with_commands": sentences.with_commands}
    return made


def _shown(value: Any) -> Any:
    """Return what stands for a value on a page."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return "–"
    return printable(value) if isinstance(value, str) else value


def _form_token() -> str:
    """Return what a form has to bring."""
    g.has_form = True
    token: str = g.visitor.token
    return token


def at(when: dt.datetime | None) -> Markup:
    """Return a time on the clocks of the window's zone."""
    return _time(when, "%a %d %b %Y, %H:%M")


def clock(when: dt.datetime | None) -> Markup:
    """Return the time of day on the clocks of the window's zone."""
    return _time(when, "%H:%M")


def _time(when: dt.datetime | None, form: str) -> Markup:
    if when is None:
        return Markup("–")
    local = when.astimezone(settings().mail_window_timezone)
    exact = when.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact, f"{local:%Y-%m-%d %H:%M:%S %Z}", f"{local:{form}}"
    )


def date(on: dt.date | None) -> str:
    """Return a date in words."""
    return "–" if on is None else f"{on:%a %d %b %Y}"


def percent(share: float | None) -> str:
    """Return a share, 0 to 1."""
    return "–" if share is None else f"{share:.1%}"


def number(count: int | None) -> str:
    """Return a count with its thousands apart."""
    return "–" if count is None else f"{count:,}"

"""What a page is made of: the words of a language, one style, and headers that let it load and run nothing."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

_FOLDER = Path(__file__).parent
#: One file each in `languages/`; the first is for everybody else.
LANGUAGES = ("en", "de", "fr", "es")


def render(template: str, **values: Any) -> str:
    """Return a page in the language that the browser wants most of those that there are."""
    language = request.accept_languages.best_match(LANGUAGES, default=LANGUAGES[0])
    about = {"language": language, "words": words_in(language), "style": Markup(_style())}  # noqa: S704  (our own file)
    return _environment().get_template(template).render(about | values)


def words_in_request() -> Mapping[str, Any]:
    """Return the words of that language."""
    return words_in(request.accept_languages.best_match(LANGUAGES, default=LANGUAGES[0]))


@functools.cache
def words_in(language: str) -> Mapping[str, Any]:
    """Return what the pages say in a language."""
    return tomllib.loads((_FOLDER / "languages" / f"{language}.toml").read_text())


def date(at: dt.datetime) -> str:
    """Return a date (UTC) in words."""
    words = words_in_request()
    said: str = words["date"].format(day=at.day, month=words["months"][at.month - 1], year=at.year)
    return said


def secure(app: Flask) -> None:
    """Give all answers of an application the headers by which a browser loads, runs and tells nothing."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )

    @app.after_request
    def with_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        # The address of a page is a secret: its token.
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Robots-Tag"] = "noindex"
        return response


@functools.cache
def _style() -> str:
    return (_FOLDER / "templates" / "style.css").read_text()


@functools.cache
def _environment() -> Environment:
    loader = PackageLoader("slowpost.web")
    return Environment(loader=loader, autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True)

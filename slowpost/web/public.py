"""What everybody may see: the pages to unsubscribe (RFC 8058), and `/health`.

Reads: how it stands with the person that a link is for. Writes: what a POST asks for, through `operations`; a GET never
changes anything, since mail programs and scanners follow links.
Trouble: the database away: 503, nothing is changed. What a token is none of, and all other paths, get the same answer,
made in the same way, without a question to the database. The log has no path: it would have the token.
"""

from __future__ import annotations

import traceback
from functools import partial

from flask import Flask, Response, make_response, request
from werkzeug.exceptions import HTTPException

from pipeline.operations import unsubscribe
from pipeline.operations.unsubscribe import Choice, Standing, Tokens, Way
from pipeline.runtime.logs import log
from pipeline.runtime.settings import Settings
from pipeline.runtime.waiting import connected, what_is_away
from slowpost.web import pages
from slowpost.web.clients import client_of
from slowpost.web.limits import Limits

#: Octets of a request's body: a form has less than a hundred.
MAX_BODY = 16_384
#: Seconds after which what was refused, or has failed, can be tried again; then the limits begin anew.
RETRY_AFTER = 60
#: What a mail program POSTs (RFC 8058 section 3.2); a button's body never has it.
ONE_CLICK = ("List-Unsubscribe", "One-Click")


def make(tokens: Tokens, settings: Settings, limits: Limits) -> Flask:
    """Return the application.

    Args:
        tokens: what reads the tokens of links.
        settings: of the proxies that are trusted, and the postal address.
        limits: how many requests are answered.
    """
    app = Flask(__name__, static_folder=None)
    # No redirect: whoever POSTs to a link must be answered there.
    app.url_map.merge_slashes = False
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY, MAX_FORM_PARTS=10)
    pages.secure(app)
    its = _Public(tokens, settings, limits)
    app.before_request(its.within_limits)
    app.add_url_rule("/health", view_func=_health)
    app.add_url_rule("/u/<token>", view_func=its.page, methods=["GET"])
    app.add_url_rule("/u/<token>", view_func=its.act, methods=["POST"])
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, _failed)
    return app


class _Public:
    """What the pages need."""

    def __init__(self, tokens: Tokens, settings: Settings, limits: Limits) -> None:
        self._tokens, self._settings, self._limits = tokens, settings, limits

    def within_limits(self) -> Response | None:
        """Refuse a request that is one too many."""
        forwarded_for = request.headers.get("X-Forwarded-For", "")
        client = client_of(request.remote_addr or "", forwarded_for, self._settings.mail_web_trusted_proxies)
        return None if self._limits.allow(client) else _problem("busy", 429)

    def page(self, token: str) -> Response:
        """Answer a GET: say how it stands, and what can be chosen."""
        delivery_id = self._tokens.delivery_of(token)
        if delivery_id is None:
            return _problem("not_found", 404)
        return self._shown(delivery_id, connected(partial(unsubscribe.standing, delivery_id))(), done=False)

    def act(self, token: str) -> Response:
        """Answer a POST: do what it asks for, and say how it stands then."""
        delivery_id = self._tokens.delivery_of(token)
        if delivery_id is None:
            return _problem("not_found", 404)
        choice = request.form.get("choice")
        if choice is None and request.form.get(ONE_CLICK[0]) == ONE_CLICK[1]:
            found = _ask(delivery_id, Choice.NEVER, Way.ONE_CLICK)
        elif choice == "back":
            found = connected(partial(unsubscribe.take_back, delivery_id))()
            log.info("unsubscribe taken back", delivery_id=delivery_id)
        elif choice in tuple(Choice):
            found = _ask(delivery_id, Choice(choice), Way.PAGE)
        else:
            return _problem("wrong", 400)
        return self._shown(delivery_id, found, done=True)

    def _shown(self, delivery_id: int, found: Standing | None, *, done: bool) -> Response:
        if found is None:
            # Signed, and not there: the database is not the one that the mail was sent from.
            return _problem("not_found", 404)
        page = pages.render(
            "unsubscribe.html",
            standing=found,
            status=_status(found, done=done),
            is_trial=delivery_id == unsubscribe.TRIAL,
            postal_address=self._settings.mail_postal_address,
        )
        return make_response(page)


def _ask(delivery_id: int, choice: Choice, way: Way) -> Standing | None:
    found = connected(partial(unsubscribe.ask, delivery_id, choice, way))()
    log.info("unsubscribed", delivery_id=delivery_id, choice=str(choice), way=str(way))
    return found


def _status(found: Standing, *, done: bool) -> str:
    """Return what holds now, in words; "" on a page where nothing has been asked for."""
    words = pages.words_in_request()
    if found.company_never and found.company:
        return str(words["is_company"].format(company=found.company))
    if found.never:
        return str(words["is_never"])
    if found.paused_until is not None:
        return str(words["is_paused"].format(date=pages.date(found.paused_until)))
    return str(words["is_back"]) if done and found.address else ""


def _health() -> Response:
    return Response("ok\n", mimetype="text/plain")


def _problem(about: str, status: int) -> Response:
    response = make_response(pages.render("page.html", about=about), status)
    if status == 429 or status >= 500:
        # Whoever has POSTed is to do so again, also where it was a mail program: nothing was done.
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _refused(error: HTTPException) -> Response:
    response = _problem("not_found" if error.code == 404 else "wrong", error.code or 400)
    response.headers.extend([(name, value) for name, value in error.get_headers() if name == "Allow"])
    return response


def _failed(error: Exception) -> Response:
    # Neither its words, which may name somebody, nor the path.
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{last.filename}:{last.lineno}"
    away = what_is_away(error)
    log.error("page failed", away=away, error=type(error).__name__, where=where)
    return _problem("away", 500 if away is None else 503)

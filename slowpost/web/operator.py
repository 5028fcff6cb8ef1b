"""What only the operator may see: the pages, and what tells other programs how it stands (`/health`, `/ready`).

Who is let in, `access` decides, before any page is asked. Trouble: the database away: 503, and the page says so; a
mistake of the program is logged without the words of anybody.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from pipeline.reports import ready as ready_report
from pipeline.runtime.logs import log
from pipeline.runtime.opening import trouble_of
from pipeline.runtime.settings import settings
from pipeline.runtime.waiting import connected, what_is_away
from slowpost.web.access import Access
from slowpost.web.operator_pages import BLUEPRINTS, frame

#: Octets of a request's body: a form has a reason, and no more.
MAX_BODY = 16_384


def make(address: str, broker_away: Callable[[], str | None]) -> Flask:
    """Return the application.

    Args:
        address: where it listens.
        broker_away: asks RabbitMQ, and returns why it can't be reached; None: it can, or there is none.
    """
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY, MAX_FORM_PARTS=20)
    frame.secure(app)
    Access(address, settings()).guard(app)
    app.add_url_rule("/assets/<digest>/<name>", "asset", frame.asset)

    @app.get("/health")
    def health() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/ready")
    def ready() -> Response:
        missing = ready_report.missing(broker_away)
        words = f"missing: {', '.join(missing)}\n" if missing else "ok\n"
        return Response(words, status=503 if missing else 200, mimetype="text/plain")

    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
        for endpoint, view in app.view_functions.items():
            if endpoint.startswith(f"{blueprint.name}."):
                app.view_functions[endpoint] = _with_database(view)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, _failed)
    return app


def _with_database(view: Callable[..., Any]) -> Callable[..., Any]:
    """Give a view a connection."""

    def run(**values: Any) -> Any:
        return connected(lambda: view(**values))()

    return run


def _refused(error: HTTPException) -> ResponseReturnValue:
    words = "There is no such page." if error.code == 404 else (error.description or error.name)
    answer = frame.problem(error.code or 500, words)
    answer.headers.extend([(name, value) for name, value in error.get_headers() if name == "Allow"])
    return answer


def _failed(error: Exception) -> ResponseReturnValue:
    away = what_is_away(error)
    if away is None and (words := trouble_of(error)) is not None:
        # What was asked for is not there, or can't be done as things are.
        return frame.problem(409 if request.method == "POST" else 404, f"{words}. Nothing was done.")
    last = traceback.extract_tb(error.__traceback__)[-1]
    log.error("page failed", away=away, error=type(error).__name__, where=f"{last.filename}:{last.lineno}")
    if away is None:
        return frame.problem(500, "This page can't be shown: a mistake of the program, which its log names.")
    return frame.problem(503, f"Slowpost does not reach {away} now. What is on its way waits for it, too.")

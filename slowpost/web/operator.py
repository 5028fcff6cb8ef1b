"""What only the operator may see. It listens on loopback, and answers only to the names that this machine has there: a
page of somebody else's whose name leads here (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from pipeline.reports import ready as ready_report
from slowpost.web import pages

#: What a browser on this machine calls it.
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def make(address: str, broker_away: Callable[[], str | None]) -> Flask:
    """Return the application.

    Args:
        address: where it listens.
        broker_away: asks RabbitMQ, and returns why it can't be reached; None: it can, or there is none.
    """
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    own = f"[{address}]" if ":" in address else address
    pages.secure(app)

    @app.before_request
    def by_its_name() -> Response | None:
        # Not Werkzeug's list of trusted hosts, which knows no IPv6 address. The port may be that of a tunnel.
        host = re.sub(r":\d+$", "", request.headers.get("Host", "")).lower()
        return None if host in (*_LOOPBACK, own) else Response("400\n", status=400, mimetype="text/plain")

    @app.get("/health")
    def health() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/ready")
    def ready() -> Response:
        missing = ready_report.missing(broker_away)
        words = f"missing: {', '.join(missing)}\n" if missing else "ok\n"
        return Response(words, status=503 if missing else 200, mimetype="text/plain")

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        return Response(f"{error.code}\n", status=error.code, mimetype="text/plain")

    return app

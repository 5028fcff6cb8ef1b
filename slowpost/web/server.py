"""The two listeners, each with threads of its own, so that strangers keep nobody from the operator's pages.

Trouble: an address that can't be listened on ends the process with one line. When it is told to stop, requests that are
being answered are answered.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import waitress.server
from flask import Flask
from waitress import wasyncore

from pipeline.operations.done import OperationRefusedError
from pipeline.operations.unsubscribe import Tokens
from pipeline.runtime.settings import Settings, settings
from slowpost.web import metrics, operator, public
from slowpost.web.limits import Limits
from slowpost.web.passwords import Passwords

#: Threads of each listener.
THREADS = 8
#: Connections to the public one; those that say nothing are closed after so many seconds.
CONNECTIONS, SILENCE = 500, 30
#: Seconds for requests that are being answered when the process is told to stop.
PATIENCE = 5


class ListenError(OperationRefusedError):
    """An address can't, or may not, be listened on; the message says which and why."""


@contextmanager
def serving(tokens: Tokens, broker_away: Callable[[], str | None], queue_depths: metrics.QueueDepths) -> Iterator[None]:
    """Serve both for the block.

    Args:
        tokens: those of the links by which people unsubscribe.
        broker_away: asks RabbitMQ, and returns why it can't be reached; None: it can, or there is none.
        queue_depths: asks it for the depths of its queues.

    Raises:
        ListenError: an address can't be listened on, or may not be without a password.
    """
    s = settings()
    _demand_password(s)
    limits = Limits(s.mail_web_client_limit, s.mail_web_limit)
    for_operator = operator.make(s.mail_web_operator_listen[0], broker_away)
    metrics.add_to(for_operator, queue_depths)
    apps = (
        (public.make(tokens, s, limits), s.mail_web_listen),
        (for_operator, s.mail_web_operator_listen),
    )
    # It would name paths, and with them tokens, of requests that fail.
    logging.getLogger("waitress").setLevel(logging.CRITICAL)
    listeners: list[_Listener] = []
    try:
        for app, address in apps:
            listeners.append(_Listener(app, address))
        for listener in listeners:
            listener.start()
        yield
    finally:
        for listener in listeners:
            listener.stop()


def _demand_password(s: Settings) -> None:
    host, port = s.mail_web_operator_listen
    if not ipaddress.ip_address(host).is_loopback and not Passwords(s).are_needed:
        raise ListenError(
            f"MAIL_WEB_OPERATOR_LISTEN={host}:{port}: beyond loopback the operator's pages need a password: set "
            "MAIL_WEB_PASSWORD_HASH to what `slowpost web password` prints"
        )


class _Listener:
    """A server and the thread that waits for its sockets."""

    def __init__(self, app: Flask, address: tuple[str, int]) -> None:
        """Listen. Raises ListenError."""
        self._sockets: dict[int, Any] = {}
        host, port = address
        try:
            self._server: Any = waitress.server.create_server(
                app,
                map=self._sockets,
                host=host,
                port=port,
                threads=THREADS,
                connection_limit=CONNECTIONS,
                channel_timeout=SILENCE,
                max_request_header_size=16_384,
                max_request_body_size=public.MAX_BODY,
                # Who is believed, `clients` decides.
                clear_untrusted_proxy_headers=False,
                ident=None,
                expose_tracebacks=False,
            )
        except OSError as error:
            raise ListenError(f"{host}:{port} can't be listened on: {error.strerror}") from None
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        """Answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what is being answered, and close everything."""
        self._server.task_dispatcher.shutdown(timeout=PATIENCE)
        if self._thread.is_alive():
            # In that thread: it would stumble over sockets that are closed under it.
            self._server.trigger.pull_trigger(self._close)
            self._thread.join(PATIENCE)
        self._close()

    def _close(self) -> None:
        wasyncore.close_all(self._sockets, ignore_all=True)

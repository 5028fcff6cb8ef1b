"""The URLs of database and broker: what is allowed in them. Pure.

What a driver would refuse later, or take for something else, is refused here, before anything is done.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qs, urlsplit

from models import database

#: The broker inside the process.
EMBEDDED = "memory://"

_DATABASE = "allowed: sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/NAME"
_BROKER = (
    "allowed: memory:// or amqp(s)://USER:PASSWORD@HOST:PORT/VHOST, several joined by ;, "
    "perhaps with options of pika such as ?heartbeat=30"
)
#: pika's options that make sense here, and their values (pika.URLParameters).
_OPTIONS: Mapping[str, re.Pattern[str]] = {
    "heartbeat": re.compile(r"\d{1,5}"),
    "connection_attempts": re.compile(r"[1-9]\d{0,3}"),
    "retry_delay": re.compile(r"\d{1,4}(\.\d{1,3})?"),
    "socket_timeout": re.compile(r"[1-9]\d{0,3}(\.\d{1,3})?"),
    "stack_timeout": re.compile(r"[1-9]\d{0,3}(\.\d{1,3})?"),
}
#: What `ssl_options` may have: paths and names.
_TLS = {"ca_certs", "cafile", "ca_path", "capath", "certfile", "keyfile", "password", "ciphers", "server_hostname"}
_TRUST = {"ca_certs", "cafile", "ca_path", "capath"}


def split(url: str) -> SplitResult | None:
    """Return the parts of a URL, None for one that has no such parts."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # looked at here, since it is only then that a port which is no number is found out
    except ValueError:
        return None
    return parts


def shown(url: str) -> str:
    """Return a database server's URL as people may see it: without password and options."""
    parts = split(url)
    assert parts is not None, "the settings have let it through"
    user = f"{parts.username}@" if parts.username else ""
    return parts._replace(netloc=user + parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def database_url(value: str) -> str:
    """Return the URL of a database. Raises ValueError."""
    parts = split(value)
    in_file = value.startswith(database.SQLITE) and value.removeprefix(database.SQLITE) not in ("", ":memory:")
    on_server = parts and parts.scheme in ("postgresql", "postgres") and len(parts.path) > 1 and value.isprintable()
    if not in_file and not on_server:
        raise ValueError(_DATABASE)
    return value


def broker_url(value: str) -> str:
    """Return the URL of a broker, or several. Raises ValueError."""
    if value != EMBEDDED and not all(map(_is_amqp, value.split(";"))):
        raise ValueError(_BROKER)
    return value


def _is_amqp(url: str) -> bool:
    parts = split(url)
    if parts is None or parts.scheme not in ("amqp", "amqps") or not parts.hostname or not url.isprintable():
        return False
    if (parts.username is None) != (parts.password is None):
        return False
    return all(len(values) == 1 and _is_option(name, values[0]) for name, values in _query(parts).items())


def _query(parts: SplitResult) -> dict[str, list[str]]:
    return parse_qs(parts.query, keep_blank_values=True)


def _is_option(name: str, value: str) -> bool:
    return _is_tls(value) if name == "ssl_options" else name in _OPTIONS and bool(_OPTIONS[name].fullmatch(value))


def _is_tls(value: str) -> bool:
    """Tell whether a value is a dictionary as Python writes it, of texts that pika knows, and says whom to trust."""
    try:
        options = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    if not isinstance(options, dict) or not all(isinstance(text, str) for pair in options.items() for text in pair):
        return False
    return set(options) <= _TLS and bool(set(options) & _TRUST)

"""The kinds of values that the settings of the web pages have: what is allowed in them. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from pipeline.runtime.setting_urls import split

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Characters of an address that stands in every mail: with its token a line has room for it.
_LONGEST = 200


def _public_url(value: Any) -> str | None:
    if value in (None, ""):
        return None
    parts = split(str(value))
    fits = len(str(value)) <= _LONGEST and re.fullmatch(r"https://[A-Za-z0-9.:\[\]-]+/?", str(value))
    if not fits or parts is None or not parts.hostname or parts.port == 0:
        raise ValueError("allowed: https://HOST or https://HOST:PORT, in ASCII")
    return str(value).removesuffix("/")


def _listen(value: Any) -> tuple[str, int]:
    if isinstance(value, tuple):
        return value
    parts = split(f"//{value}")
    if parts is None or not parts.hostname or not parts.port or parts.netloc != str(value) or "@" in str(value):
        raise ValueError("allowed: ADDRESS:PORT, such as 127.0.0.1:8090 or [::1]:8090")
    try:
        ipaddress.ip_address(parts.hostname)
    except ValueError:
        raise ValueError("allowed: ADDRESS:PORT, such as 127.0.0.1:8090 or [::1]:8090") from None
    return parts.hostname, parts.port


def _networks(value: Any) -> tuple[Network, ...]:
    if isinstance(value, tuple):
        return value
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in str(value).split(",")) if value else ()
    except ValueError:
        raise ValueError("allowed: addresses or networks such as 10.0.0.0/8, separated by commas") from None


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    names = tuple(part.strip().lower() for part in str(value).split(",")) if value else ()
    if not all(re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name) for name in names):
        raise ValueError("allowed: names of hosts such as slowpost.example.com, separated by commas")
    return names


def _password_hash(value: Any) -> SecretStr | None:
    if value in (None, ""):
        return None
    # As Werkzeug writes and reads them.
    if not re.fullmatch(r"scrypt:\d+:\d+:\d+\$[A-Za-z0-9]+\$[0-9a-f]{128}", str(value)):
        raise ValueError("allowed: what `slowpost web password` prints")
    return SecretStr(str(value))


PublicUrl = Annotated[str | None, BeforeValidator(_public_url)]


Listen = Annotated[tuple[str, int], NoDecode, BeforeValidator(_listen)]


Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]


PasswordHash = Annotated[SecretStr | None, BeforeValidator(_password_hash)]

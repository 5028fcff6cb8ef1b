"""Settings: one frozen, validated object, read once from the environment or `.env`. No `os.environ` elsewhere.

A bad value stops the program before it does anything: `SettingsError` carries one line with the variable, the value
and what is allowed.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class SettingsError(Exception):
    """A setting has a value that is not allowed; the message is one line for a person."""


def _time_of_day(value: Any) -> dt.time:
    if isinstance(value, dt.time):
        return value
    match = re.fullmatch(r"(\d{1,2})(?::(\d{2}))?", str(value).strip())
    if not match or int(match[1]) > 23 or int(match[2] or 0) > 59:
        raise ValueError("allowed: an hour 0 to 23, or HH:MM")
    return dt.time(int(match[1]), int(match[2] or 0))


def _days(value: Any) -> frozenset[int]:
    if isinstance(value, frozenset):
        return value
    result: set[int] = set()
    for part in str(value).lower().replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError("allowed: days such as mon-fri or mon,wed,fri")
        start = DAYS.index(first)
        length = (DAYS.index(last) - start) % 7 + 1 if dash else 1
        result |= {(start + i) % 7 for i in range(length)}
    return frozenset(result)


def _zone(value: Any) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    if str(value) not in available_timezones():
        raise ValueError("allowed: an IANA time zone such as Europe/Berlin")
    return ZoneInfo(str(value))


def _on_off(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() not in ("on", "off"):
        raise ValueError("allowed: on or off")
    return str(value).lower() == "on"


def _backoff(value: Any) -> tuple[int, ...]:
    if isinstance(value, tuple):
        return value
    parts = str(value).replace(" ", "").split(",")
    if not all(re.fullmatch(r"\d{1,6}", p) and int(p) > 0 for p in parts):
        raise ValueError("allowed: whole seconds above 0, comma separated, such as 60,300,900")
    return tuple(int(p) for p in parts)


def _fernet_keys(value: SecretStr | None) -> SecretStr | None:
    try:
        for key in value.get_secret_value().split(",") if value else ():
            Fernet(key.strip())
    except ValueError:
        raise ValueError("allowed: Fernet keys (32 bytes, URL-safe base64), comma separated, newest first") from None
    return value


def _database_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("sqlite", "postgresql", "postgres") or len(parts.path) < 2:
        raise ValueError("allowed: sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/NAME")
    return value


def _broker_url(value: str) -> str:
    urls = value.split(";")
    amqp = all(urlsplit(u).scheme in ("amqp", "amqps") and urlsplit(u).hostname for u in urls)
    if value != "memory://" and not amqp:
        raise ValueError("allowed: memory:// or amqp(s)://USER:PASSWORD@HOST:PORT/VHOST, several joined by ;")
    return value


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


TimeOfDay = Annotated[dt.time, NoDecode, BeforeValidator(_time_of_day)]
Zone = Annotated[ZoneInfo, NoDecode, BeforeValidator(_zone)]
Switch = Annotated[bool, BeforeValidator(_on_off)]
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]
Secret = Annotated[SecretStr | None, BeforeValidator(_empty_is_none), AfterValidator(_fernet_keys)]
Days = Annotated[frozenset[int], NoDecode, BeforeValidator(_days)]
Backoff = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_backoff)]


class Settings(BaseSettings):
    """Every setting, by the name of its environment variable in lower case. Times in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, arbitrary_types_allowed=True
    )

    database_url: Annotated[str, AfterValidator(_database_url)] = "sqlite:///slowpost.db"
    broker_url: Annotated[str, AfterValidator(_broker_url)] = "memory://"
    secret_key: Secret = None

    mail_window_start: TimeOfDay = dt.time(8)
    mail_window_end: TimeOfDay = dt.time(17)
    mail_window_timezone: Zone = ZoneInfo("America/New_York")
    mail_window_days: Days = frozenset(range(7))

    mail_daily_limit: int = Field(10, ge=0)
    mail_min_interval: float = Field(60, ge=0)
    mail_spread: Switch = True
    mail_jitter: float = Field(0.2, ge=0, le=0.5)

    mail_max_attempts: int = Field(3, ge=1)
    mail_retry_backoff: Backoff = (60, 300, 900)

    mail_dedupe_contact_days: int = Field(90, ge=0)
    mail_dedupe_website_days: int = Field(7, ge=0)
    mail_publish_min_priority: int = Field(0, ge=0, le=9)

    mail_health_threshold: float = Field(0.70, ge=0, le=1)
    mail_health_min_attempts: int = Field(10, ge=1)
    mail_health_window: int = Field(50, ge=1)

    mail_smtp_timeout: float = Field(60, gt=0)
    mail_data_timeout: float = Field(600, gt=0)
    mail_max_lateness: float = Field(300, ge=0)

    mail_unsubscribe_mailto: OptionalText = None
    mail_unsubscribe_url: OptionalText = None
    mail_postal_address: OptionalText = None
    mail_alert_command: OptionalText = None
    mail_alert_webhook: OptionalText = None

    def backoff_after(self, attempt: int) -> int:
        """Return the seconds to wait after the `attempt`-th failure (1 is the first; the last backoff repeats)."""
        return self.mail_retry_backoff[min(attempt, len(self.mail_retry_backoff)) - 1]


@functools.cache
def settings() -> Settings:
    """Return the settings of this process.

    Raises:
        SettingsError: a value is not allowed; one line that names variable, value and what is allowed.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]).upper()
    shown = "(hidden)" if name in ("SECRET_KEY",) else repr(_without_password(str(first["input"])))
    message = re.sub(r"^Value error, ", "", first["msg"])
    message = re.sub(r"^Input should be", "allowed: it should be", message)
    return f"{name}={shown}: {message}"


def _without_password(url: str) -> str:
    return re.sub(r"(://[^:/@;]*):[^@;]*@", r"\1:***@", url)

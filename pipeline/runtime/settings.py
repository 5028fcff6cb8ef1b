"""Settings: one frozen, validated object, read once from the environment or `.env`.

No `os.environ` elsewhere. A bad value stops the program before it does anything: `SettingsError` carries one
line with the variable, the value (without its secrets) and what is allowed. `.env.example` says the same of
every setting, and a test compares it with this file.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from models.errors import SlowpostError
from pipeline.runtime import setting_urls
from pipeline.runtime.setting_types import (
    Backoff,
    BrokerUrl,
    CaFile,
    ClosedDates,
    Count,
    DatabaseUrl,
    DayCount,
    Days,
    DnsServers,
    EhloName,
    Holidays,
    Hours,
    Lateness,
    OptionalText,
    Password,
    PositiveCount,
    Seconds,
    Secret,
    Switch,
    TimeOfDay,
    Timeout,
    UnsubscribeMailto,
    UnsubscribeUrl,
    Webhook,
    Zone,
)
from pipeline.runtime.setting_urls import EMBEDDED
from pipeline.runtime.setting_web import Listen, Names, Networks, PasswordHash, PublicUrl


class SettingsError(SlowpostError):
    """A setting has a value that is not allowed; the message is one line for a person."""


#: What an error never shows.
_HIDDEN = (
    *("secret_key", "database_password", "broker_password", "mail_alert_webhook"),
    *("mail_web_password_hash", "mail_web_reader_password_hash"),
)
#: User and password; what follows a host and is no port; options, which can contain a password.
_SECRET_PARTS = ((r".*@", "***@"), (r":(?!//|\d+([/;?]|$)).*", ":***"), (r"\?.*", "?***"))


class _Environment(EnvSettingsSource):
    """A value for each field of its name, as it is written: no field has parts or another name, and to look for those
    takes most of the time that it takes to read the settings.
    """

    def __call__(self) -> dict[str, Any]:
        found = ((name, self.env_vars.get(name)) for name in self.settings_cls.model_fields)
        return {name: value for name, value in found if value is not None}


class _AsWritten(DotEnvSettingsSource):
    """`.env` as it is written: else `${…}` in a password would be replaced, in single quotes, too."""

    __call__ = _Environment.__call__

    @staticmethod
    def _static_read_env_file(file_path: Path, *, encoding: str | None = None, **_: Any) -> Mapping[str, str | None]:
        found = dotenv_values(file_path, encoding=encoding, interpolate=False)
        return {name.lower(): value for name, value in found.items()}


class Settings(BaseSettings):
    """Every setting, by the name of its environment variable in lower case; times are in seconds."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        arbitrary_types_allowed=True,
    )

    # Before their URLs, which take them in.
    database_password: Password = None
    broker_password: Password = None
    database_url: DatabaseUrl = "sqlite:///slowpost.db"
    broker_url: BrokerUrl = EMBEDDED
    secret_key: Secret = None

    mail_window_start: TimeOfDay = dt.time(8)
    mail_window_end: TimeOfDay = dt.time(17)
    mail_window_hours: Hours = None
    mail_window_timezone: Zone = ZoneInfo("America/New_York")
    mail_window_days: Days = frozenset(range(7))
    mail_window_closed_dates: ClosedDates = frozenset()
    mail_window_holidays: Holidays = ()

    mail_daily_limit: Count = 10
    mail_min_interval: Seconds = 60
    mail_spread: Switch = True
    mail_jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    mail_follow_ups_first: Switch = True

    mail_max_attempts: PositiveCount = 3
    mail_retry_backoff: Backoff = (60, 300, 900)

    mail_dedupe_contact_days: DayCount = 90
    mail_dedupe_website_days: DayCount = 7
    mail_publish_min_priority: Annotated[int, Field(ge=0, le=9)] = 0

    mail_health_threshold: Annotated[float, Field(ge=0, le=1)] = 0.70
    mail_health_min_attempts: PositiveCount = 10
    mail_health_window: PositiveCount = 50
    mail_bounce_limit: Annotated[float, Field(ge=0, le=1)] = 0.05
    mail_taken_over_days: Annotated[int, Field(ge=0, le=365)] = 30

    mail_ehlo_name: EhloName = None
    mail_ca_file: CaFile = None

    mail_smtp_timeout: Timeout = 60
    mail_data_timeout: Timeout = 600
    mail_max_lateness: Lateness = 300

    mail_public_url: PublicUrl = None
    mail_unsubscribe_mailto: UnsubscribeMailto = None
    mail_unsubscribe_url: UnsubscribeUrl = None
    mail_postal_address: OptionalText = None
    mail_alert_command: OptionalText = None
    mail_alert_webhook: Webhook = None

    mail_dns_servers: DnsServers = ()

    mail_web_listen: Listen = ("127.0.0.1", 8090)
    mail_web_operator_listen: Listen = ("127.0.0.1", 8091)
    mail_web_operator_names: Names = ()
    mail_web_password_hash: PasswordHash = None
    mail_web_reader_password_hash: PasswordHash = None
    mail_web_trusted_proxies: Networks = ()
    mail_web_client_limit: PositiveCount = 600
    mail_web_limit: PositiveCount = 30_000

    @field_validator("database_url", "broker_url", mode="before")
    @classmethod
    def _with_password(cls, value: str, info: ValidationInfo) -> str:
        """Put the password that is set on its own into each URL that names a user and no password."""
        password: SecretStr | None = info.data.get(f"{str(info.field_name).removesuffix('_url')}_password")
        return (
            ";".join(_with_password(url, password.get_secret_value()) for url in value.split(";"))
            if password
            else value
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where settings come from, the first going before the others (pydantic-settings' entry)."""
        assert isinstance(dotenv_settings, DotEnvSettingsSource)
        from_environment = _Environment(env_settings.settings_cls)
        from_file = _AsWritten(settings_cls, dotenv_settings.env_file)
        return init_settings, from_environment, from_file, file_secret_settings

    @property
    def is_embedded(self) -> bool:
        """Tell whether the broker is inside the process."""
        return self.broker_url == EMBEDDED

    @property
    def window_intervals(self) -> tuple[tuple[dt.time, dt.time], ...]:
        """Start and end of each interval in which the window is open, on the wall clock."""
        return self.mail_window_hours or ((self.mail_window_start, self.mail_window_end),)

    def backoff_after(self, attempt: int) -> int:
        """Return the seconds to wait after failure number `attempt` (from 1; the last backoff repeats)."""
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
    except (OSError, UnicodeError) as error:
        raise SettingsError(f".env can't be read: {error}") from None


def _with_password(url: str, password: str) -> str:
    parts = setting_urls.split(url)
    if parts is None or not parts.username or parts.password is not None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    message = first["msg"].removeprefix("Value error, ") if first["type"] == "value_error" else _allowed_number(name)
    return f"{name.upper()}={_shown(name, str(first['input']))}: {message}"


def _allowed_number(name: str) -> str:
    field = Settings.model_fields[name]
    limits = {key: getattr(rule, key) for rule in field.metadata for key in ("ge", "gt", "le") if hasattr(rule, key)}
    low = f"from {limits['ge']}" if "ge" in limits else f"above {limits['gt']}, up"
    return f"allowed: a {'whole ' if field.annotation is int else ''}number {low} to {limits['le']}"


def _shown(name: str, value: str) -> str:
    if name in _HIDDEN:
        return "(hidden)"
    return repr(_without_password(value) if name in ("database_url", "broker_url") else value)


def _without_password(url: str) -> str:
    """Return `url` with *** for what could be a password, also where the URL is wrongly written."""
    scheme = re.match(r"(?:[a-z]*:?/+)?", url, flags=re.IGNORECASE)[0]  # type: ignore[index]  # it always matches
    rest = url[len(scheme) :]
    for pattern, replacement in _SECRET_PARTS:
        rest = re.sub(pattern, replacement, rest, flags=re.DOTALL)
    return scheme + rest

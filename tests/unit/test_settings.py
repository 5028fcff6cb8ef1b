"""A bad setting is told in one line, without its secrets; `.env.example` says what the code says."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pika
import pytest
from playhouse.db_url import parse

from pipeline.runtime.settings import Settings, SettingsError, settings
from tests.unit.bad_settings import BAD, FREE_TEXT


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]])
def test_a_bad_value_stops_with_one_line_that_names_variable_value_and_what_is_allowed(
    name: str, value: str, configure: Configure
) -> None:
    configure(**{name: value})
    with pytest.raises(SettingsError) as error:
        settings()
    hidden = ("secret_key", "mail_alert_webhook", "mail_web_password_hash", "mail_web_reader_password_hash")
    shown = "(hidden)" if name in hidden else repr(value)
    assert str(error.value) == f"{name.upper()}={shown}: {allowed_in_the_example(name)}"
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("database_url", "mysql://user:secret@host:3306/name", "mysql://***@host:3306/name"),
        ("database_url", "mysql://user:sec@re/t@host:x", "mysql://***@host:***"),
        ("database_url", "postgresql://user:secret/name", "postgresql://user:***"),
        ("database_url", "postgresql//user:secret@host/name", "postgresql//***@host/name"),
        ("database_url", "user:secret@host/name", "***@host/name"),
        ("database_url", "mysql://host/name?password=secret", "mysql://host/name?***"),
        ("database_url", "sqlite:///:memory:", "sqlite:///:***"),
        ("broker_url", "amqp://user:secret@a;http://user:secret@b", "amqp://***@b"),
        ("broker_url", "amqp://user@host/", "amqp://***@host/"),
        ("broker_url", "amqp://host/?bogus=x", "amqp://host/?***"),
        ("broker_url", "amqp://host/?heartbeat=x", "amqp://host/?***"),
        ("broker_url", "amqp://host/?heartbeat=1&heartbeat=2", "amqp://host/?***"),
        ("broker_url", "amqps://host/?ssl_options={'ca_certs':5}", "amqps://host/?***"),
        ("broker_url", "amqps://host/?ssl_options={}", "amqps://host/?***"),
    ],
)
def test_what_could_be_a_password_is_not_shown(name: str, value: str, shown: str, configure: Configure) -> None:
    configure(**{name: value})
    with pytest.raises(SettingsError) as error:
        settings()
    assert str(error.value).startswith(f"{name.upper()}='{shown}': allowed: ")


def test_the_secret_key_is_not_in_what_the_settings_print(configure: Configure) -> None:
    key = "k" * 43 + "="
    configure(secret_key=key)
    assert key not in repr(settings())


def test_every_setting_has_its_bad_values_here() -> None:
    assert set(BAD) | FREE_TEXT == set(Settings.model_fields)


def test_the_example_names_every_setting_once() -> None:
    named = re.findall(r"^#?([A-Z_]+)=", EXAMPLE, flags=re.MULTILINE)
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


def test_the_example_holds_the_defaults(configure: Configure) -> None:
    Path(".env").write_text(EXAMPLE)
    assigned = re.findall(r"^([A-Z_]+)=", EXAMPLE, flags=re.MULTILINE)
    with_default = [name.upper() for name, field in Settings.model_fields.items() if field.default is not None]
    assert sorted(assigned) == sorted(with_default)
    assert settings() == Settings(_env_file=None)


@pytest.mark.parametrize(
    "password", ["p@ss", "a/b", "a%41", "$HOME${HOME}$$", """it\\'s "quoted";""", "#? :[]&=+ \\n", "пароль ä€"]
)
def test_a_password_of_any_characters_gets_from_the_file_into_the_url(password: str, configure: Configure) -> None:
    Path(".env").write_text(
        f"DATABASE_URL=postgresql://slowpost@127.0.0.1:5432/slowpost\nDATABASE_PASSWORD='{password}'\n"
        f"BROKER_URL='amqp://slowpost@127.0.0.1:5672/%2Fslowpost;amqp://own:way@b'\nBROKER_PASSWORD='{password}'\n"
    )
    meant = password.replace("\\'", "'")
    first, second = settings().broker_url.split(";")
    assert pika.URLParameters(first).credentials.password == meant
    assert (pika.URLParameters(first).virtual_host, second) == ("/slowpost", "amqp://own:way@b")
    assert parse(settings().database_url, unquote_password=True)["password"] == meant
    assert meant not in repr(settings().database_password)


def test_the_environment_goes_before_the_file(configure: Configure) -> None:
    Path(".env").write_text("MAIL_DAILY_LIMIT=20\nMAIL_MAX_ATTEMPTS=5\n")
    configure(mail_daily_limit=30)
    assert (settings().mail_daily_limit, settings().mail_max_attempts) == (30, 5)


def test_a_file_that_is_no_text_stops_with_one_line(configure: Configure) -> None:
    Path(".env").write_bytes(b"MAIL_DAILY_LIMIT=\xff\n")
    with pytest.raises(SettingsError, match=r"^\.env can't be read: .*$"):
        settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("mail_window_start", "08:30", dt.time(8, 30)),
        ("mail_window_days", "Fri-Mon", {4, 5, 6, 0}),
        ("mail_window_days", "mon, wed", {0, 2}),
        ("mail_window_holidays", "de-by, US,GB-SCT,US", ("DE-BY", "US", "GB-SCT")),
        ("mail_window_timezone", "Europe/Berlin", ZoneInfo("Europe/Berlin")),
        ("mail_spread", "OFF", False),
        ("mail_retry_backoff", "30, 60", (30, 60)),
        ("mail_jitter", "0", 0),
        ("mail_daily_limit", "0", 0),
        ("secret_key", "", None),
        ("database_url", "postgresql:///name", "postgresql:///name"),
        ("broker_url", "amqp://a:5672/v;amqps://b/v", "amqp://a:5672/v;amqps://b/v"),
        ("broker_url", "amqp://a/?heartbeat=30&retry_delay=0.5", "amqp://a/?heartbeat=30&retry_delay=0.5"),
        ("broker_url", "amqps://a/?ssl_options={'ca_certs':'/ca'}", "amqps://a/?ssl_options={'ca_certs':'/ca'}"),
        ("database_url", "sqlite:///a?b#c%20d", "sqlite:///a?b#c%20d"),
        ("mail_ehlo_name", "mail.example.com", "mail.example.com"),
        ("mail_ehlo_name", "[192.0.2.1]", "[192.0.2.1]"),
        ("mail_ehlo_name", "[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("mail_ca_file", "", None),
        ("mail_unsubscribe_mailto", "out@a.test?subject=unsubscribe", "out@a.test?subject=unsubscribe"),
        ("mail_unsubscribe_url", "https://a.test/out?id=1", "https://a.test/out?id=1"),
        ("mail_dns_servers", "9.9.9.9, [::1]:5353", (("9.9.9.9", 53), ("::1", 5353))),
        ("mail_dns_servers", "2620:fe::fe", (("2620:fe::fe", 53),)),
        ("mail_alert_webhook", "http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
    ],
)
def test_a_good_value_is_taken(name: str, value: str, expected: object, configure: Configure) -> None:
    configure(**{name: value})
    assert getattr(settings(), name) == expected


@pytest.mark.parametrize("name", sorted(FREE_TEXT))
def test_a_text_that_is_not_utf8_stops_with_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environb, name.upper().encode(), b"\xff")
    settings.cache_clear()
    shown = r"\(hidden\)" if name.endswith("password") else r"'\\udcff'"
    with pytest.raises(SettingsError, match=rf"^{name.upper()}={shown}: allowed: text in UTF-8$"):
        settings()


def test_the_last_backoff_repeats(configure: Configure) -> None:
    configure(mail_retry_backoff="30,60")
    assert [settings().backoff_after(attempt) for attempt in (1, 2, 3)] == [30, 60, 60]


Configure = Callable[..., None]
EXAMPLE = (Path(__file__).parents[2] / ".env.example").read_text()


def allowed_in_the_example(name: str) -> str:
    """Return the `allowed: …` that stands right above a setting."""
    found = re.search(rf"^# (allowed: .+)\n#?{name.upper()}=", EXAMPLE, flags=re.MULTILINE)
    assert found, f".env.example does not say what is allowed for {name.upper()}"
    return found[1]

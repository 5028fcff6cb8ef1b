"""What may be a password is quoted nowhere, wherever it stands."""

from __future__ import annotations

import csv
import datetime as dt
import io
import logging
from collections.abc import Callable

import pytest

from models import database
from pipeline.accounts.alerts import Alert, alert
from pipeline.operations import account_values
from tests.builders import an_account
from tests.cli.conftest import Slowpost

#: No value that any column takes; one that several take.
SECRETS = ("pass word;1!", "hunter2")
WHOLE = {"host": "h.test", "from_address": "me@h.test", "username": "me", "password": "x"}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("column", account_values.COLUMNS)
def test_a_password_in_the_wrong_column_is_not_shown(ready: Slowpost, column: str, secret: str) -> None:
    # Twice: the second finds its name, or its mailbox, there already.
    rows = [WHOLE | {"name": "one", column: secret}, WHOLE | {"name": "two", column: secret}]
    for words in (["accounts", "import", "-"], ["accounts", "import", "-", "--json", "--strict"]):
        said = ready(*words, stdin=as_csv(rows))
        assert secret not in said.out + said.err


def test_a_file_without_a_header_line_is_refused_and_not_shown(ready: Slowpost) -> None:
    for line in ("h.test,587,me@h.test,hunter2", "host,from_address,hunter2", "hunter2", 'host,"hunter2'):
        said = ready("accounts", "import", "-", stdin=f"{line}\nx,y,z\n")
        assert said.code == 1
        assert "hunter2" not in said.out + said.err
    assert (
        "its column 3 is unknown; allowed: name, host, port"
        in ready("accounts", "import", "-", stdin="host,from_address,hunter2\n").err
    )


@pytest.mark.parametrize("column", sorted(set(account_values.COLUMNS) - set(account_values.PASSWORDS)))
def test_an_option_of_an_account_is_not_quoted_either(ready: Slowpost, column: str) -> None:
    with database.connection():
        an_account(host="h.test", username="me", from_address="me@h.test")
    names = {"from_address": "--from", "plain_password": "--allow-plain-password"}
    option = names.get(column, f"--{column.replace('_', '-')}")
    value = [] if column in ("plain_password", "save_sent") else [SECRETS[0]]
    for words in (["add", "--host", "h.test", "--from", "me@h.test", "--username", "me"], ["set", "1"]):
        said = ready("accounts", *words, option, *value, "--password-stdin", stdin=f"{SECRETS[0]}\n")
        assert SECRETS[0] not in said.err


@pytest.mark.parametrize(
    "broken",
    [
        {"mail_alert_command": "/no/such/program hunter2"},
        {"mail_alert_command": "hunter2=x program"},
        {"mail_alert_command": "false hunter2"},
        {"mail_alert_command": "program 'hunter2"},
        {"mail_alert_webhook": "http://127.0.0.1:1/hunter2"},
        {"mail_alert_webhook": "http://hunter2.invalid./"},
    ],
)
def test_an_alert_that_can_not_be_given_is_logged_without_what_it_was_called_with(
    broken: dict[str, str], configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    configure(**broken)
    with caplog.at_level(logging.INFO):
        alert(Alert.RESTS, "it rests", dt.datetime.now(dt.UTC), account_id=7)
    assert "alert not given" in caplog.text
    assert "hunter2" not in caplog.text


def as_csv(rows: list[dict[str, str]]) -> str:
    """Return a file with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

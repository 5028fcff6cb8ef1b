"""Access tokens from a command or a file: kept for a while, renewed, and quoted nowhere."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.accounts import alerts, tokens
from pipeline.accounts.alerts import Alert
from pipeline.accounts.tokens import AccountTokens
from pipeline.smtp.login import TokenError

COUNTS = "echo x >> runs; echo ya29.token-$(wc -l < runs); echo and more; echo noise >&2"


def test_a_commands_first_line_is_the_token_and_is_used_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    source = AccountTokens(1, sh(COUNTS))
    assert [source.token(), source.token()] == ["ya29.token-1", "ya29.token-1"]
    assert AccountTokens(1, sh(COUNTS)).token() == "ya29.token-1"
    assert AccountTokens(2, sh(COUNTS)).token() == "ya29.token-2"
    monkeypatch.setattr(tokens, "MAX_AGE", 0.0)
    assert source.token() == "ya29.token-3"


def test_a_refused_token_is_replaced_by_another_and_by_that_alone() -> None:
    source = AccountTokens(1, sh(COUNTS))
    assert source.another_than(source.token()) == "ya29.token-2"
    assert source.token() == "ya29.token-2"
    # Somebody else has been refused with the older one meanwhile.
    assert source.another_than("ya29.token-1") == "ya29.token-2"
    same = AccountTokens(1, sh("echo ya29.same"))
    assert same.another_than(same.token()) is None


def test_a_files_first_line_is_the_token_and_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    source = AccountTokens(1, file=str(file))
    file.write_text("one\nmore\n")
    assert source.token() == "one"
    assert source.another_than("one") is None
    file.write_text("two")
    assert source.another_than("one") == "two"
    assert source.token() == "two"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("exit 3", "the token command failed with exit code 3"),
        ("echo s3cret; exit 3", "the token command failed with exit code 3"),
        ("kill -9 $$", "the token command failed with exit code -9"),
        ("true", "the token command printed nothing in its first line"),
        ("echo; echo s3cret", "the token command printed nothing in its first line"),
        ("echo error: no s3cret", "the token command printed something that is no access token (RFC 6750) in its"),
        ("printf 's3cret\\001x'", "the token command printed something that is no access token (RFC 6750) in its"),
        ("head -c 1000000 /dev/zero", "the token command printed something that is no access token (RFC 6750) in its"),
    ],
)
def test_a_command_that_gives_no_token_says_so_and_is_not_quoted(command: str, why: str) -> None:
    with pytest.raises(TokenError) as error:
        AccountTokens(1, sh(command)).token()
    assert str(error.value).startswith(why)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("/no/such/command s3cret", "the token command can't be run: No such file or directory"),
        ("'s3cret", "the token command can't be run: it is no command"),
        ("", "the token command can't be run: it is no command"),
    ],
)
def test_a_command_that_can_not_be_run_is_not_quoted(command: str, why: str) -> None:
    with pytest.raises(TokenError) as error:
        AccountTokens(1, command).token()
    assert str(error.value) == why


@pytest.mark.parametrize(("kind", "why"), [("none", "is not there"), ("pipe", "is not there"), ("empty", "holds noth")])
def test_a_file_without_a_token_says_so(kind: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "empty":
        file.touch()
    with pytest.raises(TokenError, match=f"^the token file {why}"):
        AccountTokens(1, file=str(file)).token()


def test_a_command_that_hangs_is_killed_with_all_that_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "COMMAND_TIMEOUT", 0.5)
    started = time.monotonic()
    with pytest.raises(TokenError, match=r"^the token command did not end within 0\.5 s$"):
        AccountTokens(1, sh("sleep 60 & echo $! > child; echo token; wait")).token()
    assert time.monotonic() - started < 5
    child = int(Path("child").read_text())
    deadline = time.monotonic() + 5
    while is_running(child):
        assert time.monotonic() < deadline, os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def test_what_a_command_has_left_running_is_not_waited_for() -> None:
    started = time.monotonic()
    assert AccountTokens(1, sh("sleep 60 & echo $! > child; echo token")).token() == "token"
    os.kill(int(Path("child").read_text()), signal.SIGKILL)
    assert time.monotonic() - started < 5


def test_somebody_is_told_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Alert, str, int]] = []
    monkeypatch.setattr(alerts, "alert", lambda what, why, _at, *, account_id: told.append((what, why, account_id)))
    for account_id in (1, 1, 2):
        with pytest.raises(TokenError):
            AccountTokens(account_id, sh("exit 3")).token()
    why = "the token command failed with exit code 3"
    assert told == [(Alert.NO_TOKEN, why, 1), (Alert.NO_TOKEN, why, 2)]
    monkeypatch.setattr(alerts, "ALERT_EVERY", 0.0)
    with pytest.raises(TokenError):
        AccountTokens(1, sh("exit 3")).token()
    assert len(told) == 3


def test_what_is_secret_is_not_in_what_a_source_prints() -> None:
    source = AccountTokens(1, sh("echo s3cret"))
    source.token()
    assert "s3cret" not in repr(source) + repr(tokens._kept)


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Nothing is known from another test."""
    yield
    tokens._kept.clear()
    alerts._told.clear()


def sh(script: str) -> str:
    """Return the command that runs a script."""
    return f"/bin/sh -c {shlex.quote(script)}"


def is_running(process: int) -> bool:
    """Tell whether a process is there and is no zombie."""
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return sys.platform != "linux"

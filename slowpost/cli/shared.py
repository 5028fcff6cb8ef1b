"""What the commands have in common: the database, errors in one line, options, files."""

from __future__ import annotations

import codecs
import functools
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import click

from pipeline.runtime import logs, opening
from pipeline.runtime.printable import one_line
from pipeline.runtime.settings import settings

#: Ids as people write them.
ID = click.IntRange(1, 2**31 - 1)
PRIORITY = click.IntRange(0, 9)
#: Rows a person asks for.
COUNT = click.IntRange(1, ID.max)


#: Characters of a text that is given in a file: more than any part of a mail may have.
MAX_TEXT = 1_000_000
#: Octets of a file that are looked at together.
_CHUNK = 65_536


class _Contact(click.ParamType[str, Any]):
    """A contact as a person names it: its id, or its address. Whether it is there, `models.lookup.contact_of` says."""

    name = "contact"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if "@" in value:
            return str(value).strip()
        if not value.strip().lstrip("+-").isdecimal():
            self.fail(f"{value!r} is neither the id of a contact nor an address", param, ctx)
        return str(ID.convert(value, param, ctx))


#: A contact, by id or address; a command gets the text, `click.argument("contact", type=CONTACT)`.
CONTACT = _Contact()


class _Named(click.ParamType[str, Any]):
    """A list or a campaign as a person names it: its name, or its id. Whether it is there, `models.lookup` says."""

    def __init__(self, noun: str) -> None:
        self.name = noun

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip()
        if text.isascii() and text.isdecimal():
            return str(ID.convert(value, param, ctx))
        return text


#: A list of contacts, and a campaign, by name or id; a command gets the text.
LIST, CAMPAIGN = _Named("list"), _Named("campaign")


def lists_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option `--list`, which can be given several times: names or ids of lists."""
    return click.option(
        "--list", "lists", metavar="LIST", type=LIST, multiple=True, help=f"{what}; can be given several times."
    )


as_json = click.option("--json", "as_json", is_flag=True, help="For programs: JSON on stdout.")
reason = click.option("--reason", default="", help="Why; kept with the action.")


class Refused(click.ClickException):
    """What was asked for can't be done; the message says why. Exit code 1."""


def problem_of(error: BaseException) -> str | None:
    """Return one line for what a person or the environment can have caused; None for a fault of the program."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    if (trouble := opening.trouble_of(error)) is not None:
        return trouble
    if type(error).__module__.split(".")[0] in ("pika", "dramatiq"):
        return f"the broker: {one_line(error)}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return None


def with_database(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its settings and a connection to a database that is at this version."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        logs.configure(level=30)
        with opening.opened(settings().database_url):
            return command(*args, **kwargs)

    return run


def bind_database() -> None:
    """Read the settings and bind the models to a database that is there."""
    logs.configure(level=30)
    opening.bind(settings().database_url)


@contextmanager
def open_text(path: str) -> Iterator[TextIO]:
    """Open a file, or stdin for `-`, as UTF-8 (a byte order mark is skipped); refuse what can't be read.

    A file is read through first, so that a wrong encoding is found before anything is done; a pipe can't be.
    """
    with _open_bytes(path) as raw:
        if raw.seekable():
            _demand_utf8(path, raw)
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        try:
            yield text
        except UnicodeDecodeError:
            raise Refused(f"{path}: it is not UTF-8") from None
        finally:
            text.detach()


@contextmanager
def _open_bytes(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        opened = Path(path).open("rb")  # noqa: SIM115  # what goes wrong in the block is not the file's fault
    except FileNotFoundError:
        raise Refused(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise Refused(f"{path}: it is a directory") from None
    except (OSError, ValueError) as error:
        raise Refused(f"{path}: it can't be opened: {getattr(error, 'strerror', None) or error}") from None
    with opened:
        yield opened


def _demand_utf8(path: str, raw: BinaryIO) -> None:
    start, number = raw.tell(), 1
    decoder = codecs.getincrementaldecoder("utf-8")()
    while True:
        chunk = raw.read(_CHUNK)
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            number += error.object[: error.start].count(b"\n")
            raise Refused(f"{path}: it is not UTF-8 (line {number})") from None
        if not chunk:
            break
        number += chunk.count(b"\n")
    raw.seek(start)


def read_text(path: str) -> str:
    """Return what a file holds; see `open_text`."""
    with open_text(path) as file:
        text = file.read(MAX_TEXT + 1)
    if len(text) > MAX_TEXT:
        raise Refused(f"{path}: it has more than {MAX_TEXT} characters")
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise Refused(f"{path}: it has a NUL character (line {line})")
    return text


def read_bytes(path: str, at_most: int) -> bytes:
    """Return what a file, or stdin for `-`, holds; refuse what can't be read, and more than `at_most` bytes."""
    with _open_bytes(path) as file:
        data = file.read(at_most + 1)
    if len(data) > at_most:
        raise Refused(f"{path}: it is too large, there is room for {at_most:,} bytes")
    return data


def asked_password(from_stdin: bool, what: str = "Password", option: str = "--password-stdin") -> str:
    """Return a password that is asked for, or the first line of stdin; refuse an empty one."""
    if from_stdin:
        password = _first_line_of_stdin()
    elif not sys.stdin.isatty():
        raise Refused(f"there is no terminal to ask for the password: use {option}")
    else:
        password = str(click.prompt(what, hide_input=True, err=True))
    if not password:
        raise Refused("the password is empty")
    return password


def _first_line_of_stdin() -> str:
    try:
        password = sys.stdin.readline().rstrip("\r\n")
        password.encode()
    except UnicodeError:
        raise Refused("the password is not UTF-8") from None
    return password

"""The sandbox: Jinja2 with plain data. Pure; to be run in the process that `child` serves, where it can be stopped.

Undefined variables are errors. What is known only when an account is chosen (`sender.*`) is rendered as a marker that
`message.fill_sender` replaces. It imports Jinja2 and little else, so that the process starts fast.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping
from typing import Any, NoReturn, cast

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.content.markers import MARK_END, MARK_START, MAX_OUTPUT, SENDER_FIELDS, sender_marker

#: Characters of an error that are kept.
MAX_ERROR = 300

_NO_MARKS = {ord(MARK_START): None, ord(MARK_END): None}


class MistakeError(Exception):
    """A template can't be compiled or rendered; the message names the part, the line and what is wrong."""


class _Undefined(jinja2.StrictUndefined):
    """What is not there can't be printed, also not within a list or a dict, which print what they hold by `repr`."""

    __slots__ = ()
    __repr__ = jinja2.StrictUndefined.__str__


class _Sender:
    """A field of the sender, known only when an account is chosen: a template can print it, and nothing else."""

    def __init__(self, name: str) -> None:
        self._marker = sender_marker(name)
        self._name = name

    def __str__(self) -> str:
        return self._marker

    __html__ = __repr__ = __str__

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError(f"sender.{self._name} is known only when an account is chosen: print it, and nothing else")

    __bool__ = __eq__ = _refuse
    __hash__ = None  # type: ignore[assignment]  # what equals nothing has none


@jinja2.pass_context
def _as_it_is(_context: Any, value: Any) -> Any:
    return value


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox. `contact.items` is the column, not the method of a dict."""

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(
            autoescape=autoescape,
            undefined=_Undefined,
            keep_trailing_newline=True,
            # Nothing is worked out while it is compiled: what takes too long is to have its line.
            optimized=False,
            finalize=_as_it_is,
        )
        self.globals = {"range": range}
        self.filters = {name: _without_sender(function) for name, function in self.filters.items()}

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self.undefined(hint=f"there is no {attribute!r}")
        return super().getattr(obj, attribute)


def _without_sender(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that refuses the fields of the sender: they can only be printed."""

    @functools.wraps(function)
    def refusing(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            if isinstance(value, _Sender):
                value._refuse()
        return function(*args, **kwargs)

    return refusing


def file_name(part: str) -> str:
    """Return the name by which tracebacks know the compiled `part`."""
    return f"<template {part}>"


def compile_parts(sources: Mapping[str, str]) -> dict[str, jinja2.Template]:
    """Compile the parts of a template, by name. Raises MistakeError."""
    return {part: _compiled(part, source) for part, source in sources.items()}


def _compiled(part: str, source: str) -> jinja2.Template:
    environment = _Environment(autoescape=part == "html")
    try:
        code = environment.compile(source, filename=file_name(part))
        return jinja2.Template.from_code(environment, code, environment.make_globals(None))
    except jinja2.TemplateSyntaxError as error:
        raise MistakeError(f"{part}, line {error.lineno}: {error.message}") from None
    except MemoryError:
        raise
    except Exception as error:  # such as blocks that are nested too deeply
        # A SyntaxError's text has a line, which is not the template's.
        raise MistakeError(f"{part}: {getattr(error, 'msg', None) or _short(error)}") from None


def render_parts(compiled: Mapping[str, jinja2.Template], data: Mapping[str, Any]) -> dict[str, str]:
    """Render a template for one contact.

    Args:
        compiled: its parts.
        data: `contact` and `website` (dicts, or None), and other variables.

    Raises:
        MistakeError: an undefined variable, an error in an expression, a subject of several lines, or a part that is
            too long.
        MemoryError: it takes too much memory.
    """
    sender = {field: _Sender(field) for field in SENDER_FIELDS}
    variables = {name: _plain(value) for name, value in data.items()} | {"sender": sender}
    done = {part: _rendered(part, template, variables) for part, template in compiled.items()}
    for part in ("subject", "preheader"):
        if part in done:
            done[part] = done[part].strip()
            if len(done[part].splitlines()) > 1:
                raise MistakeError(f"{part}: it must be one line")
    return done


def _rendered(part: str, template: jinja2.Template, variables: dict[str, Any]) -> str:
    pieces: list[str] = []
    size = 0
    try:
        # Not `generate`, which rewrites the traceback of an error: there may be no memory left for that.
        rendering = cast(Generator[str, None, None], template.root_render_func(template.new_context(variables)))
        for piece in rendering:
            size += len(piece)
            if size > MAX_OUTPUT:
                rendering.throw(OverflowError(f"it is longer than {MAX_OUTPUT} characters"))
            pieces.append(piece)
        text = "".join(pieces)
    except MemoryError:
        raise
    except Exception as error:  # whatever an expression of the user's raises is a mistake in the template
        raise MistakeError(f"{place_of(error, {part: template}) or part}: {_short(error)}") from None
    _check(part, text)
    return text


def _check(part: str, text: str) -> None:
    rest = text
    for field in SENDER_FIELDS:
        rest = rest.replace(sender_marker(field), "")
    if MARK_START in rest or MARK_END in rest:
        raise MistakeError(f"{part}: sender.* is known only when an account is chosen: print it, without a filter")
    if "\0" in text or not _is_unicode(text):
        raise MistakeError(f"{part}: it has a character that can't be stored (NUL, or half of a surrogate pair)")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def place_of(error: BaseException, compiled: Mapping[str, jinja2.Template]) -> str | None:
    """Return the part and the line of a template in which an error was raised; None: in none."""
    parts = {file_name(part): part for part in compiled}
    place, at = None, error.__traceback__
    while at is not None:
        part = parts.get(at.tb_frame.f_code.co_filename)
        if part is not None:
            place = f"{part}, line {compiled[part].get_corresponding_lineno(at.tb_lineno)}"
        at = at.tb_next
    return place


def _short(error: Exception) -> str:
    return str(error)[:MAX_ERROR]


def _plain(value: Any) -> Any:
    """Return contact data without the characters that mark a field of the sender."""
    if isinstance(value, str):
        return value.translate(_NO_MARKS)
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value

"""Templates: Jinja2 in a sandbox, with plain data and limits of output and time. Pure.

Undefined variables are errors. What is known only when an account is chosen (`sender.*`) is rendered as a marker that
`message.fill_sender` replaces.
"""

from __future__ import annotations

import functools
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from models import Contact, EmailTemplate, Website
from models.errors import SlowpostError
from pipeline.content.message import MARK_END, MARK_START, SENDER_FIELDS, sender_marker
from pipeline.runtime.settings import Settings

#: Characters one part of a message may have; providers refuse far less (Gmail clips HTML at 102 kB).
MAX_OUTPUT = 500_000
#: Seconds one part may take to render.
MAX_SECONDS = 2.0

#: Functions, methods and filters that take a width or a count: a large number makes them return far more than they get.
_WIDENS = {
    "batch", "center", "expandtabs", "indent", "ljust", "range", "rjust", "round", "slice", "tojson", "zfill",
}  # fmt: skip
#: In a format, of either kind: a width of six digits, or one that is given at run time.
_WIDE_FIELD = re.compile(r"[%:][^a-z%{}]*\d{6}|%[^a-z%]*\*|:[^}]*\{", re.IGNORECASE)
_NO_MARKS = {ord(MARK_START): None, ord(MARK_END): None}


class TemplateError(SlowpostError):
    """A template can't be compiled or rendered; the message names the part, the line and what is wrong."""


@dataclass(frozen=True)
class Parts:
    """What a template became for one contact; `sender.*` still as markers."""

    subject: str
    text: str
    html: str | None
    preheader: str | None


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


class _Limits(NodeTransformer):
    """Adds the checks of time and size to a template: to each round of a loop, and to each concatenation."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802  # Jinja2's name
        self.generic_visit(node)
        node.iter = _filtered(cast(nodes.Expr, node.iter), "_in_time")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802  # Jinja2's name
        self.generic_visit(node)
        return _filtered(node, "_in_size")


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox. `contact.items` is the column, not the method of a dict; time and size are limited.

    No value may be larger than a whole part may be, so that a chain of operations fails before it uses up the memory.
    """

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(autoescape=autoescape, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        self.deadline = 0.0
        self.globals = {"range": range}
        self.filters = {name: _limited(name, function) for name, function in self.filters.items()}
        self.filters |= {"_in_time": self._in_time, "_in_size": _in_size}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return cast(nodes.Template, _Limits().visit(super()._parse(source, name, filename)))

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self.undefined(hint=f"there is no {attribute!r}")
        return super().getattr(obj, attribute)

    def call(self, context: Any, called: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_time()
        if getattr(called, "__name__", None) in _WIDENS:
            _check_counts(*args, *kwargs.values())
        return _in_size(super().call(context, called, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator in ("*", "**") and not all(_is_small_number(side) for side in (left, right)):
            raise TypeError(f"{operator} works on numbers below {MAX_OUTPUT} only")
        if operator == "%":
            _check_fields(left)
        return _in_size(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if getattr(value, "__name__", None) in ("format", "format_map"):
            _check_fields(getattr(value, "__self__", None))
        return super().wrap_str_format(value)

    def _in_time(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self._check_time()
            yield value

    def _check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise TimeoutError(f"it takes longer than {MAX_SECONDS:g} s")


def _limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter whose output is limited, and that refuses the fields of the sender: they can only be printed."""

    @functools.wraps(function)
    def limited(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            if isinstance(value, _Sender):
                value._refuse()
        if name in _WIDENS:
            _check_counts(*args, *kwargs.values())
        if name == "format":
            _check_fields(args[0])
        return _in_size(function(*args, **kwargs))

    return limited


def _check_counts(*arguments: Any) -> None:
    for value in arguments:
        if isinstance(value, int) and not _is_small_number(value):
            raise OverflowError(f"{value} is above {MAX_OUTPUT}")


def _check_fields(text: Any) -> None:
    if isinstance(text, str) and _WIDE_FIELD.search(text):
        raise OverflowError("it has a field wider than 99999, or of no fixed width")


def _is_small_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < MAX_OUTPUT


def _in_size(value: Any) -> Any:
    if isinstance(value, str | list | tuple) and len(value) > MAX_OUTPUT:
        raise OverflowError(f"it is longer than {MAX_OUTPUT}")
    return value


@dataclass(frozen=True)
class Compiled:
    """A template whose syntax is right, ready to be rendered for many contacts."""

    parts: Mapping[str, tuple[_Environment, jinja2.Template]]


def compile_template(template: EmailTemplate) -> Compiled:
    """Compile all parts of `template`. Raises TemplateError with the part and the line of a syntax error."""
    parts = {}
    for name in ("subject", "text", "html", "preheader"):
        source = getattr(template, name)
        if source is None:
            continue
        environment = _Environment(autoescape=name == "html")
        try:
            parts[name] = (environment, environment.from_string(source))
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"{name}, line {error.lineno}: {error.message}") from None
    return Compiled(parts)


@dataclass(frozen=True)
class Footer:
    """What `{{ unsubscribe }}` (a URL) and `{{ postal_address }}` say; None: the variable is undefined."""

    unsubscribe: str | None = None
    postal_address: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Footer:
        """Return the footer of the settings."""
        mailto = settings.mail_unsubscribe_mailto
        unsubscribe = settings.mail_unsubscribe_url or (f"mailto:{mailto}" if mailto else None)
        return cls(unsubscribe, settings.mail_postal_address)


def render(compiled: Compiled, contact: Contact, website: Website | None, footer: Footer) -> Parts:
    """Render for one contact.

    Raises:
        TemplateError: an undefined variable, an error in an expression, a subject of several lines, or a part that is
            too long or takes too long.
    """
    variables = _variables(contact, website, footer)
    done = {name: _render_part(name, *part, variables) for name, part in compiled.parts.items()}
    for name in ("subject", "preheader"):
        if name in done:
            done[name] = done[name].strip()
            if len(done[name].splitlines()) > 1:
                raise TemplateError(f"{name}: it must be one line")
    if not done["subject"]:
        raise TemplateError("subject: it is empty")
    return Parts(done["subject"], done["text"], done.get("html"), done.get("preheader"))


def _render_part(name: str, environment: _Environment, template: jinja2.Template, variables: dict[str, Any]) -> str:
    environment.deadline = time.monotonic() + MAX_SECONDS
    pieces: list[str] = []
    size = 0
    try:
        for piece in template.generate(variables):
            size += len(piece)
            if size > MAX_OUTPUT:
                raise OverflowError(f"it is longer than {MAX_OUTPUT} characters")
            pieces.append(piece)
    except Exception as error:  # whatever an expression of the user's raises is a mistake in the template
        raise TemplateError(f"{name}, line {_line_of(error)}: {error}") from error
    text = "".join(pieces)
    rest = text
    for field in SENDER_FIELDS:
        rest = rest.replace(sender_marker(field), "")
    if MARK_START in rest or MARK_END in rest:
        raise TemplateError(f"{name}: sender.* is known only when an account is chosen: print it, without a filter")
    return text


def _line_of(error: Exception) -> int:
    """Return the line in the template; Jinja2 rewrites the traceback so that its frames are named `<template>`."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == "<template>"]
    return (frames[-1].lineno or 1) if frames else 1


def _variables(contact: Contact, website: Website | None, footer: Footer) -> dict[str, Any]:
    of_contact = {"name": contact.name, "email": contact.email, "priority": contact.priority, "id": contact.id}
    of_website = website and {"domain": website.domain, "title": website.title, "id": website.id}
    variables: dict[str, Any] = {
        "contact": _plain(contact.extra | of_contact),
        "website": website and _plain(website.extra | of_website),
        "sender": {field: _Sender(field) for field in SENDER_FIELDS},
    }
    optional = {"unsubscribe": footer.unsubscribe, "postal_address": footer.postal_address}
    return variables | {name: value for name, value in optional.items() if value}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without the characters that mark a field of the sender."""
    return {k: v.translate(_NO_MARKS) if isinstance(v, str) else v for k, v in values.items()}

"""Templates: Jinja2 in a sandbox, with plain data, capped output and time. Pure.

Undefined variables are errors. What is known only when an account is chosen (`sender.*`) is rendered as a marker that
`message.fill_sender` replaces.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models import Contact, EmailTemplate, Website

from .message import MARK_END, MARK_START, SENDER_FIELDS, sender_marker
from .settings import settings

#: Characters one part of a message may have; providers refuse far less (Gmail clips HTML at 102 kB).
MAX_OUTPUT = 500_000
#: Seconds one part may take to render.
MAX_SECONDS = 2.0

_NO_MARKS = {ord(MARK_START): None, ord(MARK_END): None}


class TemplateError(Exception):
    """A template can't be compiled or rendered; the message names the part, the line and what is wrong."""


@dataclass(frozen=True)
class Parts:
    """What a template became for one contact; `sender.*` still as markers."""

    subject: str
    text: str
    html: str | None
    preheader: str | None


class _Sender:
    """A field of the sender, known only when an account is chosen: it can be printed, and nothing else."""

    def __init__(self, name: str) -> None:
        self._marker = sender_marker(name)
        self._name = name

    def __str__(self) -> str:
        return self._marker

    __html__ = __str__

    def __bool__(self) -> bool:
        raise TypeError(f"sender.{self._name} is known only when an account is chosen: print it, don't test it")


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, in which columns win over the methods of a dict, and nothing runs or grows without end."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(autoescape=autoescape, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        self.deadline = 0.0
        self.globals = {"range": self._range}

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self.undefined(hint=f"there is no {attribute!r}")
        return super().getattr(obj, attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not all(isinstance(side, int | float) and abs(side) < MAX_OUTPUT for side in (left, right)):
            raise TypeError(f"{operator} works on numbers below {MAX_OUTPUT} only")
        return super().call_binop(context, operator, left, right)

    def _range(self, *args: int) -> Iterator[int]:
        for number in range(*args):
            if time.monotonic() > self.deadline:
                raise TimeoutError(f"it takes longer than {MAX_SECONDS:g} s")
            yield number


@dataclass(frozen=True)
class Compiled:
    """A template whose syntax is right, ready to be rendered for many contacts."""

    parts: Mapping[str, tuple[_Environment, jinja2.Template]]


def compile_template(template: EmailTemplate) -> Compiled:
    """Compile all parts of `template`; raise TemplateError with the part and the line of a mistake."""
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


def render(compiled: Compiled, contact: Contact, website: Website | None) -> Parts:
    """Render for one contact.

    Raises:
        TemplateError: an undefined variable, an error in an expression, a subject of several lines, too much or too
        slow.
    """
    variables = _variables(contact, website)
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


def _variables(contact: Contact, website: Website | None) -> dict[str, Any]:
    of_contact = {"name": contact.name, "email": contact.email, "priority": contact.priority, "id": contact.id}
    of_website = website and {"domain": website.domain, "title": website.title, "id": website.id}
    variables: dict[str, Any] = {
        "contact": _plain(contact.extra | of_contact),
        "website": website and _plain(website.extra | of_website),
        "sender": {field: _Sender(field) for field in SENDER_FIELDS},
    }
    s = settings()
    unsubscribe = s.mail_unsubscribe_url or (s.mail_unsubscribe_mailto and f"mailto:{s.mail_unsubscribe_mailto}")
    optional = {"unsubscribe": unsubscribe, "postal_address": s.mail_postal_address}
    return variables | {name: value for name, value in optional.items() if value}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return data in which nothing can be mistaken for a marker."""
    return {k: v.translate(_NO_MARKS) if isinstance(v, str) else v for k, v in values.items()}

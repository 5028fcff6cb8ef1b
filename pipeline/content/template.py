"""Templates: subject, bodies and preheader become the words for one contact.

They are rendered by a process of their own (`renderer`), which is stopped when a template takes too much of anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from models import Contact, EmailTemplate, Website
from models.errors import SlowpostError
from pipeline.content import renderer
from pipeline.content.consent import EXAMPLE, Ways
from pipeline.content.markers import MAX_OUTPUT
from pipeline.content.quote import Quoted, html_with, text_with
from pipeline.runtime.settings import Settings


def ways_of(settings: Settings) -> Ways:
    """Return the ways to unsubscribe that the settings have."""
    return Ways(settings.mail_public_url, settings.mail_unsubscribe_url, settings.mail_unsubscribe_mailto)


class TemplateError(SlowpostError):
    """A template can't be compiled or rendered; the message names the part, the line and what is wrong."""


class NothingToFollowError(TemplateError):
    """The mail that a mail is to follow was not sent."""


class TemplateLimitError(TemplateError):
    """A template was stopped by a limit of time or memory; the message names its line, if known, and the limit."""


@dataclass(frozen=True)
class Parts:
    """What a template became for one contact; `sender.*` still as markers."""

    subject: str
    text: str
    html: str | None
    preheader: str | None


@dataclass(frozen=True)
class Before:
    """What a mail takes from those that it follows.

    Attributes:
        subject: of a mail without one of its own.
        quoted: what stands below its own words; None: nothing.
    """

    subject: str
    quoted: Quoted | None = None


_PARTS = tuple(field.name for field in fields(Parts))


@dataclass(frozen=True)
class Footer:
    """What `{{ unsubscribe }}` (a URL) and `{{ postal_address }}` say; None: the variable is undefined."""

    unsubscribe: str | None = None
    postal_address: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings, token: str | None = EXAMPLE) -> Footer:
        """Return the footer of a mail by the settings; `token` is that of its link (`consent.Tokens`)."""
        ways = ways_of(settings)
        return cls(ways.link_for(token if ways.public_url else None), settings.mail_postal_address)


def check_syntax(template: EmailTemplate) -> None:
    """Compile those parts of `template` that it has. Raises TemplateError with the part and the line of a mistake."""
    _ask(template)


def render(
    template: EmailTemplate, contact: Contact, website: Website | None, footer: Footer, before: Before | None = None
) -> Parts:
    """Render a template for one contact. It is compiled unless it is the one that this thread has rendered last.

    Args:
        template: what is written.
        contact: to whom.
        website: the contact's.
        footer: what is the same for all.
        before: of a mail that follows others, what it takes from them.

    Raises:
        TemplateError: a mistake in the syntax, an undefined variable, an error in an expression, a subject of several
            lines, no subject although it follows no mail, or a part that is too long.
        TemplateLimitError: it takes too much time or memory.
    """
    parts = _ask(template, variables_of(contact, website, footer))["parts"]
    rendered = Parts(**{name: parts.get(name) for name in _PARTS})
    if before is not None:
        return _following(rendered, before)
    if not rendered.subject:
        raise TemplateError("subject: it is empty, which only a mail that follows another may have")
    return rendered


def _following(rendered: Parts, before: Before) -> Parts:
    subject, quoted = rendered.subject or before.subject, before.quoted
    if quoted is None:
        return replace(rendered, subject=subject)
    html = None if rendered.html is None else html_with(rendered.html, quoted)
    text = text_with(rendered.text, quoted)
    for part, words in (("text", text), ("html", html or "")):
        if len(words) > MAX_OUTPUT:
            raise TemplateError(f"{part}: with what it quotes it is longer than {MAX_OUTPUT} characters")
    return replace(rendered, subject=subject, text=text, html=html)


def _ask(template: EmailTemplate, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    sources = {name: source for name in _PARTS if (source := getattr(template, name)) is not None}
    try:
        answer = renderer.ask(sources, variables)
    except renderer.LimitError as error:
        raise TemplateLimitError(str(error)) from None
    if "mistake" in answer:
        raise TemplateError(answer["mistake"])
    return answer


def variables_of(contact: Contact, website: Website | None, footer: Footer) -> dict[str, Any]:
    """Return what templates can use, by its name; without the sender."""
    of_contact = {"name": contact.name, "email": contact.email, "priority": contact.priority, "id": contact.id}
    of_website = website and {"domain": website.domain, "title": website.title, "id": website.id}
    variables: dict[str, Any] = {
        "contact": contact.extra | of_contact,
        "website": website and (website.extra | of_website),
    }
    optional = {"unsubscribe": footer.unsubscribe, "postal_address": footer.postal_address}
    return variables | {name: value for name, value in optional.items() if value}

"""Templates: mistakes are named with their line, contact data is only data, and nothing runs or grows without end."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from models import Contact, EmailTemplate, Website
from pipeline.content import renderer
from pipeline.content.markers import sender_marker
from pipeline.content.message import Sender
from pipeline.content.quote import Quoted
from pipeline.content.template import Before, Footer, Parts, TemplateError, TemplateLimitError, render
from pipeline.runtime.settings import settings


def test_contact_and_website_with_their_columns_reach_the_template() -> None:
    text = "{{ contact.name }} {{ contact.email }} {{ contact.topic }} {{ website.title }} {{ website.since }}"
    assert rendered(text).text == "Ann ann@x.test bees X & Co 1999"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ '{:,}'.format(1234567) }} {{ '%.2f'|format(1234567.891) }} {{ '%d%%' % 7 }}", "1,234,567 1234567.89 7%"),
        ("{% for a, b in {'x': 1, 'y': 2}|items %}{{ loop.index }}{{ a }}{{ b }} {% endfor %}", "1x1 2y2 "),
        ("{% for i in range(5) if i > 1 %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}", "2, 3, 4"),
        ("{% for i in [] %}{% else %}none{% endfor %}", "none"),
        ("{% for i in [1, [2]] recursive %}{{ loop(i) if i is iterable else i }}{% endfor %}", "12"),
        ("{{ 3 * 4 + 1 }} {{ contact.name ~ '!' }} {{ '50%: 1234567'|upper }}", "13 Ann! 50%: 1234567"),
    ],
)
def test_what_templates_ordinarily_do_is_allowed(text: str, expected: str) -> None:
    assert rendered(text).text == expected


def test_a_column_wins_over_a_method_of_the_same_name() -> None:
    assert rendered("{{ contact.items }}").text == "three"


def test_a_contact_without_a_website_can_be_told() -> None:
    assert rendered("{% if website %}{{ website.title }}{% else %}none{% endif %}", website=None).text == "none"


def test_html_is_escaped_and_text_is_not() -> None:
    parts = rendered("{{ contact.evil }}", html="{{ contact.evil }}", subject="{{ website.title }}")
    assert (parts.text, parts.html, parts.subject) == ("<b>", "&lt;b&gt;", "X & Co")


def test_what_is_undefined_is_an_error_with_part_and_line() -> None:
    assert problem("one\ntwo {{ contact.phone }}").startswith("text, line 2: ")
    assert "phone" in problem("{{ contact.phone }}")
    assert problem(html="{{ nonsense }}").startswith("html, line 1: ")
    assert problem("{{ unsubscribe }}").startswith("text, line 1: ")
    assert problem("{{ website.title }}", website=None).startswith("text, line 1: ")


@pytest.mark.parametrize(
    "text", ["{{ [contact.nope] }}", "{{ {'a': contact.nope} }}", "{{ '%r'|format(contact.nope) }}"]
)
def test_what_is_undefined_is_an_error_within_a_list_too(text: str) -> None:
    assert problem(text) == "text, line 1: there is no 'nope'"


@pytest.mark.parametrize("text", ["{{ '\\x00' }}", "{{ '\\ud800' }}"])
def test_what_no_database_can_store_is_a_mistake(text: str) -> None:
    assert "can't be stored" in problem(text)


def test_a_mistake_in_the_syntax_is_an_error_with_part_and_line() -> None:
    assert problem("one\n{% if %}").startswith("text, line 2: ")
    assert problem("{% for x in [] %}" * 30 + "{% endfor %}" * 30) == "text: too many statically nested blocks"
    assert problem("{{ " + "(" * 9999).startswith("text: maximum recursion depth exceeded")


def test_what_the_settings_say_reaches_the_template(configure: Callable[..., None]) -> None:
    configure(mail_unsubscribe_mailto="stop@x.test", mail_postal_address="1 Street")
    assert rendered("{{ unsubscribe }} {{ postal_address }}").text == "mailto:stop@x.test 1 Street"


def test_a_subject_is_one_line_and_not_empty() -> None:
    assert rendered(subject=" {{ contact.name }}\n").subject == "Ann"
    assert problem(subject="a\nb") == "subject: it must be one line"
    assert problem(subject=" ") == "subject: it is empty, which only a mail that follows another may have"


def test_a_mail_that_follows_another_has_its_subject_unless_it_has_one_of_its_own() -> None:
    before = Before("A question")
    assert rendered(subject="{% if not contact.name %}News{% endif %}", before=before).subject == "A question"
    assert rendered(subject="News", before=before).subject == "News"


def test_what_is_quoted_stands_below_text_and_html_and_counts_in_their_length() -> None:
    quoted = Quoted("First", "<p>First</p>", Sender("me@x.test"), dt.datetime(2026, 6, 2, 14, tzinfo=dt.UTC))
    parts = rendered("Second", html="<p>Second</p>", preheader="in short", before=Before("A question", quoted))
    assert parts.text.startswith("Second\n\nOn Tuesday, ")
    assert parts.text.endswith("> First\n")
    assert parts.html is not None
    assert "<p>Second</p>" in parts.html.partition("<blockquote")[0]
    assert "<p>First</p>" in parts.html.partition("<blockquote")[2]
    assert rendered("Second", before=Before("A question", quoted)).html is None
    for part in ("text", "html"):
        long = Before("A question", replace(quoted, **{part: "x" * 500_000}))
        with pytest.raises(TemplateError, match=f"{part}: with what it quotes it is longer than 500000 characters"):
            rendered("Second", html="<p>Second</p>", before=long)


def test_the_sender_is_printed_as_a_marker_and_nothing_else() -> None:
    assert rendered("{{ sender.name }}", html="{{ sender.signature }}").text == sender_marker("name")
    assert rendered("{{ sender.name ~ '!' }}").text == sender_marker("name") + "!"


@pytest.mark.parametrize(
    "text",
    [
        "{% if sender.name %}x{% endif %}",
        "{% if sender.name == 'Ann' %}x{% endif %}",
        "{% if sender.name in ['Ann'] %}x{% endif %}",
        "{{ sender.name|upper }}",
        # on a marker these two would change nothing, and so go unnoticed
        "{{ sender.name|lower }}",
        "{{ sender.name|default('x') }}",
        "{{ (sender.name ~ '!')|upper }}",
    ],
)
def test_the_sender_can_be_neither_tested_nor_filtered(text: str) -> None:
    assert "known only when an account is chosen" in problem(text)


def test_contact_data_can_not_pretend_to_be_a_marker() -> None:
    forger = Contact(id=1, email="a@x.test", name=sender_marker("email"), priority=0, extra={})
    template = EmailTemplate(subject="s", text="{{ contact.name }}")
    assert render(template, forger, None, Footer.from_settings(settings())).text == "sender.email"


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ contact.__init__.__globals__ }}",
        "{{ range.__self__ }}",
        "{{ contact.update({'a': 1}) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_template_gets_out_of_its_sandbox_nowhere(text: str) -> None:
    assert problem(text).startswith("text, line 1: ")


TIME, MEMORY = "it takes longer than 0.1 s of CPU time", "it takes more than 64 MB of memory"


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", TIME),
        ("{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}", TIME),
        ("{{ range(499999)|map('center', 9999)|map('wordcount')|sum }}", TIME),
        # one operation, which no signal handler of Python's can interrupt
        ("{{ 9 ** (9 ** 9) }}", TIME),
        ("{{ ('%9999s'|format('')).replace(' ', '%99999s'|format(''))|length }}", MEMORY),
        ("{{ range(10 ** 9)|list|length }}", MEMORY),
        ("{% set a = 'x' %}" + "{% set a = a ~ a %}" * 40 + "{{ a|length }}", MEMORY),
    ],
)
def test_what_takes_too_much_is_stopped_and_says_where_and_by_which_limit(
    text: str, limit: str, short_time: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit == MEMORY:
        # On a busy machine it takes longer than a tenth of a second until that is used up.
        monkeypatch.setattr(renderer, "MAX_SECONDS", 2.0)
    with pytest.raises(TemplateLimitError) as error:
        rendered("one\n\n" + text)
    assert str(error.value) == f"text, line 3: {limit}"
    assert rendered("{{ contact.name }}").text == "Ann"


def test_compiling_is_stopped_too(short_time: None) -> None:
    assert problem("{{ contact.name }}" * 30_000) == TIME


def test_a_part_that_is_too_long_is_a_mistake() -> None:
    assert problem("one\n{% for i in range(90000) %}0123456789{% endfor %}") == f"text, line 2: {TOO_LONG}"
    assert problem("{{ 'x' * 500001 }}") == f"text, line 1: {TOO_LONG}"


def test_a_format_from_contact_data_costs_no_more_than_its_length(short_time: None) -> None:
    for cell in (":" * 131_000, "%" * 131_000, "{" * 131_000):
        contact = Contact(id=1, email="a@x.test", name="", priority=0, extra={"cell": cell})
        template = EmailTemplate(subject="s", text="{{ contact.cell|format }}{{ contact.cell.format(1) }}")
        with contextlib.suppress(TemplateError):
            render(template, contact, None, Footer())


@pytest.fixture
def short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render in a process of this test's own, which may take a tenth of a second."""
    monkeypatch.setattr(renderer, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(renderer, "_idle", [])


TOO_LONG = "it is longer than 500000 characters"
ANN = Contact(
    id=1, email="ann@x.test", name="Ann", priority=3, extra={"topic": "bees", "items": "three", "evil": "<b>"}
)
SITE = Website(id=2, domain="x.test", title="X & Co", extra={"since": "1999"})


def rendered(
    text: str = "t",
    *,
    subject: str = "s",
    website: Website | None = SITE,
    before: Before | None = None,
    **parts: Any,
) -> Parts:
    """Render a template for Ann."""
    template = EmailTemplate(subject=subject, text=text, **parts)
    return render(template, ANN, website, Footer.from_settings(settings()), before)


def problem(text: str = "t", **parts: Any) -> str:
    """Return what is wrong with a template."""
    with pytest.raises(TemplateError) as error:
        rendered(text, **parts)
    return str(error.value)

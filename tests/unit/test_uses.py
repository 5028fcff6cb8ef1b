"""What a template uses is read from its source: without which columns it fails, and what it prints that may be blank.

That it is right about what fails is what the sandbox itself says.
"""

from __future__ import annotations

import pytest

from pipeline.content import suspects
from pipeline.content.sandbox import MistakeError, compile_parts, render_parts
from pipeline.content.uses import uses

#: Source → what it fails without, and what leaves a gap where it is blank; several columns: one of them is enough.
SOURCES = {
    "{{ contact.a }}": (["a"], ["a"]),
    "{{ contact['a']|title }}": (["a"], ["a"]),
    "{{ contact.a.split()[0] ~ '!' }}": (["a"], ["a"]),
    "{{ contact.a|default('x') }}": ([], ["a"]),
    "{{ contact.a|default('x', true) }}": ([], []),
    "{{ contact.a|d(contact.b, boolean=true) }}": (["a b"], ["a b"]),
    "{{ contact.a|title|default('x') }}": (["a"], ["a"]),
    "{{ contact.a or 'x' }}": (["a"], []),
    "{{ contact.a or contact.b }}": (["a", "b"], ["a b"]),
    "{{ contact.a if contact.a else 'x' }}": (["a"], []),
    "{% if contact.a %}{{ contact.a }}{% else %}x{% endif %}": (["a"], []),
    "{% if contact.a is defined %}{{ contact.a }}{% endif %}": ([], []),
    "{% if 'a' in contact %}{{ contact.a }}{% endif %}": ([], []),
    "{% if contact.a is defined and contact.a %}{{ contact.a }}{% endif %}": ([], []),
    "{% if 1 > 2 %}x{% elif contact.a == 'x' %}y{% endif %}": (["a"], []),
    "{% set n = contact.a %}{{ n }}": (["a"], ["a"]),
    "{% set n = contact.a or 'x' %}{{ n }}": (["a"], []),
    "{% set n = contact.a %}{% if n %}{{ n }}{% endif %}": (["a"], []),
    "{% for c in contact.a %}{{ c }}{% endfor %}": (["a"], []),
    "{% raw %}{{ contact.a }}{% endraw %}": ([], []),
}


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_template_uses_is_what_its_source_asks_for(source: str) -> None:
    found = uses([source])
    demanded, printed = ([" ".join(sorted(c.removeprefix("contact.") for c in n)) for n in some] for some in
                         (found.demanded, found.printed))  # fmt: skip
    assert (sorted(demanded), sorted(printed)) == SOURCES[source]


@pytest.mark.parametrize("source", SOURCES)
def test_a_template_fails_without_what_it_demands_and_does_not_with_it(source: str) -> None:
    demanded = uses([source]).demanded
    with_all = {column.removeprefix("contact."): "Ann Lee" for needed in demanded for column in needed}
    compiled = compile_parts({"text": source})
    render_parts(compiled, {"contact": with_all})
    if demanded:
        with pytest.raises(MistakeError):
            render_parts(compiled, {"contact": {}})


def test_what_can_not_be_compiled_uses_nothing() -> None:
    assert uses(["{% if %}", "{{ contact.a }}"]).demanded == {frozenset({"contact.a"})}


@pytest.mark.parametrize(
    "placeholder",
    [
        *("{first_name}", "{First Name}", "{Hi|Hello|Good day}", "${name}", "{!Contact.Name}", "%FIRSTNAME%"),
        *("%%first_name%%", "<<Name>>", "<< first name >>", "*|FNAME|*", "[[name]]", "[Name]", "[First Name]"),
        *("[your company]", "[Insert topic]", "[COMPANY_NAME]"),
    ],
)
def test_placeholders_of_other_programs_are_found_in_text_and_in_html(placeholder: str) -> None:
    assert suspects.placeholders([f"Dear {placeholder}, hello"]) == [placeholder]
    escaped = placeholder.replace("<", "&lt;").replace(">", "&gt;")
    body = f"<style>p {{color}}</style><!-- {{x}} --><p title='{{y}}'>Dear <b>{escaped}</b>,</p>"
    assert suspects.placeholders([body], is_html=True) == [placeholder]


@pytest.mark.parametrize(
    "text", ["100% sure, 20%off, 5% of 10%", "[1] [see below] [link](http://x.test/?a=%20b%20)", "{a: b} a|b <b> << 3"]
)
def test_what_people_write_is_no_placeholder(text: str) -> None:
    assert suspects.placeholders([text]) == []


@pytest.mark.parametrize(
    ("body", "hides"),
    [
        ('<div style="color:red; display: none">', True),
        ("<span class='x' style='font-size:0px'>", True),
        ('<div style="max-height:0;overflow:hidden">', True),
        ('<p style="opacity:0.9;line-max-height:0">', False),
        ("<style>.x{display:none}</style><p>display:none</p>", False),
    ],
)
def test_text_that_nobody_sees_is_found(body: str, hides: bool) -> None:
    assert suspects.hides_text(body) is hides

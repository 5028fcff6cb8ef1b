"""What was rendered becomes bytes that a strict server takes, and nothing in it can forge a header."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import pytest

from pipeline.content import headers
from pipeline.content.message import Envelope, MessageRefusedError, Rendered, Sender, Unsubscribe, build, sender_marker
from tests.strict_mail import Mailbox, head_of

WORDS = Rendered(
    recipient="ann@example.test",
    recipient_name="Ann Example",
    subject="A question",
    text="Hello Ann,\n.hidden dot\n",
    html=None,
    preheader=None,
    message_id="<one@example.test>",
)


def test_the_headers_are_those_we_set_and_no_others() -> None:
    message = parsed(build(replace(WORDS, preheader="Short"), ME, AT, STOP))
    assert {name: str(value) for name, value in message.items()} == {
        "From": "Me <me@example.test>",
        "To": "Ann Example <ann@example.test>",
        "Reply-To": "reply@example.test",
        "Subject": "A question",
        "Date": "Tue, 02 Jun 2026 14:00:00 +0000",
        "Message-ID": "<one@example.test>",
        "List-Unsubscribe": "<https://example.test/stop>, <mailto:stop@example.test>",
        "X-Preheader": "Short",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
    }


def test_html_is_an_alternative_with_the_preheader_hidden_in_it() -> None:
    html = "<html><body class='x'><p>Hello</p></body></html>"
    message = parsed(build(replace(WORDS, html=html, preheader="Short & sweet"), ME, AT, Unsubscribe()))
    assert message.get_content_type() == "multipart/alternative"
    text, rich = message.iter_parts()
    assert (text.get_content_type(), rich.get_content_type()) == ("text/plain", "text/html")
    body = cast(Any, rich).get_content()
    assert body.index("Short &amp; sweet") < body.index("<p>Hello</p>")
    assert "display:none" in body
    assert "List-Unsubscribe" not in message


def test_html_that_opens_its_body_for_ever_is_built_in_the_time_of_its_length() -> None:
    # 25 s where each beginning is followed to the end of the text.
    before = time.process_time()
    build(replace(WORDS, html="<body " * 80_000, preheader="in short"), ME, AT, STOP)
    assert time.process_time() - before < 5


def test_the_sender_is_filled_in_and_escaped_where_it_is_html() -> None:
    words = replace(
        WORDS,
        subject=f"From {sender_marker('name')}",
        text=f"{sender_marker('signature')} {sender_marker('email')}",
        html=f"<p>{sender_marker('signature')}</p>",
    )
    message = parsed(build(words, ME, AT, Unsubscribe()))
    text, rich = (cast(Any, part).get_content() for part in message.iter_parts())
    assert message["Subject"] == "From Me"
    assert text.splitlines() == ["Best,", "Me <3 me@example.test"]
    assert rich.splitlines() == ["<p>Best,<br>", "Me &lt;3</p>"]


def test_the_same_words_give_the_same_bytes_of_seven_bits() -> None:
    words = replace(WORDS, subject="Grüße ✓", text="Schöne Grüße\n" + "ü" * 2000, html="<p>ü</p>", recipient_name="Ün")
    first = build(words, ME, AT, STOP)
    assert first == build(words, ME, AT, STOP)
    assert first.data.isascii()
    assert max(len(line) for line in first.data.split(b"\r\n")) <= 998
    assert first.data.count(b"\n") == first.data.count(b"\r\n")
    assert parsed(first)["Subject"] == "Grüße ✓"


def test_domains_are_idna_and_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    envelope = build(
        replace(WORDS, recipient="ann@bücher.example"), replace(ME, address="ich@münchen.example"), AT, STOP
    )
    assert (envelope.sender, envelope.recipient) == ("ich@xn--mnchen-3ya.example", "ann@xn--bcher-kva.example")
    assert not envelope.needs_smtputf8
    beyond = build(replace(WORDS, recipient="änn@example.test"), ME, AT, STOP)
    assert beyond.needs_smtputf8
    assert "To: Ann Example <änn@example.test>\r\n".encode() in beyond.data


POISON = [
    "a\r\nBcc: x@y.test", "a\nb", "a\rb", "a\x00b", "a\x0bb", "a\u2028b",
    "=?utf-8?q?Bob=0D=0ABcc:x?=", "=?utf-8?B?Qm9i?=",
]  # fmt: skip


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("field", ["recipient_name", "subject", "preheader", "message_id"])
def test_nothing_rendered_can_forge_a_header(field: str, poison: str) -> None:
    with pytest.raises(MessageRefusedError):
        build(replace(WORDS, **{field: poison}), ME, AT, STOP)


def test_nor_can_an_address_that_is_none_without_its_escapes() -> None:
    with pytest.raises(MessageRefusedError, match="encoded word"):
        build(replace(WORDS, recipient=r'"\=\?utf-8\?q\?x\?="@example.test'), ME, AT, STOP)


@pytest.mark.parametrize("poison", POISON)
def test_nor_can_the_sender(poison: str) -> None:
    with pytest.raises(MessageRefusedError):
        build(WORDS, replace(ME, name=poison), AT, STOP)
    with pytest.raises(MessageRefusedError):
        build(replace(WORDS, subject=sender_marker("name")), replace(ME, name=poison), AT, STOP)


def test_a_long_unsubscribe_url_stands_as_it_is() -> None:
    url = "https://example.test/" + "u" * 200
    data = build(WORDS, ME, AT, Unsubscribe("stop@example.test", url)).data
    assert f"List-Unsubscribe: <{url}>,\r\n <mailto:stop@example.test>\r\n".encode() in data


@pytest.mark.parametrize(
    "words",
    [
        replace(WORDS, recipient_name="N" * 999),
        replace(WORDS, message_id=f"<{'m' * 999}@example.test>"),
        replace(WORDS, text="a\x00b"),
    ],
)
def test_what_no_server_need_take_is_refused(words: Rendered) -> None:
    with pytest.raises(MessageRefusedError, match=r"998 octets|NUL"):
        build(words, ME, AT, STOP)


def test_line_ends_of_any_kind_are_those_of_smtp() -> None:
    data = build(replace(WORDS, text="a\rb\nc\r\nd"), ME, AT, STOP).data
    assert data.endswith(b"\r\n\r\na\r\nb\r\nc\r\nd\r\n")


def test_a_quoted_local_part_is_quoted_once() -> None:
    envelope = build(replace(WORDS, recipient='"a b"@example.test'), ME, AT, STOP)
    assert envelope.recipient == '"a b"@example.test'
    assert b'To: Ann Example <"a b"@example.test>\r\n' in envelope.data


BANK = "Your bank <service@bank.example>, Robert Example of the Department for Everything and More"
HEAD = "Dr. Ann Example, Head of the Department of Everything, University of Somewhere Far Away"


@pytest.mark.parametrize(
    "name", [BANK, HEAD, HEAD + " ü", 'a "quoted" \\ name ' + "that is long, " * 9, "=? , ?=", " a  b "]
)
def test_a_name_that_has_to_be_folded_stays_one_mailbox(name: str) -> None:
    """CPython gh-80222: `email` loses the quotes of a name when it folds it."""
    head = head_of(build(replace(WORDS, recipient_name=name), replace(ME, name=name), AT, STOP).data)
    assert head.mailbox("to") == Mailbox(name, "ann", "example.test")
    assert head.mailbox("from") == Mailbox(name, "me", "example.test")


@pytest.mark.parametrize(
    "subject",
    [
        "Grüße aus München: für Sie und Ihre Kolleginnen die nächste Überraschung in der Übersicht für Februar",
        "à l'été où l'on dîne   sur l'île, à côté du château: une proposition pour votre équipe à Besançon",
        "two  spaces, and a long line that has to be folded, with  two more  here and here  and at the end of it",
        "u" * 200 + " ü",
        " a space before, and a tab\tamidst ",
        "🐌" * 60,
        "",
    ],
)
def test_a_long_subject_keeps_its_spaces(subject: str) -> None:
    """`email` loses spaces between encoded and plain words when it folds a subject."""
    words = replace(WORDS, subject=subject, preheader=subject)
    head = head_of(build(words, ME, AT, STOP).data)
    assert head.text("subject") == subject
    assert (head.text("x-preheader") if subject else "") == subject


@pytest.mark.parametrize("field", ["recipient_name", "subject", "text", "html"])
def test_half_a_character_is_refused(field: str) -> None:
    with pytest.raises(MessageRefusedError, match=r"half a character|control character"):
        build(replace(WORDS, **{field: "a\ud800"}), ME, AT, STOP)


def test_headers_that_servers_cut_off_are_refused() -> None:
    with pytest.raises(MessageRefusedError, match="32768"):
        build(replace(WORDS, subject="ü" * 20_000), ME, AT, STOP)


def test_what_would_not_say_what_was_meant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are read again: whatever is wrong in writing them, no other recipient gets into a mail."""
    written = headers.write

    def wrong(name: str, value: headers.Value) -> bytes:
        return (
            b"To: Your bank <service@bank.example>, Ann <ann@example.test>\r\n"
            if name == "To"
            else written(name, value)
        )

    monkeypatch.setattr(headers, "write", wrong)
    with pytest.raises(MessageRefusedError, match="To would not say what was meant"):
        build(WORDS, ME, AT, STOP)


@pytest.mark.parametrize("poison", ["a\nb", "a\rb", "a\r\r\nb", "\n\r", "a\0b"])
def test_what_is_in_no_lines_of_smtp_is_refused(monkeypatch: pytest.MonkeyPatch, poison: str) -> None:
    monkeypatch.setattr("pipeline.content.message._body", lambda *_: f"MIME-Version: 1.0\r\n\r\n{poison}\r\n".encode())
    with pytest.raises(MessageRefusedError, match="a bare line break or NUL"):
        build(WORDS, ME, AT, STOP)


AT = dt.datetime(2026, 6, 2, 14, 0, tzinfo=dt.UTC)
ME = Sender("me@example.test", "Me", "reply@example.test", "Best,\nMe <3")
STOP = Unsubscribe("stop@example.test", "https://example.test/stop")


def parsed(envelope: Envelope) -> EmailMessage:
    """Return the message as a reader sees it."""
    return message_from_bytes(envelope.data, policy=policy.default)

"""The mail before stands below the one that follows it, as it was sent."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from zoneinfo import ZoneInfo

from pipeline.content.markers import sender_marker
from pipeline.content.message import Sender
from pipeline.content.quote import Quoted, html_with, text_with

NEW_YORK = ZoneInfo("America/New_York")


def test_the_text_before_is_quoted_below_line_by_line_and_says_who_wrote_it_when() -> None:
    assert text_with("Hello again,\nbest\n\n", BEFORE).split("\n") == [
        "Hello again,",
        "best",
        "",
        "On Tuesday, 2 June 2026 at 10:00, Jo Müller <jo@example.test> wrote:",
        "> Dear Ann,",
        ">",
        "> 1 < 2 & 3",
        "> Jo Müller",
        "",
    ]


def test_quotes_are_quoted_again() -> None:
    second = replace(BEFORE, text=text_with("Second", BEFORE), sender=Sender("me@example.test"))
    lines = text_with("Third", second).split("\n")
    assert lines[2:6] == [
        "On Tuesday, 2 June 2026 at 10:00, me@example.test wrote:",
        "> Second",
        ">",
        "> On Tuesday, 2 June 2026 at 10:00, Jo Müller <jo@example.test> wrote:",
    ]
    assert lines[6] == "> > Dear Ann,"


def test_the_page_before_is_quoted_within_the_page_without_its_frame() -> None:
    page = "<!DOCTYPE html><html><head><title>x</title></head><body class='x'><p>Second</p></body>\n</html>\n"
    quoted = replace(BEFORE, html=page.replace("Second", f"First of {sender_marker('name')}"))
    done = html_with(page, quoted)
    before, attribution, after = done.partition(
        "<p>On Tuesday, 2 June 2026 at 10:00, Jo Müller &lt;jo@example.test&gt; wrote:</p>\n<blockquote"
    )
    assert attribution
    assert before == "<!DOCTYPE html><html><head><title>x</title></head><body class='x'><p>Second</p>\n"
    assert after.partition(">")[2] == "\n<p>First of Jo Müller</p>\n</blockquote>\n</body>\n</html>\n"
    assert done.lower().count("<body") == done.lower().count("</body") == 1


def test_a_fragment_gets_it_at_its_end_and_a_text_before_is_escaped() -> None:
    done = html_with("<p>Second</p>", replace(BEFORE, sender=Sender("a@x.test", "<b>")))
    assert done.startswith("<p>Second</p>\n<p>On Tuesday, ")
    assert "&lt;b&gt; &lt;a@x.test&gt; wrote:" in done
    assert done.endswith(">\nDear Ann,<br>\n<br>\n1 &lt; 2 &amp; 3<br>\n&lt;b&gt;\n</blockquote>\n")


def test_pages_that_begin_and_end_for_ever_are_quoted_in_the_time_of_their_length() -> None:
    before = time.process_time()
    for piece in ("<body ", "</body ", "</body", "</html \n", "</body>"):
        page = piece * (500_000 // len(piece))
        html_with(page, replace(BEFORE, html=page))
    assert time.process_time() - before < 5


BEFORE = Quoted(
    f"Dear Ann,\r\n\r\n1 < 2 & 3\n{sender_marker('name')}\n",
    None,
    Sender("jo@example.test", "Jo Müller"),
    dt.datetime(2026, 6, 2, 14, tzinfo=dt.UTC).astimezone(NEW_YORK),
)

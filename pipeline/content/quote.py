"""Quotes: the words of the mail before, below those of the mail that follows it. Pure."""

from __future__ import annotations

import datetime as dt
import html
import re
from dataclasses import dataclass

from pipeline.content.message import Sender, fill_sender

_STYLE = "margin:0 0 0 4px;padding:0 0 0 12px;border-left:2px solid #ccc"


@dataclass(frozen=True)
class Quoted:
    """A mail before, as it was sent.

    Attributes:
        text: its text body as rendered, the sender's fields still as markers.
        html: its HTML body, likewise; None: it had none.
        sender: who has sent it.
        at: when, on the clocks of whoever reads it.
    """

    text: str
    html: str | None
    sender: Sender
    at: dt.datetime


def text_with(text: str, quoted: Quoted) -> str:
    """Return a text body with the mail before below it."""
    lines = fill_sender(quoted.text, quoted.sender, as_html=False).splitlines()
    below = "".join(f"> {line}\n" if line else ">\n" for line in lines)
    return f"{text.rstrip()}\n\n{_attribution(quoted)}\n{below}"


def html_with(body: str, quoted: Quoted) -> str:
    """Return an HTML body with the mail before below it, which is within the `body` of a whole page."""
    if quoted.html is None:
        escaped = html.escape(fill_sender(quoted.text, quoted.sender, as_html=False))
        words = "<br>\n".join(escaped.splitlines())
    else:
        words = _within_body(fill_sender(quoted.html, quoted.sender, as_html=True))
    attribution = html.escape(_attribution(quoted))
    below = f'<p>{attribution}</p>\n<blockquote type="cite" style="{_STYLE}">\n{words}\n</blockquote>\n'
    end = _end_of_body(body)
    return f"{body[:end]}\n{below}{body[end:]}"


def _attribution(quoted: Quoted) -> str:
    """Return the line that says whose words follow; in English whatever the locale, which nobody sets."""
    at, sender = quoted.at, quoted.sender
    who = f"{sender.name} <{sender.address}>" if sender.name else sender.address
    return f"On {at:%A}, {at.day} {at:%B %Y} at {at:%H:%M}, {who} wrote:"


def _within_body(page: str) -> str:
    start = re.search(r"<body[^<>]*>", page, re.IGNORECASE)
    return page[start.end() if start else 0 : _end_of_body(page)].strip()


def _end_of_body(page: str) -> int:
    """Return where what is shown of a page ends."""
    for tag in ("body", "html"):
        ends = [found.start() for found in re.finditer(rf"</{tag}\s*>", page, re.IGNORECASE)]
        if ends:
            return ends[-1]
    return len(page)

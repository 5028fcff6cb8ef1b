"""How reasons, commands and spans of time stand on a page."""

from __future__ import annotations

import re

from markupsafe import Markup

from pipeline.reports.reasons import WORDS, Because, in_words
from pipeline.runtime.printable import printable
from pipeline.runtime.settings import settings


def because(reason: Because) -> Markup:
    """Return a reason as a sentence."""
    return with_commands(in_words(reason, settings().mail_window_timezone))


def reason(word: str) -> Markup:
    """Return a word of the closed list of reasons as a sentence; another word, or a text, as it is."""
    if word in WORDS:
        return because(Because(word))
    return Markup("{}").format(word.replace("_", " ") if re.fullmatch("[a-z_]+", word) else printable(word))


def with_commands(text: str) -> Markup:
    """Return a text in which what stands between backticks is a command, and shown as one."""
    parts = re.split(r"`([^`]*)`", printable(text))
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def duration(seconds: int) -> str:
    """Return a span of time in its two largest units."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    largest = next((i for i, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number} {unit}" for number, unit in parts[largest : largest + 2] if number) or "0 s"

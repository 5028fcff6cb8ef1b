"""Texts: HTML without its tags, and a reply without what it quotes. Pure; each takes time in proportion to the text."""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"(<[^<>]{0,2000}>)")
_NAME = re.compile(r"</?\s*([a-z0-9]{1,20})", re.IGNORECASE)
_HIDDEN = {"style", "script", "head", "title"}
_BREAKS = {"br", "p", "div", "tr", "li", "table", "blockquote", "h1", "h2", "h3", "pre"}

#: Where a mail that is answered begins, as mail programs write it ("On …, … wrote:", "Von:", "-----Original…").
_QUOTES = re.compile(
    r"\s*(?:>|\|)"
    r"|\s*[-_*]{2,}\s*(?:original|ursprüngliche|message d'origine|mensaje original|mensagem original|messaggio orig"
    r"|oorspronkelijk|forwarded|weitergeleitet|oryginalna|исходное|пересл)"
    r"|\s*_{10,}\s*$"
    r"|\s*\*?(?:from|von|de|van|da|od|från|fra|от|发件人|差出人)\s?:\*?\s*\S"
    r"|\s*(?:on|am|le|el|il|op|em|dnia|den|w dniu|в|am)\b[^\n]{4,200}"
    r"(?:wrote|schrieb|écrit|escribió|scritto|schreef|escreveu|napisał|skrev|написа)[^\n]{0,80}:\s*$",
    re.IGNORECASE,
)
#: Lines that are read: the first words of a reply stand at its start.
_LINES = 400


def without_tags(text: str) -> str:
    """Return what HTML shows, one line for a paragraph or row; what is hidden in style and script is left out."""
    shown: list[str] = []
    hidden: str | None = None
    for piece in _TAG.split(text):
        if not piece.startswith("<") or not piece.endswith(">"):
            if hidden is None:
                shown.append(piece.replace("\r", "").replace("\n", " "))
            continue
        name = found[1].lower() if (found := _NAME.match(piece)) else ""
        closes = piece.startswith("</")
        if name in _HIDDEN:
            hidden = None if closes else (hidden or name)
        elif name in _BREAKS:
            shown.append("\n> " if name == "blockquote" and not closes else "\n")
    return html.unescape("".join(shown))


def own_lines(text: str) -> list[str]:
    """Return the lines that the writer wrote: those before the first one that quotes, without the empty ones.

    If a mail begins with what it quotes, the lines below it count.
    """
    lines = [line.strip() for line in text.split("\n")[:_LINES]]
    own: list[str] = []
    for line in lines:
        if _QUOTES.match(line):
            if own:
                break
        elif line:
            own.append(line)
    return own

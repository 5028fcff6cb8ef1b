"""The Message-ID on the wire: which one a provider gave a mail in place of ours, as its reply to the dot tells. Pure.

A provider stands here if it replaces the Message-ID and is known to tell. All others leave it as it is, or tell nobody.

Amazon SES writes one of its own over it (docs.aws.amazon.com/ses/latest/dg/header-fields.html). Its local part is what
SES says after `250 Ok` (…/dg/send-email-smtp-client-command-line.html), its domain email.amazonses.com in us-east-1
(…/dg/receiving-email-action-lambda-event.html) and REGION.amazonses.com elsewhere, as mailing lists' archives show.

Exchange Online and Outlook.com discard it, and tell the new one in angle brackets after `250 2.0.0 OK`
(git-send-email(1), --outlook-id-fix, which names the same two hosts).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipeline.smtp.reply import Reply

_SES_HOST = re.compile(r"email-smtp(?:-fips)?\.([a-z0-9-]{1,40})\.(?:amazonaws\.com|api\.aws)")
_SES_REPLY = re.compile(r"Ok ([0-9A-Za-z]{1,40}(?:-[0-9A-Za-z]{1,40}){1,8})")
_OUTLOOK_HOST = re.compile(r"smtp\.office365\.com|smtp-mail\.outlook\.com")
_OUTLOOK_REPLY = re.compile(
    r"2\.0\.0 OK (<[0-9A-Za-z]{1,80}@(?:[0-9a-z-]{1,63}\.){1,5}prod\.outlook\.com>)(?: \[.*)?", re.IGNORECASE
)


def wire_message_id(host: str, reply: Reply) -> str | None:
    """Return the Message-ID, with its angle brackets, under which the recipient gets a mail; None: ours, or unknown.

    Args:
        host: of the server that has accepted it, as the account names it.
        reply: to the dot.
    """
    if reply.code != 250:
        return None
    for of_host, read in _READ.items():
        if named := of_host.fullmatch(host.lower()):
            return read(named, reply.text)
    return None


def _of_ses(host: re.Match[str], text: str) -> str | None:
    found = _SES_REPLY.fullmatch(text)
    subdomain = "email" if host[1] == "us-east-1" else host[1]
    return f"<{found[1]}@{subdomain}.amazonses.com>" if found else None


def _of_outlook(_host: re.Match[str], text: str) -> str | None:
    found = _OUTLOOK_REPLY.fullmatch(text)
    return found[1] if found else None


_READ: dict[re.Pattern[str], Callable[[re.Match[str], str], str | None]] = {
    _SES_HOST: _of_ses,
    _OUTLOOK_HOST: _of_outlook,
}

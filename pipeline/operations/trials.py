"""Templates tried out: what one becomes for a contact, for whom it fails, and a mail of it to oneself.

Writes nothing, but the action of a mail that went out. Touches no contact, no delivery and no limit.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from models import Contact, EmailTemplate, Website, database, lookup
from models.control import record_action
from models.lookup import NotThereError as NotThereError
from pipeline.accounts import consent
from pipeline.accounts.identity import endpoint_of, sender_of
from pipeline.accounts.signing import covers_unsubscribe, sign
from pipeline.accounts.template_limits import IN_ROW
from pipeline.content import footer, message
from pipeline.content.consent import EXAMPLE, TRIAL
from pipeline.content.files import AttachmentRow, missing_and_unused, warning
from pipeline.content.mime import references, with_images_inside
from pipeline.content.template import Before, Footer, Parts, TemplateLimitError, check_syntax, render
from pipeline.content.template import TemplateError as TemplateError
from pipeline.delivery.attachments import files_of, rows_of
from pipeline.operations import fields
from pipeline.operations.done import Done, OperationRefusedError
from pipeline.rules.eligible import eligible
from pipeline.runtime.settings import settings
from pipeline.smtp.pool import Connections
from pipeline.smtp.reply import Verdict


@dataclass(frozen=True)
class Preview:
    """What a template becomes for a contact; the sender's fields, and a follow-up's subject, stand in brackets.

    Attributes:
        subject: the subject.
        preheader: the line that mail programs show after it.
        text: the text body.
        html: the HTML body.
        attachments: what goes with it, in this order.
        warning: what attachments do to a mail; null without one.
        footer: what its end has to say and does not, or says though no setting has it, in words.
    """

    subject: str
    preheader: str | None
    text: str
    html: str | None
    attachments: tuple[AttachmentRow, ...]
    warning: str | None
    footer: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A contact for whom a template can't be rendered.

    Attributes:
        contact_id: the contact.
        problem: what the template said.
    """

    contact_id: int
    problem: str


@dataclass(frozen=True)
class Checked:
    """A template that was tried with eligible contacts.

    Attributes:
        tried: with how many; the third in a row that is stopped by a limit is the last.
        failures: for whom it fails.
        missing: the ids by which its HTML refers to inline images that are not there.
        unused: the ids of inline images that it does not refer to; they are not sent then.
        attachments: what goes with it, in this order.
        warning: what attachments do to a mail; null without one.
        footer: what its end has to say and does not, or says though no setting has it, in words.
    """

    tried: int
    failures: tuple[Failure, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    attachments: tuple[AttachmentRow, ...]
    warning: str | None
    footer: tuple[str, ...]


@dataclass(frozen=True)
class TestSent(Done):
    """A mail to oneself that a server has accepted.

    Attributes:
        template_id: what was sent.
        host: the account's server.
        reply: what the server said.
    """

    template_id: int
    host: str
    reply: str


def preview(template_id: int, contact: int | str) -> Preview:
    """Return what a template becomes for a contact (id or address). Raises NotThereError, TemplateError."""
    template = lookup.template(template_id)
    parts = _rendered(template, contact, EXAMPLE)
    attachments = rows_of(template_id)
    sender = message.Sender(address="[sender.email]", name="[sender.name]", signature="[sender.signature]")

    def fill(text: str, *, as_html: bool = False) -> str:
        return message.fill_sender(text, sender, as_html=as_html)

    return Preview(
        subject=fill(parts.subject),
        preheader=None if parts.preheader is None else fill(parts.preheader),
        text=fill(parts.text),
        html=None if parts.html is None else fill(parts.html, as_html=True),
        attachments=attachments,
        warning=warning(attachments),
        footer=_footer(template),
    )


def html_in_browser(template_id: int, contact: int | str) -> str | None:
    """Return the HTML body of a preview as a browser can show it, with its inline images inside; None: it has none.

    Raises:
        NotThereError, TemplateError: as `preview`.
    """
    html = preview(template_id, contact).html
    return None if html is None else with_images_inside(html, files_of(template_id))


def check(template_id: int, limit: int) -> Checked:
    """Render a template for at most `limit` eligible contacts. Raises NotThereError, TemplateError (its syntax)."""
    template = lookup.template(template_id)
    ids = eligible(template, limit, 0)
    check_syntax(template)
    said = Footer.from_settings(settings())
    failures = []
    meant = references(template.html or "")
    tried = stopped = 0
    query = Contact.select(Contact, Website).left_outer_join(Website).where(Contact.id.in_(ids))
    for contact in query.order_by(Contact.id):
        tried += 1
        try:
            website = contact.website if contact.website_id else None
            parts = render(template, contact, website, said, _before(template))
            meant |= references(parts.html or "")
            stopped = 0
        except TemplateError as error:
            failures.append(Failure(contact.id, str(error)))
            stopped = stopped + 1 if isinstance(error, TemplateLimitError) else 0
        if stopped == IN_ROW:
            break
    attachments = rows_of(template_id)
    missing, unused = missing_and_unused(meant, attachments)
    return Checked(tried, tuple(failures), missing, unused, attachments, warning(attachments), _footer(template))


def send_test(
    template_id: int, who: str, *, to: str, account_id: int, contact: int | str, reason: str = ""
) -> TestSent:
    """Send what a template becomes for a contact to oneself, now. Counts for nothing.

    Args:
        template_id: what is sent.
        who: who does it; kept with the action.
        to: one's own address.
        account_id: from which account, whether it is on or not.
        contact: for whom it is rendered: id or address.
        reason: why; kept with the action.

    Raises:
        NotThereError: one of them is not there.
        FieldError: `to` is no address.
        TemplateError, MessageRefusedError: it can't be a mail.
        KeyFileError: the account can't sign it.
        OperationRefusedError: the server does not take it; the message has its words.
    """
    account = lookup.account(account_id)
    tokens = consent.tokens()
    token = None if tokens is None else tokens.of(TRIAL)
    parts = _rendered(lookup.template(template_id), contact, token)
    sender = sender_of(account)
    message_id = f"<{secrets.token_hex(16)}@{sender.address.rpartition('@')[2]}>"
    words = message.Rendered(fields.email(to), "", parts.subject, parts.text, parts.html, parts.preheader, message_id)
    ways = consent.offered(token, is_covered=covers_unsubscribe(account))
    envelope = sign(message.build(words, sender, database.now(), ways, files=files_of(template_id)), account)
    connections = Connections()
    try:
        with connections.transaction(endpoint_of(account)) as transaction:
            result = transaction.offer(envelope) or transaction.finish()
    finally:
        connections.close()
    if result.verdict is not Verdict.ACCEPTED:
        raise OperationRefusedError(f"{result.phase}: {result.reply.code or ''} {result.reply.text}")
    record_action(who, "send-test", f"template {template_id}", database.now(), reason)
    return TestSent(template_id, account.host, result.reply.text)


def _rendered(template: EmailTemplate, contact: int | str, token: str | None) -> Parts:
    found = lookup.contact_of(str(contact))
    return render(template, found, found.website, Footer.from_settings(settings(), token), _before(template))


def _footer(template: EmailTemplate) -> tuple[str, ...]:
    said = Footer.from_settings(settings())
    return (*footer.missing(template, said), *footer.undefined(template, said))


def _before(template: EmailTemplate) -> Before | None:
    """Return what a mail with a follow-up's template has from the mails before, as far as that is known here."""
    return Before("[the subject of the mail before]") if template.is_follow_up else None

"""The mail of a delivery, as its server gets it: from what was rendered, and in the name of its account.

Reads: the delivery, its contact, the account and the files of its key. Writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from models import Delivery, SmtpAccount
from pipeline.accounts import consent
from pipeline.accounts.identity import sender_of
from pipeline.accounts.signing import covers_unsubscribe, sign
from pipeline.content.message import Envelope, Rendered, build
from pipeline.content.mime import File
from pipeline.delivery.conversation import thread_of


def envelope_of(delivery: Delivery, account: SmtpAccount, at: dt.datetime, files: Sequence[File]) -> Envelope:
    """Return the mail of a delivery.

    Args:
        delivery: with its words.
        account: who sends it.
        at: its Date.
        files: what goes with it.

    Raises:
        KeyFileError: it can't be signed.
        MessageRefusedError: it can't be a mail.
    """
    rendered = Rendered(
        recipient=delivery.recipient,
        recipient_name=delivery.contact.name,
        subject=delivery.subject,
        text=delivery.text,
        html=delivery.html,
        preheader=delivery.preheader,
        message_id=delivery.message_id,
    )
    ways = consent.offered(delivery.unsubscribe, is_covered=covers_unsubscribe(account))
    return sign(build(rendered, sender_of(account), at, ways, thread_of(delivery), files), account)

"""What DNS has said of a domain that contacts have their mailboxes at: whether it takes mail at all."""

from __future__ import annotations

from enum import StrEnum

import peewee

from models.base import Base
from models.utc import UTCDateTimeField


class DomainResult(StrEnum):
    """Whether mail can be sent to a domain."""

    TAKES_MAIL = "takes_mail"
    NO_SUCH_DOMAIN = "no_such_domain"
    NO_MAIL_SERVER = "no_mail_server"
    NULL_MX = "null_mx"


class DomainCheck(Base):
    """The last answer for one domain (normalised); asked again, it is replaced. Without an answer there is no row."""

    domain = peewee.TextField(unique=True)
    result = peewee.TextField()
    checked_at = UTCDateTimeField()

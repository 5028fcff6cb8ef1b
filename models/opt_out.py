"""What recipients have asked for through the link in a mail: the evidence of a suppression. Ids only."""

from __future__ import annotations

from enum import StrEnum

import peewee

from models.base import Base
from models.contact import Contact
from models.delivery import Delivery
from models.utc import UTCDateTimeField


class Choice(StrEnum):
    """What a recipient can ask for, the strongest for an address first."""

    #: No mail to this address again.
    NEVER = "never"
    #: No mail to anybody at the recipient's company, either.
    COMPANY = "company"
    #: No mail for some time.
    PAUSE = "pause"


class Way(StrEnum):
    """How a recipient has asked."""

    #: A mail program has sent the request of RFC 8058.
    ONE_CLICK = "one_click"
    #: A button of the page.
    PAGE = "page"
    #: A mail that asks for it.
    MAIL = "mail"


class OptOut(Base):
    """One request. `delivery` is the mail whose link was used; `until` is the end of a pause; what the same person has
    taken back has `taken_back_at`.
    """

    delivery = peewee.ForeignKeyField(Delivery, index=False)
    contact = peewee.ForeignKeyField(Contact)
    choice = peewee.TextField()
    way = peewee.TextField()
    made_at = UTCDateTimeField()
    until = UTCDateTimeField(null=True)
    taken_back_at = UTCDateTimeField(null=True)

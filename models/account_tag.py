"""Tags of accounts: words by which people name several of them at once."""

from __future__ import annotations

import peewee

from models.account import SmtpAccount
from models.base import Base


class AccountTag(Base):
    """One tag of an account, in lower case. A removed account keeps its own."""

    account = peewee.ForeignKeyField(SmtpAccount, backref="tags", index=False)
    tag = peewee.TextField(index=True)

    class Meta:
        """An account has a tag once."""

        primary_key = peewee.CompositeKey("account", "tag")

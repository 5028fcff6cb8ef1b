"""Websites and contacts: whom one may write to."""

from __future__ import annotations

import peewee
from peewee import SQL

from models.base import Base
from models.utc import UTCDateTimeField


class Website(Base):
    """The site a person belongs to; it can have several contacts, and is mailed through one of them at a time.

    `opt_out_id` is the request of one of them that nobody there be written to.
    """

    domain = peewee.TextField(unique=True)
    title = peewee.TextField(default="")
    meets_requirements = peewee.BooleanField(default=True)
    extra = peewee.JSONField(default=dict)
    last_contacted_at = UTCDateTimeField(null=True)
    # No foreign key: opt-outs refer to contacts, and these to websites.
    opt_out_id = peewee.IntegerField(null=True)
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()


Website.add_index(SQL("CREATE INDEX website_unfit ON website (id) WHERE NOT meets_requirements"))
Website.add_index(SQL("CREATE INDEX website_opted_out ON website (id) WHERE opt_out_id IS NOT NULL"))


#: Conditions of the partial index through which the batch publisher reads contacts: it looks at no others.
PICKABLE = ("validated", "address_valid", "forgotten_at IS NULL")


class Contact(Base):
    """A person with an address. `email` is mailed as written; `address` is its normalised form, by which people are
    told apart.
    """

    email = peewee.TextField()
    address = peewee.TextField(index=True)
    address_valid = peewee.BooleanField(default=True)
    name = peewee.TextField(default="")
    website = peewee.ForeignKeyField(Website, null=True, backref="contacts", on_delete="RESTRICT")
    priority = peewee.SmallIntegerField(default=0)
    timezone = peewee.TextField(null=True)
    validated = peewee.BooleanField(default=True)
    extra = peewee.JSONField(default=dict)
    last_contacted_at = UTCDateTimeField(null=True)
    forgotten_at = UTCDateTimeField(null=True)
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()


# An address that is imported again updates its row.
Contact.add_index(SQL("CREATE UNIQUE INDEX contact_email_key ON contact (lower(email))"))
# The batch publisher reads the best contacts first and stops when it has enough.
Contact.add_index(SQL(f"CREATE INDEX contact_eligible ON contact (priority DESC, id) WHERE {' AND '.join(PICKABLE)}"))

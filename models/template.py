"""Templates: what is written."""

from __future__ import annotations

import peewee

from models.base import Base
from models.utc import UTCDateTimeField


class EmailTemplate(Base):
    """Subject, text body and optional HTML body and preheader, all of them Jinja2. `paused_after` says why the program
    has paused it; its bounces are counted from `resumed_at`, when a person resumed it. One without a subject is that of
    follow-ups, which have the subject of the mail before; it is never active.
    """

    name = peewee.TextField(unique=True)
    subject = peewee.TextField()
    text = peewee.TextField()
    html = peewee.TextField(null=True)
    preheader = peewee.TextField(null=True)
    active = peewee.BooleanField(default=True)
    paused_at = UTCDateTimeField(null=True)
    paused_after = peewee.TextField(null=True)
    resumed_at = UTCDateTimeField(null=True)
    times_used = peewee.IntegerField(default=0)
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()

    @property
    def is_follow_up(self) -> bool:
        """Tell whether only a mail that follows another can be written with it."""
        return not self.subject

"""Attachments: which files go with the mails of a template. The bytes are stored once, by their hash, however many
templates have them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import peewee

from models import database
from models.base import Base
from models.compiled import Parameter, compiled
from models.template import EmailTemplate


class StoredFile(Base):
    """The bytes of a file; `digest` is their SHA-256 in hexadecimal. It goes with the last attachment that has it."""

    digest = peewee.TextField(unique=True)
    size = peewee.IntegerField()
    data = peewee.BlobField()


class Attachment(Base):
    """A file that goes with each mail of a template, under a name. `type` is its media type, found by its content (what
    kind of text a text is, only its name says, so it stands here). `cid`: it is an inline image, which the HTML names
    `cid:…`. `position` is its place among the template's.
    """

    template = peewee.ForeignKeyField(EmailTemplate, backref="attachments", index=False)
    file = peewee.ForeignKeyField(StoredFile, field="digest", column_name="digest")
    name = peewee.TextField()
    type = peewee.TextField()
    cid = peewee.TextField(null=True)
    position = peewee.IntegerField()

    class Meta:
        """A name, and an id of an inline image, stands once in a template."""

        indexes = ((("template", "name"), True), (("template", "cid"), True))


def digest_of(data: bytes) -> str:
    """Return the name of the bytes."""
    return hashlib.sha256(data).hexdigest()


def attached_to(template_id: int) -> list[Attachment]:
    """Return a template's attachments, with their sizes and without their bytes, in their order."""
    return _attached().rows(template=template_id)


@compiled
def _attached() -> Any:
    of_template = Attachment.template == Parameter("template")
    query = Attachment.select(Attachment, StoredFile.digest, StoredFile.size).join(StoredFile).where(of_template)
    return query.order_by(Attachment.position)


def data_of(digests: Iterable[str]) -> dict[str, bytes]:
    """Return the bytes of files by digest; of those that are there."""
    query = StoredFile.select(StoredFile.digest, StoredFile.data).where(StoredFile.digest.in_(list(digests)))
    return {file.digest: bytes(file.data) for file in query}


def store(files: Mapping[str, bytes], instead_of: Sequence[str] = ()) -> None:
    """See to it that files are stored; in the caller's transaction, in which they are attached then.

    Args:
        files: the bytes by digest.
        instead_of: digests of files that are detached in the same transaction; `drop_unused` drops them.
    """
    for digest in sorted({*files, *instead_of}):
        # Locked, else the last template that has it could let it go in this very moment.
        while not _lock(digest) and digest in files:
            new = StoredFile.insert(digest=digest, size=len(files[digest]), data=files[digest])
            new.on_conflict(action="nothing").execute()


def detach_all(template_id: int) -> None:
    """Delete all attachments of a template; in the caller's transaction."""
    digests = [a.digest for a in attached_to(template_id)]
    Attachment.delete().where(Attachment.template == template_id).execute()
    drop_unused(digests)


def drop_unused(digests: Iterable[str]) -> None:
    """Delete those of these files that no template has any more; in the caller's transaction."""
    unused = sorted(set(digests))
    for digest in unused:
        _lock(digest)
    in_use = Attachment.select(Attachment.file).where(Attachment.file.in_(unused))
    StoredFile.delete().where(StoredFile.digest.in_(unused) & StoredFile.digest.not_in(in_use)).execute()


def _lock(digest: str) -> bool:
    query = StoredFile.select(StoredFile.digest).where(StoredFile.digest == digest)
    return database.for_update(query).first() is not None

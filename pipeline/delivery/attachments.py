"""What goes with the mails of a template: read when a mail is built, so that it gets what the template has then.

Reads: the template's attachments. What was encoded last is kept, by the hashes of the bytes.
"""

from __future__ import annotations

import functools

from models.attachment import attached_to, data_of
from pipeline.content.files import AttachmentRow, row_of
from pipeline.content.mime import File, encoded

#: The files of so many templates are kept, which is as much as so many mails (`message.MAX_MESSAGE`).
TEMPLATES = 3


def files_of(template_id: int) -> list[File]:
    """Return what goes with each mail of a template, in its order."""
    while attached := attached_to(template_id):
        try:
            contents = _encoded(tuple(a.digest for a in attached))
        except KeyError:
            # One was detached in this very moment: it is asked again what there is.
            continue
        return [File(a.name, a.type, data, a.cid) for a, data in zip(attached, contents, strict=True)]
    return []


def rows_of(template_id: int) -> tuple[AttachmentRow, ...]:
    """Return the same as people see it."""
    return tuple(row_of(a.name, a.type, a.file.size, a.cid) for a in attached_to(template_id))


@functools.lru_cache(maxsize=TEMPLATES)
def _encoded(digests: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return files as they stand in a mail. Raises KeyError for one that is not stored."""
    found = data_of(digests)
    return tuple(encoded(found[digest]) for digest in digests)

"""What a person does to a template's attachments: attached, detached.

Writes: the attachments, bytes that are not stored yet, and the action with its reason; bytes that no template has any
more go in the same transaction. Whether a delivery is rendered already does not matter: a mail gets what its template
has when it is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models import Attachment, EmailTemplate, database
from models.attachment import attached_to, digest_of, drop_unused, store
from models.control import record_action
from pipeline.content import files
from pipeline.content.files import AttachmentRow, FileError
from pipeline.content.message import MAX_MESSAGE as MAX_MESSAGE
from pipeline.content.mime import references, wire_size
from pipeline.delivery.attachments import rows_of
from pipeline.operations.done import Done, OperationRefusedError
from pipeline.operations.templates import locked


@dataclass(frozen=True)
class Given:
    """A file as it is given.

    Attributes:
        name: what it is to be called.
        data: its bytes.
        cid: by what the HTML names it, if it is an inline image; "": by its name; None: it is an attachment.
    """

    name: str
    data: bytes
    cid: str | None = None


@dataclass(frozen=True)
class AttachmentsDone(Done):
    """A template whose attachments something was done to.

    Attributes:
        id: the template.
        changed: false if it was like that already.
        attachments: what goes with each of its mails now, in this order.
        on_wire: the bytes that this adds to a mail, which has at most 10,000,000.
        notes: what a person should know of all of them; of one, its `note` says it.
    """

    id: int
    changed: bool
    attachments: tuple[AttachmentRow, ...]
    on_wire: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Judged:
    row: AttachmentRow
    digest: str
    data: bytes

    def is_same_as(self, other: Attachment) -> bool:
        mine = (self.digest, self.row.type, self.row.cid)
        return mine == (other.digest, other.type, other.cid)


def attach(
    template_id: int, who: str, given: Sequence[Given], *, replace: bool = False, reason: str = ""
) -> AttachmentsDone:
    """Let files go with each mail of a template, behind those that do already.

    Args:
        template_id: the template.
        who: who does it; kept with the action.
        given: the files, in their order.
        replace: one of that name may be there; the new one takes its place.
        reason: why; kept with the action.

    Raises:
        NotThereError: there is no such template.
        FileError: a name is not allowed, or receivers refuse such a file.
        OperationRefusedError: one of that name is there, or a mail would be too large.
    """
    judged = [_judged(one) for one in given]
    with database.transaction():
        template = locked(template_id)
        there = {a.name: a for a in attached_to(template_id)}
        new = [one for one in judged if one.row.name not in there or not one.is_same_as(there[one.row.name])]
        _demand_distinct(judged, there.values())
        replaced = [there[one.row.name] for one in new if one.row.name in there]
        if replaced and not replace:
            raise OperationRefusedError(
                f"template {template_id} has an attachment {replaced[0].name!r} already "
                "(--replace puts this one in its place)"
            )
        store({one.digest: one.data for one in new}, instead_of=[a.digest for a in replaced])
        _delete(replaced)
        _insert(template_id, new, list(there.values()))
        drop_unused(a.digest for a in replaced)
        return _done(template, who, "attach", reason, changed=bool(new))


def detach(template_id: int, who: str, name: str, reason: str = "") -> AttachmentsDone:
    """Let a file no longer go with a template's mails.

    Args:
        template_id: the template.
        who: who does it; kept with the action.
        name: what the file is called there.
        reason: why; kept with the action.

    Raises:
        NotThereError: there is no such template.
        OperationRefusedError: it has no attachment of this name.
    """
    with database.transaction():
        template = locked(template_id)
        there = {a.name: a for a in attached_to(template_id)}
        if (gone := there.get(files.composed(name))) is None:
            has = ", ".join(repr(one) for one in there) or "none"
            raise OperationRefusedError(f"template {template_id} has no attachment {name!r}; it has {has}")
        _delete([gone])
        drop_unused([gone.digest])
        return _done(template, who, "detach", reason, changed=True)


def _judged(given: Given) -> _Judged:
    name = files.checked_name(given.name)
    kind = files.type_of(name, given.data)
    cid = given.cid
    if cid is not None:
        files.demand_image(name, kind)
        cid = files.checked_cid(cid or name)
    return _Judged(files.row_of(name, kind, len(given.data), cid), digest_of(given.data), given.data)


def _demand_distinct(judged: Sequence[_Judged], there: Iterable[Attachment]) -> None:
    names = [one.row.name for one in judged]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FileError(f"{twice!r}: two files can't have one name")
    cids = {a.cid: a.name for a in there if a.name not in names}
    for one in judged:
        if one.row.cid is not None and cids.setdefault(one.row.cid, one.row.name) != one.row.name:
            raise FileError(f"{one.row.name}: cid:{one.row.cid} is {cids[one.row.cid]!r} already")


def _insert(template_id: int, new: Sequence[_Judged], there: Sequence[Attachment]) -> None:
    positions = {a.name: a.position for a in there}
    for one in new:
        positions.setdefault(one.row.name, max(positions.values(), default=0) + 1)
    rows = [
        {
            "template": template_id,
            "file": one.digest,
            "name": one.row.name,
            "type": one.row.type,
            "cid": one.row.cid,
            "position": positions[one.row.name],
        }
        for one in new
    ]
    if rows:
        Attachment.insert_many(rows).execute()


def _delete(attachments: Sequence[Attachment]) -> None:
    Attachment.delete().where(Attachment.id.in_([a.id for a in attachments])).execute()


def _done(template: EmailTemplate, who: str, verb: str, reason: str, *, changed: bool) -> AttachmentsDone:
    """Record what was done, if it leaves room in a mail, and return what there is now; in the caller's transaction."""
    rows = rows_of(template.id)
    on_wire = sum(wire_size(row.name, row.type, row.size, row.cid) for row in rows)
    words = sum(len((part or "").encode()) for part in (template.text, template.html))
    if verb == "attach" and on_wire + words > MAX_MESSAGE:
        raise OperationRefusedError(
            f"template {template.id}: a mail would have {on_wire + words:,} bytes, and has at most {MAX_MESSAGE:,} "
            "(a file is a third larger there)"
        )
    if changed:
        now = database.now()
        EmailTemplate.update(updated_at=now).where(EmailTemplate.id == template.id).execute()
        record_action(who, verb, f"template {template.id}", now, reason)
    return AttachmentsDone(template.id, changed, rows, on_wire, tuple(_notes(template, rows)))


def _notes(template: EmailTemplate, rows: Sequence[AttachmentRow]) -> Iterable[str]:
    if warning := files.warning(rows):
        yield warning
    missing, unused = files.missing_and_unused(references(template.html or ""), rows)
    yield from (f"the HTML refers to cid:{cid}, and there is no such inline image" for cid in missing)
    yield from (f"the HTML does not refer to cid:{cid}: the image goes only with mails that do" for cid in unused)

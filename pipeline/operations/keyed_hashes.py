"""What versions before 006 have left of forgotten people, brought to today's form: hashes without a key get theirs,
websites that nobody else belonged to are erased.

Writes: suppressions and websites, in one transaction. Where no key is at hand, everything stays as it is: hashes
without a key are asked for, too (`pipeline.rules.forgotten`).
"""

from __future__ import annotations

from peewee import SQL, Value, fn

from models import Contact, Delivery, Purpose, Suppression, Website, database
from pipeline.operations import erased_websites
from pipeline.rules import forgotten
from pipeline.runtime import keys, secret_key


def bring_up_to_date() -> int:
    """Give a key to the hashes that have none; return how many. Run again, it changes nothing.

    Raises:
        SecretKeyError: there are some, and no SECRET_KEY or key file.
        KeyLockedError: there are some, and the key can't be unwrapped.
    """
    if not forgotten.without_key():
        return 0
    # Not made here, where nobody would notice: the other machines would not have it.
    secret_key.demand()
    with database.transaction():
        key = keys.make(Purpose.FORGOTTEN)
        _erase_websites(key)
        return _give(key)


def _erase_websites(key: bytes) -> None:
    """Erase websites that nobody belongs to, if a forgotten person was written to there, or if they are nothing but
    their domain: whose they were is not known, and an import that brings the domain brings them back.
    """
    to_forgotten = Delivery.select(SQL("1")).join(Contact)
    to_forgotten = to_forgotten.where((Delivery.website == Website.id) & Contact.forgotten_at.is_null(False))
    is_bare = (Website.title == "") & (Website.extra.cast("TEXT") == Value("{}", converter=str))
    left = fn.EXISTS(to_forgotten) | is_bare
    database.lock_rows(Website, left)
    erased_websites.erase(left, key)


def _give(key: bytes) -> int:
    rows = list(Suppression.select().where(forgotten.is_without_key()).order_by(Suppression.id))
    # New rows in place of a change: one of them may be there already, if a version before has forgotten somebody anew.
    common = [{"kind": row.kind, "reason": row.reason, "created_at": row.created_at} for row in rows]
    new = [some | {"value": forgotten.with_key(key, row.value)} for some, row in zip(common, rows, strict=True)]
    Suppression.insert_many(new).on_conflict(action="nothing").execute()
    Suppression.delete().where(Suppression.id.in_([row.id for row in rows])).execute()
    return len(rows)

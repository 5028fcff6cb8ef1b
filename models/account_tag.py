"""Tags of accounts: words by which people name several of them at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

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


def tags_of(account_ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """Return the tags of accounts, in their order; of an account without any, none."""
    found: dict[int, tuple[str, ...]] = dict.fromkeys(account_ids, ())
    rows = AccountTag.select(AccountTag.account, AccountTag.tag).where(AccountTag.account.in_(list(account_ids)))
    for account_id, tag in sorted(rows.tuples()):
        found[account_id] += (tag,)
    return found


def set_tags(tags: Mapping[int, Iterable[str]]) -> set[int]:
    """Give accounts the tags that they are to have, and no others; return the ids of those that had others before. The
    accounts are locked by the caller.
    """
    wanted = {account_id: tuple(sorted(set(of_account))) for account_id, of_account in tags.items()}
    there = tags_of(wanted)
    changed = {account_id for account_id in wanted if wanted[account_id] != there[account_id]}
    if changed:
        AccountTag.delete().where(AccountTag.account.in_(changed)).execute()
    if rows := [{"account": account_id, "tag": tag} for account_id in sorted(changed) for tag in wanted[account_id]]:
        AccountTag.insert_many(rows).execute()
    return changed

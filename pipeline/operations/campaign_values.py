"""What a campaign can be given: its values, checked one by one and together; its lists and its senders. Writes rows
only in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models import Campaign, CampaignList, CampaignSender, WhenAccountIsOff, lookup
from models.contact_list import key_of
from pipeline.campaigns import readiness
from pipeline.operations import fields
from pipeline.operations.csv_rows import Parse, Row
from pipeline.operations.fields import FieldError
from pipeline.runtime.setting_types import intervals_of
from pipeline.throttle import hours


def _hours(text: str) -> str:
    try:
        return hours.written(intervals_of(text))
    except ValueError as error:
        raise FieldError(str(error)) from None


def _when_account_off(text: str) -> WhenAccountIsOff:
    word = text.strip().lower()
    if word not in tuple(WhenAccountIsOff):
        raise FieldError(f"is none of {', '.join(WhenAccountIsOff)}", given=word)
    return WhenAccountIsOff(word)


def _or_none(parse: Parse, nothing: Any = None) -> Parse:
    return lambda text: parse(text) if text.strip() else nothing


#: What a person calls it → its column, and how it is read. Those of which there may be none take "" for that.
VALUES: Mapping[str, tuple[str, Parse]] = {
    "name": ("name", fields.campaign_name),
    "limit": ("daily_limit", _or_none(fields.daily_limit)),
    "from": ("starts_on", _or_none(fields.date)),
    "until": ("ends_on", _or_none(fields.date)),
    "hours": ("hours", _or_none(_hours, "")),
    "weight": ("weight", fields.weight),
    "share-contacts": ("shares_contacts", fields.yes_no),
    "stop-website": ("stops_website", fields.yes_no),
    "when-account-off": ("when_account_is_off", _when_account_off),
    "reply-prefix": ("reply_prefix", fields.yes_no),
    "no-footer-because": ("no_footer_because", _or_none(str)),
}


def defaults() -> Row:
    """Return what a new campaign has, by column, where nothing else is said."""
    return {column: Campaign._meta.fields[column].default for column, _ in VALUES.values()}


def parsed(given: Mapping[str, str]) -> Row:
    """Return values by their columns. Raises FieldError: one is not allowed; the message begins with its name."""
    row: Row = {}
    for name, text in given.items():
        column, parse = VALUES[name]
        try:
            row[column] = parse(text)
        except FieldError as error:
            raise FieldError(f"{name}: {error}") from None
    if "name" in row:
        row["key"] = key_of(row["name"])
    return row


def problems(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield, in words, what does not fit together in a campaign's columns, or not with the settings."""
    first, last = row.get("starts_on"), row.get("ends_on")
    if first is not None and last is not None and last < first:
        yield f"until: {last} is before from, {first}"
    yield from readiness.outside_hours(row.get("hours", ""))


@dataclass(frozen=True)
class Parts:
    """What a campaign has several of; None: nothing is said about it.

    Attributes:
        lists: names or ids of those whose contacts it is for.
        without: names or ids of those whose contacts it is not for.
        accounts: ids of accounts that send it.
        tags: all accounts that have one of these send it.
    """

    lists: Sequence[str] | None = None
    without: Sequence[str] | None = None
    accounts: Sequence[int] | None = None
    tags: Sequence[str] | None = None


def write_lists(campaign: Campaign, parts: Parts) -> bool:
    """Give a campaign the lists that are named; tell whether that changes anything.

    Raises:
        NotThereError: there is no such list.
        FieldError: a list is in it and excluded.
    """
    was = dict(
        CampaignList.select(CampaignList.list, CampaignList.excluded)
        .where(CampaignList.campaign == campaign.id)
        .tuples()
    )
    becomes: dict[int, bool] = {}
    for excluded, named in ((False, parts.lists), (True, parts.without)):
        kept = [i for i, is_excluded in was.items() if is_excluded == excluded]
        for list_id in kept if named is None else [lookup.contact_list(text).id for text in named]:
            if becomes.setdefault(list_id, excluded) != excluded:
                raise FieldError(f"list {list_id} is both among its lists and excluded")
    if becomes == was:
        return False
    CampaignList.delete().where(CampaignList.campaign == campaign.id).execute()
    rows = [{"campaign": campaign.id, "list": i, "excluded": excluded} for i, excluded in sorted(becomes.items())]
    if rows:
        CampaignList.insert_many(rows).execute()
    return True


def write_senders(campaign: Campaign, parts: Parts) -> bool:
    """Give a campaign the accounts and tags that are named; tell whether that changes anything.

    Raises:
        NotThereError: there is no such account.
        FieldError: a tag is not allowed.
    """
    of = CampaignSender.campaign == campaign.id
    was = {(row.account_id, row.tag) for row in CampaignSender.select().where(of)}
    becomes = set[tuple[int | None, str | None]]()
    becomes |= _pairs(was, parts.accounts, 0, lambda account_id: lookup.account(account_id).id)
    becomes |= _pairs(was, parts.tags, 1, fields.tag)
    if becomes == was:
        return False
    CampaignSender.delete().where(of).execute()
    rows = [{"campaign": campaign.id, "account": account_id, "tag": tag} for account_id, tag in becomes]
    if rows:
        CampaignSender.insert_many(rows).execute()
    return True


def _pairs(was: set[Any], given: Sequence[Any] | None, place: int, parse: Callable[[Any], Any]) -> set[Any]:
    """Return senders of one kind, each a pair of account and tag: those given, else those that were."""
    if given is None:
        return {pair for pair in was if pair[place] is not None}
    return {(parse(value), None) if place == 0 else (None, parse(value)) for value in given}

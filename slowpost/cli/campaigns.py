"""`campaigns add|set|start|pause|resume|stop|enrol`; the rest in `applying`, `campaign_steps`, `campaign_show` and
`campaign_reports`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import click

from pipeline.operations import campaign_states as states
from pipeline.operations import campaign_values, enrolling
from pipeline.operations import campaigns as operations
from pipeline.operations.campaign_values import Parts
from pipeline.operations.campaigns import CampaignDone
from slowpost.cli.acting import finish, report, who
from slowpost.cli.applying import apply
from slowpost.cli.campaign_reports import REPORT_COMMANDS
from slowpost.cli.campaign_show import SHOW_COMMANDS
from slowpost.cli.campaign_steps import STEP_COMMANDS
from slowpost.cli.named_contacts import contacts_argument, with_each
from slowpost.cli.shared import CAMPAIGN, ID, LIST, Refused, as_json, reason, with_database

campaign_argument = click.argument("named", metavar="CAMPAIGN", type=CAMPAIGN)


@click.group()
def campaigns() -> None:
    """Whom, what, from where, and what follows: lists of contacts, steps, and the accounts that send them.

    CAMPAIGN is a campaign's name, in upper or lower case, or its id. A new one is a draft: nothing is sent before
    `campaigns start`.
    """


for _command in (apply, *SHOW_COMMANDS, *STEP_COMMANDS, *REPORT_COMMANDS):
    campaigns.add_command(_command)


def _several(name: str, parameter: str, kind: Any, metavar: str, text: str) -> Callable[..., Any]:
    return click.option(f"--{name}", parameter, metavar=metavar, type=kind, multiple=True, help=text)


_OPTIONS = (
    _several("list", "lists", LIST, "LIST", "Whose contacts it is for."),
    _several("without", "without", LIST, "LIST", "Whose contacts it is not for."),
    _several("account", "accounts", ID, "ID", "An account that sends it."),
    _several("tag", "tags", str, "TAG", "All accounts with this tag send it."),
    click.option("--limit", help="Mails a day at most."),
    click.option("--from", "from", metavar="DATE", help="Its first date."),
    click.option("--until", metavar="DATE", help="Its last date."),
    click.option("--hours", help="Its own hours inside the window's, such as 09:00-11:00,14:00-16:00."),
    click.option("--weight", help="Its share of accounts that others want, too (default: 1)."),
    click.option(
        "--when-account-off", help="What becomes of a contact whose account is off for good: wait, other, stop."
    ),
    click.option(
        "--share-contacts/--no-share-contacts",
        default=None,
        help="Whether its contacts may be in other campaigns' sequences.",
    ),
    click.option(
        "--stop-website/--no-stop-website",
        default=None,
        help="Whether a reply ends it for all contacts of the website.",
    ),
    click.option("--reply-prefix/--no-reply-prefix", default=None, help='Whether follow-ups begin with "Re: ".'),
)
#: What can be taken away: option → what it empties.
_NONE = {
    "no_lists": "lists",
    "no_without": "without",
    "no_accounts": "accounts",
    "no_tags": "tags",
    "no_limit": "limit",
    "no_from": "from",
    "no_until": "until",
    "no_hours": "hours",
}


def _all(options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


@campaigns.command()
@click.argument("name")
@_all(_OPTIONS)
@reason
@as_json
@with_database
def add(name: str, reason: str, as_json: bool, **given: Any) -> None:
    """Make a campaign, a draft. Its steps come next: see `campaigns add-step`.

    --list, --without, --account and --tag can be given several times.
    """
    values, parts = _read(given | {"name": name})
    done = operations.add(values, parts, who(), reason)
    finish(done, as_json, _with_notes(f"campaign {done.id}: {done.name}", done.notes))


@campaigns.command("set")
@campaign_argument
@click.option("--name", help="Another name.")
@_all(_OPTIONS)
@_all([click.option(f"--{name.replace('_', '-')}", name, is_flag=True) for name in _NONE])
@reason
@as_json
@with_database
def set_(named: str, reason: str, as_json: bool, **given: Any) -> None:
    """Change only what is given. --list, --without, --account and --tag take the place of those that it has.

    One that is running has to stay one that could be started. What is planned is planned anew.
    """
    for flag, option in _NONE.items():
        if given.pop(flag):
            if given[option]:
                raise click.UsageError(f"either {_option(option)} or {_option(flag)}, not both")
            given[option] = [] if isinstance(given[option], tuple) else ""
    values, parts = _read(given)
    if not values and parts == Parts():
        raise click.UsageError("nothing to change is given")
    done = operations.change(named, values, parts, who(), reason)
    sentence = f"campaign {done.id} ({done.name}): {'changed' if done.changed else 'is like that already'}"
    finish(done, as_json, _with_notes(sentence, done.notes))


def _option(name: str) -> str:
    return f"--{ {'lists': 'list', 'accounts': 'account', 'tags': 'tag'}.get(name, name).replace('_', '-') }"


def _read(given: Mapping[str, Any]) -> tuple[dict[str, Any], Parts]:
    """Return values by column, and lists and senders, of options; those that are not given stand in neither."""
    parts = {name: given[name] for name in ("lists", "without", "accounts", "tags") if given[name] != ()}
    said = {name: value for name, value in given.items() if name not in Parts.__annotations__ and value is not None}
    texts = {n.replace("_", "-"): ("no", "yes")[v] if isinstance(v, bool) else v for n, v in said.items()}
    return campaign_values.parsed(texts), Parts(**parts)


def _with_notes(sentence: str, notes: tuple[str, ...]) -> str:
    return "\n".join([sentence, *(f"note: {note}" for note in notes)])


@campaigns.command()
@campaign_argument
@click.option("--no-footer-because", help="Why its mails may go without unsubscribe or postal address; kept with it.")
@reason
@as_json
@with_database
def start(named: str, no_footer_because: str | None, reason: str, as_json: bool) -> None:
    """Start a draft: its lists' contacts are enrolled, and the next batch picks from it."""
    if no_footer_because is not None and not no_footer_because.strip():
        raise click.UsageError("--no-footer-because needs a reason")
    done = states.start(named, who(), no_footer_because=no_footer_because, reason=reason)
    sentence = f"campaign {done.id} ({done.name}): was running already"
    if done.changed:
        sentence = f"campaign {done.id} ({done.name}): running; {done.enrolled} contacts of its lists enrolled"
        if done.in_another:
            sentence += f", {done.in_another} are in another campaign's sequence and come when that has ended"
    finish(done, as_json, _with_notes(sentence, done.notes))


@campaigns.command()
@campaign_argument
@reason
@as_json
@with_database
def pause(named: str, reason: str, as_json: bool) -> None:
    """Pause a campaign: nothing of it is sent until it is resumed. Nothing is used up, nothing expires."""
    done = states.pause(named, who(), reason)
    finish(done, as_json, _moved(done, "paused", "was paused already"))


@campaigns.command()
@campaign_argument
@reason
@as_json
@with_database
def resume(named: str, reason: str, as_json: bool) -> None:
    """Let a paused campaign go on."""
    done = states.resume(named, who(), reason)
    finish(done, as_json, _moved(done, "resumed", "was running already"))


@campaigns.command()
@campaign_argument
@reason
@as_json
@with_database
def stop(named: str, reason: str, as_json: bool) -> None:
    """Stop a campaign for good: what waits is cancelled, and nobody gets a further step. A claimed mail goes on."""
    done = states.stop(named, who(), reason)
    stopped = f"done; stopped for {done.stopped} contacts, {done.cancelled} mails cancelled"
    finish(done, as_json, _moved(done, stopped, "was done already"))


def _moved(done: CampaignDone, changed: str, unchanged: str) -> str:
    return f"campaign {done.id} ({done.name}): {changed if done.changed else unchanged}"


@campaigns.command()
@campaign_argument
@contacts_argument
@reason
@as_json
@with_database
def enrol(named: str, contacts: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Put contacts into a campaign, beside those of its lists. CONTACT is an id or an address; - reads one from each
    line of stdin.

    Who is in it already stays as they are. Contacts that are not there are refused, and the others are put into it.
    """
    done, refused = with_each(contacts, partial(enrolling.enrol, named, who=who(), reason=reason))
    sentence = f"campaign {done.id} ({done.name}): {done.enrolled} enrolled, {done.already} were in it already"
    sentence += f", {done.in_another} are in another campaign's sequence, {done.refused} refused"
    report([], as_json, sentence, replace(done, refused_lines=tuple(refused)))
    if refused:
        named_in_all = done.enrolled + done.already + done.in_another + done.refused
        raise Refused(f"{done.refused} of {named_in_all} contacts were refused")

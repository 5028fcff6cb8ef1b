"""`plan` and `why`: what is going to happen, and why something has not happened yet."""

from __future__ import annotations

import click

from pipeline.reports.plan import Plan
from pipeline.reports.reasons import Because, in_words
from pipeline.reports.why import Why
from pipeline.runtime.settings import settings
from slowpost.cli.output import emit, local, progress, show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import CONTACT, as_json, with_database
from slowpost.cli.story import show_what_came_back


@click.command()
@click.option("--days", type=click.IntRange(1, 366), default=1, show_default=True, help="How far ahead, 24 hours each.")
@as_json
@with_database
def plan(days: int, as_json: bool) -> None:
    """Show who is going to be mailed when and from which account, if nothing changes. Sends nothing.

    Deliveries that are still in the first stages count as ready. What the batch publisher is going to pick is in the
    plan, too: steps of campaigns, contacts that come into one from its lists, and contacts beside them.
    """
    from pipeline.reports import plan as planning

    with progress("planning", days * 86_400) as at:
        found = planning.plan(days, at)

    def show() -> None:
        columns = {"send_at": "AT", "contact_id": "CONTACT", "template_id": "TEMPLATE", "account": "ACCOUNT"}
        columns |= {"priority": "PRIORITY", "state": "NOW"}
        show_table(found.planned, columns, f"nothing is going to be sent before {local(found.until)}")
        _show_sums(found)
        if found.paused:
            say(f"not in the plan, because they are paused: {found.paused}", err=True)
        for closed in found.closed:
            say(f"closed on {closed.in_words}", err=True)
        for noted in found.notes:
            say(f"account {noted.account_id} ({noted.account}): {noted.note}", err=True)

    emit(found, as_json, show)


def _show_sums(found: Plan) -> None:
    names = {campaign.id: campaign.name for campaign in found.campaigns}
    days = [
        {"date": day.date, "mails": day.mails, "plain": day.plain}
        | {"campaigns": {names.get(of.campaign_id, str(of.campaign_id)): of.mails for of in day.campaigns}}
        for day in found.days
    ]
    if days:
        say("")
        show_table(days, {"date": "DATE", "mails": "MAILS", "plain": "PLAIN", "campaigns": "OF CAMPAIGNS"}, "")
    if found.campaigns:
        say("")
        rows = [
            {"id": campaign.id, "name": campaign.name, "mails": campaign.mails, "left": campaign.end.left}
            | {"end": campaign.end.date or (campaign.end.why and _sentence(campaign.end.why))}
            for campaign in found.campaigns
        ]
        columns = {"id": "CAMPAIGN", "name": "NAME", "mails": "MAILS", "end": "LAST MAIL ON", "left": "NOT REACHED"}
        show_table(rows, columns, "")


@click.command()
@click.argument("contact", type=CONTACT)
@as_json
@with_database
def why(contact: str, as_json: bool) -> None:
    """Say what became of a contact, or why it has not been written to yet, and when at the earliest it will be.

    CONTACT is its id or its address.
    """
    from pipeline.reports.why import why as ask

    answer = ask(contact)
    emit(answer, as_json, lambda: _show(answer))


def _show(answer: Why) -> None:
    say(f"contact {answer.contact_id}: {_headline(answer)}")
    for because in answer.reasons:
        say(f"  {_sentence(because)}")
    for closed in answer.closed:
        say(f"  closed on {closed.in_words}")
    if answer.detail:
        say(f"  {answer.detail}")
    if answer.last_attempt is not None:
        last = answer.last_attempt
        say(f"  the last attempt, {local(last.at)} from account {last.account_id}, failed: {last.text}")
    if answer.again and answer.again != answer.reasons:
        say("again:")
        for because in answer.again:
            say(f"  {_sentence(because)}")
    if answer.earliest is not None:
        sender = "" if answer.account_id is None else f", from account {answer.account_id}"
        say(f"{'planned for' if answer.is_planned else 'not before'} {local(answer.earliest)}{sender}")
    if answer.enrolments:
        columns = {"campaign_id": "CAMPAIGN", "campaign": "NAME", "state": "STATE", "position": "STEP"}
        columns |= {"due_at": "DUE", "account_id": "ACCOUNT", "reason": "REASON"}
        show_table(answer.enrolments, columns, "")
    show_what_came_back(answer.inbound)
    if answer.history:
        columns = {"id": "DELIVERY", "template_id": "TEMPLATE", "state": "STATE", "reason": "REASON"}
        show_table(answer.history, columns | {"created_at": "SINCE", "sent_at": "SENT"}, "")


def _headline(answer: Why) -> str:
    if answer.delivery_id is None:
        return "not on the route"
    return f"{answer.state.replace('_', ' ')}, delivery {answer.delivery_id} of template {answer.template_id}"


def _sentence(because: Because) -> str:
    return in_words(because, settings().mail_window_timezone)

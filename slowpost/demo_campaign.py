"""The demo's campaign: two steps to the contacts of a list, one of whom replies in between, and a day that passes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from peewee import DateField

from actors import entry
from models import TABLES, Contact, Delivery, EmailTemplate, Enrolment, database
from models.database import UTCDateTimeField
from pipeline.operations import campaign_states, campaign_steps, campaigns, imports, stops
from pipeline.operations.campaign_values import Parts, parsed
from pipeline.operations.csv_rows import Listener
from schedules import publish_batch
from slowpost.cli.output import show_table
from slowpost.cli.saying import say

NAME = "Editors"
WHO = "the demo"
NAMES = ("Ada", "Ben", "Cleo", "Dora")
PEOPLE = ["email,name,website,topic"] + [
    f"{n.lower()}@{n.lower()}-weekly.example,{n},{n.lower()}-weekly.example,bees" for n in NAMES
]
WEBSITES = ["domain,title"] + [f"{n}-weekly.example,{n} weekly" for n in NAMES]
REPLIES = "ben@ben-weekly.example"
A_DAY = dt.timedelta(days=1)
TIMES = (UTCDateTimeField, DateField)
FOLLOW_UP = """Hello {{ contact.name }},

may I ask once more?

{{ sender.signature }}
{{ postal_address }}
Not interested? {{ unsubscribe }}
"""


def prepare(first_template: EmailTemplate) -> None:
    """Make the list and its campaign: the template that the others got, and a day later a mail that follows it."""
    imports.websites(WEBSITES, Listener(), WHO)
    imports.contacts(PEOPLE, Listener(), WHO, onto=[NAME])
    now = database.now()
    again = EmailTemplate.create(
        name="once more", subject="", text=FOLLOW_UP, active=False, created_at=now, updated_at=now
    )
    campaigns.add(parsed({"name": NAME}), Parts(lists=[NAME], accounts=[1]), WHO)
    campaign_steps.add(NAME, [(first_template.id, 1)], WHO, days=None)
    campaign_steps.add(NAME, [(again.id, 1)], WHO, days=1)
    campaign_states.start(NAME, WHO)


def first_mails(wait: Callable[[], None]) -> None:
    """Send the first step to everybody; one of them replies."""
    say(f"A campaign of two steps to the list {NAME}: the first mail ...")
    _publish(wait)
    done = stops.replied([Contact.get(Contact.email == REPLIES).id], WHO)
    entry.publish(done.handoffs)
    say(f"{REPLIES} replies. A day passes (the demo moves all that it has stored a day back) ...")


def a_day_passes() -> None:
    """Move every time and date that is stored a day back, as if a night had passed; nothing may be on its way."""
    with database.transaction():
        for table in TABLES:
            key = table._meta.get_primary_keys()
            # What has a constraint is derived from the others by the database.
            times = [field for field in table._meta.sorted_fields if isinstance(field, TIMES) and not field.constraints]
            for row in table.select():
                moved = {field: at - A_DAY for field in times if (at := getattr(row, field.name)) is not None}
                if moved:
                    table.update(moved).where(*(column == getattr(row, column.name) for column in key)).execute()


def second_mails(wait: Callable[[], None]) -> None:
    """Send the second step to those who have not replied."""
    say("The second mail, in the conversation of the first, to those who have not replied ...")
    _publish(wait)


def report() -> None:
    """Say what came of each."""
    rows = [
        {
            "email": enrolment.contact.email,
            "mails": Delivery.select().where(Delivery.enrolment == enrolment.id).count(),
            "state": enrolment.state,
        }
        for enrolment in Enrolment.select(Enrolment, Contact).join(Contact).order_by(Enrolment.id)
    ]
    show_table(rows, {"email": "ENROLLED", "mails": "MAILS", "state": "BECAME"}, "")
    say()


def _publish(wait: Callable[[], None]) -> None:
    entry.publish(publish_batch.publish().handoffs)
    wait()

"""`campaigns report` as a person and a spreadsheet read it."""

from __future__ import annotations

import csv
import io

from models import Enrolment, EnrolmentState, State, database
from tests.builders import a_campaign, a_delivery, a_template, an_account, an_enrolment
from tests.cli.conftest import Slowpost
from tests.cli.test_commands import parsed
from tests.conftest import Clock

COLUMNS = [
    *("campaign_id", "campaign", "step", "template_id", "template", "weight"),
    *("sent", "bounced", "failed", "replied", "unsubscribed"),
    *("bounced_rate", "failed_rate", "replied_rate", "unsubscribed_rate"),
]


def test_the_report_is_read_by_a_person_a_program_and_a_spreadsheet(ready: Slowpost, clock: Clock) -> None:
    with database.connection():
        variants = [a_template(name='=HYPERLINK("x")'), a_template(name="two, lines\nof it")]
        campaign = a_campaign((0, variants), accounts=[an_account()], name="+spring")
        an_enrolment(campaign)
        for number in range(9):
            state = EnrolmentState.REPLIED if number < 3 else EnrolmentState.FINISHED
            enrolment = an_enrolment(campaign, state=state, position=2)
            of_step = {
                "campaign": campaign,
                "enrolment": enrolment,
                "position": 1,
                "template": variants[number % 3 % 2],
            }
            sent = a_delivery(State.SENT, contact=enrolment.contact, sent_at=clock.at, **of_step)
            Enrolment.update(last_id=sent.id).where(Enrolment.id == enrolment.id).execute()

    shown = ready("campaigns", "report", "+spring")

    assert shown.code == 0
    assert "enrolled: 10; ended: 9 (finished 6, replied 3)\n" in shown.out
    assert "waiting for room for the first mail, or the day on which it may be written to: 1\n" in shown.out
    assert "too few to tell templates" not in shown.out
    assert "step 1: templates 1 and 2 have equal shares of replies: nothing tells them apart\n" in shown.out
    found = parsed(ready("campaigns", "report", "1", "--json"))
    assert (found["enrolled"], found["sent"], found["replied_rate"]) == (10, 9, 0.3333)
    raw = ready("campaigns", "report", "1", "--csv").out
    assert raw.splitlines()[0] == ",".join(COLUMNS)
    first, second = csv.DictReader(io.StringIO(raw, newline=""))
    assert (first["campaign"], first["template"], second["template"]) == (
        "'+spring", "'=HYPERLINK(\"x\")", "two, lines\nof it"
    )  # fmt: skip
    assert [(r["step"], r["weight"], r["sent"], r["replied"], r["replied_rate"]) for r in (first, second)] == [
        ("1", "1", "6", "2", "0.3333"),
        ("1", "1", "3", "1", "0.3333"),
    ]

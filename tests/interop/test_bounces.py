"""A real server takes a mail and sends a delivery report later: what Slowpost makes of it, without a hand."""

from __future__ import annotations

from tests.interop.conftest import Outreach
from tests.interop.listeners import DOMAIN
from tests.interop.postfix import BOUNCES, Postfix

NOBODY, READER, SENDER = f"nobody@{DOMAIN}", f"reader1@{DOMAIN}", f"reader9@{DOMAIN}"


def test_a_mail_that_postfix_bounces_later_suppresses_its_recipient_and_counts(
    outreach: Outreach, postfix: Postfix
) -> None:
    outreach.add_accounts(postfix.account(BOUNCES, from_address=SENDER))
    outreach.write_to({"email": NOBODY}, {"email": READER})
    outreach.pass_time(hours=6)
    assert outreach.deliveries() == dict.fromkeys((NOBODY, READER), ("sent", "accepted"))
    (report,) = postfix.mails("reader9")

    mailbox = str(report.file.parents[1])
    done = outreach.command("inbound", "import", mailbox, "--account", "1")

    assert (done["kinds"], done["effects"]) == ({"bounce": 1}, {"bounced": 1})
    assert outreach.command("inbound", "import", mailbox)["seen"] == 1
    assert outreach.suppressed() == [NOBODY]
    assert outreach.deliveries() == dict.fromkeys((NOBODY, READER), ("sent", "accepted"))
    (row,) = outreach.command("inbound", "list")
    assert (row["named_by"], row["enhanced_code"], row["verdict"]) == ("quoted", "5.1.1", "recipient_for_good")
    (account,) = outreach.command("status")["accounts"]
    assert (account["bounces"]["bounced"], account["bounces"]["ended"]) == (1, 2)

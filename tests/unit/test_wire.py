"""The Message-ID that a provider gave a mail is read from its reply, to the letter or not at all."""

from __future__ import annotations

import time

import pytest

from pipeline.smtp.reply import Reply
from pipeline.smtp.wire import wire_message_id

SES_PART = "0100018f2b7c9d1e-5c1f8a52-6a3e-4c0e-9d0a-0f3b2a1c4d5e-000000"
OFFICE_ID = "<AM0PR01MB0000ABCDEF0123456789ABCDEF@AM0PR01MB0000.eurprd01.prod.outlook.com>"
OFFICE_REPLY = f"2.0.0 OK {OFFICE_ID} [Hostname=AM0PR01MB0000.eurprd01.prod.outlook.com]"
SES, OFFICE = "email-smtp.us-east-1.amazonaws.com", "smtp.office365.com"


@pytest.mark.parametrize(
    ("host", "text", "expected"),
    [
        (SES, f"Ok {SES_PART}", f"<{SES_PART}@email.amazonses.com>"),
        ("Email-SMTP.US-East-1.amazonaws.com", f"Ok {SES_PART}", f"<{SES_PART}@email.amazonses.com>"),
        ("email-smtp.eu-west-1.amazonaws.com", f"Ok {SES_PART}", f"<{SES_PART}@eu-west-1.amazonses.com>"),
        ("email-smtp-fips.us-gov-west-1.amazonaws.com", f"Ok {SES_PART}", f"<{SES_PART}@us-gov-west-1.amazonses.com>"),
        ("email-smtp.eu-central-1.api.aws", f"Ok {SES_PART}", f"<{SES_PART}@eu-central-1.amazonses.com>"),
        (OFFICE, OFFICE_REPLY, OFFICE_ID),
        ("smtp-mail.outlook.com", OFFICE_REPLY, OFFICE_ID),
        (OFFICE, f"2.0.0 OK {OFFICE_ID}", OFFICE_ID),
        (OFFICE, OFFICE_REPLY.upper(), OFFICE_ID.upper()),
    ],
)
def test_amazon_and_microsoft_tell_it(host: str, text: str, expected: str) -> None:
    assert wire_message_id(host, Reply(250, text)) == expected


@pytest.mark.parametrize("code", [None, 200, 251, 450, 550])
def test_only_what_was_accepted_has_one(code: int | None) -> None:
    assert wire_message_id(SES, Reply(code, f"Ok {SES_PART}")) is None
    assert wire_message_id(OFFICE, Reply(code, OFFICE_REPLY)) is None


@pytest.mark.parametrize(
    "host",
    [
        *("smtp.example.test", "localhost", "smtp.gmail.com", "email-smtp.us-east-1.amazonaws.com.example.test"),
        *("x.email-smtp.us-east-1.amazonaws.com", "email-smtp..amazonaws.com", "xsmtp.office365.com"),
        *("example-test.mail.protection.outlook.com", "inbound-smtp.us-east-1.amazonaws.com", "mail.amazonaws.com"),
    ],
)
def test_another_server_tells_nothing_whatever_it_says(host: str) -> None:
    assert wire_message_id(host, Reply(250, f"Ok {SES_PART}")) is None
    assert wire_message_id(host, Reply(250, OFFICE_REPLY)) is None


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (SES, ""),
        (SES, "Ok"),
        (SES, "Ok queued"),
        (SES, SES_PART),
        (SES, f"Ok {SES_PART} "),
        (SES, f"Ok {SES_PART}>\r\nBcc: x@y.test"),
        (SES, f"Ok {SES_PART}\nOk {SES_PART}"),
        (SES, f"Ok {SES_PART}@example.test"),
        (SES, "Ok " + "-".join(["a" * 40] * 10)),
        (SES, "Ok " + "a-" * 1000),
        (OFFICE, "2.0.0 OK"),
        (OFFICE, "2.0.0 OK <> [Hostname=x]"),
        (OFFICE, "2.0.0 OK <1@example.test> [Hostname=x]"),
        (OFFICE, "2.0.0 OK <1@prod.outlook.com.example.test>"),
        (OFFICE, f"2.0.0 OK {OFFICE_ID}, <2@x.prod.outlook.com>"),
        (OFFICE, f"2.0.0 OK {OFFICE_ID}\n[Hostname=x]"),
        (OFFICE, "2.0.0 OK <a b@x.prod.outlook.com>"),
        (OFFICE, "2.0.0 OK <ä@x.prod.outlook.com>"),
        (OFFICE, f"2.0.0 OK <{'a' * 81}@x.prod.outlook.com>"),
        (OFFICE, f"2.6.0 {OFFICE_ID} [InternalId=1] Queued mail for delivery"),
    ],
)
def test_what_is_not_to_the_letter_is_none(host: str, text: str) -> None:
    assert wire_message_id(host, Reply(250, text)) is None


def test_a_hostile_reply_takes_no_time() -> None:
    before = time.process_time()
    for text in ("Ok " + "a" * 100_000, "Ok " + "a-" * 100_000, f"2.0.0 OK <a@{'a.' * 100_000}", "2.0.0 OK <" * 50_000):
        for host in (SES, OFFICE, "email-smtp." + "a" * 100_000):
            assert wire_message_id(host, Reply(250, text)) is None
    assert time.process_time() - before < 1

"""Whose fault a reply is: replies that real providers give, each with its verdict."""

from __future__ import annotations

import smtplib
import ssl

import pytest

from models import ChargedTo
from pipeline.smtp.reply import Phase, Reply, Verdict, judge, judge_failure

GOOD, NOW = Verdict.RECIPIENT_FOR_GOOD, Verdict.RECIPIENT_FOR_NOW
CONTENT = Verdict.CONTENT
ACCOUNT, QUOTA, LOGIN = Verdict.ACCOUNT_FOR_NOW, Verdict.ACCOUNT_QUOTA, Verdict.ACCOUNT_FOR_GOOD

REPLIES = [
    # Gmail and Google Workspace (support.google.com/a/answer/3726730)
    (Phase.AUTH, 535, "5.7.8 Username and Password not accepted. For more information, go to", LOGIN),
    (Phase.AUTH, 534, "5.7.9 Application-specific password required.", LOGIN),
    (Phase.AUTH, 454, "4.7.0 Too many login attempts, please try again later.", ACCOUNT),
    (Phase.MAIL, 530, "5.7.0 Authentication Required.", LOGIN),
    (Phase.GREETING, 421, "4.7.0 Try again later, closing connection.", ACCOUNT),
    (Phase.DOT, 550, "5.4.5 Daily user sending limit exceeded.", QUOTA),
    (Phase.MAIL, 550, "5.4.5 Daily user sending quota exceeded", QUOTA),
    (Phase.DOT, 452, "4.5.3 Domain policy size per transaction exceeded, sending limit exceeded", QUOTA),
    (Phase.DOT, 421, "4.7.28 Gmail has detected an unusual rate of unsolicited mail", ACCOUNT),
    (Phase.RCPT, 550, "5.1.1 The email account that you tried to reach does not exist.", GOOD),
    (Phase.RCPT, 550, "5.2.1 The email account that you tried to reach is disabled.", GOOD),
    (Phase.RCPT, 452, "4.2.2 The email account that you tried to reach is over quota.", NOW),
    (Phase.RCPT, 552, "5.2.2 The email account that you tried to reach is over quota.", NOW),
    (Phase.RCPT, 450, "4.2.1 The user you are trying to contact is receiving mail too quickly.", NOW),
    (Phase.DOT, 550, "5.7.1 Our system has detected that this message is likely unsolicited mail.", CONTENT),
    (Phase.DOT, 550, "5.7.26 This mail is unauthenticated, which poses a security risk", CONTENT),
    (Phase.DOT, 552, "5.3.4 Your message exceeded Google's message size limits.", CONTENT),
    (Phase.DOT, 552, "5.7.0 This message was blocked because its content presents a potential security issue", CONTENT),
    (Phase.DOT, 550, "5.7.1 [192.0.2.1] Our system has detected an unusual rate of\n5.7.1 unsolicited mail", ACCOUNT),
    (Phase.RCPT, 550, "5.1.1 The email account that you tried to reach does not exist. Please try\n5.1.1 again", GOOD),
    (Phase.RCPT, 552, "5.2.2 The recipient's inbox is out of storage space and inactive.", NOW),
    # Microsoft 365 and Outlook
    (Phase.AUTH, 535, "5.7.3 Authentication unsuccessful [AM6PR0102CA0012.eurprd01.prod.exchangelabs.com]", LOGIN),
    (Phase.AUTH, 535, "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled", LOGIN),
    (Phase.MAIL, 530, "5.7.57 Client not authenticated to send mail.", LOGIN),
    (Phase.DOT, 554, "5.2.252 SendAsDenied; me@example.com not allowed to send as you@example.com", LOGIN),
    (Phase.DOT, 550, "5.7.60 SMTP; Client does not have permissions to send as this sender", LOGIN),
    (Phase.DOT, 554, "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", QUOTA),
    (Phase.DOT, 550, "5.1.90 Your message can't be sent because you've reached your daily limit", QUOTA),
    (Phase.GREETING, 421, "4.3.2 The maximum number of concurrent connections has exceeded a limit", ACCOUNT),
    (Phase.RCPT, 451, "4.7.500 Server busy. Please try again later", ACCOUNT),
    (Phase.RCPT, 550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", GOOD),
    (Phase.RCPT, 550, "5.4.1 Recipient address rejected: Access denied.", GOOD),
    (Phase.RCPT, 550, "5.5.0 Requested action not taken: mailbox unavailable", GOOD),
    (Phase.DOT, 550, "Requested action not taken: mailbox unavailable", GOOD),
    (Phase.AUTH, 525, "5.7.13 User account disabled", LOGIN),
    (Phase.DOT, 550, "5.7.1 Service unavailable, message refused as spam", CONTENT),
    (Phase.DOT, 432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", ACCOUNT),
    (Phase.RCPT, 550, "5.1.8 Access denied, bad outbound sender", LOGIN),
    (Phase.DOT, 550, "5.7.501 Access denied, spam abuse detected", LOGIN),
    (Phase.RCPT, 550, "5.7.705 Access denied, tenant has exceeded threshold", LOGIN),
    (Phase.DOT, 554, "5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; verdict is Suspend", LOGIN),
    (Phase.RCPT, 550, "5.7.233 Your message can't be sent because your tenant exceeded its daily limit", QUOTA),
    (Phase.RCPT, 550, "5.7.606 Access denied, banned sending IP [192.0.2.1]", ACCOUNT),
    (Phase.RCPT, 550, "5.7.54 SMTP; Unable to relay recipient in non-accepted domain", ACCOUNT),
    (Phase.RCPT, 550, "5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", GOOD),
    # Postfix
    (Phase.RCPT, 550, "5.1.1 <x@example.com>: Recipient address rejected: User unknown in local recipient table", GOOD),
    (Phase.RCPT, 450, "4.2.0 <x@example.com>: Recipient address rejected: Greylisted", NOW),
    (Phase.RCPT, 450, "4.1.1 <x@example.com>: Recipient address rejected: unverified address", NOW),
    (Phase.RCPT, 451, "4.3.0 <x@example.com>: Temporary lookup failure", NOW),
    (Phase.MAIL, 452, "4.3.1 Insufficient system storage", ACCOUNT),
    (Phase.RCPT, 553, "5.7.1 <me@example.com>: Sender address rejected: not owned by user other", LOGIN),
    (Phase.DOT, 554, "5.7.1 Spam message rejected", CONTENT),
    (Phase.MAIL, 552, "5.3.4 Message size exceeds fixed limit", CONTENT),
    (Phase.RCPT, 421, "4.7.0 mail.example.com Error: too many errors", ACCOUNT),
    (Phase.RCPT, 554, "5.7.1 <x@example.com>: Relay access denied", ACCOUNT),
    (Phase.RCPT, 554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", ACCOUNT),
    (Phase.RCPT, 450, "4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]", ACCOUNT),
    (Phase.RCPT, 450, "4.7.1 <h[192.0.2.1]>: Client host rejected: Greylisted, see http://postgrey.test", NOW),
    (Phase.RCPT, 504, "5.5.2 <h>: Helo command rejected: need fully-qualified hostname", ACCOUNT),
    (Phase.RCPT, 450, "4.1.8 <me@example.com>: Sender address rejected: Domain not found", ACCOUNT),
    (Phase.RCPT, 450, "4.7.1 Error: too much mail from 192.0.2.1", ACCOUNT),
    (Phase.RCPT, 503, "5.5.1 Error: need MAIL command", ACCOUNT),
    (Phase.DOT, 452, "4.3.1 Insufficient system storage", ACCOUNT),
    (Phase.DOT, 552, "5.3.4 Message size limit exceeded", CONTENT),
    (Phase.RCPT, 550, "5.1.1 <antispam@example.com>: Recipient address rejected: User unknown", GOOD),
    (Phase.RCPT, 550, "5.7.1 <x@example.com>: Recipient address rejected: blocked by the user", GOOD),
    (Phase.DOT, 552, "5.2.2 <user.x@example.com> Quota exceeded (mailbox for user is full)", NOW),
    (Phase.RCPT, 452, "4.2.2 Recipient mailbox quota exceeded", NOW),
    # Exim
    (Phase.RCPT, 550, "Unrouteable address", GOOD),
    (Phase.RCPT, 550, "No Such User Here", GOOD),
    (Phase.RCPT, 451, "Temporary local problem - please try later", NOW),
    (Phase.RCPT, 451, "greylisted, please try again in 5 minutes", NOW),
    (Phase.AUTH, 535, "Incorrect authentication data", LOGIN),
    (Phase.DOT, 552, "Message size exceeds maximum permitted", CONTENT),
    (Phase.DOT, 550, "This message scored 12.4 spam points and was refused", CONTENT),
    (Phase.RCPT, 550, "relay not permitted", ACCOUNT),
    (Phase.MAIL, 550, "Administrative prohibition", LOGIN),
    (Phase.DOT, 552, "Mailbox is full", NOW),
    (Phase.RCPT, 550, "Verification failed for <me@example.com>\nSender verify failed", ACCOUNT),
    (Phase.RCPT, 550, "Domain x.test has exceeded the max emails per hour (150/150 (100%)) allowed.", QUOTA),
    # Amazon SES (docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html)
    (Phase.AUTH, 535, "Authentication Credentials Invalid", LOGIN),
    (Phase.DOT, 454, "Throttling failure: Daily message quota exceeded", QUOTA),
    (Phase.DOT, 454, "Throttling failure: Maximum sending rate exceeded", ACCOUNT),
    (Phase.DOT, 554, "Message rejected: Email address is not verified.", LOGIN),
    (Phase.DOT, 554, "Message rejected: Sending paused for this account.", LOGIN),
    (Phase.DOT, 554, "Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform `ses:Send'", LOGIN),
    (Phase.AUTH, 454, "4.7.0 Temporary authentication failure", ACCOUNT),
    # what no row knows goes to the one who is asked about in that phase
    (Phase.RCPT, 450, "later", NOW),
    (Phase.RCPT, 571, "never", GOOD),
    (Phase.DOT, 451, "later", NOW),
    (Phase.DOT, 571, "never", CONTENT),
    (Phase.MAIL, 451, "later", ACCOUNT),
    (Phase.CONNECT, 554, "no", ACCOUNT),
]


@pytest.mark.parametrize(("phase", "code", "text", "verdict"), REPLIES, ids=[f"{c} {t[:40]}" for _, c, t, _ in REPLIES])
def test_a_reply_is_charged_to_the_one_whose_fault_it_is(phase: Phase, code: int, text: str, verdict: Verdict) -> None:
    assert judge(phase, Reply(code, text)) is verdict


@pytest.mark.parametrize("code", [200, 250, 251, 299])
def test_only_a_2yz_to_the_dot_is_accepted(code: int) -> None:
    assert judge(Phase.DOT, Reply(code, "ok")) is Verdict.ACCEPTED
    assert judge(Phase.RCPT, Reply(code, "ok")) is not Verdict.ACCEPTED


@pytest.mark.parametrize("code", [None, -1, 354, 0, 199, 300])
def test_a_reply_that_is_none_says_nothing_after_the_dot(code: int | None) -> None:
    assert judge(Phase.DOT, Reply(code, "garbage")) is Verdict.UNKNOWN
    assert judge(Phase.DATA, Reply(code, "garbage")) is Verdict.ACCOUNT_FOR_NOW


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("timed out"),
        ConnectionRefusedError(111, "refused"),
        ConnectionResetError(104, "reset"),
        smtplib.SMTPServerDisconnected("closed"),
        ssl.SSLCertVerificationError("self-signed"),
        OSError(101, "network is unreachable"),
        ValueError("not an SMTP reply"),
    ],
)
def test_a_failure_is_the_accounts_before_the_dot_and_nobodys_after_it(error: Exception) -> None:
    assert judge_failure(Phase.RCPT, error).verdict is Verdict.ACCOUNT_FOR_NOW
    assert judge_failure(Phase.DOT, error).verdict is Verdict.UNKNOWN
    assert judge_failure(Phase.DOT, error).reply.text


def test_every_verdict_is_charged_to_somebody() -> None:
    assert {v: v.charged_to for v in Verdict} == {
        Verdict.ACCEPTED: ChargedTo.NOBODY,
        Verdict.RECIPIENT_FOR_GOOD: ChargedTo.RECIPIENT,
        Verdict.RECIPIENT_FOR_NOW: ChargedTo.RECIPIENT,
        Verdict.CONTENT: ChargedTo.CONTENT,
        Verdict.ACCOUNT_FOR_NOW: ChargedTo.ACCOUNT,
        Verdict.ACCOUNT_QUOTA: ChargedTo.ACCOUNT,
        Verdict.ACCOUNT_FOR_GOOD: ChargedTo.ACCOUNT,
        Verdict.UNKNOWN: ChargedTo.NOBODY,
    }


def test_the_enhanced_status_code_is_read_from_the_start_of_the_text() -> None:
    assert Reply(550, "5.1.1 no").enhanced == "5.1.1"
    assert Reply(550, "see 5.1.1").enhanced is None

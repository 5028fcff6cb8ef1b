"""A mail that an account sends to itself: how it is made, and what it tells when it is read as it was received.

Reads: the account, DNS. Writes: what was learned, into the mail's row and the account's. Trouble: a mail that is none
of ours, or whose keys DNS can't be asked for, is an error, and nothing is stored.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from models import SelfMail, SmtpAccount, database
from models.address import normalise_domain
from models.errors import SlowpostError
from pipeline.accounts import signing
from pipeline.accounts.identity import sender_of
from pipeline.content.message import Envelope, Rendered, Unsubscribe, build
from pipeline.content.signature import UNSUBSCRIBE
from pipeline.dns import received
from pipeline.dns.alignment import is_aligned
from pipeline.dns.received import Received
from pipeline.dns.resolver import Ask
from pipeline.dns.signatures import Signature, signatures_of

#: In front of the nonce in the subject, which no provider replaces.
SUBJECT = "Slowpost asks who signs its mail:"

_TEXT = """\
Slowpost has sent this mail from this mailbox to itself, to learn from it how it arrives: who has signed it, and
whether sender, signature and server belong together. Save it with all its headers, as it was received, and let
Slowpost read it:

    slowpost doctor --received FILE

Nobody else has got it.
"""
_NONCE = re.compile(rf"{re.escape(SUBJECT)} ([0-9a-f]{{32}})\b")


class NotReadError(SlowpostError):
    """A mail tells nothing; the message says why."""


@dataclass(frozen=True)
class SignatureRow:
    """A signature of a mail as it was received.

    Attributes:
        domain: who has signed.
        selector: the name of the key.
        algorithm: how it was signed.
        ours: whether it is the account's own.
        problem: why it does not count; null: it is valid.
        covers: whether it is valid and covers List-Unsubscribe and List-Unsubscribe-Post.
        aligned: whether it is valid and of the From address's organisation (DMARC, RFC 7489).
    """

    domain: str
    selector: str
    algorithm: str
    ours: bool
    problem: str | None
    covers: bool
    aligned: bool


@dataclass(frozen=True)
class SelfMailRead:
    """A mail of an account to itself, as it was received.

    Attributes:
        account_id: the account.
        sent_at: when it was sent (UTC).
        covered: whether a valid signature covers List-Unsubscribe and List-Unsubscribe-Post.
        evidence: whose, or why none, in words.
        kept: whether that counts for the account from now on; false: it was set up otherwise when it sent this mail, or
            a later one has been read.
        signatures: all of its signatures, the last one added first.
        from_domain: the domain of its From address; null: it has none, or several.
        dkim_aligned: whether a valid signature is of that organisation.
        spf: what the receiving server says of SPF; null: nothing.
        spf_domain: the domain of the envelope sender, of which it says that; null: it does not say.
        spf_aligned: whether SPF has passed, and for the From address's organisation; null: nothing is said.
        message_id: its Message-ID as it was received; null: it has none, or several.
        message_id_kept: whether that is the one that it was sent with.
    """

    account_id: int
    sent_at: dt.datetime
    covered: bool
    evidence: str
    kept: bool
    signatures: tuple[SignatureRow, ...]
    from_domain: str | None
    dkim_aligned: bool
    spf: str | None
    spf_domain: str | None
    spf_aligned: bool | None
    message_id: str | None
    message_id_kept: bool


def made(account: SmtpAccount, nonce: str, message_id: str, at: dt.datetime) -> Envelope:
    """Return the mail of an account to itself, signed where it signs: with both headers by which people unsubscribe.

    Raises:
        KeyFileError: a key can't be read.
        MessageRefusedError: it can't be a mail.
    """
    domain = normalise_domain(account.from_address.rpartition("@")[2])
    words = Rendered(account.from_address, "", f"{SUBJECT} {nonce}", _TEXT, None, None, message_id)
    # What lies behind the link is of no account: nobody is asked to follow it. One click is offered without knowing
    # that both headers are covered: that is what the mail is to tell.
    ways = Unsubscribe(account.from_address, f"https://{domain}/?slowpost={nonce}", one_click=True)
    return signing.sign(build(words, sender_of(account), at, ways), account)


def learn(message: bytes, ask: Ask) -> SelfMailRead:
    """Return what a mail of an account to itself tells as it was received, and keep it. Doing it again changes nothing.

    Args:
        message: all of it, as the mailbox has it.
        ask: what asks DNS; outside of any transaction.

    Raises:
        NotReadError: it is none of these, or DNS could not be asked for its keys.
    """
    found = received.read(message)
    nonce = _NONCE.search(found.subject)
    mail = SelfMail.get_or_none(SelfMail.nonce == nonce[1]) if nonce else None
    if mail is None:
        raise NotReadError("this is no mail that an account has sent to itself (`doctor --send`), or not all of it")
    signatures = signatures_of(message, ask)
    if not any(s.covers_unsubscribe for s in signatures) and not all(s.asked for s in signatures):
        raise NotReadError("DNS could not be asked for the keys of its signatures: try again later")
    covered, evidence = _covered(found, signatures)
    kept = _keep(mail, covered=covered, evidence=evidence)
    return _told(mail, found, signatures, covered=covered, evidence=evidence, kept=kept)


def _covered(found: Received, signatures: tuple[Signature, ...]) -> tuple[bool, str]:
    """Return whether both headers are covered, and by whom, or why not."""
    if any(found.names.count(name) != 1 for name in UNSUBSCRIBE):
        return False, "it was received without List-Unsubscribe or List-Unsubscribe-Post, or with several of them"
    covering = [_name(s) for s in signatures if s.covers_unsubscribe]
    if covering:
        return True, f"signed by {', '.join(covering)}"
    if not signatures:
        return False, "it was received without a signature"
    failed = [f"{_name(s)}: {s.problem or 'it does not cover both headers'}" for s in signatures]
    return False, "; ".join(failed)[:1000]


def _name(signature: Signature) -> str:
    return f"{signature.domain} (selector {signature.selector})"


def _keep(mail: SelfMail, *, covered: bool, evidence: str) -> bool:
    """Store what was learned, and tell whether it counts for the account as it is set up now."""
    with database.transaction():
        account = database.for_update(SmtpAccount.select().where(SmtpAccount.id == mail.account_id)).get()
        now = database.now()
        if mail.read_at is None:
            SelfMail.update(read_at=now).where(SelfMail.id == mail.id).execute()
        later = (SelfMail.account == account.id) & (SelfMail.sent_at > mail.sent_at) & SelfMail.read_at.is_null(False)
        is_set_up_so = mail.sent_of == signing.set_up(account)
        if not is_set_up_so or SelfMail.select().where(later & (SelfMail.sent_of == mail.sent_of)).exists():
            return False
        learned = {
            "unsubscribe_covered": covered,
            "unsubscribe_evidence": evidence,
            "unsubscribe_learned_of": mail.sent_of,
        }
        if any(getattr(account, column) != value for column, value in learned.items()):
            learned["unsubscribe_learned_at"] = now
            SmtpAccount.update(learned).where(SmtpAccount.id == account.id).execute()
    return True


def _told(
    mail: SelfMail,
    found: Received,
    signatures: tuple[Signature, ...],
    *,
    covered: bool,
    evidence: str,
    kept: bool,
) -> SelfMailRead:
    account, spf = mail.account, found.spf
    rows = tuple(_row(signature, found.from_domain, account) for signature in signatures)
    return SelfMailRead(
        account_id=account.id,
        sent_at=mail.sent_at,
        covered=covered,
        evidence=evidence,
        kept=kept,
        signatures=rows,
        from_domain=found.from_domain,
        dkim_aligned=any(row.aligned for row in rows),
        spf=None if spf is None else spf.result,
        spf_domain=None if spf is None else spf.domain,
        spf_aligned=None if spf is None else spf.result == "pass" and _aligned(spf.domain, found.from_domain),
        message_id=found.message_id,
        message_id_kept=found.message_id == mail.message_id,
    )


def _row(signature: Signature, from_domain: str | None, account: SmtpAccount) -> SignatureRow:
    own = (account.dkim_selector, account.dkim_ed25519_selector)
    return SignatureRow(
        domain=signature.domain,
        selector=signature.selector,
        algorithm=signature.algorithm,
        ours=signature.domain == signing.domain_of(account) and signature.selector in own,
        problem=signature.problem,
        covers=signature.covers_unsubscribe,
        aligned=signature.problem is None and _aligned(signature.domain, from_domain),
    )


def _aligned(domain: str | None, from_domain: str | None) -> bool:
    return domain is not None and from_domain is not None and is_aligned(domain, from_domain)

"""The domain of a sender, judged by what DNS says of it: MX, SPF, DKIM, DMARC. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from models import DomainResult
from pipeline.dns.policies import Dmarc, Key
from pipeline.dns.spf import MAX_COUNTED, MAX_LOOKUPS, Spf
from pipeline.reports.doctor.findings import Check, Finding, Level, fine, unasked

_WITHOUT_MAIL = {
    DomainResult.NO_SUCH_DOMAIN: "there is no such domain",
    DomainResult.NO_MAIL_SERVER: "it has neither MX record nor address",
    DomainResult.NULL_MX: "it says itself that it takes no mail (null MX)",
}


@dataclass(frozen=True)
class Domain:
    """What DNS says of a domain.

    Attributes:
        mail: whether it takes mail; None: that could not be asked.
        has_mx: whether it has MX records of its own.
        spf: what its SPF record comes to.
        given: what stands at each selector of DKIM that a person named.
        guessed: the same of the usual ones.
        dmarc: its policy.
    """

    mail: DomainResult | None
    has_mx: bool
    spf: Spf
    given: Mapping[str, Key]
    guessed: Mapping[str, Key]
    dmarc: Dmarc


def judge(domain: Domain) -> Iterator[Finding]:
    """Yield what there is to say about a domain."""
    yield _mx(domain)
    yield _spf(domain.spf)
    yield from _dkim(domain)
    yield _dmarc(domain.dmarc)


def _mx(domain: Domain) -> Finding:
    if domain.mail is None:
        return unasked(Check.MX, "its MX record")
    if domain.mail is not DomainResult.TAKES_MAIL:
        return Finding(
            Check.MX,
            Level.ERROR,
            _WITHOUT_MAIL[domain.mail],
            "nobody can answer, bounces get lost, and receivers refuse a sender that takes no mail (RFC 7505, 4.2)",
            "give it an MX record that names a server with its mailboxes",
        )
    if domain.has_mx:
        return fine(Check.MX, "it takes mail")
    return Finding(
        Check.MX,
        Level.ADVICE,
        "it has no MX record; mail to it goes to its address",
        "that is allowed (RFC 5321, section 5.1), but some receivers take it for a sign of spam",
        "give it an MX record",
    )


def _spf(spf: Spf) -> Finding:
    """RFC 7208: one record (3.2, 4.5), at most 10 terms that ask DNS (4.6.4), no errors (4.6); `all` (5.1, 8.2)."""
    problem = _spf_error(spf)
    if problem is not None:
        found, remedy = problem
        return Finding(
            Check.SPF,
            Level.ERROR,
            found,
            "receivers ask it whether this server may send for the domain, and refuse or mark what they can't check "
            "(RFC 7208; support.google.com/a/answer/81126)",
            remedy,
        )
    if not spf.asked:
        return unasked(Check.SPF, "its SPF record, or one that it includes,")
    if spf.verdict in ("~", "-"):
        if spf.uses_ptr:
            return Finding(
                Check.SPF,
                Level.ADVICE,
                "it uses ptr",
                "that is slow, and receivers skip it (RFC 7208, section 5.5)",
                "name the servers with ip4, ip6, a or include instead",
            )
        return fine(Check.SPF, f"there is one, with {spf.lookups} of {MAX_LOOKUPS} look-ups")
    return Finding(
        Check.SPF,
        Level.ADVICE,
        "it does not say how to treat mail from other servers (it ends with ?all, or without all)",
        "so it does not keep others from sending in your name",
        "let it end with ~all or -all",
    )


def _spf_error(spf: Spf) -> tuple[str, str] | None:
    """Return what is wrong with a record and what to do, None where nothing is."""
    if spf.records > 1:
        return f"there are {spf.records} SPF records, which counts as an error", "make them into one"
    if spf.records == 0 and spf.asked:
        return "there is no SPF record", "add a TXT record that names your provider's servers: v=spf1 include:… ~all"
    if spf.problem is not None:
        return f"the SPF record is an error: {spf.problem}", "correct it"
    if spf.lookups > MAX_LOOKUPS:
        number = f"over {MAX_COUNTED}" if spf.lookups > MAX_COUNTED else str(spf.lookups)
        found = f"the SPF record needs {number} look-ups, with those of what it includes; {MAX_LOOKUPS} are allowed"
        return found, "take out what does not send for you any more, or name addresses instead (ip4, ip6)"
    if spf.verdict == "+":
        return "the SPF record lets everybody send in the domain's name (+all)", "let it end with ~all or -all"
    return None


def _dkim(domain: Domain) -> Iterator[Finding]:
    for selector, key in domain.given.items():
        name = f"the key of selector {selector}"
        if key is Key.THERE:
            yield fine(Check.DKIM, f"{name} is there")
        elif key is Key.UNKNOWN:
            yield unasked(Check.DKIM, name)
        else:
            yield Finding(
                Check.DKIM,
                Level.ERROR,
                f"{name} is {'revoked (p= is empty)' if key is Key.REVOKED else 'not there'}",
                "a signature whose key is missing counts as none (RFC 6376, section 6.1.2)",
                f"publish the key that your provider gives you at {selector}._domainkey",
            )
    if not domain.given:
        yield _guessed(domain.guessed)


def _guessed(guessed: Mapping[str, Key]) -> Finding:
    there = [selector for selector, key in guessed.items() if key is Key.THERE]
    if there:
        return fine(Check.DKIM, f"there are keys at usual selectors: {', '.join(there)}")
    if Key.UNKNOWN in guessed.values():
        return unasked(Check.DKIM, "some of the usual selectors")
    return Finding(
        Check.DKIM,
        Level.WARNING,
        f"there is no key at any of the usual selectors ({', '.join(guessed)})",
        "large providers want each mail signed (support.google.com/a/answer/81126); what the selector is called, only "
        "your provider knows",
        "look for s= in the DKIM-Signature of a mail that you have sent, and name it: --dkim-selector",
    )


def _dmarc(dmarc: Dmarc) -> Finding:
    if not dmarc.asked:
        return unasked(Check.DMARC, "its DMARC policy")
    if dmarc.policy in ("quarantine", "reject"):
        return fine(Check.DMARC, f"p={dmarc.policy}, at _dmarc.{dmarc.at}")
    if dmarc.policy is not None:
        return Finding(
            Check.DMARC,
            Level.ADVICE,
            f"the policy at _dmarc.{dmarc.at} is none",
            "that is enough for a start; forged mails in your name still get through (RFC 7489, section 6.3)",
            "go on to p=quarantine when the reports show that no mail of yours fails",
        )
    several = f"there are {dmarc.records} DMARC records, which counts as none (RFC 7489, section 6.6.3)"
    return Finding(
        Check.DMARC,
        Level.WARNING,
        several if dmarc.records else "there is no DMARC record",
        "large providers want one from everybody who sends much (support.google.com/a/answer/81126), and trust a "
        "domain without one less",
        "add a TXT record at _dmarc: v=DMARC1; p=none; rua=mailto:…",
    )

"""What is wrong: gathered from settings, database, the accounts' servers and DNS, and judged.

Reads: all of these; logs in to each account's server and out again. Writes and sends nothing. Trouble: what can't be
asked is a finding; each login and each question to DNS ends in bounded time, and many are under way together.
"""

from __future__ import annotations

import datetime as dt
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from models import SmtpAccount, database, lookup, on_disk
from pipeline.accounts import passwords, signing
from pipeline.content.signature import SigningKey
from pipeline.content.template import ways_of
from pipeline.dns import spf
from pipeline.dns.mail import takes_mail
from pipeline.dns.policies import USUAL_SELECTORS, dmarc_of, key_at
from pipeline.dns.resolver import Ask, Dns, Kind
from pipeline.dns.reverse import Reverse, reverse_of
from pipeline.reports.closed import closed_dates
from pipeline.reports.doctor import account as accounts
from pipeline.reports.doctor import domain as domains
from pipeline.reports.doctor import installation, logins, mailbox, signature
from pipeline.reports.doctor.findings import Check, Diagnosis, Finding, Level
from pipeline.reports.doctor.mailbox import Mailbox
from pipeline.reports.doctor.signature import InDns, Signature
from pipeline.reports.reasons import local
from pipeline.rules import forgotten, providers
from pipeline.runtime import public_holidays, secret_key
from pipeline.runtime.settings import settings
from pipeline.smtp.connection import Endpoint
from pipeline.smtp.trial import Trial
from pipeline.throttle.window import SendingWindow

#: Questions without any answer, one after the other, after which DNS is not asked any more.
MAX_SILENT = 3


@dataclass
class _Asked:
    """What servers and DNS have said."""

    trials: dict[int, Trial] = field(default_factory=dict)
    mailboxes: dict[int, Mailbox] = field(default_factory=dict)
    domains: dict[str, domains.Domain] = field(default_factory=dict)
    keys: dict[SigningKey, InDns] = field(default_factory=dict)
    reverse: Reverse | None = None


def examine(
    account_ids: Sequence[int] = (),
    *,
    selectors: Sequence[str] = (),
    offline: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Diagnosis:
    """Return what is wrong, and what is as it should be.

    Args:
        account_ids: of these accounts and their domains; none: of all that have not been removed.
        selectors: where DKIM keys are; none: the usual ones are tried.
        offline: log in nowhere, and ask no DNS.
        on_progress: told how many servers and domains have been asked, and how many there are.

    Raises:
        NotThereError: there is no such account.
    """
    meant = _accounts(account_ids)
    problems = {account.id: passwords.problem_of(account) for account in meant}
    signatures = {account.id: _signature(account) for account in meant}
    asked = _Asked()
    if not offline:
        endpoints = [logins.endpoint(account) for account in meant if problems[account.id] is None]
        keys = [key for its in signatures.values() for key, _ in its.keys]
        with_mailbox = [account for account in meant if account.imap_host is not None]
        _ask(asked, endpoints, with_mailbox, _own_domains(meant), tuple(selectors), keys, on_progress)
    found = [
        *installation.judge(_installation(asked.reverse, _key_problem(meant, problems))),
        *_of_accounts(meant, problems, signatures, asked),
        *_of_domains(meant, asked),
    ]
    return Diagnosis(any(finding.level is Level.ERROR for finding in found), tuple(found))


def _accounts(ids: Sequence[int]) -> list[SmtpAccount]:
    if ids:
        return [lookup.account(account_id) for account_id in dict.fromkeys(ids)]
    return list(SmtpAccount.select().where(SmtpAccount.removed_at.is_null()).order_by(SmtpAccount.id))


def _key_problem(meant: Sequence[SmtpAccount], problems: dict[int, str | None]) -> str | None:
    """Return what is wrong where no password at all can be read: that is the key's fault."""
    of_stored = [problems[account.id] for account in meant if account.password is not None]
    return of_stored[0] if of_stored and all(of_stored) else None


def _own_domains(meant: Sequence[SmtpAccount]) -> list[str]:
    """Return the accounts' domains, but for those of public providers, who look after theirs themselves."""
    found = dict.fromkeys(map(logins.domain_of, meant))
    return [domain for domain in found if providers.of_mailbox(domain) is None]


def _ask(
    asked: _Asked,
    endpoints: Sequence[Endpoint],
    with_mailbox: Sequence[SmtpAccount],
    own: Sequence[str],
    selectors: Sequence[str],
    keys: Sequence[SigningKey],
    on_progress: Callable[[int, int], None],
) -> None:
    dns = Dns(settings().mail_dns_servers, MAX_SILENT)

    def log_in(endpoint: Endpoint) -> None:
        asked.trials[endpoint.account_id] = logins.log_in(endpoint)

    def open_mailbox(account: SmtpAccount) -> None:
        asked.mailboxes[account.id] = logins.open_mailbox(account)

    def ask_domain(domain: str) -> None:
        asked.domains[domain] = _domain(domain, selectors, dns)

    def ask_key(key: SigningKey) -> None:
        asked.keys[key] = signature.published(key, dns)

    def ask_name(name: str) -> None:
        asked.reverse = reverse_of(name, dns)

    name = settings().mail_ehlo_name
    jobs = [
        *(partial(log_in, endpoint) for endpoint in endpoints),
        *(partial(open_mailbox, account) for account in with_mailbox),
        *(partial(ask_domain, domain) for domain in own),
        *(partial(ask_key, key) for key in keys),
        *(partial(ask_name, name) for name in ([name] if name and not name.startswith("[") else [])),
    ]
    logins.together(jobs, on_progress)


def _signature(account: SmtpAccount) -> Signature:
    problem: str | None = None
    keys: tuple[SigningKey, ...] = ()
    try:
        keys = signing.keys_of(account)
    except signing.KeyFileError as error:
        problem = str(error)
    still = account.unsubscribe_learned_of == signing.set_up(account)
    return Signature(
        problem=problem,
        keys=[(key, None) for key in keys],
        covered=signing.covers_unsubscribe(account),
        evidence=account.unsubscribe_evidence if still else None,
    )


def _domain(name: str, selectors: Sequence[str], ask: Ask) -> domains.Domain:
    guessed = () if selectors else USUAL_SELECTORS
    return domains.Domain(
        mail=takes_mail(name, ask),
        has_mx=bool(ask(name, Kind.MX).records),
        spf=spf.read(name, ask),
        given={selector: key_at(selector, name, ask) for selector in selectors},
        guessed={selector: key_at(selector, name, ask) for selector in guessed},
        dmarc=dmarc_of(name, ask),
    )


def _installation(reverse: Reverse | None, key_problem: str | None) -> installation.Installation:
    s = settings()
    window = SendingWindow.from_settings(s)
    now = database.now()
    offers = ways_of(s)
    closed = next(closed_dates(window, now, now + dt.timedelta(days=366)), None)
    weekend = installation.weekend_of(window.open_time(now, now + dt.timedelta(days=7)).spans, s.mail_window_timezone)
    return installation.Installation(
        clock_ahead=_clock_ahead(),
        window=_in_words(window),
        zone_is_set="mail_window_timezone" in s.model_fields_set,
        weekend_at=None if weekend is None else local(weekend, s.mail_window_timezone),
        holidays=window.holidays,
        without_holidays=tuple(_without_holidays(window.holidays, window.local_date(now).year)),
        closed_next=None if closed is None else closed.in_words,
        postal_address=s.mail_postal_address,
        unsubscribe=tuple(offer for offer in (offers.mailto, offers.public_url or offers.url) if offer),
        public_url=offers.public_url,
        proxies_are_named=bool(s.mail_web_trusted_proxies),
        key=_where_the_key_is(),
        key_problem=key_problem,
        forgotten_problem=forgotten.problem(),
        without_key=forgotten.without_key(),
        durability=on_disk.durability(),
        readable=tuple(_readable_by_others()),
        ehlo_name=s.mail_ehlo_name,
        reverse=reverse,
    )


def _without_holidays(regions: Sequence[str], this_year: int) -> Iterator[str]:
    """Yield those of which no holiday is known for this year or the next, with the year."""
    for region in regions:
        for year in (this_year, this_year + 1):
            if not public_holidays.in_year(region, year):
                yield f"{region} in {year}"


def _readable_by_others() -> Iterator[str]:
    """Yield the files of this installation that not only their owner may read or write."""
    stored = database.sqlite_file()
    files = [] if stored is None else [stored.with_name(stored.name + end) for end in ("", "-wal", "-shm", ".lock")]
    for file in (*files, secret_key.key_file(), Path(".env")):
        with suppress(FileNotFoundError):
            if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                yield str(file)


def _clock_ahead() -> float:
    """Return by how many seconds the database's clock is ahead of this machine's, which is read before and after."""
    before = dt.datetime.now(dt.UTC)
    there = database.now()
    after = dt.datetime.now(dt.UTC)
    return (there - (before + (after - before) / 2)).total_seconds()


def _in_words(window: SendingWindow) -> str:
    hours = ", ".join(f"{start:%H:%M} to {end:%H:%M}" for start, end in window.intervals)
    return f"from {hours} in {window.zone.key}"


def _where_the_key_is() -> str | None:
    if settings().secret_key is not None:
        return "SECRET_KEY"
    return str(secret_key.key_file()) if secret_key.key_file().exists() else None


def _of_accounts(
    meant: Sequence[SmtpAccount], problems: dict[int, str | None], signatures: dict[int, Signature], asked: _Asked
) -> Iterator[Finding]:
    if not meant:
        yield Finding(
            Check.ACCOUNTS,
            Level.WARNING,
            "there is no account",
            "without one nothing is sent",
            "add one: `slowpost accounts add`",
        )
    now = database.now()
    for account in meant:
        about_domain = asked.domains.get(logins.domain_of(account))
        its_spf = None if about_domain is None else about_domain.spf
        facts = logins.facts_of(account, problems[account.id], asked.trials.get(account.id), its_spf)
        its = signatures[account.id]
        its = replace(its, keys=[(key, asked.keys.get(key)) for key, _ in its.keys])
        its_mailbox = asked.mailboxes.get(account.id, Mailbox(account.imap_host))
        for finding in (*accounts.judge(facts, now), *signature.judge(its), *mailbox.judge(its_mailbox)):
            yield replace(finding, account_ids=(account.id,), account=account.name)


def _of_domains(meant: Sequence[SmtpAccount], asked: _Asked) -> Iterator[Finding]:
    for domain, facts in asked.domains.items():
        ids = tuple(account.id for account in meant if logins.domain_of(account) == domain)
        for finding in domains.judge(facts):
            yield replace(finding, account_ids=ids, domain=domain)

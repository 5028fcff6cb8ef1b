"""What is the same for all accounts, judged: clocks, window, what every mail has to say, keys, database. Pure."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.dns.reverse import Reverse
from pipeline.reports.doctor.findings import Check, Finding, Level, fine, unasked

#: Seconds by which two clocks may differ before it is said, and before it hurts.
CLOCK_SAID = 5
CLOCK_HURTS = 300


@dataclass(frozen=True)
class Installation:
    """What was found out.

    Attributes:
        clock_ahead: seconds by which the database's clock is ahead of this machine's.
        window: the window in words.
        zone_is_set: whether somebody has chosen its time zone.
        weekend_at: the next time at which mail would go out on a Saturday or Sunday, in words; None: it would not.
        holidays: MAIL_WINDOW_HOLIDAYS.
        without_holidays: those of them of which no holiday is known for this year or the next, with the year.
        closed_next: the next holiday or closed date on which the window would open, in words; None: there is none.
        postal_address: MAIL_POSTAL_ADDRESS.
        unsubscribe: what List-Unsubscribe offers.
        public_url: MAIL_PUBLIC_URL.
        proxies_are_named: whether MAIL_WEB_TRUSTED_PROXIES names any.
        key: where the key that encrypts passwords is; None: there is none.
        key_problem: what is wrong with it.
        durability: `models.on_disk.durability`.
        readable: files with names, addresses or passwords that other users of this machine may read.
        forgotten_problem: what is wrong with the key of forgotten people's hashes.
        without_key: forgotten people whose hashes have no key yet.
        ehlo_name: MAIL_EHLO_NAME.
        reverse: what DNS says of that name; None: it was not asked.
    """

    clock_ahead: float
    window: str
    zone_is_set: bool
    weekend_at: str | None
    holidays: tuple[str, ...]
    without_holidays: tuple[str, ...]
    closed_next: str | None
    postal_address: str | None
    unsubscribe: tuple[str, ...]
    key: str | None
    key_problem: str | None
    durability: Mapping[str, str]
    public_url: str | None = None
    proxies_are_named: bool = False
    readable: tuple[str, ...] = ()
    forgotten_problem: str | None = None
    without_key: int = 0
    ehlo_name: str | None = None
    reverse: Reverse | None = None


def judge(facts: Installation) -> Iterator[Finding]:
    """Yield what there is to say about an installation."""
    yield _clock(facts.clock_ahead)
    yield from _window(facts)
    yield _holidays(facts)
    yield _postal_address(facts.postal_address)
    yield _unsubscribe(facts.unsubscribe)
    if facts.public_url is not None:
        yield _proxies(facts.public_url, are_named=facts.proxies_are_named)
    yield _key(facts)
    yield _forgotten(facts)
    yield from _database(facts.durability)
    yield _files(facts.readable)
    if facts.ehlo_name is not None and facts.reverse is not None:
        yield _ehlo_name(facts.ehlo_name, facts.reverse)


def _clock(ahead: float) -> Finding:
    off = abs(ahead)
    if off <= CLOCK_SAID:
        return fine(Check.CLOCK, f"this machine's clock and the database's differ by {off:.1f} s")
    return Finding(
        Check.CLOCK,
        Level.ERROR if off > CLOCK_HURTS else Level.WARNING,
        f"the database's clock is {off:.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's",
        "limits and the window go by the database's clock, delays by this machine's; certificates need a right one",
        "let both machines set their clocks from the network (chrony, systemd-timesyncd)",
    )


def _window(facts: Installation) -> Iterator[Finding]:
    if facts.zone_is_set:
        yield fine(Check.TIME_ZONE, f"mails go out {facts.window}")
    else:
        yield Finding(
            Check.TIME_ZONE,
            Level.ADVICE,
            f"nobody has chosen a time zone: mails go out {facts.window}",
            "business hours are those of the people you write to",
            "set MAIL_WINDOW_TIMEZONE",
        )
    if facts.weekend_at is None:
        yield fine(Check.WEEKENDS, "nothing goes out on Saturdays and Sundays")
    else:
        yield Finding(
            Check.WEEKENDS,
            Level.WARNING,
            f"mail would go out on weekends, next on {facts.weekend_at}",
            "a business letter that comes on a Sunday looks as if a machine had sent it",
            "MAIL_WINDOW_DAYS=mon-fri, unless you want it so",
        )


def _holidays(facts: Installation) -> Finding:
    if facts.without_holidays:
        return Finding(
            Check.HOLIDAYS,
            Level.WARNING,
            f"no public holiday is known of {', '.join(facts.without_holidays)}",
            "a business letter that comes on a holiday looks as if a machine had sent it",
            "name those days in MAIL_WINDOW_CLOSED_DATES; a newer release of the package holidays may know them",
        )
    if facts.closed_next is not None:
        return fine(Check.HOLIDAYS, f"nothing goes out on holidays and closed dates, next: {facts.closed_next}")
    if facts.holidays:
        return fine(Check.HOLIDAYS, f"no public holiday of {', '.join(facts.holidays)} is on a day of the window")
    return Finding(
        Check.HOLIDAYS,
        Level.ADVICE,
        "mail would go out on public holidays",
        "a business letter that comes on a holiday looks as if a machine had sent it",
        "set MAIL_WINDOW_HOLIDAYS to the countries of the people you write to",
    )


def _postal_address(address: str | None) -> Finding:
    if address:
        return fine(Check.POSTAL_ADDRESS, "it is set")
    return Finding(
        Check.POSTAL_ADDRESS,
        Level.WARNING,
        "MAIL_POSTAL_ADDRESS is not set",
        "the law of many countries wants a postal address in each such mail "
        "(United States: 15 U.S.C. 7704(a)(5)(A)(iii))",
        "set MAIL_POSTAL_ADDRESS, and write {{ postal_address }} in each template",
    )


def _unsubscribe(offers: tuple[str, ...]) -> Finding:
    if offers:
        return fine(Check.UNSUBSCRIBE, f"List-Unsubscribe offers {' and '.join(offers)}")
    return Finding(
        Check.UNSUBSCRIBE,
        Level.WARNING,
        "there is no way to unsubscribe",
        "people who find none report the mail as spam; the law wants one, too (15 U.S.C. 7704(a)(3), RFC 2369, "
        "section 3.2)",
        "set MAIL_UNSUBSCRIBE_MAILTO or MAIL_UNSUBSCRIBE_URL, and write {{ unsubscribe }} in each template",
    )


def _proxies(public_url: str, *, are_named: bool) -> Finding:
    if are_named:
        return fine(Check.PROXIES, "clients of the unsubscribe pages are told apart by what a trusted proxy says")
    return Finding(
        Check.PROXIES,
        Level.WARNING,
        f"MAIL_WEB_TRUSTED_PROXIES is empty, and {public_url} is served by a proxy (`slowpost web` speaks no TLS)",
        "all who unsubscribe count as one client, the proxy, and share its MAIL_WEB_CLIENT_LIMIT: when many come at "
        "once, some are told to wait",
        "set MAIL_WEB_TRUSTED_PROXIES to the address from which the proxy connects",
    )


def _key(facts: Installation) -> Finding:
    if facts.key_problem is not None:
        return Finding(
            Check.KEY,
            Level.ERROR,
            facts.key_problem,
            "without the key that has encrypted them no password can be read, and no account can log in",
            "put the key back: SECRET_KEY, or the key file, from your backup",
        )
    return fine(Check.KEY, "no password is stored, and no key needed" if facts.key is None else f"it is in {facts.key}")


def _forgotten(facts: Installation) -> Finding:
    if facts.forgotten_problem is not None:
        return Finding(
            Check.FORGOTTEN,
            Level.ERROR,
            facts.forgotten_problem,
            "nobody is selected, imported or written to until forgotten people can be told from others",
            "put the key back: SECRET_KEY, or the key file, from your backup; workers wait for it",
        )
    if facts.without_key:
        return Finding(
            Check.FORGOTTEN,
            Level.ERROR,
            f"the hashes of {facts.without_key} forgotten people have no key",
            "whoever reads the database, or a backup, can find their addresses by trying",
            "run `slowpost init` where SECRET_KEY or the key file is",
        )
    return fine(Check.FORGOTTEN, "forgotten people are known by a hash that has a key, or there are none")


def _database(durability: Mapping[str, str]) -> Iterator[Finding]:
    bad = sorted(f"{name}={value}" for name, value in durability.items() if _loses_commits(name, value))
    if not bad:
        shown = ", ".join(f"{name}={value}" for name, value in durability.items())
        yield fine(Check.DATABASE, f"what is committed survives a power failure ({shown})")
        return
    yield Finding(
        Check.DATABASE,
        Level.ERROR,
        f"what is committed can be lost at a power failure: {', '.join(bad)}",
        "a mail whose claim is lost is sent a second time",
        "switch these on in postgresql.conf, or for the database and user (ALTER DATABASE, ALTER ROLE)"
        if "fsync" in durability
        else "keep the file on a local disk, and let nothing else change how it is written",
    )


def _loses_commits(name: str, value: str) -> bool:
    """Tell whether a commit can be lost with this setting (PostgreSQL: 20.5, Write Ahead Log; sqlite.org/pragma.html:
    synchronous 2 is FULL, 3 EXTRA; a journal in memory or none at all).
    """
    if name == "synchronous":
        return value not in ("2", "3")
    return value in ("off", "memory")


def _files(readable: tuple[str, ...]) -> Finding:
    if not readable:
        return fine(Check.FILES, "database, key and settings are for their owner alone")
    return Finding(
        Check.FILES,
        Level.WARNING,
        f"other users of this machine may read or write {', '.join(readable)}",
        "in the database are names, addresses and mails; with the key, or with `.env`, its passwords can be read, too",
        f"chmod go= {shlex.join(readable)}",
    )


def _ehlo_name(name: str, reverse: Reverse) -> Finding:
    if not reverse.asked and not reverse.unnamed:
        return unasked(Check.EHLO_NAME, f"{name} and its addresses")
    if not reverse.addresses:
        found = f"MAIL_EHLO_NAME={name} has no address"
    elif reverse.unnamed:
        found = f"{', '.join(reverse.unnamed)} of MAIL_EHLO_NAME={name} has no PTR record that leads back to it"
    else:
        return fine(Check.EHLO_NAME, f"{name} and its addresses name each other")
    return Finding(
        Check.EHLO_NAME,
        Level.WARNING,
        found,
        "many receivers refuse a server of your own if its name and its address do not lead to each other (RFC 1912, "
        "section 2.1; support.google.com/a/answer/81126)",
        "ask whoever gave you the address to set its PTR record to that name, and let the name have that address",
    )


def weekend_of(spans: tuple[tuple[dt.datetime, dt.datetime], ...], zone: dt.tzinfo) -> dt.datetime | None:
    """Return the first instant of open time that is on a Saturday or Sunday in `zone`; None: there is none."""
    for opens, closes in spans:
        start, end = opens.astimezone(zone), closes.astimezone(zone)
        if start.weekday() >= 5:
            return start
        saturday = dt.datetime.combine(start.date() + dt.timedelta(days=5 - start.weekday()), dt.time(0), zone)
        if saturday < end:
            return saturday
    return None

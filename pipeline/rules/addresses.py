"""What an address says by itself: whether it is a role's or a machine's, or one that is thrown away. Pure.

A role is told by the part before the @ (RFC 2142 names the usual ones), a throw-away address by its domain, which is on
the list that the package `disposable-email-domains` keeps.
"""

from __future__ import annotations

from disposable_email_domains import blocklist

#: Nobody who reads these has asked for mail or can answer it: those who look after a domain and its mail (RFC 2142,
#: sections 3 to 5), and senders whose mailbox nobody reads. Mail to the first gets a sender reported.
REFUSED_ROLES = frozenset(
    {
        *("abuse", "postmaster", "hostmaster", "spam", "mailer-daemon", "bounce", "bounces", "unsubscribe"),
        *("noreply", "no-reply", "no_reply", "no.reply", "donotreply", "do-not-reply", "do_not_reply"),
    }
)
#: Read by whoever is there (RFC 2142, section 3, and what websites show): fine for some mails, so it is only said.
SHARED_ROLES = frozenset(
    {
        *("info", "contact", "hello", "office", "mail", "admin", "webmaster", "team", "kontakt"),
        *("sales", "marketing", "support", "help", "service", "billing", "jobs", "press"),
    }
)


def role_of(address: str) -> str:
    """Return the part of a normalised address by which a role is told: what stands before the @ and a +."""
    return address.rpartition("@")[0].partition("+")[0]


def domain_of(address: str) -> str:
    """Return the domain of a normalised address."""
    return address.rpartition("@")[2]


def is_refused_role(address: str) -> bool:
    """Tell whether a normalised address is one of a role or a machine that is never written to."""
    return role_of(address) in REFUSED_ROLES


def is_shared_role(address: str) -> bool:
    """Tell whether a normalised address is one that several people read."""
    return role_of(address) in SHARED_ROLES


def is_disposable(address: str) -> bool:
    """Tell whether the domain of a normalised address, or one above it, gives out throw-away addresses."""
    labels = domain_of(address).split(".")
    return any(".".join(labels[i:]) in blocklist for i in range(len(labels) - 1))

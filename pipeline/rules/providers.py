"""What large mail providers say about themselves: how much an account may send, and whose addresses are theirs. Pure.

Kept by hand; the page of each stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Provider:
    """A mail provider.

    Attributes:
        name: what it is called.
        servers: the domains of its mail servers.
        mailboxes: the domains at which everybody can have an address.
        spf: what a domain whose mail it sends has to include in its SPF record.
        a_day: mails that an account with an address of one's own domain may send in 24 hours.
        a_day_public: the same of one at `mailboxes`.
        a_minute: mails that an account may send in a minute.
        source: the page that says so.
    """

    name: str
    servers: tuple[str, ...]
    mailboxes: tuple[str, ...] = ()
    spf: str | None = None
    a_day: int | None = None
    a_day_public: int | None = None
    a_minute: int | None = None
    source: str = ""


#: The first that fits counts.
PROVIDERS = (
    Provider(
        "Google's SMTP relay",
        ("smtp-relay.gmail.com",),
        spf="_spf.google.com",
        a_day=10_000,
        source="support.google.com/a/answer/2956491",
    ),
    Provider(
        "Google",
        ("gmail.com", "googlemail.com", "google.com"),
        ("gmail.com", "googlemail.com"),
        spf="_spf.google.com",
        a_day=2_000,
        a_day_public=500,
        source="support.google.com/a/answer/166852, support.google.com/mail/answer/22839",
    ),
    Provider(
        "Microsoft 365",
        ("office365.com", "outlook.com", "hotmail.com", "live.com"),
        ("outlook.com", "hotmail.com", "hotmail.co.uk", "hotmail.de", "hotmail.fr", "live.com", "msn.com"),
        spf="spf.protection.outlook.com",
        a_day=10_000,
        a_minute=30,
        source="learn.microsoft.com/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits",
    ),
    Provider(
        "Yahoo",
        ("yahoo.com", "aol.com"),
        (
            *("yahoo.com", "yahoo.co.uk", "yahoo.de", "yahoo.fr", "yahoo.es", "yahoo.it", "yahoo.ca", "yahoo.co.in"),
            *("yahoo.com.br", "yahoo.com.au", "ymail.com", "rocketmail.com", "aol.com", "aim.com"),
        ),
    ),
    Provider("Apple", ("me.com", "icloud.com"), ("icloud.com", "me.com", "mac.com")),
    Provider("GMX", ("gmx.net", "gmx.com", "gmx.de"), ("gmx.de", "gmx.net", "gmx.at", "gmx.ch", "gmx.com")),
    Provider("WEB.DE", ("web.de",), ("web.de",)),
    Provider("Telekom", ("t-online.de",), ("t-online.de",)),
    Provider("Mail.ru", ("mail.ru",), ("mail.ru", "bk.ru", "inbox.ru", "list.ru")),
    Provider("Yandex", ("yandex.ru", "yandex.com", "yandex.net"), ("yandex.ru", "yandex.com", "ya.ru")),
    # Its mail goes through a bridge on one's own machine.
    Provider("Proton", ("protonmail.ch", "127.0.0.1", "localhost"), ("proton.me", "protonmail.com", "pm.me")),
    Provider("Zoho", ("zoho.com", "zoho.eu", "zoho.in"), ("zohomail.com", "zohomail.eu")),
    Provider("Fastmail", ("fastmail.com", "messagingengine.com"), ("fastmail.com", "fastmail.fm")),
)

#: More domains at which everybody can have an address: of access providers, and of the larger ones of some countries.
OTHER_MAILBOXES = frozenset(
    (
        *("alice.it", "arcor.de", "att.net", "bellsouth.net", "bigpond.com", "bluewin.ch", "btinternet.com", "cox.net"),
        *("charter.net", "comcast.net", "daum.net", "earthlink.net", "email.com", "email.de", "foxmail.com", "free.fr"),
        *("freenet.de", "gmx.fr", "gmx.es", "gmx.co.uk", "hanmail.net", "hey.com", "hotmail.es", "hotmail.fr"),
        *("hotmail.it", "hushmail.com", "inbox.com", "interia.pl", "laposte.net", "libero.it", "live.co.uk", "live.de"),
        *("live.fr", "live.nl", "mail.com", "mail.de", "mailbox.org", "naver.com", "neuf.fr", "o2.pl", "online.de"),
        *("onet.pl", "optonline.net", "optusnet.com.au", "orange.fr", "outlook.de", "outlook.es", "outlook.fr"),
        *("posteo.de", "posteo.net", "qq.com", "rediffmail.com", "rogers.com", "sapo.pt", "sbcglobal.net", "seznam.cz"),
        *("sfr.fr", "shaw.ca", "sina.com", "sky.com", "skynet.be", "sympatico.ca", "talktalk.net", "telenet.be"),
        *("telefonica.net", "terra.com.br", "terra.es", "tiscali.it", "tuta.io", "tutanota.com", "uol.com.br"),
        *("verizon.net", "virgilio.it", "virginmedia.com", "wanadoo.fr", "wp.pl", "ziggo.nl", "zoho.com", "126.com"),
        *("163.com", "yeah.net"),
    )
)


def of_server(host: str) -> Provider | None:
    """Return whose mail server this is; None: nobody's of the list."""
    host = host.lower().rstrip(".")
    return next((p for p in PROVIDERS if any(host == s or host.endswith(f".{s}") for s in p.servers)), None)


def of_mailbox(domain: str) -> Provider | None:
    """Return the provider at whose `domain` everybody can have an address; None: it is nobody's of the list."""
    return next((p for p in PROVIDERS if domain in p.mailboxes), None)

"""Names, addresses and subjects of strangers, and names of files: a mail says exactly what was meant, or is refused for
a reason.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from email import message_from_bytes, policy
from typing import Any

from hypothesis import strategies as st

from models import address as addresses
from pipeline.content.files import FileError, checked_name
from pipeline.content.markers import MARK_START
from pipeline.content.message import (
    Envelope,
    MessageRefusedError,
    Rendered,
    Sender,
    Unsubscribe,
    build,
)
from pipeline.content.mime import File, encoded
from tests.faults.fuzzing import fuzz
from tests.strict_mail import Mailbox, entity_of, head_of


def test_fuzz_every_mail_says_what_was_meant_or_is_refused(
    counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    came_to: Counter[str] = Counter()

    def judged(mail: dict[str, Any]) -> None:
        (recipient, its_mailbox), (sender, own_mailbox) = mail["to"], mail["from"]
        rendered = Rendered(recipient, mail["name"], mail["subject"], "Hello\n", None, mail["preheader"], "<1@a.test>")
        try:
            envelope = build(rendered, Sender(sender, mail["own name"], sender), AT, STOP)
        except MessageRefusedError:
            came_to["refused"] += 1
            words = (
                recipient,
                sender,
                its_mailbox[0],
                own_mailbox[0],
                *(mail[name] for name in ("name", "own name", "subject", "preheader")),
            )
            assert "\t" in recipient + sender or any(REFUSED.search(word) or len(word) > FITS for word in words)
            return
        came_to["built"] += 1
        head = head_of(envelope.data)
        names = {name for name, _ in head.fields}
        assert len(names) == len(head.fields)
        assert names - {"x-preheader"} == OURS
        assert head.mailbox("to") == Mailbox(mail["name"], *its_mailbox)
        assert head.mailbox("from") == Mailbox(mail["own name"], *own_mailbox)
        assert head.mailbox("reply-to") == Mailbox("", *own_mailbox)
        assert head.text("subject") == mail["subject"]
        assert (head.text("x-preheader") if "x-preheader" in names else "") == mail["preheader"]
        assert_envelope(envelope, its_mailbox, own_mailbox)

    seed = fuzz(judged, MAILS, cases=counts(150, 100_000))
    report(cases=sum(came_to.values()), **came_to, seed=seed)
    assert min(came_to["built"], came_to["refused"]) > 0


def test_fuzz_every_file_has_the_name_that_was_meant_or_is_refused(
    counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    came_to: Counter[str] = Counter()
    words = Rendered("a@a.test", "", "Hello", "Hello\n", None, None, "<1@a.test>")

    def judged(given: str) -> None:
        try:
            name = checked_name(given)
        except FileError:
            came_to["refused"] += 1
            assert NO_FILE.search(given) or not given.isprintable() or len(given.encode()) > 255
            return
        came_to["built"] += 1
        mail = build(
            words, Sender("b@a.test"), AT, STOP, files=[File(name, "text/plain", encoded(b"what is in it"))]
        ).data
        assert name == unicodedata.normalize("NFC", given)
        assert mail.isascii()
        _, part = entity_of(mail).leaves()
        assert (part.disposition(), part.content) == (("attachment", {"filename": name}), b"what is in it")
        (other,) = message_from_bytes(mail, policy=policy.default).iter_attachments()
        assert (other.get_filename(), other.get_payload(decode=True)) == (name, b"what is in it")

    seed = fuzz(judged, NAMES_OF_FILES, cases=counts(150, 100_000))
    report(cases=sum(came_to.values()), **came_to, seed=seed)
    assert min(came_to["built"], came_to["refused"]) > 0


def test_fuzz_all_spellings_of_an_address_are_one(
    counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    def judged(spelled: tuple[str, tuple[str, str]]) -> None:
        written, (local, domain) = spelled
        normal = addresses.normalise(written)
        assert addresses.normalise(normal) == normal
        assert addresses.normalise(quoted(local) + "@" + domain) == normal
        assert normal in addresses.forms(normal)
        assert addresses.normalise(addresses.mailbox(written)) == normal

    report(cases=counts(150, 100_000), seed=fuzz(judged, ADDRESSES, cases=counts(150, 100_000)))


AT = dt.datetime(2026, 6, 2, 14, 0, tzinfo=dt.UTC)
STOP = Unsubscribe("stop@example.test", "https://example.test/stop?a=b,c")
OURS = {
    "from", "to", "reply-to", "subject", "date", "message-id", "list-unsubscribe",
    "mime-version", "content-type", "content-transfer-encoding",
}  # fmt: skip

#: What headers, folding, encoding and Unicode are tripped up by, and what nobody may write in a header.
TRICKS = [
    *'"\\<>,;:()[]@.=?_ \t',
    "  ", "=?", "?=", "=?x?z?y?=", "=3D", '", x@y.test, "', "<x@y.test>", "(a comment)", "\\", "Bcc: x@y.test",
    "Your bank <service@bank.example>, Robert Example of the Department for Everything and More",
    "Dr. Ann Example, Head of the Department of Something Long That Has To Be Folded, University",
    "undisclosed-recipients:;", "Group: a@b.test;", "@a.test,@b.test:c@d.test", MARK_START, f"{MARK_START}sender.name",
    "ä", "ß", "é", "e\u0301", "\u0301", "ﬁ", "名前", "🐌", "👩\u200d👧", "İ", "ǅ", "Σ", "ｃａｒｏｌ", "％", "＠",
    "，", "\u202e", "\u200b", "\ufeff", "\ufffe", "\u00a0", "\u3000", "\u00ad", "à l'été où l'on dîne",
    "Grüße aus München, und für Sie die nächste Überraschung: 20 % auf alles, für kurze Zeit",
    "a" * 60, "a" * 77, "a" * 300, "ü" * 40, "ü" * 300, "a b " * 30, "ab ü " * 20, '"' * 40, "\\" * 40,
]  # fmt: skip
POISON = [
    "\r\n", "\r", "\n", "\x00", "\x0b", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "=\r\n ",
    "\r\nBcc: x@y.test", "\r\n\r\nbody", "\r\n.\r\n", "=?utf-8?q?", "=?utf-8?q?x?=", "=?UTF-8?B?eA==?=",
    "=?utf-8?q?Bob=0D=0ABcc:_x@y.test?=", "=?iso-8859-1*de?Q?=FC?=", "a" * 997,
]  # fmt: skip
READABLE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
PIECES = st.sampled_from(TRICKS) | st.text(READABLE, max_size=6) | st.text("abcdefg .,-ä", max_size=12)
HARMLESS = st.lists(PIECES, max_size=8).map("".join)
WORDS = HARMLESS | HARMLESS | HARMLESS | HARMLESS | st.lists(PIECES | st.sampled_from(POISON), max_size=8).map("".join)
#: By our own judgement there is nothing to refuse. (Addresses, words of a header, a line of a header.)
REFUSED = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|=\?.*\?[bq]\?", re.IGNORECASE | re.DOTALL)
FITS = 450
#: What no file is called: nothing, a path, what Windows does not take, a space around it, a full stop at its end.
NO_FILE = re.compile(r'^$|[/\\:"<>|?*]|^ | $|\.$')
#: What parameters and file systems are tripped up by.
OF_FILES = [
    ".pdf", ".exe", '"; filename="', "; filename*=utf-8''", "*0=", "*1*=", "%", "%41", "%e4", "''", "utf-8''", "name*",
    "/", "..", "C:", "\\", "::$DATA", "\u202e", "=\n\t",
]  # fmt: skip
NAMES_OF_FILES = WORDS | st.lists(PIECES | st.sampled_from(OF_FILES), max_size=6).map("".join)
#: As written → in IDNA.
DOMAINS = st.sampled_from(
    [
        ("example.test", "example.test"),
        ("EXAMPLE.test", "example.test"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("例え.example", "xn--r8jz45g.example"),
        ("example。test", "example.test"),
        ("gmail.com", "gmail.com"),
        ("a" * 63 + ".test", "a" * 63 + ".test"),
    ]
)
LOCALS = st.sampled_from("ab.+-_ä名 @<>,;:()\"\\'`{|}~!#$%&*/=?^é") | st.sampled_from(TRICKS)
PLAIN = st.text("abcäé.", min_size=1, max_size=9)


def quoted(local: str) -> str:
    """Return a local part in quotes."""
    return '"' + "".join("\\" + c if c in '"\\' else c for c in local) + '"'


def needlessly_quoted(local: str) -> str:
    """Return a local part in quotes, each character escaped."""
    return '"' + "".join("\\" + c for c in local) + '"'


@st.composite
def spelled(draw: st.DrawFn) -> tuple[str, tuple[str, str]]:
    """Return an address as somebody writes it, and what it means: local part without quotes, domain in IDNA."""
    kind = draw(st.integers(0, 19))
    pieces = LOCALS if kind else LOCALS | st.sampled_from(POISON)
    local = draw(st.lists(pieces, min_size=1, max_size=8).map("".join) if kind < 8 else PLAIN)
    written, domain = draw(DOMAINS)
    atoms = local.split(".")
    needs_quotes = not all(atoms) or any(c in '()<>[]:;@\\,"' or c.isspace() or c < " " or c == "\x7f" for c in local)
    spellings = [quoted, needlessly_quoted] if needs_quotes else [str, quoted, needlessly_quoted]
    return draw(st.sampled_from(spellings))(local) + "@" + written, (local, domain)


ADDRESSES = spelled()
MAILS = st.fixed_dictionaries(
    {"to": ADDRESSES, "from": ADDRESSES, "name": WORDS, "own name": WORDS, "subject": WORDS, "preheader": WORDS}
)


def assert_envelope(envelope: Envelope, recipient: tuple[str, str], sender: tuple[str, str]) -> None:
    """Compare the envelope's addresses; these are as they were written, but for the domain."""
    for address, (local, domain) in ((envelope.recipient, recipient), (envelope.sender, sender)):
        assert address in {f"{spelling(local)}@{domain}" for spelling in (str, quoted, needlessly_quoted)}

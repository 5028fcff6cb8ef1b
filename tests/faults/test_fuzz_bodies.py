"""Whatever a body says, it arrives as it was written, and nothing in it is a command, a header or another part."""

from __future__ import annotations

import base64
import datetime as dt
import quopri
import re
from collections import Counter
from collections.abc import Callable

from hypothesis import strategies as st

from pipeline.content.message import MessageRefusedError, Rendered, Sender, Unsubscribe, build
from pipeline.smtp.transaction import _dot_stuffed
from tests.faults.fuzzing import fuzz


def test_fuzz_a_body_arrives_as_it_was_written_or_is_refused(
    counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    came_to: Counter[str] = Counter()

    def judged(bodies: tuple[str, str | None]) -> None:
        text, html = bodies
        rendered = Rendered("ann@a.test", "Ann", "Hello", text, html, None, "<1@a.test>")
        try:
            data = build(rendered, Sender("bob@a.test", "Bob"), AT, Unsubscribe()).data
        except MessageRefusedError as refusal:
            came_to["refused"] += 1
            why = str(refusal)
        else:
            came_to["built"] += 1
            arrived = parts(received(_dot_stuffed(data)))
            assert arrived == [lines(body) for body in bodies if body is not None]
            return
        # Nothing but NUL is not allowed in a body.
        assert "NUL" in why
        assert "\0" in text + (html or "")

    seed = fuzz(judged, st.tuples(BODIES, st.none() | BODIES), cases=counts(60, 100_000))
    report(cases=sum(came_to.values()), **came_to, seed=seed)
    assert came_to["built"] > came_to["refused"]


AT = dt.datetime(2026, 6, 2, 14, 0, tzinfo=dt.UTC)

PIECES = st.one_of(
    st.sampled_from(
        (
            *(
                "\n",
                "\r\n",
                "\r",
                "\n.\n",
                "\r\n.\r\n",
                ".",
                "..",
                "\n.",
                "\nFrom ",
                "From ",
                "\n\n",
                " ",
                "  \n",
                "\t\n",
                "=",
                "=",
            ),
            *(
                "QUIT",
                "\nBcc: eve@a.test\n",
                "\n--",
                "--=_",
                "\nContent-Type: text/html\n\n",
                "=0D=0A.=0D=0A",
                "=?utf-8?q?a?=",
            ),
            *(
                "ä",
                "€",
                "\U0001f600",
                "\u2028",
                "\x85",
                "\x0b",
                "\x0c",
                "\x1c",
                "\ufeff",
                "\u202e",
                "\x7f",
                "\x80",
                "\0",
            ),
            *("word ", "word " * 30, "x" * 998, "x" * 1_000, "ä" * 600, "\n" * 5, "</body>", "<body>", "&amp;"),
        )
    ),
    st.text(max_size=20),
)
#: Without the marks of the sender's fields, which are replaced.
BODIES = st.lists(PIECES, max_size=10).map("".join).filter(lambda body: not {"\ue000", "\ue001"} & set(body))


def lines(body: str) -> list[str]:
    """Return a body's lines; what follows the last line break is none if it is empty."""
    found = re.split(r"\r\n|\r|\n", body)
    return found[:-1] if found[1:] and found[-1] == "" else found


def received(sent: bytes) -> bytes:
    """Return what a server has read when it meets the final dot (RFC 5321 4.5.2)."""
    assert sent.endswith(b"\r\n")
    taken = []
    for line in (sent + b".\r\n").split(b"\r\n"):
        assert not {b"\r", b"\n", b"\0"} & {line[at : at + 1] for at in range(len(line))}
        assert len(line) <= 999
        assert line.isascii()
        if line == b".":
            break
        taken.append(line.removeprefix(b"."))
    # It was the one that we have added.
    assert sum(len(line) + 2 for line in taken) == len(sent) - sent.count(b"\r\n..")
    return b"".join(line + b"\r\n" for line in taken)


def parts(data: bytes) -> list[list[str]]:
    """Return the lines of each body of a message (RFC 2045, 2046), taken apart without Python's `email`."""
    head, body = split(data)
    kind = head["content-type"]
    if boundary := re.search(r'boundary="([^"]+)"', kind):
        assert kind.startswith("multipart/alternative")
        sections = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())
        assert sections[-1].strip() == b"--"
        return [found for section in sections[1:-1] for found in parts(section.removeprefix(b"\r\n"))]
    encoding = head.get("content-transfer-encoding", "7bit")
    decoders = {"base64": base64.b64decode, "quoted-printable": quopri.decodestring, "7bit": bytes}
    charset = re.search(r'charset="?([\w-]+)', kind)
    assert charset is not None
    return [lines(decoders[encoding](body).decode(charset[1]))]


def split(data: bytes) -> tuple[dict[str, str], bytes]:
    """Return the header fields, by their names in lower case, and the body."""
    head, _, body = data.partition(b"\r\n\r\n")
    unfolded = re.sub(rb"\r\n(?=[ \t])", b"", head).decode("ascii")
    fields = [line.partition(":") for line in unfolded.split("\r\n")]
    assert len({name.lower() for name, _, _ in fields}) == len(fields)
    return {name.lower(): value.strip() for name, _, value in fields}, body

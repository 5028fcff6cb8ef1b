"""Whatever a server answers ends soon, costs little, and suppresses nobody for somebody else's fault."""

from __future__ import annotations

import io
import re
import smtplib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from pipeline.smtp import wording
from pipeline.smtp.bounded import MAX_REPLY_LINE, MAX_REPLY_LINES, Smtp
from pipeline.smtp.reply import MAX_TEXT, Phase, Reply, Result, Verdict, judge, judge_failure
from tests.faults.fuzzing import fuzz
from tests.unit.replies import REPLIES


def test_fuzz_every_reply_is_judged_quickly_and_for_good_only_by_the_closed_list(
    counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    verdicts: Counter[Verdict] = Counter()
    longest = 0.0

    def judged(case: tuple[Phase, Reply]) -> None:
        nonlocal longest
        phase, reply = case
        verdict, took = timed(phase, reply)
        if took > MOST_SECONDS:
            # Not if something else was done meanwhile: garbage is collected in this thread, too.
            took = min(timed(phase, reply)[1] for _ in range(3))
        assert took < MOST_SECONDS
        longest = max(longest, took)
        verdicts[verdict] += 1
        is_2yz = reply.code is not None and 200 <= reply.code < 300
        assert (verdict is Verdict.ACCEPTED) == (phase is Phase.DOT and is_2yz)
        if verdict is Verdict.UNKNOWN:
            assert phase is Phase.DOT
        if verdict is Verdict.RECIPIENT_FOR_GOOD:
            assert phase in RECIPIENT_PHASES
            assert reply.code is not None
            assert 500 <= reply.code < 600
        assert len(Result(verdict, phase, reply).words) <= MAX_TEXT

    seed = fuzz(judged, CASES, cases=counts(100, 100_000))
    report(cases=sum(verdicts.values()), for_good=verdicts[FOR_GOOD], longest_ms=round(longest * 1000, 1), seed=seed)


def test_fuzz_a_reply_that_speaks_of_the_sender_suppresses_nobody(
    counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    def judged(case: tuple[Phase, Reply, str]) -> None:
        phase, reply, blame = case
        for text in (f"{reply.text} {blame}", f"{blame} {reply.text}"):
            assert judge(phase, Reply(reply.code, text)) is not FOR_GOOD or ALLOWED_BY_DIRECTORY.search(text)

    seed = fuzz(judged, st.tuples(PHASES, SHORT, BLAMES), cases=counts(80, 100_000))
    report(cases=counts(80, 100_000), seed=seed)


def test_fuzz_whatever_bytes_come_a_reply_is_read_within_bounds_or_is_none(
    counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    outcomes: Counter[str] = Counter()

    def judged(sent: bytes) -> None:
        smtp = Smtp()
        smtp.sock, smtp.file = Silent(), io.BufferedReader(Incoming(sent))
        try:
            code, text = smtp.getreply()
        except (OSError, smtplib.SMTPException, ValueError) as error:
            outcomes[type(error).__name__] += 1
            is_closed, verdict = smtp.file is None, judge_failure(Phase.DOT, error).verdict
            assert (is_closed, verdict) == (True, Verdict.UNKNOWN)
        else:
            outcomes["replies"] += 1
            assert 0 <= code <= 999
            assert len(text) <= MAX_REPLY_LINES * MAX_REPLY_LINE
            assert b"%03d" % code in sent

    seed = fuzz(judged, SENT, cases=counts(80, 100_000))
    report(**outcomes, seed=seed)


#: CPU seconds for one reply. The longest takes about 3 ms; it was 600 once.
MOST_SECONDS = 0.03
FOR_GOOD = Verdict.RECIPIENT_FOR_GOOD
RECIPIENT_PHASES = {Phase.RCPT, Phase.DATA, Phase.BODY, Phase.DOT}
#: Exchange Online's words for an unknown recipient, which speak of a denied access.
ALLOWED_BY_DIRECTORY = re.compile(r"(?is)^\s*#?5\.4\.1\b.*recipient address rejected: access denied")

PHASES = st.sampled_from(Phase)
CODES = st.sampled_from(
    (None, -1, 0, 199, 250, 354, 421, 432, 450, 451, 452, 454, 500, 521, 530, 535, 550, 552, 554, 556)
)
ENHANCED = st.sampled_from(
    ("", "5.1.1", "5.1.10", "5.2.1", "5.2.2", "4.2.2", "5.4.1", "5.4.5", "5.7.1", "5.7.26", "#5.1.0", "5.999.999")
)
#: The words that the table looks for, so that chance comes near to what it would take.
WORDS = sorted(set(re.findall(r"[a-z]{3,}", " ".join(v for v in vars(wording).values() if isinstance(v, str)))))
PIECES = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(
        (" ", ", ", ": ", ".", ";", "\n", "\t", "@", "://", "a" * 64 + "@", "\x1b[2J", "\0", "ä", "\u2028")
    ),
    st.sampled_from([real.reply.text for real in REPLIES]),
    st.text(max_size=10),
)
TEXTS = st.one_of(
    st.sampled_from(("mailbox ", "not", "exceeded.", "rejected.")).map(lambda word: word * 5_000),
    st.lists(PIECES, max_size=12).map(" ".join),
    # What makes a pattern go back and forth.
    st.builds(
        lambda pieces, times: "".join(pieces) * times, st.lists(PIECES, min_size=1, max_size=3), st.integers(1, 900)
    ),
)


def reply_of(code: int | None, enhanced: str, text: str) -> Reply:
    """Return a reply as it comes from a server: at most as long as what is read of one."""
    return Reply(code, f"{enhanced} {text}"[: MAX_REPLY_LINES * MAX_REPLY_LINE])


CASES = st.tuples(PHASES, st.builds(reply_of, CODES, ENHANCED, TEXTS))
SHORT = st.builds(
    reply_of, st.sampled_from((550, 551, 553, 554, 521, 556)), ENHANCED, st.lists(PIECES, max_size=4).map(" ".join)
)
BLAMES = st.sampled_from(
    (
        "listed as spam",
        "by our policy",
        "your IP 192.0.2.1 is blocked",
        "rate limit",
        "try again later",
        "SPF check failed",
    )
)
LINES = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda code, mark, text: b"%03d" % code + mark + text + b"\r\n",
        st.integers(0, 999),
        st.sampled_from((b" ", b"-", b"")),
        st.binary(max_size=30),
    ),
    st.sampled_from((b"250-" + b"x" * MAX_REPLY_LINE + b"\n", b"250-x\n" * (MAX_REPLY_LINES + 1), b"\n", b"250\n")),
)
SENT = st.lists(LINES, max_size=6).map(b"".join)


def timed(phase: Phase, reply: Reply) -> tuple[Verdict, float]:
    """Judge a reply; return the CPU seconds that it took, too."""
    started = time.thread_time()
    return judge(phase, reply), time.thread_time() - started


class Incoming(io.RawIOBase):
    """What a server sends, and then the end of the connection."""

    deadline = 0.0

    def __init__(self, sent: bytes) -> None:
        self._left = io.BytesIO(sent)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some of it."""
        return self._left.readinto(buffer)


class Silent:
    """A socket without a timeout."""

    def gettimeout(self) -> None:
        """Return none."""

    def close(self) -> None:
        """Close."""

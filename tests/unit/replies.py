"""Replies that real servers gave, each with the verdict that a person gave it (tests/data/README.md)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from pipeline.smtp.reply import Phase, Reply, Verdict

_DATA = Path(__file__).parent.parent / "data"


@dataclass(frozen=True)
class RealReply:
    """A row of the data: in which phase, what was said, what it means, and who says so."""

    phase: Phase
    reply: Reply
    verdict: Verdict
    source: str

    def __str__(self) -> str:
        return f"{self.phase} {self.reply.code} {self.reply.text[:60]}"


def read(name: str) -> list[RealReply]:
    """Return the rows of one file of tests/data."""
    with (_DATA / name).open(encoding="utf-8", newline="") as file:
        return [
            RealReply(
                Phase(row["phase"]),
                Reply(int(row["code"]), row["text"].replace("\\n", "\n")),
                Verdict(row["verdict"]),
                row["source"],
            )
            for row in csv.DictReader(file, dialect=csv.excel_tab, quoting=csv.QUOTE_NONE)
        ]


REPLIES = [*read("submission_replies.tsv"), *read("recipient_replies.tsv"), *read("sisimai_replies.tsv")]

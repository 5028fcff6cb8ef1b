"""What is recognised of the corpus: `python -m tests.corpus.table` prints it, with each mail that is not.

The labels are in `labels.tsv`. They were made by reading the mails and what their sources say of them, not by asking
the classifier.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.inbound.classify import classify
from pipeline.inbound.kinds import Classified, Kind

CORPUS = Path(__file__).parent
#: The day on which the corpus is read.
TODAY = dt.date(2026, 11, 28)
#: What a delivery report can be.
REPORTS = {Kind.BOUNCE, Kind.DELIVERY_NOTICE}


@dataclass(frozen=True)
class Labelled:
    """A mail, what it is by its label, and what it was taken for."""

    file: str
    kind: Kind
    recipient: str
    language: str
    found: Classified

    @property
    def is_right(self) -> bool:
        """Whether the kind is right and, of a report, the recipient that its label names."""
        named = {(one.address or "").lower() for one in self.found.recipients}
        return self.found.kind is self.kind and (not self.recipient or self.recipient.lower() in named)


@functools.cache
def read() -> tuple[Labelled, ...]:
    """Return every mail of the corpus."""
    with (CORPUS / "labels.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, dialect=csv.excel_tab, quoting=csv.QUOTE_NONE))
    return tuple(
        Labelled(
            row["file"],
            Kind(row["kind"]),
            row["recipient"],
            row["language"],
            classify((CORPUS / row["file"]).read_bytes(), TODAY),
        )
        for row in rows
    )


def lines() -> Iterator[str]:
    """Return the table, line by line: of each kind how many there are, how many are right, what the others became."""
    yield f"{'kind':16}{'mails':>7}{'right':>7}{'wrong':>7}   taken for"
    for kind in Kind:
        mails = [one for one in read() if one.kind is kind]
        wrong = [one for one in mails if not one.is_right]
        taken = Counter(_taken_for(one) for one in wrong)
        if mails:
            others = ", ".join(f"{what} {count}" for what, count in taken.most_common())
            yield f"{kind:16}{len(mails):7}{len(mails) - len(wrong):7}{len(wrong):7}   {others}"


def _taken_for(one: Labelled) -> str:
    return "another recipient" if one.found.kind is one.kind else one.found.kind.value


def _print() -> None:
    for line in lines():
        print(line)  # noqa: T201
    for one in read():
        if not one.is_right:
            named = ", ".join(str(recipient.address) for recipient in one.found.recipients)
            print(f"{one.file}: {one.found.kind} {named} ({'; '.join(one.found.evidence)})")  # noqa: T201


if __name__ == "__main__":
    _print()

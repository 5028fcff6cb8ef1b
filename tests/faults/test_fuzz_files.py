"""Whatever bytes an imported file has: each line is taken or refused with its number and a reason, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from hypothesis import strategies as st

from models import Contact, SmtpAccount, Suppression, Website
from models.database import db
from pipeline.operations import imports
from pipeline.operations.batches import Imported
from pipeline.operations.csv_rows import ImportRefusedError, Listener
from slowpost.cli.shared import Refused, open_text
from tests.faults.fuzzing import fuzz


def test_fuzz_every_line_of_a_file_is_taken_or_refused_and_taken_once(
    sqlite: str,
    tmp_path: Path,
    configure: Callable[..., None],
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    configure(database_url=sqlite, secret_key=Fernet.generate_key().decode())
    db.execute_sql("PRAGMA synchronous = off")
    file, came_to = tmp_path / "file.csv", Counter[str]()

    def judged(case: tuple[str, bytes]) -> None:
        what, content = case
        file.write_bytes(content)
        model, before = MODELS[what], MODELS[what].select().count()
        done, refused = imported(what, file)
        after = model.select().count()
        if done is None:
            came_to["files refused"] += 1
            assert after == before
            return
        came_to.update(added=done.added, updated=done.updated, unchanged=done.unchanged, refused=done.refused)
        assert after - before == done.added
        assert len(refused) == done.refused
        assert all(1 < line <= content.count(b"\n") + content.count(b"\r") + 1 for line, _ in refused)
        assert all(0 < len(reason) < 600 and "\n" not in reason for _, reason in refused)
        again, refused_again = imported(what, file)
        assert again is not None
        assert (again.added, refused_again) == (0, refused)
        if model.select().count() > 200:
            model.delete().execute()

    seed = fuzz(judged, FILES, cases=counts(60, 100_000))
    for contact in Contact.select():
        assert not {"\0", "\n", "\r"} & set(contact.email + contact.name)
    assert min(came_to[outcome] for outcome in ("added", "refused", "files refused")) > 0
    figures = {outcome.replace(" ", "_"): number for outcome, number in came_to.items()}
    report(files=counts(60, 100_000), **figures, seed=seed)


IMPORTS: dict[str, Callable[..., Imported]] = {
    "contacts": imports.contacts,
    "websites": imports.websites,
    "accounts": imports.accounts,
    "suppressions": imports.suppressions,
}
MODELS: dict[str, Any] = {
    "contacts": Contact,
    "websites": Website,
    "accounts": SmtpAccount,
    "suppressions": Suppression,
}


def imported(what: str, file: Path) -> tuple[Imported | None, list[tuple[int, str]]]:
    """Import a file as the command does; return what it came to, None where the file is refused, and refused lines."""
    refused: list[tuple[int, str]] = []
    try:
        with open_text(str(file)) as lines:
            return IMPORTS[what](lines, Listener(lambda line, why: refused.append((line, why))), "me"), refused
    except (ImportRefusedError, Refused) as error:
        why = str(error)
    assert 0 < len(why) < 600
    return None, []


HEADERS = {
    "contacts": ["email", "name", "website", "priority", "timezone", "validated", "city", ""],
    "websites": ["domain", "title", "meets_requirements", "topic"],
    "accounts": [
        *("host", "from_address", "name", "port", "security", "username", "password", "from_name", "reply_to"),
        *("daily_limit", "warmup"),
    ],
    "suppressions": ["value", "reason"],
}
CELLS = st.one_of(
    st.sampled_from(
        (
            *(
                "ann@example.test",
                '"ann"@example.test',
                "ANN@EXAMPLE.TEST",
                "ä@bücher.test",
                "a@b",
                "@",
                "j.d+x@gmail.com",
            ),
            *("example.test", "https://www.example.test/x?y", "http://[", "smtp.example.test", "-", "xn--a.test"),
            *("", " ", "0", "9", "10", "-1", "587", "1e5", "²", "yes", "no", "maybe", "Europe/Berlin", "../etc/passwd"),
            *(
                "starttls",
                "tls",
                "plain",
                "=1+1",
                "\x1b[2J",
                "a\0b",
                '"',
                '""',
                '"a\nb"',
                "\ufeff",
                "\u202e",
                "x" * 300,
            ),
            *("'", ";", "\t", "\\", "NaN", "null", "{{ 7*7 }}", "Robert'); DROP TABLE contact;--", "x" * 140_000),
        )
    ),
    st.text(max_size=8),
)


#: What can stand in a column; in all others, a word.
GOOD_CELLS = {
    "email": "ann{}@example.test",
    "website": "site{}.test",
    "domain": "site{}.test",
    "value": "ann{}@example.test",
    "from_address": "bob{}@example.test",
    "host": "smtp{}.example.test",
    "priority": "{}",
    "port": "58{}",
    "timezone": "Europe/Berlin",
    "validated": "yes",
    "meets_requirements": "no",
    "security": "starttls",
    "daily_limit": "1{}",
    "warmup": "",
}


def written(what: str, names: list[str], rows: list[list[str | None]], between: str, end: str) -> tuple[str, bytes]:
    """Return a file as somebody may write it, without care for quotes; None is a good cell for its column."""
    required = [HEADERS[what][0], *(["from_address"] if what == "accounts" else [])]
    header = list(dict.fromkeys([*required, *names]))
    lines = [between.join(header)]
    for number, row in enumerate(rows):
        good = (GOOD_CELLS.get(name, "word {}").format(number) for name in header)
        given = [*row, *[None] * (len(header) - len(row))]
        lines.append(
            between.join(
                next_good if cell is None else cell for cell, next_good in zip(given, [*good, *[""] * 8], strict=False)
            )
        )
    return what, end.join(lines).encode("utf-8", "surrogatepass")


def files_of(what: str) -> st.SearchStrategy[tuple[str, bytes]]:
    """Return files for one kind of import."""
    names = st.lists(st.sampled_from(HEADERS[what]), max_size=6, unique=True)
    rows = st.lists(st.just([]) | st.lists(st.none() | st.none() | CELLS, max_size=8), max_size=5)
    ends = st.sampled_from(("\n", "\r\n", "\r"))
    return st.builds(written, st.just(what), names, rows, st.sampled_from((",", ",", ",", ";")), ends)


def bitten(case: tuple[str, bytes], bites: list[tuple[int, bytes]]) -> tuple[str, bytes]:
    """Return a file in which some bytes are others."""
    what, content = case
    for place, byte in bites:
        content = content[: place % (len(content) + 1)] + byte + content[place % (len(content) + 1) + 1 :]
    return what, content


GOOD = st.one_of(*(files_of(what) for what in IMPORTS))
BITES = st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=2)), max_size=3)
FILES = st.one_of(GOOD, GOOD, st.builds(bitten, GOOD, BITES), st.tuples(st.sampled_from(list(IMPORTS)), st.binary()))

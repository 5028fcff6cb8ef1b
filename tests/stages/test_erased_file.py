"""What SQLite's own files hold of a person after forgetting."""

from __future__ import annotations

from pathlib import Path

from models import State
from pipeline.operations.forget import forget
from tests.builders import a_contact, a_delivery


def test_neither_freed_pages_nor_the_log_keep_a_word(sqlite: str, tmp_path: Path) -> None:
    contact = a_contact(email="jo@traceable.test", name="Jo Traceable", extra={"a": "traceable" * 500})
    for _ in range(20):
        a_delivery(State.SENT, contact=contact, text="Dear Traceable " * 400, html="<p>Traceable")
    assert b"raceable" in all_of(tmp_path)
    forget(contact.id, "me")
    assert b"raceable" not in all_of(tmp_path)


def all_of(folder: Path) -> bytes:
    """Return what stands in the database's files."""
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.name.startswith("slowpost.db"))

"""A command line that tests call in their own process, as a person would type it."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models import database
from slowpost.__main__ import main


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Slowpost = Callable[..., Result]


@pytest.fixture
def slowpost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Slowpost:
    """`slowpost("accounts", "list")` runs a command; `stdin` is what it may read."""

    def run(*words: str, stdin: str | bytes = "") -> Result:
        capsys.readouterr()
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["slowpost", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        umask = os.umask(0o022)
        with pytest.raises(SystemExit) as end:
            main()
        os.umask(umask)
        if database.db.obj is not None and not database.db.is_closed():
            database.db.close()
        captured = capsys.readouterr()
        code: Any = end.value.code
        return Result(code or 0, captured.out, captured.err)

    return run


@pytest.fixture
def ready(slowpost: Slowpost, migrated_sqlite: Path, tmp_path: Path, configure: Callable[..., None]) -> Slowpost:
    """A database at this version in the working directory, as `slowpost init` makes it, and the command line."""
    file = Path(shutil.copy(migrated_sqlite, tmp_path))
    file.chmod(0o600)
    configure(database_url=f"sqlite:///{file}")
    database.connect(f"sqlite:///{file}")
    return slowpost

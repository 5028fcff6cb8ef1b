"""A mail as it lies in a mailbox, read by mblaze: a C parser that shares nothing with Python's, which wrote it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.interop.tree import Tree


@dataclass(frozen=True)
class Mail:
    """A mail in a mailbox of the tree."""

    tree: Tree
    file: Path

    def header(self, name: str) -> str:
        """Return a header, decoded and in one line."""
        return self._read("mhdr", "-d", "-h", name).removesuffix("\n")

    def mailbox(self, header: str) -> tuple[str, str]:
        """Return name and address of the one mailbox in a header."""
        (address,) = self._read("maddr", "-a", "-h", header).splitlines()
        name = self.header(header).removesuffix(f"<{address}>").removesuffix(address).rstrip()
        if name.startswith('"'):
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        return name, address

    def parts(self) -> dict[str, str]:
        """Return the texts by their types, each with the line ends of the mailbox."""
        # One line for the mail, then for each part: its number, its type, its size.
        lines = [line.split() for line in self._read("mshow", "-t").splitlines()[1:]]
        texts = {kind: number.rstrip(":") for number, kind, *_ in lines if kind.startswith("text/")}
        return {kind: self._read("mshow", "-O", after=[number]) for kind, number in texts.items()}

    def _read(self, program: str, *options: str, after: list[str] | None = None) -> str:
        path = f"/{self.file.relative_to(self.tree.path)}"
        words = self.tree.command(program, *options, path, *(after or []))
        return subprocess.run(words, capture_output=True, check=True).stdout.decode()

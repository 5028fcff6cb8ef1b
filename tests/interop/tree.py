"""The folder in which the mail servers of a run live as if it were a machine: their Debian packages, their users.

Reads: `.interop/tree`, which `script/interop` unpacks, and which stays as it is: a run has a copy of hard links.
Trouble: without it, or without root's right to chroot, `ServerError`.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import ServerError

CACHE = Path(__file__).parents[2] / ".interop"

#: Who the servers are there. No user of the machine's own should have these ids, which Debian gives out last.
USERS = ("postfix", "postdrop", "dovecot", "dovenull", "postgrey", "Debian-exim", "vmail", "cyrus")
_IDS = {user: 59_900 + number for number, user in enumerate(USERS)}
_DEVICES = {"null": (1, 3), "zero": (1, 5), "random": (1, 8), "urandom": (1, 9)}


class Tree:
    """The folder of one run.

    Attributes:
        path: where it is on this machine.
    """

    def __init__(self, path: Path) -> None:
        """Fill the empty folder `path`."""
        self.path = path
        subprocess.run(["cp", "--archive", "--link", f"{CACHE / 'tree'}/.", str(path)], check=True)
        path.chmod(0o755)
        for folder in ("tmp", "dev/shm", "run"):
            self.folder(folder).chmod(0o1777)
        for name, (major, minor) in _DEVICES.items():
            os.mknod(path / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
            (path / "dev" / name).chmod(0o666)
        others = {"root": 0, "nobody": 65534, "nogroup": 65534}
        users = (others | _IDS).items()
        self.write("etc/passwd", "".join(f"{user}:x:{uid}:{uid}::/:/bin/false\n" for user, uid in users))
        self.write("etc/group", "".join(f"{user}:x:{uid}:\n" for user, uid in users))
        self.write("etc/hosts", "127.0.0.1 localhost\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")

    def write(self, name: str, text: str) -> None:
        """Write a file that all of its users can read."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        # What stands there already may be the cache's own file.
        file.unlink(missing_ok=True)
        file.write_text(text)

    def folder(self, name: str, owner: str = "root") -> Path:
        """Return a folder of the tree, which is made and given to `owner`."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        uid = _IDS.get(owner, 0)
        os.chown(folder, uid, uid)
        return folder

    def id_of(self, user: str) -> int:
        """Return the id of a user, and of its group."""
        return _IDS[user]

    def command(self, *words: str) -> list[str]:
        """Return what runs a program of the tree inside of it."""
        return ["chroot", str(self.path), *words]


@contextmanager
def tree() -> Iterator[Tree]:
    """Yield the tree of a run, and throw it away."""
    if not (CACHE / "unpacked").exists() or os.geteuid() != 0 or not shutil.which("chroot"):
        raise ServerError("the mail servers are not unpacked, or can't be started: run script/interop as root")
    with tempfile.TemporaryDirectory(prefix="run-", dir=CACHE) as folder:
        yield Tree(Path(folder))

"""nginx in front of the web pages, set up as docs/operations.md says."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from tests.interop.listeners import RootedServer
from tests.interop.tree import Tree
from tests.servers import free_port

_PAGE = Path(__file__).parents[2] / "docs/operations.md"
#: What Debian has around it; logs are where its own configuration has them.
_AROUND = """
user nobody nogroup;
daemon off;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events {{}}
http {{
access_log /var/log/nginx/access.log;
{server}
}}
"""


class Nginx(RootedServer):
    """Forwards everything to the public port."""

    program = ("/usr/sbin/nginx", "-c", "/etc/nginx/slowpost.conf")

    def __init__(self, tree: Tree, forwards_to: int) -> None:
        super().__init__(tree)
        self._forwards_to = forwards_to

    @property
    def url(self) -> str:
        """What its URLs begin with."""
        return f"https://localhost:{self.port}"

    @property
    def logs(self) -> str:
        """All that it has logged."""
        return "".join(file.read_text() for file in (self.tree.path / "var/log/nginx").iterdir())

    def _prepare(self) -> None:
        for folder in ("var/log/nginx", "var/lib/nginx", "run"):
            self.tree.folder(folder)

    def _configure(self) -> None:
        self.port = free_port()
        found = re.search(r"(?ms)^    server \{\n.*?^    \}\n", _PAGE.read_text())
        assert found, "docs/operations.md has no configuration of nginx"
        server = textwrap.dedent(found[0])
        for ours, here in (
            ("listen 443", f"listen 127.0.0.1:{self.port}"),
            ("/etc/ssl/mail.example.com.pem", "/etc/tls/good.pem"),
            ("/etc/ssl/mail.example.com.key", "/etc/tls/good.pem"),
            ("mail.example.com", "localhost"),
            ("127.0.0.1:8090", f"127.0.0.1:{self._forwards_to}"),
        ):
            assert ours in server, ours
            server = server.replace(ours, here)
        self.tree.write("etc/nginx/slowpost.conf", _AROUND.format(server=server))

    def is_ready(self) -> bool:
        return self.answers(self.port)

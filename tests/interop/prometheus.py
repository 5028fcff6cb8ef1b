"""A real Prometheus that reads `/metrics`, set up as docs/monitoring/ says; and its promtool."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from tests.interop.listeners import RootedServer
from tests.interop.tree import Tree
from tests.servers import free_port

MONITORING = Path(__file__).parents[2] / "docs/monitoring"
RULES = (MONITORING / "alerts.yml").read_text()


class Prometheus(RootedServer):
    """Reads a listener every second, and looks every second whether there is something to tell."""

    program = ()

    def __init__(self, tree: Tree, reads: int) -> None:
        super().__init__(tree)
        self._reads = reads

    def alerts(self) -> set[tuple[str, str]]:
        """Return which alerts fire: the name of each, and the problem that it is about ("": none)."""
        url = f"http://127.0.0.1:{self.port}/api/v1/alerts"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["alerts"]
        firing = [alert["labels"] for alert in found if alert["state"] == "firing"]
        return {(labels["alertname"], labels.get("problem", "")) for labels in firing}

    def _prepare(self) -> None:
        self.tree.folder("var/lib/prometheus")

    def _configure(self) -> None:
        self.port = free_port()
        configuration = (MONITORING / "prometheus.yml").read_text()
        for ours, here in (("127.0.0.1:8091", f"127.0.0.1:{self._reads}"), ("interval: 15s", "interval: 1s")):
            assert ours in configuration, ours
            configuration = configuration.replace(ours, here)
        self.tree.write("etc/prometheus/slowpost.yml", f"{configuration}global: {{evaluation_interval: 1s}}\n")
        self.tree.write("etc/prometheus/alerts.yml", RULES)
        options = {
            "config.file": "/etc/prometheus/slowpost.yml",
            "storage.tsdb.path": "/var/lib/prometheus",
            "web.listen-address": f"127.0.0.1:{self.port}",
        }
        self.program = ("/usr/bin/prometheus", *(f"--{name}={value}" for name, value in options.items()))

    def is_ready(self) -> bool:
        return self.answers(self.port)


def promtool(tree: Tree, *words: str, stdin: str = "") -> tuple[int, str]:
    """Return the exit code of promtool, and what it said."""
    command = tree.command("/usr/bin/promtool", *words)
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr

"""What it costs to render templates in a process of their own, beyond rendering itself.

Milliseconds of CPU time a mail, of both processes, and the same for rendering alone, in this process. In lists of 100,
and one mail alone, for which its template has to be compiled, too.

    python -m benchmarks.rendering [--rounds 30] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from models import Contact, EmailTemplate, Website
from pipeline.content import renderer, template
from pipeline.content.sandbox import compile_parts, render_parts
from pipeline.content.template import Footer

TEMPLATE = EmailTemplate(
    subject="{{ contact.name }}, a question about {{ website.title }}",
    text="Dear {{ contact.name }},\n\n{% if contact.city %}In {{ contact.city }}, {% endif %}"
    + "we read what you wrote about bees. " * 20
    + "\n\n{% for topic in contact.topics.split() %}- {{ topic|capitalize }}\n{% endfor %}\n{{ sender.signature }}\n",
    html="<p>Dear {{ contact.name }},</p>" + "<p>We read what you wrote about bees.</p>" * 40,
)
FOOTER = Footer("https://example.org/stop", "1 Street, Town")
WEBSITE = Website(id=1, domain="bees.test", title="Bees", extra={"since": "1999"})
LIST = 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    measured = {size: _measured(size, arguments.rounds) for size in (LIST, 1)}
    if arguments.json:
        json.dump(measured, sys.stdout)
        return
    table = Table("mails at once", "here", "in the process", "the price", "may cost")
    for size, (alone, apart) in measured.items():
        allowed = "0.1" if size == LIST else "2"
        table.add_row(str(size), f"{alone:.3f}", f"{apart:.3f}", f"{apart - alone:.3f}", allowed)
    Console().print(table)


def _measured(size: int, rounds: int) -> tuple[float, float]:
    """Return the milliseconds of CPU time of a mail, rendered in this process and in its own; the least of all rounds,
    since others on this machine only add to them.
    """
    contacts = [_contact(i) for i in range(size)]
    sources = {part: getattr(TEMPLATE, part) for part in ("subject", "text", "html")}

    def alone() -> None:
        compiled = compile_parts(sources)
        for contact in contacts:
            render_parts(compiled, template.variables_of(contact, WEBSITE, FOOTER))

    def apart() -> None:
        # As a list with another template before it leaves the process.
        for contact in contacts:
            template.render(TEMPLATE, contact, WEBSITE, FOOTER)

    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        renderer.ask({"text": "another"})
        times.append((_cpu(alone), _cpu(apart)))
    return tuple(min(column) * 1000 / size for column in zip(*times, strict=True))


def _cpu(do: Callable[[], Any]) -> float:
    before = _spent()
    do()
    return _spent() - before


def _spent() -> float:
    """Return the seconds of CPU time of this process and of the one that renders."""
    child = renderer._idle[-1].child.pid
    nanoseconds = int(Path(f"/proc/{child}/schedstat").read_text().split()[0])
    return time.process_time() + nanoseconds / 1e9


def _contact(number: int) -> Contact:
    extra = {"city": f"Town {number}", "topics": "bees honey wax", "note": "met at the fair"}
    return Contact(id=number, email=f"p{number}@bees.test", name=f"Person {number}", priority=0, extra=extra)


if __name__ == "__main__":
    main()

"""`topology` and `topology migrate`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline.runtime.settings import settings
from slowpost.cli.output import emit
from slowpost.cli.saying import say
from slowpost.cli.shared import Refused, as_json


@dataclass(frozen=True)
class Difference:
    """A queue or an exchange that is, or was, different on the server.

    Attributes:
        difference: what it has on the server, and what it has in this version.
        moved: how many messages moved over; null with --dry-run.
    """

    difference: str
    moved: int | None


class _Version(click.ParamType[tuple[int, ...], Any]):
    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if not re.fullmatch(r"\d{1,3}\.\d{1,3}(\.\d{1,3})?", value):
            self.fail(f"{value!r} is no version of RabbitMQ, such as 4.1 or 3.10.8", param, ctx)
        return tuple(int(part) for part in value.split(".")[:2])


@click.group(invoke_without_command=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of stdout.")
@click.option(
    "--for-version",
    type=_Version(),
    help="RabbitMQ's version (default: that of BROKER_URL's server; with memory:// 4.0).",
)
@click.option("--vhost", help="The vhost it is for (default: that of BROKER_URL; with memory:// /slowpost).")
@click.option("--user", help="Add the permissions that this user needs; RabbitMQ has to know the user.")
@click.pass_context
def topology(
    ctx: click.Context, output: Path | None, for_version: tuple[int, ...] | None, vhost: str | None, user: str | None
) -> None:
    """Print all queues and exchanges as RabbitMQ's definitions (JSON), for `rabbitmqctl import_definitions` or the
    management page.

    `slowpost init` and the workers declare the same: definitions are for those who keep a server's queues in a file.
    """
    if ctx.invoked_subcommand is not None:
        return
    import json

    from actors import entry

    text = json.dumps(entry.definitions(for_version, vhost, user), indent=2) + "\n"
    if output is None:
        say(text, nl=False)
    else:
        output.write_text(text)


@topology.command()
@click.option("--dry-run", is_flag=True, help="Only say what is different.")
@as_json
def migrate(dry_run: bool, as_json: bool) -> None:
    """Change queues on the server that have other arguments than in this version; their messages are kept.

    Stop the workers first, and whatever else publishes: RabbitMQ can only delete a queue and make it anew. Messages in
    delay and retry queues begin their wait in that queue again. If a run is cut off, the next one finishes it.
    """
    from actors import entry

    if settings().is_embedded:
        raise Refused("with BROKER_URL=memory:// there is no server whose queues could differ")
    steps: list[Difference] = []

    def done(step: entry.Step) -> None:
        steps.append(Difference(step.what, step.moved))
        if not as_json:
            say(f"{step.what}: made anew, {step.moved} messages moved over")

    if dry_run:
        steps = [Difference(what, None) for what in entry.differences()]
        if not as_json:
            say("\n".join(step.difference for step in steps) or "nothing is different")
    else:
        for step in entry.migrate(lambda source, moved: say(f"{source}: {moved} messages", err=True)):
            done(step)
        if not steps and not as_json:
            say("nothing is different")
    if as_json:
        emit(steps, as_json, lambda: None)

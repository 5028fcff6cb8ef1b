"""`init`, `demo`, `run`, `worker`, `scheduler`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.runtime import logs, opening
from pipeline.runtime.settings import settings
from slowpost.cli.output import emit
from slowpost.cli.shared import Refused, as_json, bind_database


@click.command()
@as_json
def init(as_json: bool) -> None:
    """Create or migrate the tables and declare the queues. Run again, it changes nothing."""
    logs.configure(level=30)
    migrations = opening.migrate(settings().database_url)
    queues = not settings().is_embedded
    if queues:
        from actors import entry

        entry.declare_topology()

    def show() -> None:
        click.echo(f"tables: {', '.join(migrations) or 'nothing to do'}")
        click.echo(f"queues: {'declared' if queues else 'in the process itself (memory://)'}")

    emit({"migrations": migrations, "queues_declared": queues}, as_json, show)


@click.command()
@click.option("--contacts", default=30, show_default=True, type=click.IntRange(10, 10_000), help="Sample contacts.")
@click.option("--folder", default="demo", show_default=True, type=click.Path(path_type=Path), help="Where it all goes.")
def demo(contacts: int, folder: Path) -> None:
    """See the whole route: sample data, a mail catcher on loopback, a summary; the mails as .eml files.

    Needs no services and sends nothing out of this machine. A folder of an earlier demo is made anew.
    """
    from slowpost.demo import run_demo

    run_demo(contacts, folder)


@click.command()
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 64), help="Worker threads.")
def run(threads: int) -> None:
    """Run workers and schedule in one process, until SIGTERM or Ctrl-C.

    The embedded default needs nothing else; with RabbitMQ it is one worker among others.
    """
    bind_database()
    from slowpost import service

    logs.configure()
    try:
        service.run(threads)
    except service.AlreadyRunningError as error:
        raise Refused(str(error)) from None


@click.command()
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 64), help="Threads of each.")
@click.option("--queues", default="", help="Only these queues, comma separated (default: all six).")
def worker(processes: int, threads: int, queues: str) -> None:
    """Run workers, until SIGTERM or Ctrl-C: Dramatiq's own command with Slowpost's actors."""
    from pipeline.flow import Stage

    wanted = [name for name in queues.replace(" ", "").split(",") if name]
    unknown = [name for name in wanted if name not in tuple(Stage)]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(Stage)}", param_hint="--queues")
    if settings().is_embedded:
        raise Refused("with BROKER_URL=memory:// the queues are inside one process: use `slowpost run`")
    bind_database()
    from slowpost import service

    logs.configure()
    service.become_worker(processes, threads, wanted)


@click.command()
def scheduler() -> None:
    """Run the schedule (batch publisher, sweep, health check), where there is no cron."""
    bind_database()
    from slowpost import service

    logs.configure()
    service.schedule()

"""`init`, `demo`, `run`, `worker`, `scheduler`, `web`, `web password`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from pipeline.operations import keyed_hashes, unsubscribe
from pipeline.runtime import logs, opening
from pipeline.runtime.keys import KeyLockedError
from pipeline.runtime.secret_key import SecretKeyError
from pipeline.runtime.settings import settings
from slowpost.cli.acting import report, say_where_the_key_is
from slowpost.cli.saying import say
from slowpost.cli.shared import Refused, as_json, asked_password, bind_database


@dataclass(frozen=True)
class Initialised:
    """Tables and queues that are as this version needs them.

    Attributes:
        migrations: the names of the migrations that were run now.
        notes: a sentence about each row that a migration changed otherwise than all others, such as two contacts that
            became one; on stderr, too.
        queues_declared: whether queues were declared on RabbitMQ; false with `memory://`.
        hashes_keyed: hashes of forgotten people that have got their key now.
    """

    migrations: list[str]
    notes: list[str]
    queues_declared: bool
    hashes_keyed: int


@click.command()
@as_json
def init(as_json: bool) -> None:
    """Create or migrate the tables and declare the queues. Run again, it changes nothing."""
    logs.configure(level=30)
    queues = not settings().is_embedded
    if queues:
        # First: where RabbitMQ is away, nothing has been done.
        from actors import entry

        entry.declare_topology()
    notes: list[str] = []

    def tell(line: str) -> None:
        notes.append(line)
        say(line, err=True)

    migrations = opening.migrate(settings().database_url, tell)
    words = f"tables: {', '.join(migrations) or 'nothing to do'}\n"
    words += f"queues: {'declared' if queues else 'in the process itself (memory://)'}"
    keyed, warnings = _give_key_to_hashes()
    words += f"\nforgotten people: {keyed} hashes have got their key" if keyed else ""
    new_key = _make_key_of_links()
    report(warnings, as_json, words, Initialised(migrations, notes, queues, keyed))
    say_where_the_key_is(new_key)


def _give_key_to_hashes() -> tuple[int, list[str]]:
    """Return how many hashes of forgotten people have got their key, and what stands in the way."""
    try:
        with opening.opened(settings().database_url):
            return keyed_hashes.bring_up_to_date(), []
    except (SecretKeyError, KeyLockedError) as error:
        return 0, [f"hashes of forgotten people have no key yet: {error}; then run `slowpost init` again"]


def _make_key_of_links() -> Path | None:
    """Make the key of the links by which people unsubscribe, if there are to be any; return the key file that was made
    for it.
    """
    if settings().mail_public_url is None:
        return None
    with opening.opened(settings().database_url):
        return unsubscribe.make_key()


@click.command()
@click.option("--contacts", default=30, show_default=True, type=click.IntRange(10, 10_000), help="Sample contacts.")
@click.option("--folder", default="demo", show_default=True, type=click.Path(path_type=Path), help="Where it all goes.")
def demo(contacts: int, folder: Path) -> None:
    """See the whole route: sample data, a mail catcher on loopback, a summary; the mails as .eml files.

    Needs no services and sends nothing out of this machine. The folder of an earlier demo is emptied first.
    """
    from slowpost.demo import run_demo

    run_demo(contacts, folder)


@click.command()
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 64), help="Worker threads.")
def run(threads: int) -> None:
    """Run workers and schedule in one process, until SIGTERM or Ctrl-C; and the web pages, if MAIL_PUBLIC_URL is set.

    With the embedded broker, the default, nothing else is needed; with RabbitMQ it is one worker among others.
    """
    bind_database()
    from slowpost import service

    logs.configure()
    service.run(threads)


@click.command()
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 64), help="Threads of each.")
@click.option("--queues", default="", help="Only these queues, comma separated (default: all).")
def worker(processes: int, threads: int, queues: str) -> None:
    """Run workers, until SIGTERM or Ctrl-C: Dramatiq's own command with Slowpost's actors."""
    from actors import entry

    wanted = [name for name in queues.replace(" ", "").split(",") if name]
    unknown = [name for name in wanted if name not in entry.QUEUES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(entry.QUEUES)}", param_hint="--queues")
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


@click.group(invoke_without_command=True)
@click.pass_context
def web(called: click.Context) -> None:
    """Serve the web pages, until SIGTERM or Ctrl-C: those to unsubscribe for everybody (MAIL_WEB_LISTEN), and the
    operator's (MAIL_WEB_OPERATOR_LISTEN). It needs the database and no RabbitMQ.
    """
    if called.invoked_subcommand is not None:
        return
    bind_database()
    from slowpost import service

    logs.configure()
    service.web()


@web.command()
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin instead of asking for it.")
def password(password_stdin: bool) -> None:
    """Print the hash of a password for the operator's pages, as MAIL_WEB_PASSWORD_HASH or
    MAIL_WEB_READER_PASSWORD_HASH has it. It stores nothing.
    """
    from slowpost.web.passwords import SHORTEST, hashed

    given = asked_password(password_stdin)
    if len(given) < SHORTEST:
        raise Refused(f"the password has {len(given)} characters: it needs {SHORTEST} at least")
    say(hashed(given))

"""`slowpost`, also `python -m slowpost`. Exit code 0: done; 1: refused or failed, one line on stderr; 2: usage."""

from __future__ import annotations

import os
import sys
import traceback

import click

from slowpost.cli.saying import say


def main() -> None:
    """Run the command line; whatever a person can have caused becomes one line and an exit code."""
    from slowpost.cli import cli, problem_of

    # What Slowpost makes (database, lock, key, the demo's mails) and what it starts: for its owner alone.
    os.umask(0o077)
    _demand_text(sys.argv[1:])
    try:
        code = cli.main(prog_name="slowpost", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message(), err=True)
        sys.exit(2)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "slowpost"
        _fail(f"{path}: {error.format_message()} (see {path} --help)", 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped", 130)
    except BrokenPipeError:
        _give_up_stdout()  # whoever read us has enough
        sys.exit(1)
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            say(traceback.format_exc(), err=True, nl=False)
            sys.exit(1)
        if isinstance(error, OSError):
            _give_up_stdout()  # perhaps a full disk behind it
        _fail(f"slowpost: {problem}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _give_up_stdout() -> None:
    """Keep the interpreter from complaining at its end about what it can't write any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _demand_text(words: list[str]) -> None:
    """Refuse what can be neither stored nor compared; a file with such a name can be given as stdin."""
    for number, word in enumerate(words, 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            _fail(f"slowpost: argument {number} is not UTF-8: {word}", 2)


def _fail(message: str, code: int) -> None:
    say(" ".join(message.split()), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()

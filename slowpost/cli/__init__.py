"""The command line: one file for each noun. A command is imported when it is called, so that `--help` is quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from slowpost.cli.shared import problem_of

#: Command → (module, attribute, one line for `slowpost --help`), in the order in which a person meets them.
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "init": ("service", "init", "Create or migrate the tables; declare the queues."),
    "demo": ("service", "demo", "See the whole route on sample data, with a mail catcher."),
    "run": ("service", "run", "Run workers and schedule in one process."),
    "worker": ("service", "worker", "Run workers (with RabbitMQ)."),
    "scheduler": ("service", "scheduler", "Run the schedule, where there is no cron."),
    "web": ("service", "web", "Serve the pages to unsubscribe, and the operator's."),
    "send": ("route", "send", "Put one contact onto the route."),
    "publish": ("route", "publish", "Put as many contacts onto the route as there is capacity for."),
    "plan": ("plan", "plan", "Show who is going to be mailed when, and from which account."),
    "timeline": ("timeline", "timeline", "Show a day, account by account: what was sent, and what is planned."),
    "why": ("plan", "why", "Say what became of a contact, or why it waits and when it can go at the earliest."),
    "backlog": ("backlog", "backlog", "Show what is on the route, what it waits for, and since when."),
    "doctor": ("doctor", "doctor", "Find problems in settings, accounts and DNS, and say what to do."),
    "status": ("status", "status", "Show what is wrong, who works, accounts, deliveries and queues."),
    "pause": ("route", "pause", "Pause everything, an account or a template."),
    "resume": ("route", "resume", "Go on with what was paused."),
    "cancel": ("route", "cancel", "Cancel the mails that wait for a contact, or with a template."),
    "accounts": ("accounts", "accounts", "The SMTP accounts."),
    "contacts": ("contacts", "contacts", "The people."),
    "lists": ("lists", "lists", "Named sets of them."),
    "websites": ("websites", "websites", "The sites they belong to."),
    "templates": ("templates", "templates", "What is written."),
    "campaigns": ("campaigns", "campaigns", "Whom, what, from where, and what follows."),
    "suppress": ("suppress", "suppress", "Addresses and domains that must never be mailed."),
    "inbound": ("inbound", "inbound", "What came back by mail, and what followed."),
    "log": ("log", "log", "The attempts: what was sent, and what came of it."),
    "dead": ("dead", "dead", "What was given up and waits for your decision."),
    "in-doubt": ("doubt", "in_doubt", "Mails that may have been sent: nobody can know."),
    "actions": ("actions", "actions", "What people, and the program of its own accord, have done: who, when and why."),
    "sweep": ("schedule", "sweep", "Put back on the route what was lost."),
    "topology": ("topology", "topology", "RabbitMQ's queues and exchanges as definitions; migrate them."),
    "check-health": ("schedule", "check_health", "Switch off accounts that have gone bad."),
}


class _Lazy(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(f".{module}", __name__), attribute)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="slowpost")
def cli() -> None:
    """Outreach e-mail, sent slowly and exactly.

    Settings are read from the environment and `.env`; `.env.example` lists them all.
    """


__all__ = ["cli", "problem_of"]

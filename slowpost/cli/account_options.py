"""Options that `accounts add` and `accounts set` have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def warmup_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a warm-up."""
    command = click.option("--warmup-step", help="Warm-up: how many more mails each day, up to the limit.")(command)
    return click.option("--warmup-start", help="Warm-up: how many mails on its first day, today.")(command)


def login_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of how an account logs in."""
    unencrypted = "With --security plain: whether its login may go to another machine unencrypted."
    command = click.option(
        "--allow-plain-password/--forbid-plain-password",
        "plain_password",
        default=None,
        callback=lambda _context, _option, value: value if value is None else ("no", "yes")[value],
        help=unencrypted,
    )(command)
    command = click.option("--token-file", help="xoauth2: the file whose first line is an access token.")(command)
    command = click.option(
        "--token-command", help="xoauth2: the command that prints an access token; it is run without a shell."
    )(command)
    return click.option("--auth", help="password or xoauth2 (an access token).")(command)


def dkim_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of an account's own signature."""
    for option, text in reversed(
        (
            ("--dkim-selector", "DKIM: sign each mail; the selector of the RSA key."),
            ("--dkim-key-file", "DKIM: the file of the RSA key (PEM, 2048 bits or more, mode 0600)."),
            ("--dkim-ed25519-selector", "DKIM: sign by an Ed25519 key as well; its selector."),
            ("--dkim-ed25519-key-file", "DKIM: the file of the Ed25519 key (PEM, mode 0600)."),
            ("--dkim-domain", "DKIM: the domain that signs (default: the From address's)."),
        )
    ):
        command = click.option(option, help=text)(command)
    return command


def mailbox_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of an account's mailbox."""
    command = click.option(
        "--save-sent/--no-save-sent",
        "save_sent",
        default=None,
        callback=lambda _context, _option, value: value if value is None else ("no", "yes")[value],
        help="Put a copy of each mail into its folder Sent, where the provider keeps none.",
    )(command)
    for option, text in reversed(
        (
            ("--imap-host", "Its mailbox: the IMAP server, so that bounces and replies are seen; '' ends that."),
            ("--imap-port", "Its mailbox: the port (default: 993, or 143 without implicit TLS)."),
            ("--imap-security", "Its mailbox: tls (the default), starttls or plain."),
            ("--imap-username", "Its mailbox: who logs in there, if not as for sending; '' as for sending again."),
            (
                "--imap-token-command",
                "Its mailbox: with a user name of its own, the command that prints an access token.",
            ),
            ("--imap-token-file", "Its mailbox: the same, the file whose first line is an access token."),
        )
    ):
        command = click.option(option, help=text)(command)
    text = "Its mailbox: read a password of its own from stdin, behind the other if that comes from there, too."
    return click.option("--imap-password-stdin", "imap_from_stdin", is_flag=True, help=text)(command)


#: `--tag`, which can be given several times.
tag = click.option("--tag", "tags", multiple=True, help="A word for it and others; can be given several times.")

"""One step of the dialogue: what goes wrong in it becomes a `StepError` that carries the phase and the verdict."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from typing import Any

from pipeline.smtp.reply import Phase, Reply, Result, Verdict, judge, judge_failure


class StepError(Exception):
    """A step of the dialogue did not go well.

    Attributes:
        result: what it means.
        lost: because the server had closed the connection.
        said: something was said to the server; else the connection is as good as before.
    """

    def __init__(self, result: Result, *, lost: bool = False, said: bool = True) -> None:
        super().__init__(result.reply.text)
        self.result = result
        self.lost = lost
        self.said = said

    def is_refusal_of(self, phase: Phase) -> bool:
        """Tell whether the server has answered 5yz to a command of `phase`."""
        return self.result.phase is phase and self.result.reply.code is not None and self.result.reply.code >= 500


def guarded(phase: Phase, step: Callable[[Any], Any], smtp: smtplib.SMTP | None) -> Any:
    """Do a step; whatever goes wrong becomes a StepError with the phase."""
    try:
        return step(smtp)
    except smtplib.SMTPResponseException as error:
        reply = reply_of((error.smtp_code, error.smtp_error))
        raise StepError(Result(judge(phase, reply), phase, reply)) from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        lost = isinstance(error, (ConnectionError, smtplib.SMTPServerDisconnected))
        raise StepError(judge_failure(phase, error), lost=lost) from None


def demand(phase: Phase, reply: Reply, wanted: int) -> None:
    """Raise StepError unless `reply` has the code that is wanted (251 and 252 are as good as 250)."""
    good = reply.code == wanted or (wanted == 250 and reply.code in (251, 252))
    if not good:
        raise StepError(Result(judge(phase, reply), phase, reply))


def command(line: str, smtp: smtplib.SMTP) -> Reply:
    """Send one command and return the reply."""
    return reply_of(smtp.docmd(line))


def refused(verdict: Verdict, phase: Phase, text: str) -> Result:
    """Return the result of a step that was not even tried."""
    return Result(verdict, phase, Reply(None, text))


def reply_of(answer: tuple[int, bytes | str]) -> Reply:
    """Return what smtplib read as a Reply that can be stored and shown."""
    code, text = answer
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    # A database can't keep NUL, nor a terminal show control characters.
    return Reply(code, "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in words)[:2000])

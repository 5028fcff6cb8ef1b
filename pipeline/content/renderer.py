"""Asks a process in which templates are rendered (`child`). There are as many as have rendered at once: each waits for
the next question, of whatever thread, and one that had to be stopped is replaced.

Trouble: a template that is stopped is a LimitError. Where the process can't be started, or gets no CPU time, no
template is at fault: TroubleOutsideError, for which a worker waits.
"""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Mapping
from typing import Any

from pipeline.runtime.child import Child, ChildEndedError, ChildSilentError
from pipeline.runtime.waiting import TroubleOutsideError

#: Seconds of CPU time that a mail, or compiling a template, may take.
MAX_SECONDS = 2.0
#: Megabytes that rendering may take, beyond what the process has before it.
MAX_MEMORY_MB = 64
#: Seconds after which the process gets no CPU time: nothing that a template can do waits for anything.
SILENT_AFTER = 30.0

_READY = b"ready\n"
_FRAME = re.compile(r'File "<template (\w+)>", line (\d+)')

#: Processes that wait for a question, the last used last; and the right to add or take one.
_idle: list[_Serving] = []
_adding_or_taking = threading.Lock()


class LimitError(Exception):
    """A template was stopped by a limit; the message names the part and the line, if they are known, and the limit."""


def ask(sources: Mapping[str, str], data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Compile a template, and render it for one contact.

    Args:
        sources: its parts, by name.
        data: the variables, which can be JSON; None: compile it only.

    Returns:
        `parts`, by name, or `mistake`, or neither if it was only compiled.

    Raises:
        LimitError: it was stopped.
        TroubleOutsideError: it can't be rendered now; nothing is wrong with the template.
    """
    # What ended a process that has served others may be theirs: memory that is in pieces, a signal from outside.
    # So it is asked again in a fresh one. Its own time is its own.
    serving = _taken(sources)
    while True:
        is_fresh = not serving.answered
        try:
            answer = serving.answer(sources, data)
        except ChildEndedError as error:
            serving.child.end()
            if is_fresh or error.signal == signal.SIGPROF:
                raise LimitError(_how_it_ended(error, serving)) from None
        except ChildSilentError:
            serving.child.end()
            if is_fresh:
                raise TroubleOutsideError(f"no answer from the process that renders in {SILENT_AFTER:g} s") from None
        except BaseException:
            # An answer that nobody has read must not be taken for the next one's.
            serving.child.end()
            raise
        else:
            if "out_of_memory" not in answer:
                with _adding_or_taking:
                    _idle.append(serving)
                return answer
            serving.child.end()
            if is_fresh:
                limit = f"it takes more than {MAX_MEMORY_MB} MB of memory"
                raise LimitError(_said(answer["out_of_memory"], limit))
        serving = _Serving()


class _Serving:
    """A process that renders.

    Attributes:
        answered: how many templates and mails.
        compiled: the parts of the template that it has compiled last.
    """

    def __init__(self) -> None:
        command = ["pipeline.content.child", str(MAX_SECONDS), str(MAX_MEMORY_MB)]
        try:
            self.child = Child(command, _READY, SILENT_AFTER)
        except (OSError, ChildEndedError, ChildSilentError) as error:
            what = getattr(error, "last_words", "").strip().rpartition("\n")[2] or error
            raise TroubleOutsideError(f"the process that renders can't be started: {what}") from None
        self.answered = 0
        self.compiled: Mapping[str, str] | None = None
        self._number = 0
        self._lines: dict[str, list[tuple[int, int]]] = {}

    def answer(self, sources: Mapping[str, str], data: Mapping[str, Any] | None) -> dict[str, Any]:
        if self.compiled != sources:
            self.compiled, self._lines = None, {}
            answer = self._ask({"sources": sources})
            if "lines" not in answer:
                return answer
            self.compiled, self._lines = dict(sources), answer["lines"]
        return {} if data is None else self._ask({"data": data})

    def place_in(self, traceback: str) -> str | None:
        """Return the part and the line of the template that was at work in a traceback, the latest call first."""
        frame = _FRAME.search(traceback)
        if frame is None:
            return None
        part, line = frame[1], int(frame[2])
        lines = [of_template for of_template, of_code in self._lines.get(part, ()) if of_code <= line]
        return f"{part}, line {lines[-1] if lines else 1}"

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        line = json.dumps(question | {"number": self._number}).encode() + b"\n"
        answer: dict[str, Any] = json.loads(self.child.ask(line))
        if "out_of_memory" not in answer:
            self.answered += 1
            assert answer["number"] == self._number, "it answers another question"
        return answer


def _taken(sources: Mapping[str, str]) -> _Serving:
    """Return a process that nobody else asks: one that has compiled this template, else the last used, else a new."""
    with _adding_or_taking:
        for serving in reversed(_idle):
            if serving.compiled == sources:
                _idle.remove(serving)
                return serving
        if _idle:
            return _idle.pop()
    return _Serving()


def _how_it_ended(error: ChildEndedError, serving: _Serving) -> str:
    if error.signal != signal.SIGPROF:
        return f"it has ended the process that renders ({error})"
    return _said(serving.place_in(error.last_words), f"it takes longer than {MAX_SECONDS:g} s of CPU time")


def _said(place: str | None, limit: str) -> str:
    return f"{place}: {limit}" if place else limit

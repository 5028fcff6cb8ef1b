"""The process in which templates are rendered, so that they can be stopped:
`python -m pipeline.content.child SECONDS MEGABYTES`.

Reads: questions, one JSON object a line on stdin. `sources` is a template to compile; `data` is what the last one is to
be rendered with. Writes: an answer for each on stdout, with one key: `lines` (compiled), `parts` (rendered), `mistake`,
or `out_of_memory`, after which it ends; and with the `number` of the question.
Trouble: an answer that takes more than SECONDS of CPU time ends the process by SIGPROF, in whatever it is, after the
traceback has been written to stderr. Rendering can have MEGABYTES beyond what the process has at its start. It ends
with its stdin, and so with whoever started it.
"""

from __future__ import annotations

import codecs
import faulthandler
import json
import pprint  # noqa: F401  (Jinja2 imports it late, when no file can be opened any more)
import resource
import signal
import sys
import unicodedata  # noqa: F401  (as pprint: for \N{…} in a template)
from pathlib import Path
from typing import Any

import jinja2
import jinja2.debug  # (as pprint)

from pipeline.content.sandbox import MistakeError, compile_parts, place_of, render_parts

_MB = 1024 * 1024
#: Bytes that it has to say that its memory is used up.
_RESERVE = 16 * _MB

Templates = dict[str, jinja2.Template]


def main(max_seconds: float, max_memory: int) -> None:
    """Serve until stdin ends, with these limits in seconds and bytes."""
    _limit_memory(max_memory)
    _give_up_all_else()
    compiled: Templates = {}
    _say(b"ready\n")
    while question := sys.stdin.buffer.readline():
        signal.setitimer(signal.ITIMER_PROF, max_seconds)
        try:
            asked = json.loads(question)
            if "sources" in asked:
                compiled = compile_parts(asked["sources"])
            answer = json.dumps({"number": asked["number"]} | _answer(asked, compiled)).encode()
        except MistakeError as error:
            answer = json.dumps({"number": asked["number"], "mistake": str(error)}).encode()
        except MemoryError as error:
            _use_reserve()
            answer = json.dumps({"out_of_memory": place_of(error, compiled)}).encode()
            question = b""
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(answer + b"\n")
        if not question:
            return


def _answer(asked: dict[str, Any], compiled: Templates) -> dict[str, Any]:
    if "sources" in asked:
        return {"lines": {part: template.debug_info for part, template in compiled.items()}}
    return {"parts": render_parts(compiled, asked["data"])}


def _give_up_all_else() -> None:
    """Take away from this process what rendering does not need."""
    # Whoever started it is told to stop, too, and closes stdin when its work is done.
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)
    codecs.lookup("unicode-escape")  # of literals; read from a file
    # In C, so that it also comes in the midst of one long operation, where Python's own handlers wait.
    faulthandler.register(signal.SIGPROF, all_threads=False, chain=True)
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
        resource.setrlimit(limit, (0, 0))


def _limit_memory(size: int) -> None:
    if sys.platform == "linux":
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (has + size, has + size + _RESERVE))


def _use_reserve() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) * _MB)

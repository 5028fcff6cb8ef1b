"""The process in which templates are rendered: it has nothing, answers one thread at a time, and never stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.content import renderer
from pipeline.runtime.child import Child
from pipeline.runtime.waiting import TroubleOutsideError
from tests.broker.conftest import until

HELLO = {"subject": "s", "text": "Hello {{ contact.name }}"}
GOODBYE = HELLO | {"text": "Goodbye {{ contact.name }}"}
ANN: dict[str, Any] = {"contact": {"name": "Ann"}}


def test_it_is_given_no_environment_no_file_and_no_connection_and_can_open_none(
    monkeypatch: pytest.MonkeyPatch, own_process: None
) -> None:
    monkeypatch.setenv("SECRET_KEY", "secret")
    with tempfile.TemporaryFile() as file:
        os.set_inheritable(file.fileno(), True)
        process = Path(f"/proc/{pid_of_renderer()}")
    assert b"secret" not in (process / "environ").read_bytes()
    open_files = {number.name: str(number.readlink()) for number in (process / "fd").iterdir()}
    assert sorted(open_files) == ["0", "1", "2"]
    assert {name.partition(":")[0] for name in open_files.values()} == {"socket", "pipe"}
    limits = (process / "limits").read_text()
    assert "Max open files            0                    0" in limits


def test_it_serves_one_list_after_another_and_is_replaced_when_it_is_gone() -> None:
    first = pid_of_renderer()
    assert pid_of_renderer() == first
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # a whole group is told to stop, its work goes on
        os.kill(first, number)
    assert pid_of_renderer() == first
    os.kill(first, signal.SIGKILL)
    assert renderer.ask(HELLO, ANN)["parts"] == {"text": "Hello Ann", "subject": "s"}
    assert pid_of_renderer() != first
    assert not is_there(first)


def test_an_answer_that_nobody_has_read_is_not_taken_for_the_next_contact(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    renderer.ask(HELLO)
    with monkeypatch.context() as patched:
        patched.setattr(Child, "_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            renderer.ask(HELLO, {"contact": {"name": "Bob"}})
    assert renderer.ask(HELLO, ANN)["parts"]["text"] == "Hello Ann"


def test_there_are_as_many_as_render_at_once_and_each_template_comes_to_the_one_that_has_compiled_it(
    own_process: None,
) -> None:
    first = pid_of_renderer()
    os.kill(first, signal.SIGSTOP)
    texts: list[str] = []
    beside = threading.Thread(target=lambda: texts.append(renderer.ask(HELLO, ANN)["parts"]["text"]))
    beside.start()
    until(lambda: not renderer._idle)
    second = pid_of_renderer(GOODBYE)
    os.kill(first, signal.SIGCONT)
    beside.join()
    assert (texts, len({first, second})) == (["Hello Ann"], 2)
    # Whichever was used last.
    assert [pid_of_renderer(GOODBYE), pid_of_renderer(HELLO), pid_of_renderer(GOODBYE)] == [second, first, second]
    assert pid_of_renderer({"text": "another"}) in (first, second)
    assert len(renderer._idle) == 2


def test_one_that_gets_no_cpu_time_is_replaced_and_no_template_is_blamed(
    monkeypatch: pytest.MonkeyPatch, own_process: None
) -> None:
    monkeypatch.setattr(renderer, "SILENT_AFTER", 3.0)
    stopped = pid_of_renderer()
    os.kill(stopped, signal.SIGSTOP)
    assert renderer.ask(HELLO, ANN)["parts"]["text"] == "Hello Ann"
    assert not is_there(stopped)


def test_where_none_can_be_started_a_worker_waits(monkeypatch: pytest.MonkeyPatch, own_process: None) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(TroubleOutsideError, match=r"can't be started: .*nowhere"):
        renderer.ask(HELLO, ANN)


def test_none_stays_behind_when_its_worker_is_killed(tmp_path: Path) -> None:
    program = subprocess.Popen([sys.executable, "-P", "-c", WORKER], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    with program:
        idle, busy = (int(program.stdout.readline()) for _ in range(2))
        assert is_there(idle)
        assert is_there(busy)
        program.kill()
    deadline = time.monotonic() + 30
    while (is_there(idle) or is_there(busy)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_there(idle)
    assert not is_there(busy)


#: It has two of them; one is in the midst of a long operation.
WORKER = """
import threading
from pipeline.content import renderer

renderer.MAX_SECONDS = 0.5
for _ in range(2):
    renderer._idle.append(renderer._Serving())
print(*(serving.child.pid for serving in renderer._idle), sep="\\n", flush=True)
try:
    renderer.ask({"subject": "s", "text": "{{ 9 ** (9 ** 9) }}"}, {"contact": {}})
finally:
    threading.Event().wait()
"""


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render in a process of this test's own."""
    monkeypatch.setattr(renderer, "_idle", [])


def pid_of_renderer(template: Mapping[str, str] = HELLO) -> int:
    """Return the process that renders this template, after it has done so."""
    renderer.ask(template, ANN)
    pid: int = renderer._idle[-1].child.pid
    return pid


def is_there(pid: int) -> bool:
    """Tell whether a process is there, and is not only waiting to be buried."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False

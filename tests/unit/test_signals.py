"""A worker process heeds the first signal to stop, and none that comes after it or in the midst of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from actors.running import heed_first_signal_alone


def test_of_many_signals_the_first_is_heeded_alone(heeded: list[int]) -> None:
    heed_first_signal_alone()
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
        os.kill(os.getpid(), number)
    assert heeded == [signal.SIGTERM]


def test_a_second_that_comes_while_the_first_is_handled_is_not_heeded(
    heeded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    heed_first_signal_alone()
    real = signal.signal

    def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(signal, "signal", real)
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    monkeypatch.setattr(signal, "signal", interrupted)
    os.kill(os.getpid(), signal.SIGTERM)
    assert heeded == [signal.SIGTERM]


@pytest.fixture
def heeded() -> Iterator[list[int]]:
    """Which signals were heeded by handlers as Dramatiq sets them; the usual ones are back afterwards."""
    numbers: list[int] = []
    usual = {
        number: signal.signal(number, lambda number, _frame: numbers.append(number))
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    yield numbers
    for number, handler in usual.items():
        signal.signal(number, handler)

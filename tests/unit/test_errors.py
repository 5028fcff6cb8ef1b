"""Which errors are one line for a person, and which are mistakes that must be seen with their traceback."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import actors
import models
import pipeline
import schedules
import slowpost
from models.errors import SlowpostError
from slowpost.cli.shared import problem_of


def test_every_error_of_ours_has_the_one_root_but_for_mistakes_and_inner_signals() -> None:
    found = {error.__name__: issubclass(error, SlowpostError) for error in errors_of_ours()}
    assert {name for name, is_expected in found.items() if not is_expected} == NOT_FOR_A_PERSON
    assert {"SettingsError", "NotThereError", "FieldError", "MismatchError", "AlreadyRunningError"} <= set(found)


def test_an_expected_error_is_one_line_and_a_mistake_is_none() -> None:
    assert problem_of(SlowpostError("there is no contact 9")) == "there is no contact 9"
    assert problem_of(ValueError("a mistake")) is None


#: Mistakes of the program, and what one of its parts says to another; no person sees them.
NOT_FOR_A_PERSON = {
    "ChildEndedError",
    "ChildSilentError",
    "FailpointError",
    "HeaderError",
    "IllegalTransitionError",
    "LimitError",
    "MistakeError",
    "PutBackError",
    "SeenError",
    "StepError",
}


def errors_of_ours() -> Iterator[type[Exception]]:
    """Yield each exception that a module of the program defines; a click exception speaks for itself."""
    for package in (models, pipeline, actors, schedules, slowpost):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.startswith("models.migrations.") or info.name == "slowpost.__main__":
                continue
            for _, found in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
                if found.__module__ == info.name and found.__name__.endswith("Error") and issubclass(found, Exception):
                    yield found

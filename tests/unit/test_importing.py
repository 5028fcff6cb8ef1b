"""Importing the actors reads no settings, binds no database and changes nothing in the libraries: `start` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BEFORE_AND_AFTER = """
import pika.data
decode = pika.data.decode_table

import actors, actors.entry, actors.stages, schedules.scheduler, slowpost.service
import sys

import dramatiq.broker
from models import database
from pipeline.runtime.settings import SettingsError

assert dramatiq.broker.global_broker is None
assert database.db.obj is None
assert pika.data.decode_table is decode
# Only who serves pages, or migrates, pays for these.
assert not {"flask", "peewee_migrate"} & set(sys.modules)

try:
    actors.start()
except SettingsError as error:
    print(error)
"""


def test_importing_the_actors_does_nothing_and_starting_them_reads_the_settings(tmp_path: Path) -> None:
    environment = os.environ | {"MAIL_DAILY_LIMIT": "many", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_AND_AFTER], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.stderr, done.stdout) == ("", "MAIL_DAILY_LIMIT='many': allowed: a whole number from 0 to 1000000\n")

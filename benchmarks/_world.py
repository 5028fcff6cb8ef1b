"""The servers of a benchmark, which are its own, and what is stored in them before it begins.

PostgreSQL is as durable as by default. Each run has a database and a vhost of its own, which go with it; all else goes
with the servers.
"""

from __future__ import annotations

import datetime as dt
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import psycopg2

from benchmarks import _spent
from benchmarks._sink import Sink
from models import Contact, SmtpAccount, Website, database, schema
from models.database import db
from pipeline.flow import chunks
from tests import builders
from tests.servers import PrivatePostgres, PrivateRabbitmq

PEERS = Path(__file__).parent / "peers"
ACCOUNTS = 10
#: Far more than is sent: no limit binds.
NO_LIMIT = 1_000_000
#: Always open, as early as the limits allow, one mail right behind the other.
SETTINGS = {
    "MAIL_WINDOW_START": "0",
    "MAIL_WINDOW_END": "0",
    "MAIL_WINDOW_TIMEZONE": "UTC",
    "MAIL_SPREAD": "off",
    "MAIL_JITTER": "0",
    "MAIL_MIN_INTERVAL": "0",
    # `run` has a schedule: its batch publisher is to find nobody.
    "MAIL_PUBLISH_MIN_PRIORITY": "9",
}
#: What the peers call the variables of their template.
_VARIABLES = {
    "{{ company }}": "{{ contact.company }}",
    "{{ name }}": "{{ contact.name }}",
    "{{ email }}": "{{ contact.email }}",
    "{{ sender }}": "{{ sender.name }}",
}
_number = itertools.count(1)


@dataclass
class World:
    """The servers, and databases to begin with."""

    postgres: PrivatePostgres
    rabbitmq: PrivateRabbitmq
    sink: Sink

    @property
    def pids(self) -> tuple[int, int, int]:
        """The processes that are the servers."""
        return self.postgres.pid, self.rabbitmq.pid, self.sink.pid

    def cpu(self) -> float:
        """Return the seconds of CPU time that the servers have used."""
        return _spent.cpu(*self.pids)

    def versions(self) -> dict[str, str]:
        """Return the servers' versions."""
        with closing(psycopg2.connect(self.postgres.url)) as connection:
            postgres = connection.info.parameter_status("server_version")
        with pika.BlockingConnection(pika.URLParameters(self.rabbitmq.url)) as rabbitmq:
            version = rabbitmq._impl.server_properties["version"]
        return {"PostgreSQL": postgres.split()[0], "RabbitMQ": str(version)}

    @contextmanager
    def database(self, like: str = "template1") -> Iterator[str]:
        """Yield the URL of a database that begins with what is in `like`; it is dropped afterwards."""
        name = f"bench_{next(_number)}"
        self._admin(f"CREATE DATABASE {name} TEMPLATE {like}")
        try:
            yield f"{self.postgres.url.rpartition('/')[0]}/{name}"
        finally:
            self._admin(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """Yield the URL of an empty vhost; it is deleted afterwards."""
        name = f"bench_{next(_number)}"
        self.rabbitmq.add_vhosts(name)
        try:
            yield self.rabbitmq.url_of(name)
        finally:
            self.rabbitmq.evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"bench">>).')

    def make(self, name: str, contacts: int, campaigns: int, host: str) -> None:
        """Make the database `name`, in which so many contacts wait to be published."""
        self._admin(f"CREATE DATABASE {name}")
        with bound(f"{self.postgres.url.rpartition('/')[0]}/{name}"):
            store(contacts, campaigns, host, self.sink.port)
            db.execute_sql("ANALYZE")

    def make_for_peers(self, name: str, contacts: int) -> None:
        """Make the database `name` in the peers' own form."""
        self._admin(f"CREATE DATABASE {name}")
        url = f"{self.postgres.url.rpartition('/')[0]}/{name}"
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute((PEERS / "schema.sql").read_text())
            values = {"contacts": contacts, "accounts": ACCOUNTS, "limit": NO_LIMIT, "port": self.sink.port}
            cursor.execute(_PEERS_ROWS, values)
            cursor.execute("ANALYZE")

    def _admin(self, statement: str) -> None:
        with closing(psycopg2.connect(self.postgres.url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statement)


_PEERS_ROWS = """
INSERT INTO contacts SELECT i, 'p' || i || '@site' || i || '.test', 'Person ' || i, 'Company ' || i
FROM generate_series(1, %(contacts)s) i;
INSERT INTO accounts SELECT i, 'sender' || i || '@sender.test', '127.0.0.1', %(port)s, %(limit)s
FROM generate_series(1, %(accounts)s) i
"""


@contextmanager
def world(host: str = "127.0.0.1") -> Iterator[World]:
    """Start the servers; the mail server listens on `host`."""
    with PrivatePostgres(fsync=True) as postgres, PrivateRabbitmq() as rabbitmq, Sink(host) as sink:
        yield World(postgres, rabbitmq, sink)


@contextmanager
def bound(url: str) -> Iterator[None]:
    """Bind the models of this process to a database, which gets its tables."""
    database.connect(url)
    try:
        with database.connection():
            schema.migrate()
            yield
    finally:
        if database.is_postgres():
            db.obj.close_all()


def store(contacts: int, campaigns: int, host: str, port: int) -> None:
    """Store accounts of the mail server at `host` and `port`, the peers' template, contacts with a website each, and
    running campaigns of three steps, of which none is due.
    """
    accounts = [builders.an_account(host=host, port=port, daily_limit=NO_LIMIT) for _ in range(ACCOUNTS)]
    subject, text = (PEERS / "template.txt").read_text().split("\n", 1)
    builders.a_template(subject=_ours(subject), text=_ours(text))
    store_contacts(contacts)
    for _ in range(campaigns):
        _campaign(accounts[:2])


def _ours(words: str) -> str:
    for theirs, ours in _VARIABLES.items():
        words = words.replace(theirs, ours)
    return words


def _campaign(accounts: list[SmtpAccount]) -> None:
    steps = [(days, [builders.a_template()]) for days in (0, 3, 5)]
    person = builders.a_contact()
    campaign = builders.a_campaign(*steps, accounts=accounts, lists=[builders.a_list(person)])
    builders.an_enrolment(campaign, person, due_at=database.now() + dt.timedelta(days=30))


def store_contacts(number: int) -> None:
    """Store contacts with the ids 1, 2, 3, …, each with a website of its own, as an import does."""
    now = database.now()
    common: dict[str, Any] = {"created_at": now, "updated_at": now}
    for ids in chunks(range(1, number + 1), 1000):
        Website.insert_many([common | {"domain": f"site{i}.test", "title": f"Company {i}"} for i in ids]).execute()
        found = dict(Website.select(Website.domain, Website.id).tuples())
        rows = [
            common
            | {"email": f"p{i}@site{i}.test", "address": f"p{i}@site{i}.test", "name": f"Person {i}"}
            | {"website": found[f"site{i}.test"], "extra": {"company": f"Company {i}"}}
            for i in ids
        ]
        Contact.insert_many(rows).execute()


def ask(url: str, query: str) -> Any:
    """Return the first value that a query of a database of either kind gives."""
    if url.startswith(database.SQLITE):
        with closing(sqlite3.connect(url.removeprefix(database.SQLITE))) as connection:
            return connection.execute(query).fetchone()[0]
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        (value,) = cursor.fetchone()
        return value

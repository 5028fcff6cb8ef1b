"""Imports: streamed, set by set, safe to run again, and never in the way of who writes the same rows."""

from __future__ import annotations

import datetime as dt
import io
import logging
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from models import Contact, Delivery, SmtpAccount, State, Suppression, Website, database
from pipeline.accounts import passwords
from pipeline.content.template import Footer, render
from pipeline.operations import batches, csv_rows, erased_websites, forget, imports
from pipeline.operations.batches import BATCH
from pipeline.runtime import secret_key
from tests.builders import a_contact, a_delivery, a_template, an_account


@pytest.mark.usefixtures("any_database")
def test_an_import_run_again_changes_nothing() -> None:
    assert run(imports.contacts, *CONTACTS) == ((2, 0, 0, 0), [])
    before = list(Contact.select().order_by(Contact.id).dicts())
    assert run(imports.contacts, *CONTACTS) == ((0, 0, 2, 0), [])
    assert list(Contact.select().order_by(Contact.id).dicts()) == before
    ann, bob = before
    assert (ann["priority"], ann["timezone"], ann["validated"], ann["extra"]) == (
        3,
        "Europe/Berlin",
        True,
        {"topic": "bees"},
    )
    assert (bob["priority"], bob["timezone"], bob["validated"], bob["extra"]) == (0, None, False, {})
    assert [w.domain for w in Website.select()] == ["x.test"]
    assert ann["website"] == bob["website"] == Website.get().id


@pytest.mark.usefixtures("any_database")
def test_an_address_that_is_there_is_updated_whatever_its_case_and_keeps_what_a_line_does_not_say() -> None:
    run(imports.contacts, "email,name,topic", "Émile@x.test,Emile,bees")
    assert run(imports.contacts, "email,priority,city", "éMILE@X.TEST,7,Lyon") == ((0, 1, 0, 0), [])
    contact = Contact.get()
    assert (contact.email, contact.name, contact.priority) == ("éMILE@X.TEST", "Emile", 7)
    assert contact.extra == {"topic": "bees", "city": "Lyon"}


@pytest.mark.usefixtures("any_database")
def test_a_later_line_for_the_same_address_is_laid_over_the_earlier() -> None:
    lines = ("email,name,priority,topic", "ann@x.test,Ann,,bees", "ANN@x.test,,4,")
    assert run(imports.contacts, *lines) == ((1, 0, 1, 0), [])
    contact = Contact.get()
    assert (contact.email, contact.name, contact.priority, contact.extra) == ("ANN@x.test", "Ann", 4, {"topic": "bees"})
    assert run(imports.contacts, *lines) == ((0, 0, 2, 0), [])


@pytest.mark.usefixtures("any_database")
def test_two_spellings_of_a_gmail_address_stay_two_contacts() -> None:
    assert run(imports.contacts, "email", "j.doe@gmail.com", "jdoe+x@gmail.com")[0] == (2, 0, 0, 0)
    assert run(imports.contacts, "email", "j.doe@gmail.com", "jdoe+x@gmail.com")[0] == (0, 0, 2, 0)


@pytest.mark.usefixtures("any_database")
def test_spellings_of_one_mailbox_are_one_contact() -> None:
    lines = ("email,name", "carol@bücher.test,Carol", '"""carol""@xn--bcher-kva.test",Caro')
    assert run(imports.contacts, *lines) == ((1, 0, 1, 0), [])
    assert run(imports.contacts, "email,priority", r'"""c\arol""@BÜCHER.test",7') == ((0, 1, 0, 0), [])
    contact = Contact.get()
    assert (contact.email, contact.address) == (r'"c\arol"@BÜCHER.test', "carol@xn--bcher-kva.test")
    assert (contact.name, contact.priority) == ("Caro", 7)


@pytest.mark.usefixtures("any_database")
def test_a_contact_that_the_version_before_has_stored_meanwhile_is_found_as_its_line_is_written() -> None:
    first = a_contact(email="carol@x.test")
    meanwhile = a_contact(email='"carol"@x.test', address='"carol"@x.test')
    assert run(imports.contacts, "email,name", '"""carol""@x.test",Caro') == ((0, 1, 0, 0), [])
    assert [(c.id, c.address, c.name) for c in Contact.select().order_by(Contact.id)] == [
        (first.id, "carol@x.test", ""),
        (meanwhile.id, "carol@x.test", "Caro"),
    ]


@pytest.mark.usefixtures("any_database")
def test_rows_are_committed_as_they_come() -> None:
    def stopped() -> Iterator[str]:
        yield "email\n"
        yield from (f"p{i}@x.test\n" for i in range(BATCH + 200))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imports.contacts(stopped(), imports.Listener())
    assert Contact.select().count() == BATCH


@pytest.mark.usefixtures("any_database")
def test_a_batch_costs_as_many_statements_as_a_line(caplog: pytest.LogCaptureFixture) -> None:
    def statements(number: int, load: Callable[..., Any], header: str, line: str) -> int:
        load([header], imports.Listener())
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="peewee"):
            load([header, *(line.format(i=i) for i in range(number))], imports.Listener())
        return len(caplog.records)

    for load, header, line in (
        (imports.contacts, "email,website,name\n", "p{i}@x.test,site{i}.test,N\n"),
        (imports.websites, "domain,title\n", "d{i}.test,T\n"),
        (imports.suppressions, "value\n", "s{i}@x.test\n"),
    ):
        assert statements(1, load, header, line) >= statements(300, load, header, line) > 0


def test_a_batch_reads_no_table_as_a_whole_even_before_there_are_statistics(postgres: str) -> None:
    lines = [f"p{i}@x.test,site{i}.test" for i in range(2 * BATCH)]
    scans = "SELECT sum(seq_scan) FROM pg_stat_xact_user_tables WHERE relname IN ('contact', 'website')"
    with database.transaction():
        run(imports.contacts, "email,website", *lines)
        run(imports.websites, "domain", *(f"site{i}.test" for i in range(BATCH)))
        assert database.db.execute_sql(scans).fetchone()[0] == 0


@pytest.mark.usefixtures("any_database")
def test_the_database_is_told_of_many_rows_at_the_end_and_of_few_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LARGE", 3)
    run(imports.contacts, "email,website", "a@x.test,x.test", "b@x.test,x.test")
    assert known_to_the_planner() not in (2, 1)
    run(imports.contacts, "email,website", *(f"c{i}@x.test,x.test" for i in range(3)))
    assert known_to_the_planner() == 5


def known_to_the_planner() -> int:
    """Return how many contacts there are, as the database's planner knows it; less than 0: it was not told."""
    if database.is_postgres():
        query = "SELECT reltuples FROM pg_class WHERE oid = 'contact'::regclass"
        return int(database.db.execute_sql(query).fetchone()[0])
    if "sqlite_stat1" not in {name for (name,) in database.db.execute_sql("SELECT name FROM sqlite_master")}:
        return -1
    query = "SELECT stat FROM sqlite_stat1 WHERE tbl = 'contact' AND idx = 'contact_address'"
    return int(database.db.execute_sql(query).fetchone()[0].split()[0])


@pytest.mark.usefixtures("any_database")
def test_a_website_that_another_import_has_made_in_the_meantime_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    run(imports.contacts, "email,website", "ann@x.test,x.test")
    monkeypatch.setattr(erased_websites, "take_back", lambda *_: {})
    assert run(imports.contacts, "email,website", "bob@x.test,x.test", "eve@y.test,y.test")[0] == (2, 0, 0, 0)
    assert [c.website.domain for c in Contact.select().order_by(Contact.id)] == ["x.test", "x.test", "y.test"]


REFUSED = [
    ("email", "nobody", "email: 'nobody' is no e-mail address"),
    ("email,priority", "a@x.test,10", "priority: '10' is not a whole number from 0 to 9"),
    ("email,priority", "a@x.test,-1", "priority: '-1' is not"),
    ("email,priority", "a@x.test,high", "priority: 'high' is not"),
    ("email,timezone", "a@x.test,Mars/Base", "timezone: 'Mars/Base' is no IANA time zone"),
    ("email,timezone", "a@x.test,localtime", "timezone: 'localtime' is no IANA time zone"),
    ("email,validated", "a@x.test,perhaps", "validated: 'perhaps' is neither yes nor no"),
    ("email,website", "a@x.test,http://[foo", "website: 'http://[foo' is no domain or URL"),
    ("email,website", "a@x.test,localhost", "website: 'localhost' is no domain or URL"),
    ("email,website", f"a@x.test,{'long.' * 60}test", "website: 'long.long"),
    ("email,name", '"a@x.test","Ann\nEve"', "name: it must be one line"),
    ("email,name", "a@x.test,A\x00", "it has a NUL character"),
    ("email,name", ",Ann", "email is empty"),
    ("email,name", "a@x.test,Ann,more", "it has 3 fields, the first line has 2"),
    ("email,name", 'a@x.test,"Ann"x', "not CSV: "),
]


@pytest.mark.parametrize(("header", "bad", "why"), REFUSED, ids=[why[:40].replace("\x00", "") for _, _, why in REFUSED])
def test_a_refused_line_is_named_and_the_rest_goes_on(sqlite: str, header: str, bad: str, why: str) -> None:
    counts, refused = run(imports.contacts, header, "first@x.test", bad, "last@x.test")
    assert counts == (2, 0, 0, 1)
    ((line, reason),) = refused
    assert line == 3
    assert reason.startswith(why)
    assert "\n" not in reason
    assert [c.email for c in Contact.select().order_by(Contact.id)] == ["first@x.test", "last@x.test"]


def test_a_quote_that_is_never_closed_is_reported_with_all_the_lines_it_took(sqlite: str) -> None:
    counts, refused = run(imports.contacts, "email", "a@x.test", '"b@x.test', "c@x.test", "d@x.test")
    assert counts == (1, 0, 0, 1)
    assert refused == [(3, "not CSV, up to line 5: unexpected end of data")]


def test_a_line_without_end_is_read_past_in_little_memory_and_the_next_is_taken(sqlite: str) -> None:
    refused: list[tuple[int, str]] = []
    listener = csv_rows.Listener(lambda line, reason: refused.append((line, reason)))
    # 200 MB in one line, a record of many lines, and long rows in one batch.
    lines = ["email,note", "x" * 100_000, *(f'a{i}@x.test,"{"y" * 100_000}"' for i in range(100)), "b@x.test,z"]
    file = Long(lines, times={1: 2000})
    tracemalloc.start()
    done = imports.contacts(file, listener)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (done.added, refused) == (101, [(2, "not CSV: it has more than 262144 characters")])
    assert peak < 40_000_000


def test_a_row_of_many_lines_ends_somewhere(sqlite: str) -> None:
    many = ['a@x.test,"', *[f'{"y" * 100_000}","'] * 6, 'y"', "b@x.test,z"]
    _, refused = run(imports.contacts, "email,note", *many)
    assert refused[0] == (2, "not CSV, up to line 5: it has more than 262144 characters")
    assert [contact.email for contact in Contact.select()] == ["b@x.test"]


class Long(io.TextIOBase):
    """A file of these lines, of which some are repeated without a line end; it reads as files do."""

    def __init__(self, lines: list[str], times: dict[int, int]) -> None:
        self._pieces = self._of(lines, times)

    @staticmethod
    def _of(lines: list[str], times: dict[int, int]) -> Iterator[str]:
        for i, line in enumerate(lines):
            for _ in range(times.get(i, 0)):
                yield line
            yield "\n" if i in times else f"{line}\n"

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        """Return the rest of a line, or `size` characters of it."""
        found = ""
        while len(found) < size and not found.endswith("\n"):
            piece = next(self._pieces, None)
            if piece is None:
                break
            found += piece
        return found


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("adress,name", "its first line has no column 'email' (it has adress, name)"),
        ("email;name", "its first line has no column 'email' (it has email;name)"),
        ("email,name,Name", "its first line names a column twice"),
        ("email,na\x00me", "its first line has a NUL character"),
        ('"email', "it is not CSV"),
    ],
)
def test_a_file_that_is_no_import_is_refused_as_a_whole(sqlite: str, header: str, why: str) -> None:
    with pytest.raises(csv_rows.ImportRefusedError) as refusal:
        run(imports.contacts, header, "ann@x.test,Ann,")
    assert str(refusal.value).startswith(why)
    assert Contact.select().count() == 0


def test_columns_without_a_name_are_passed_over(sqlite: str) -> None:
    assert run(imports.contacts, "email,name,,", "ann@x.test,Ann,,note")[0] == (1, 0, 0, 0)
    assert Contact.get().extra == {}


def test_a_column_can_not_shadow_what_a_contact_is(sqlite: str) -> None:
    run(imports.contacts, "email,id,name,topic", "ann@x.test,999,Ann,bees")
    template = a_template(text="{{ contact.id }} {{ contact.topic }}")
    contact = Contact.get()
    assert render(template, contact, None, Footer()).text == f"{contact.id} bees"


@pytest.mark.usefixtures("any_database")
def test_websites_are_updated_by_domain_also_where_a_contact_made_them() -> None:
    run(imports.contacts, "email,website", "ann@x.test,x.test")
    lines = ("domain,title,meets_requirements,size", "http://www.X.test/,The X,no,9", "y.test,,,")
    assert run(imports.websites, *lines) == ((1, 1, 0, 0), [])
    x, y = Website.select().order_by(Website.domain)
    assert (x.title, x.meets_requirements, x.extra) == ("The X", False, {"size": "9"})
    assert (y.title, y.meets_requirements, y.extra) == ("", True, {})
    assert run(imports.websites, *lines) == ((0, 0, 2, 0), [])


@pytest.mark.usefixtures("any_database")
def test_accounts_are_updated_by_name_and_their_passwords_encrypted_once() -> None:
    assert run(imports.accounts, ACCOUNTS, "one,h.test,465,tls,me,s3cret,me@h.test,20") == ((1, 0, 0, 0), [])
    stored = SmtpAccount.get().password
    assert "s3cret" not in stored
    assert passwords.decrypt(stored) == "s3cret"
    assert run(imports.accounts, ACCOUNTS, "one,h.test,465,tls,me,s3cret,me@h.test,20") == ((0, 0, 1, 0), [])
    assert SmtpAccount.get().password == stored
    assert run(imports.accounts, ACCOUNTS, "one,h.test,465,tls,me,n3w,me@h.test,20") == ((0, 1, 0, 0), [])
    assert passwords.decrypt(SmtpAccount.get().password) == "n3w"


def test_an_account_that_is_imported_again_mends_a_password_whose_key_is_lost(sqlite: str) -> None:
    run(imports.accounts, ACCOUNTS, "one,h.test,,,me,s3cret,me@h.test,")
    secret_key.key_file().unlink()
    assert run(imports.accounts, ACCOUNTS, "one,h.test,,,me,s3cret,me@h.test,") == ((0, 1, 0, 0), [])
    assert passwords.decrypt(SmtpAccount.get().password) == "s3cret"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a,h.test,0,,,,me@h.test,", "port: it is not a port from 1 to 65535"),
        ("a,h.test,65536,,,,me@h.test,", "port: it is not"),
        ("a,h.test,,ssl,,,me@h.test,", "security: it is none of starttls, tls, plain"),
        ("a,h test,,,,,me@h.test,", "host: it is no host name"),
        ("a,h.test,,,,,me,", "from_address: it is no e-mail address"),
        ("a,h.test,,,,,me@h.test,-1", "daily_limit: it is not a whole number of mails a day"),
        ("a,h.test,,,me,,me@h.test,", "password: it is empty, and there is a username"),
        ("a,h.test,,,,,me@h.test,,2,", "warmup_step: it is empty, and there is a warmup_start"),
        ("a,h.test,,,,,me@h.test,,,3", "warmup_start: it is empty, and there is a warmup_step"),
        ("a,h.test,,,,,me@h.test,,-1,3", "warmup_start: it is not a whole number of mails on the first day, 0 to 1"),
        ("a,h.test,,,,,me@h.test,,2,0", "warmup_step: it is not a whole number of mails more each day, 1 to 1"),
        ("a,h.test,,,,,me@h.test,,2,1000001", "warmup_step: it is not"),
        (f"{'a' * 201},h.test,,,,,me@h.test,", "name: a name has 1 to 200 characters, this one has 201"),
    ],
)
def test_a_bad_account_is_refused(sqlite: str, line: str, why: str) -> None:
    counts, refused = run(imports.accounts, ACCOUNTS, line)
    assert counts == (0, 0, 0, 1)
    assert refused[0][1].startswith(why)


@pytest.mark.usefixtures("any_database")
def test_an_imported_warm_up_begins_today_and_goes_on_until_a_line_says_another(clock: Any) -> None:
    def load(ramp: str) -> tuple[int, int, int, int]:
        return run(imports.accounts, ACCOUNTS, f"one,h.test,,,,,me@h.test,,{ramp}")[0]

    def stored() -> tuple[int, int, dt.date]:
        account = SmtpAccount.get()
        return account.warmup_start, account.warmup_step, account.warmup_on

    clock.set(2026, 6, 2, 3)  # in New York still the 1st
    assert load("0,3") == (1, 0, 0, 0)
    clock.set(2026, 6, 5, 14)
    assert load("0,3") == load(",") == (0, 0, 1, 0)
    assert stored() == (0, 3, dt.date(2026, 6, 1))
    assert load(",4") == (0, 1, 0, 0)
    assert stored() == (0, 4, dt.date(2026, 6, 5))


@pytest.mark.usefixtures("any_database")
def test_a_changed_account_gives_its_slot_back_and_an_unchanged_one_keeps_it() -> None:
    changed, same = (an_account(name=name, host="h.test", daily_limit=9) for name in ("changed", "same"))
    slots = {
        account.name: a_delivery(State.RESERVED, account=account, send_at=database.now(), token=account.name)
        for account in (changed, same)
    }
    header = "name,host,from_address,daily_limit"
    lines = [f"{a.name},h.test,{a.from_address},{limit}" for a, limit in ((changed, 1), (same, 9))]
    assert run(imports.accounts, header, *lines) == ((0, 1, 1, 0), [])
    assert {name: Delivery.get_by_id(d.id).state for name, d in slots.items()} == {
        "changed": State.READY,
        "same": State.RESERVED,
    }


@pytest.mark.usefixtures("any_database")
def test_who_was_forgotten_does_not_come_back_by_any_import() -> None:
    forget.forget(a_contact(email="j.doe@gmail.com").id, "me")
    counts, refused = run(imports.contacts, "email", "jdoe+again@gmail.com", "ann@x.test")
    assert (counts, refused) == ((1, 0, 0, 1), [(2, "email: this person has asked to be forgotten")])
    assert run(imports.suppressions, "value", "J.Doe@googlemail.com") == ((0, 0, 1, 0), [])
    assert all(s.value.startswith("hmac:") for s in Suppression.select())


def test_an_import_loses_nothing_that_others_write_to_the_same_contact(postgres: str, clock: Any) -> None:
    contact = a_contact(email="ann@x.test", name="Ann")
    write = Contact.update(last_contacted_at=clock.at).where(Contact.id == contact.id).execute
    summary, _ = in_the_meantime(write)
    assert summary.updated == 1
    found = Contact.get_by_id(contact.id)
    assert (found.name, found.last_contacted_at) == ("Anna", clock.at)


def test_an_import_does_not_bring_back_who_is_being_forgotten(postgres: str) -> None:
    contact = a_contact(email="ann@x.test", name="Ann")
    summary, refused = in_the_meantime(lambda: forget.forget(contact.id, "me"))
    assert (summary.refused, refused) == (1, [(2, "email: this person has asked to be forgotten")])
    assert [(c.name, c.forgotten_at is not None) for c in Contact.select()] == [("", True)]


class Heard(imports.Listener):
    """What an import reports."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        super().__init__(refused=lambda line, why: self.lines.append((line, why)))


def run(load: Callable[..., imports.Imported], *lines: str) -> tuple[tuple[int, int, int, int], list[tuple[int, str]]]:
    """Import lines; return added, updated, unchanged, refused, and the refused lines."""
    heard = Heard()
    s = load([f"{line}\n" for line in lines], heard)
    return (s.added, s.updated, s.unchanged, s.refused), heard.lines


CONTACTS = (
    "email,name,website,priority,timezone,validated,topic",
    "ann@x.test,Ann,https://www.x.test/about?a=1,3,Europe/Berlin,yes,bees",
    "bob@x.test,Bob,x.test,,,no,",
)
ACCOUNTS = "name,host,port,security,username,password,from_address,daily_limit,warmup_start,warmup_step"


def in_the_meantime(write: Callable[[], None]) -> tuple[imports.Imported, list[tuple[int, str]]]:
    """Import ann@x.test in a thread while this one has written and not committed; return what the import did."""
    heard, done = Heard(), []

    def load() -> None:
        with database.connection():
            done.append(imports.contacts(["email,name\n", "ann@x.test,Anna\n"], heard))

    thread = threading.Thread(target=load, daemon=True)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.transaction():
        write()
        thread.start()
        while not database.db.execute_sql(waiting).fetchone()[0]:
            assert thread.is_alive(), "the import did not wait for the row"
            database.db.execute_sql("SELECT pg_stat_clear_snapshot()")
    thread.join(20)
    return done[0], heard.lines

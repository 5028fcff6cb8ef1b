"""Empty tables for each test, without migrating anew: that took most of what a test of a stage costs.

In PostgreSQL a schema of its own remembers what a migration has left: some rows, the sequences, and a fingerprint of
the catalogue. As long as that is as it was, only rows are removed; else the tables are made anew. So a test may do with
the tables whatever it likes. In SQLite a migrated file is copied.
"""

from __future__ import annotations

from pathlib import Path

import psycopg2

from models import database, schema

#: By this name PostgreSQL knows the connection that empties the tables, and stays.
NAME = "pristine"


class Postgres:
    """A database for one test after the other, emptied over a connection that stays: a new one reads the catalogue."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url, application_name=NAME)
        self._connection.autocommit = True
        self._remembers = False

    def empty(self) -> None:
        """Leave it as it is just after its migration; the models must be bound to it."""
        with self._connection.cursor() as cursor:
            if self._remembers:
                cursor.execute("SELECT pristine.restore()")
                if cursor.fetchone() == (True,):
                    return
            cursor.execute("DROP SCHEMA IF EXISTS pristine CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            schema.migrate()
            cursor.execute(REMEMBER)
            self._remembers = True

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def migrated_sqlite(folder: Path) -> Path:
    """Make an SQLite file whose tables are migrated and empty, to be copied."""
    file = folder / "slowpost.db"
    database.connect(f"sqlite:///{file}")
    with database.connection():
        schema.migrate()
    # Closed by its only connection, it has nothing left in a write-ahead log.
    assert [path.name for path in folder.iterdir()] == [file.name]
    return file


#: Run in a database that has just been migrated. `pristine.restore()` then makes it so again, or returns false.
REMEMBER = """
CREATE SCHEMA pristine;

-- Changes with every definition, and with statistics (ANALYZE), but not with rows.
CREATE FUNCTION pristine.fingerprint() RETURNS text LANGUAGE sql AS $$
    WITH relation AS (SELECT oid, xmin, reltuples FROM pg_class WHERE relnamespace = 'public'::regnamespace),
    part AS (
        SELECT concat_ws(' ', oid, xmin, reltuples) AS said FROM relation
        UNION ALL SELECT concat_ws(' ', attrelid, attnum, xmin) FROM pg_attribute JOIN relation r ON attrelid = r.oid
        UNION ALL SELECT concat_ws(' ', adrelid, adnum, d.xmin) FROM pg_attrdef d JOIN relation r ON adrelid = r.oid
        UNION ALL SELECT concat_ws(' ', tgname, t.oid, t.xmin) FROM pg_trigger t JOIN relation r ON tgrelid = r.oid
        UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)
    SELECT md5(string_agg(said, ',' ORDER BY said)) FROM part
$$;

CREATE TABLE pristine._as_it_was (fingerprint text);
CREATE TABLE pristine._sequence (name text, last bigint, is_called boolean);

DO $$
DECLARE relation record; is_filled boolean;
BEGIN
    FOR relation IN SELECT relname AS name, relkind AS kind FROM pg_class WHERE relnamespace = 'public'::regnamespace
    LOOP
        IF relation.kind = 'S' THEN
            EXECUTE format('INSERT INTO pristine._sequence SELECT %1$L, last_value, is_called FROM public.%1$I',
                relation.name);
        ELSIF relation.kind = 'r' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', relation.name) INTO is_filled;
            IF is_filled THEN
                EXECUTE format('CREATE TABLE pristine.%1$I AS TABLE public.%1$I', relation.name);
            END IF;
        END IF;
    END LOOP;
END $$;

-- Triggers and foreign keys are off meanwhile.
CREATE FUNCTION pristine.restore() RETURNS boolean LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE relation record; is_truncated boolean := false;
BEGIN
    IF NOT EXISTS (SELECT FROM pristine._as_it_was WHERE fingerprint = pristine.fingerprint()) THEN
        RETURN false;
    END IF;
    FOR relation IN SELECT relname AS name, pg_relation_size(oid) AS size FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    LOOP
        -- DELETE is ten times as fast, but leaves dead rows; from 10 pages on, the planner plans for them.
        IF relation.size < 10 * 8192 THEN
            EXECUTE format('DELETE FROM public.%I', relation.name);
        ELSE
            EXECUTE format('TRUNCATE public.%I CASCADE', relation.name);
            is_truncated := true;
        END IF;
    END LOOP;
    FOR relation IN SELECT relname AS name FROM pg_class
        WHERE relnamespace = 'pristine'::regnamespace AND relkind = 'r' AND relname !~ '^_'
    LOOP
        EXECUTE format('INSERT INTO public.%1$I TABLE pristine.%1$I', relation.name);
    END LOOP;
    PERFORM setval(format('public.%I', name)::regclass, last, is_called) FROM pristine._sequence;
    IF is_truncated THEN
        UPDATE pristine._as_it_was SET fingerprint = pristine.fingerprint();
    END IF;
    RETURN true;
END $$;

INSERT INTO pristine._as_it_was SELECT pristine.fingerprint();
"""

"""The migrations and the models say the same, on both databases; and running them again changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from models import TABLES, Delivery, schema
from models.database import db, is_postgres
from tests.builders import a_contact, a_delivery


def test_the_migrations_make_what_the_models_describe(any_database: str) -> None:
    migrated = shape()
    db.drop_tables(TABLES)
    db.create_tables(TABLES, safe=False)
    described = shape()
    if not is_postgres():
        migrated, described = without_types(migrated), without_types(described)
    assert migrated == described


def test_migrating_again_changes_nothing(any_database: str) -> None:
    before = shape()
    assert schema.migrate() == []
    schema.check_migrated()
    assert shape() == before


def test_a_database_without_tables_is_told_from_one_that_is_ready(any_database: str) -> None:
    db.execute_sql("DROP TABLE migratehistory")
    with pytest.raises(schema.NotMigratedError, match="slowpost init"):
        schema.check_migrated()


def test_what_waited_before_contacts_zones_mattered_gets_its_contacts(any_database: str) -> None:
    in_london, nowhere = a_delivery(contact=a_contact(timezone="Europe/London")), a_delivery()
    for index in ("delivery_lane", "delivery_template_done", "website_unfit"):
        db.execute_sql(f"DROP INDEX {index}")
    db.execute_sql("ALTER TABLE delivery DROP COLUMN timezone")
    db.execute_sql("CREATE INDEX delivery_backlog ON delivery (priority DESC, id) WHERE state IN ('ready')")
    db.execute_sql("DELETE FROM migratehistory WHERE name = '002_lanes'")
    assert schema.migrate() == ["002_lanes"]
    assert [Delivery.get_by_id(d.id).timezone for d in (in_london, nowhere)] == ["Europe/London", ""]


def shape() -> dict[str, Any]:
    """Return columns and indexes as the database has them."""
    return {
        table: (
            sorted((c.name, c.data_type.upper(), c.null, c.primary_key) for c in db.get_columns(table)),
            sorted((i.name, sorted(i.columns), i.unique, normal(i.sql or "")) for i in db.get_indexes(table)),
            sorted((f.column, f.dest_table, f.dest_column) for f in db.get_foreign_keys(table)),
        )
        for table in (t._meta.table_name for t in TABLES)
    }


def normal(sql: str) -> str:
    """Return an index's definition without what only the writer chose."""
    return " ".join(sql.replace('"', "").replace("IF NOT EXISTS ", "").split())


def without_types(found: dict[str, Any]) -> dict[str, Any]:
    """SQLite keeps what was written; BOOLEAN, SMALLINT and INTEGER are one to it."""
    return {t: ([(c[0], c[2], c[3]) for c in columns], *rest) for t, (columns, *rest) in found.items()}

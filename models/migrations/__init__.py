"""Migrations, run in the order of their numbers by `models.schema`."""

"""Alembic's environment: runs the migrations on the store's connection, inside its transaction."""

from __future__ import annotations

from alembic import context

from worker.storage.db.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()

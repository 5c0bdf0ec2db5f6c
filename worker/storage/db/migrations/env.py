"""Runs migrations on the connection the store hands over, inside the store's own transaction."""

from __future__ import annotations

from alembic import context

from worker.storage.db.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()

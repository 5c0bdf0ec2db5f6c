"""Rows on their way into a table."""

from __future__ import annotations

from typing import Any

Values = dict[str, Any]
"""One row to be written, by column."""

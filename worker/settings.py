"""The configuration: TOML, validated at start, overridden by environment variables."""

from __future__ import annotations

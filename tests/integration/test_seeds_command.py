"""`seeds import`, `list` and `remove` in a real process: a corpus of several forms, a newcomer over HTTP, a kill."""

from __future__ import annotations

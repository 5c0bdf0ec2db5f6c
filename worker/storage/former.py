"""What a candidate was before it was looked at again of our own accord: it stands if that look fails."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from worker.models import Outcome, State
from worker.storage.codec import to_json

WITH_ARTICLE = (State.STORED, State.DUPLICATE, State.REVISED, State.UNCHANGED)
"""The states of a candidate that has its article."""


def remembered(row: Row[Any], *, by_age: bool = False) -> str:
    """Return as JSON the outcome that stands if looking again fails; empty for a candidate without an article."""
    if row.state not in WITH_ARTICLE or row.article_id is None:
        return ""
    return to_json({"state": row.state, "reason": row.reason, "detail": row.detail, "by_age": by_age})


def former_of(row: Row[Any]) -> tuple[Outcome | None, bool]:
    """Return what `remembered` wrote down: the outcome, and whether the look is for its age alone."""
    if not row.former:
        return None, False
    facts = json.loads(row.former)
    outcome = Outcome(state=State(facts["state"]), reason=facts["reason"], detail=facts["detail"])
    return outcome, facts["by_age"]

"""The result of a doctor check."""

from __future__ import annotations

from enum import StrEnum

from worker.models.base import dataclass


class Level(StrEnum):
    """The severity of a finding: no problem, a possible problem, or one that keeps a run from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check.

    `area` and `name` identify the check, `detail` is what was found, `remedy` what to do (empty if `level` is OK).
    `steps` are the requests that led to the result: what was done, and details.
    """

    area: str
    name: str
    detail: str
    level: Level = Level.OK
    remedy: str = ""
    steps: tuple[tuple[str, str], ...] = ()

    @property
    def failed(self) -> bool:
        """Whether this keeps a run from working."""
        return self.level is Level.FAIL

    def as_record(self) -> dict[str, object]:
        """Return the finding as `doctor --json` prints it."""
        return {
            "area": self.area,
            "name": self.name,
            "level": self.level.value,
            "detail": self.detail,
            "remedy": self.remedy,
            "steps": [{"what": what, "detail": detail} for what, detail in self.steps],
        }


def make_finding(
    area: str, name: str, detail: str, *, warn: bool = False, fail: bool = False, remedy: str = ""
) -> Finding:
    """Return a finding whose level follows from two conditions; without a problem the remedy is dropped."""
    level = Level.FAIL if fail else Level.WARN if warn else Level.OK
    return Finding(area=area, name=name, detail=detail, level=level, remedy="" if level is Level.OK else remedy)

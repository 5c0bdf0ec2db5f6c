"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is: nothing, worth a look, or a run will not do its work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found, what to do about it (empty where all is well), and the steps that led there."""

    area: str
    name: str
    detail: str
    level: Level = Level.OK
    remedy: str = ""
    steps: tuple[tuple[str, str], ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a run will not do its work because of this."""
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
    """Return a finding whose level follows from two conditions; the remedy is dropped where all is well."""
    level = Level.FAIL if fail else Level.WARN if warn else Level.OK
    return Finding(area=area, name=name, detail=detail, level=level, remedy="" if level is Level.OK else remedy)

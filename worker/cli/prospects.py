"""Tables and records of what can be polled, for `sources add` and `sources check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from worker.cli.show import clean, console, moment
from worker.sources.configuration_text import NewSource, name_for

if TYPE_CHECKING:
    from worker.checkup import CheckedSource
    from worker.prospect import Proposal
    from worker.settings import Settings
    from worker.sources.ranking import Trial


def named(picked: Sequence[Trial], name: str | None, settings: Settings) -> list[NewSource]:
    """Return what was picked as sources, each with a name nobody has yet; the first one has the name given."""
    taken = {source.name for source in settings.sources}
    new: list[NewSource] = []
    for trial in picked:
        wish = name if name and not new else f"{name}-{len(new) + 1}" if name else name_for(trial.url, taken)
        new.append(NewSource(name=wish, kind=trial.kind, url=trial.url))
        taken.add(wish)
    return new


def show(found: Sequence[Proposal]) -> None:
    """Print what was found, best first."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "kind", "entries", "newest", "overlap", "articles", "url", "why"):
        table.add_column(name, overflow="fold", justify="right" if name in {"entries", "overlap"} else "left")
    for proposal in found:
        rated = proposal.rated
        poll = rated.poll
        table.add_row(
            "*" if rated.picked else "",
            poll.kind,
            str(len(poll.keys)),
            moment(poll.newest)[:16],
            f"{rated.overlap:.0%}" if poll.keys else "-",
            clean(proposal.sample) or "-",
            clean(poll.url),
            clean(rated.reason),
        )
    console().print(table)


def as_record(proposal: Proposal) -> dict[str, object]:
    """Return one thing that was found, for JSON."""
    rated = proposal.rated
    poll = rated.poll
    return {
        "kind": poll.kind,
        "url": poll.url,
        "title": poll.title,
        "entries": len(poll.keys),
        "newest": poll.newest.isoformat() if poll.newest else None,
        "overlap": round(rated.overlap, 3),
        "share": round(poll.share, 3),
        "sample": proposal.sample,
        "picked": rated.picked,
        "reason": rated.reason,
    }


def show_checks(checked: Sequence[CheckedSource]) -> None:
    """Print what each source gives now."""
    table = Table(box=None, pad_edge=False)
    for name in ("name", "kind", "result", "entries", "newest", "overlap", "what to know"):
        table.add_column(name, overflow="fold", justify="right" if name in {"entries", "overlap"} else "left")
    for each in checked:
        sounding, finding = each.sounding, each.finding
        strangers = f"{sounding.strangers:,} links to other sites left out" if sounding.strangers else ""
        remedy = f"{finding.detail} -> {finding.remedy}" if finding.remedy else strangers
        table.add_row(
            clean(sounding.source.name),
            sounding.source.kind,
            finding.level.value,
            str(len(sounding.candidates)),
            moment(sounding.newest)[:16],
            f"{each.overlap:.0%}" if sounding.candidates else "-",
            clean(remedy),
        )
    console().print(table)


def check_record(checked: CheckedSource) -> dict[str, object]:
    """Return what a source gives now, for JSON."""
    sounding, finding = checked.sounding, checked.finding
    return {
        "name": sounding.source.name,
        "kind": sounding.source.kind,
        "url": sounding.source.url,
        "level": finding.level.value,
        "entries": len(sounding.candidates),
        "newest": sounding.newest.isoformat() if sounding.newest else None,
        "overlap": round(checked.overlap, 3),
        "other_sites": sounding.strangers,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }

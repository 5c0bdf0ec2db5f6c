"""Tables and records of what can be polled, for `sources add` and `sources check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table

from worker.cli.render.tables import console, escape_markup, format_time
from worker.config.edit import NewSource, name_for

if TYPE_CHECKING:
    from worker.config.schema import Settings
    from worker.runs.discover_sources import SuggestedSource
    from worker.runs.doctor import CheckedSource
    from worker.sources.web.ranking import TrialPoll


def name_sources(picked: Sequence[TrialPoll], name: str | None, settings: Settings) -> list[NewSource]:
    """Return what was picked as sources, each with a name nobody has yet; the first one has the name given."""
    taken = {source.name for source in settings.sources}
    new: list[NewSource] = []
    for trial in picked:
        wish = name if name and not new else f"{name}-{len(new) + 1}" if name else name_for(trial.url, taken)
        more = {"sites": [trial.site]} if trial.site else {}
        new.append(NewSource(name=wish, kind=trial.kind, url=trial.url, more=more))
        taken.add(wish)
    return new


def print_suggestions(found: Sequence[SuggestedSource]) -> None:
    """Print what was found, best first, each with its address and the reason beneath."""
    out, line = console(), "{:<3}{:<9}{:>7}  {:<16}  {:>7}  {}"
    out.print(line.format("", "kind", "entries", "newest", "overlap", "articles"), style="bold")
    for proposal in found:
        rated = proposal.rated
        poll = rated.poll
        mark, entries = "*" if rated.picked else "", str(len(poll.keys)) if poll.keys else "-"
        overlap = f"{rated.overlap:.0%}" if poll.keys and not poll.error else "-"
        sample = escape_markup(proposal.sample) or "-"
        out.print(line.format(mark, poll.kind, entries, format_time(poll.newest)[:16], overlap, sample), soft_wrap=True)
        out.print(f"   {escape_markup(poll.url)}", soft_wrap=True)
        out.print(Padding(escape_markup(rated.reason), (0, 0, 0, 3), expand=False))


def suggestion_record(proposal: SuggestedSource) -> dict[str, object]:
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


def print_checks(checked: Sequence[CheckedSource]) -> None:
    """Print what each source gives now, and beneath what is to be known of those that are not simply well."""
    table = Table(box=None, pad_edge=False)
    for name in ("name", "kind", "result", "entries", "newest", "overlap"):
        table.add_column(name, overflow="fold", justify="right" if name in {"entries", "overlap"} else "left")
    for each in checked:
        result, entries = each.result, each.result.entries
        table.add_row(
            escape_markup(result.source.name),
            result.source.kind,
            each.finding.level.value,
            str(entries),
            format_time(result.newest)[:16],
            f"{each.overlap:.0%}" if entries else "-",
        )
    out = console()
    out.print(table)
    for each in checked:
        if remark := _remark(each):
            out.print(
                Padding(
                    f"{escape_markup(each.result.source.name)}: {escape_markup(remark)}", (0, 0, 0, 2), expand=False
                )
            )


def _remark(checked: CheckedSource) -> str:
    finding, strangers = checked.finding, checked.result.strangers
    if finding.remedy:
        return f"{finding.detail} -> {finding.remedy}"
    return f"{strangers:,} {'link' if strangers == 1 else 'links'} to other sites left out" if strangers else ""


def check_record(checked: CheckedSource) -> dict[str, object]:
    """Return what a source gives now, for JSON."""
    result, finding = checked.result, checked.finding
    return {
        "name": result.source.name,
        "kind": result.source.kind,
        "url": result.source.url,
        "level": finding.level.value,
        "entries": result.entries,
        "newest": result.newest.isoformat() if result.newest else None,
        "overlap": round(checked.overlap, 3),
        "other_sites": result.strangers,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }

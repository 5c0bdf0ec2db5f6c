"""The history of one article as `why` prints it and as its JSON record, and the verdicts that `reprocess` changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from worker.charset.characters import one_line, shortened
from worker.models import PAGE_FIELDS, Article, Authority, CandidateRecord, Comparison, Rights, StoredArticle, Verdict
from worker.models.base import counted
from worker.models.records import AlignedPassages
from worker.runs.reading import ArticleHistory, Decision, Difference

if TYPE_CHECKING:
    from worker.storage.maintenance.rejudge import VerdictChange

_MAX_SHARED_SHOWN = 160  # characters: about two terminal lines; a shared passage can be a whole article
# Who named an address: what its own site says of a page is believed, what other sites say is not.
_AUTHORITY_LABELS = {
    Authority.PUBLISHER: "its own site",
    Authority.OPERATOR: "the operator",
    Authority.STRANGER: "a stranger",
}


def history_record(history: ArticleHistory) -> dict[str, object]:
    """Return the whole history as `why --json` prints it."""
    return {
        "candidate": _as_json_values(history.candidate) if history.candidate else None,
        "forgotten": _as_json_values(history.forgotten) if history.forgotten else None,
        "articles": [
            {
                "id": stored.id,
                "kind": stored.article.kind.value,
                "places": list(history.places[stored.id]),
                "url": stored.article.url,
                "canonical_url": stored.article.canonical_url,
                "source": stored.article.source,
                "title": stored.article.title,
                "fetched_at": stored.article.fetched_at.isoformat(),
                "published_at": stored.article.published_at and stored.article.published_at.isoformat(),
                "published_at_from": stored.article.published_at_from,
                "modified_at": stored.article.modified_at and stored.article.modified_at.isoformat(),
                "modified_at_from": stored.article.modified_at_from,
                **{name: getattr(stored.article, name) for name in PAGE_FIELDS},
                "fields_from": dict(stored.article.fields_from),
                "rights": _as_json_values(stored.article.rights),
                "words": stored.article.words,
                "notes": list(stored.article.notes),
                "cluster": stored.cluster,
                "revision": stored.revision,
                "head": stored.head,
                "relation": stored.relation.value,
                "exported": {
                    "id": history.exported[stored.id].head.id,
                    "url": history.exported[stored.id].head.article.url,
                    "reason": history.exported[stored.id].reason,
                },
                "decisions": [_decision_record(decision) for decision in history.decisions[stored.id]],
            }
            for stored in history.articles
        ],
    }


def _decision_record(decision: Decision) -> dict[str, object]:
    """Return one verdict as JSON values."""
    best, against = decision.verdict.best, decision.against
    return {
        "at": decision.at.isoformat(),
        "relation": decision.verdict.relation.value,
        "rule": decision.rule,
        "against": against.id if against else None,
        "against_url": against.article.url if against else None,
        "against_places": list(decision.places),
        "jaccard": best.jaccard if best else None,
        "containment": best.containment if best else None,
        "shared_words": best.shared_words if best else 0,
        "considered": [_as_json_values(comparison) for comparison in decision.verdict.considered],
        "passages": [_as_json_values(passage) for passage in decision.passages.passages] if decision.passages else [],
        "difference": _difference_record(decision.difference),
    }


def _difference_record(difference: Difference | None) -> dict[str, object] | None:
    """Return the difference of a revision as JSON values, None for other relations."""
    if difference is None:
        return None
    return {
        "added": list(difference.added),
        "removed": list(difference.removed),
        "words_added": difference.words_added,
        "words_removed": difference.words_removed,
    }


def _as_json_values(value: object) -> object:
    """Return a dataclass as a dictionary with JSON values, times in ISO 8601."""
    return asdict(value, dict_factory=lambda pairs: {key: _as_json_scalar(item) for key, item in pairs})  # type: ignore[call-overload]


def _as_json_scalar(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def print_history(history: ArticleHistory) -> None:
    """Print the candidate with its addresses and events, then each of its articles with all verdicts."""
    from worker.cli.render.tables import console, escape_markup, format_time

    out = console()
    if gone := history.forgotten:
        what = {"host": "its host was ", "article": "the article was "}.get(gone.what, "")
        out.print(f"[bold]{what}forgotten on {format_time(gone.at)}[/]: {escape_markup(gone.reason)}")
    if history.candidate:
        record = history.candidate
        reason = f" ({record.reason})" if record.reason else ""
        out.print(f"[bold]{escape_markup(record.url)}[/]")
        out.print(f"  {record.state.value}{reason}, source {escape_markup(record.source)}, candidate {record.id}")
        if record.detail and not (record.events and record.detail in record.events[-1].detail):
            out.print(f"  {escape_markup(record.detail)}")
        _print_addresses(record)
        for event in record.events:
            out.print(f"  {format_time(event.at)}  {event.what:<11} {escape_markup(event.detail)}")
    for stored in history.articles:
        _print_article(stored, history)


def _print_addresses(record: CandidateRecord) -> None:
    """Print every address of a candidate, with the source that named it and its outcome."""
    from worker.cli.render.tables import console, escape_markup, format_time

    out = console()
    for each in record.addresses:
        ended = ": ".join(part for part in (each.state, each.reason) if part) or "not tried"
        mark = ">" if each.current and len(record.addresses) > 1 else " "
        out.print(f"  {mark} {escape_markup(each.url)}  {ended}", soft_wrap=True)
        where = f"{escape_markup(each.source)}, {escape_markup(each.reference)}"
        out.print(
            f"      named {format_time(each.seen_at)} by {_AUTHORITY_LABELS[each.authority]}: {where}", soft_wrap=True
        )


def _print_article(stored: StoredArticle, history: ArticleHistory) -> None:
    """Print an article's size, dates, notes and export state, then every verdict on it."""
    from worker.cli.render.tables import console, escape_markup

    out, decisions, exported = console(), history.decisions[stored.id], history.exported[stored.id]
    export_state = "exported" if stored.head else f"kept, not exported (cluster {stored.cluster})"
    out.print()
    out.print(f"[bold]{stored.article.kind.value} {stored.id}[/]  {escape_markup(stored.article.title)}")
    out.print(f"  {counted(stored.article.words, 'word')}, revision {stored.revision}, {export_state}")
    for line in (*_format_places(history.places[stored.id]), _format_dates(stored.article), *stored.article.notes):
        if line:
            out.print(f"  {escape_markup(line)}")
    for name, value, origin in shown_fields(stored.article):
        out.print(f"  {name}: {escape_markup(shortened(value, _MAX_SHARED_SHOWN))} ({origin})", soft_wrap=True)
    if rights := format_rights(stored.article.rights):
        out.print(f"  rights: {escape_markup(rights)}", soft_wrap=True)
    which = "this one" if stored.head else f"article {exported.head.id}, {exported.head.article.url}"
    out.print(f"  exported of its cluster: {escape_markup(which)} ({escape_markup(exported.reason)})", soft_wrap=True)
    for decision in decisions:
        _print_decision(decision)


def _format_places(places: tuple[str, ...]) -> tuple[str, ...]:
    """Return the line that names the places of a seed; none for other articles."""
    return (f"seed: {'; '.join(places)}",) if places else ()


def _format_dates(article: Article) -> str:
    """Return the dates of an article, each with the place it was read from."""
    from worker.cli.render.tables import format_time

    guessed = ", a guess" if article.is_date_guessed else ""
    dates = (
        ("published", article.published_at, f"{article.published_at_from}{guessed}"),
        ("modified", article.modified_at, article.modified_at_from),
    )
    return "; ".join(f"{what} {format_time(at)} ({origin})" for what, at, origin in dates if at)


def _print_decision(decision: Decision) -> None:
    """Print one verdict: the rule, the article compared with, the figures and the passages."""
    from worker.cli.render.tables import console, escape_markup, format_time

    out, best = console(), decision.verdict.best
    if best is None or decision.against is None:
        relation, rule = decision.verdict.relation.value, decision.rule
        out.print(f"  {format_time(decision.at)}  judged [bold]{relation}[/]: {rule}")
        _print_comparisons(decision.verdict)
        return
    other = decision.against
    out.print(f"  {format_time(decision.at)}  judged [bold]{decision.verdict.relation.value}[/] against {other.id}")
    for line in (other.article.title, other.article.url, *_format_places(decision.places)):
        out.print(f"    {escape_markup(line)}", soft_wrap=True)
    out.print(f"    rule: {escape_markup(decision.rule)}")
    _print_comparisons(decision.verdict)
    if change := decision.difference:
        out.print(f"    changed: {counted(change.words_added, 'word')} added, {change.words_removed:,} removed")
    if decision.passages:
        _print_passages(decision.passages)


def _print_comparisons(verdict: Verdict) -> None:
    """Print the figures of every article that was compared, and the strongest reasons for and against."""
    from worker.cli.render.tables import console, escape_markup

    out = console()
    for comparison in verdict.considered:
        out.print(f"    {_format_comparison(comparison)}")
        for reason in comparison.notes:
            if reason.startswith(("for: ", "against: ")):
                out.print(f"              {escape_markup(reason)}", style="dim")


def _format_comparison(comparison: Comparison) -> str:
    """Return a compared article's id, relation and similarity figures on one line."""
    figures = f"jaccard {comparison.jaccard:.3f}, containment {comparison.containment:.3f}"
    probability = "" if comparison.probability is None else f", probability of one item {comparison.probability:.2f}"
    shared = f"{comparison.shared_words} shared words{probability}"
    return f"{comparison.article:>6}  {comparison.relation.value:<9} {figures}, {shared}"


def _print_passages(passages: AlignedPassages) -> None:
    """Print the aligned passages: shared ones shortened, differing ones in full and in color."""
    from worker.cli.render.tables import console, escape_markup

    out = console()
    out.print("    passages: = both, + this article only, - the other only")
    for passage in passages.passages:
        if passage.shared:
            out.print(f"    = {escape_markup(shortened(passage.text, _MAX_SHARED_SHOWN))}", style="dim")
            continue
        if passage.text.strip():
            out.print(f"    + {escape_markup(one_line(passage.text))}", style="green")
        if passage.other.strip():
            out.print(f"    - {escape_markup(one_line(passage.other))}", style="red")


def print_changes(changes: Iterable[VerdictChange]) -> None:
    """Print a table of changed verdicts: article, before, after, the article compared with, and the figures."""
    from worker.cli.render.tables import FittingTable, console, placement_after, placement_before

    figures = ("against", "jaccard", "contained")
    rows = [
        (str(each.id), placement_before(each), placement_after(each), str(each.against or ""),
         f"{each.jaccard:.2f}", f"{each.containment:.2f}", each.title, each.url)
        for each in changes
    ]  # fmt: skip
    table = FittingTable(
        names=("article", "before", "after", *figures, "title", "url"),
        rows=rows,
        right=("article", *figures),
        dropped=("url", "contained", "jaccard", "against"),
        least={"title": 12},
    )
    console().print(table)


def shown_fields(article: Article) -> list[tuple[str, str, str]]:
    """Return the name, value and origin of each field of `PAGE_FIELDS` that an article has."""
    values = ((name, getattr(article, name)) for name in PAGE_FIELDS)
    return [
        (name, ", ".join(value) if isinstance(value, tuple) else value, article.fields_from.get(name, ""))
        for name, value in values
        if value
    ]


def format_rights(rights: Rights) -> str:
    """Return the rights signals of a page in one line, empty if it has none."""
    signals = {
        "robots": ", ".join(rights.robots),
        "tdm-reservation": rights.tdm_reservation,
        "content-usage": ", ".join(rights.content_usage),
        "content-signal": ", ".join(rights.content_signal),
        "licence": rights.licence,
        "copyright": rights.copyright_holder,
    }
    return "; ".join(f"{name}: {value}" for name, value in signals.items() if value)

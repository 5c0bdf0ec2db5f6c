"""Tells one article's history for `why`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from worker.errors import NotFoundError
from worker.models import Article, Authority, CandidateRecord, Comparison, Relation, StoredArticle, Verdict

if TYPE_CHECKING:
    from worker.dedupe.alignment import AlignedPassages
    from worker.storage.corpus.reader import StoreReader

_MAX_SHARED = 160
_AUTHORITIES = {
    Authority.PUBLISHER: "its own site",
    Authority.OPERATOR: "the operator",
    Authority.STRANGER: "a stranger",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision about an article: when, what, against which article, and the two texts side by side."""

    at: datetime
    verdict: Verdict
    against: StoredArticle | None = None
    passages: AlignedPassages | None = None

    @property
    def difference(self) -> Difference | None:
        """What a new version of a text has that the version before it had not, and the other way round."""
        if self.verdict.relation is not Relation.REVISION or self.passages is None:
            return None
        apart = [each for each in self.passages.passages if not each.shared]
        return Difference(
            added=tuple(_flat(each.text) for each in apart if each.text.strip()),
            removed=tuple(_flat(each.other) for each in apart if each.other.strip()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What was added to a text and what was removed from it, passage by passage."""

    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def words_added(self) -> int:
        """How many words were added."""
        return sum(len(passage.split()) for passage in self.added)

    @property
    def words_removed(self) -> int:
        """How many words were removed."""
        return sum(len(passage.split()) for passage in self.removed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedText:
    """The text of a cluster that is exported, and why that one: what was said when it took or held that place."""

    head: StoredArticle
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleHistory:
    """Everything there is to say about one URL or id."""

    candidate: CandidateRecord | None
    articles: tuple[StoredArticle, ...]
    decisions: dict[int, tuple[Decision, ...]]
    exported: dict[int, ExportedText]


def load_history(reader: StoreReader, url_or_id: str) -> ArticleHistory:
    """Collect the history of a URL or an article's id; raises NotFoundError where the store knows neither."""
    candidate = reader.candidate(url_or_id)
    ids = candidate.articles if candidate else (int(url_or_id),) if url_or_id.isascii() and url_or_id.isdigit() else ()
    articles = tuple(article for article in map(reader.article, ids) if article)
    if not candidate and not articles:
        raise NotFoundError(
            f"{url_or_id}: the store knows no such URL or article id; `duplicates` and `export` show ids"
        )
    decisions = {article.id: tuple(_decisions(reader, article)) for article in articles}
    exported = {article.id: _exported(reader, article) for article in articles}
    return ArticleHistory(candidate=candidate, articles=articles, decisions=decisions, exported=exported)


def _exported(reader: StoreReader, article: StoredArticle) -> ExportedText:
    """Return what the cluster of an article exports; the later word of the two articles is why."""
    head = article if article.head else reader.head_of(article.cluster) or article
    latest = [reader.verdicts(each)[-1:] for each in {head.id, article.id}]
    told = [(at, verdict.reason) for made in latest for at, verdict in made if verdict.reason]
    return ExportedText(head=head, reason=max(told)[1] if told else "the first of its cluster")


def _decisions(reader: StoreReader, article: StoredArticle) -> list[Decision]:
    from worker.dedupe.alignment import align_passages

    told = []
    for at, verdict in reader.verdicts(article.id):
        against = reader.article(verdict.best.article) if verdict.best else None
        passages = align_passages(article.article.text, against.article.text) if against else None
        told.append(Decision(at=at, verdict=verdict, against=against, passages=passages))
    return told


def history_record(told: ArticleHistory) -> dict[str, object]:
    """Return the whole history for `why --json`."""
    return {
        "candidate": _plain(told.candidate) if told.candidate else None,
        "articles": [
            {
                "id": stored.id,
                "kind": stored.article.kind.value,
                "url": stored.article.url,
                "canonical_url": stored.article.canonical_url,
                "source": stored.article.source,
                "title": stored.article.title,
                "fetched_at": stored.article.fetched_at.isoformat(),
                "published_at": stored.article.published_at and stored.article.published_at.isoformat(),
                "published_at_from": stored.article.published_at_from,
                "modified_at": stored.article.modified_at and stored.article.modified_at.isoformat(),
                "modified_at_from": stored.article.modified_at_from,
                "words": stored.article.words,
                "notes": list(stored.article.notes),
                "cluster": stored.cluster,
                "revision": stored.revision,
                "head": stored.head,
                "relation": stored.relation.value,
                "exported": {
                    "id": told.exported[stored.id].head.id,
                    "url": told.exported[stored.id].head.article.url,
                    "reason": told.exported[stored.id].reason,
                },
                "decisions": [_decision_record(decision) for decision in told.decisions[stored.id]],
            }
            for stored in told.articles
        ],
    }


def _decision_record(decision: Decision) -> dict[str, object]:
    best, against = decision.verdict.best, decision.against
    return {
        "at": decision.at.isoformat(),
        "relation": decision.verdict.relation.value,
        "rule": _rule(decision.verdict),
        "against": against.id if against else None,
        "against_url": against.article.url if against else None,
        "jaccard": best.jaccard if best else None,
        "containment": best.containment if best else None,
        "shared_words": best.shared_words if best else 0,
        "considered": [_plain(comparison) for comparison in decision.verdict.considered],
        "passages": [_plain(passage) for passage in decision.passages.passages] if decision.passages else [],
        "difference": _difference_record(decision.difference),
    }


def _difference_record(difference: Difference | None) -> dict[str, object] | None:
    if difference is None:
        return None
    return {
        "added": list(difference.added),
        "removed": list(difference.removed),
        "words_added": difference.words_added,
        "words_removed": difference.words_removed,
    }


def _rule(verdict: Verdict) -> str:
    """Return by which rule a verdict fell, with what people said in plain words."""
    if verdict.best:
        said_same = verdict.best.rule == "marked same"
        return "a person said that they are the same" if said_same else verdict.best.rule
    apart = [str(each.article) for each in verdict.considered if each.rule == "marked different"]
    if apart:
        return f"a person said that it is another item than {', '.join(apart)}"
    compared = len(verdict.considered)
    return f"none alike among {compared} compared" if compared else "no article shares enough to be compared"


def _plain(value: object) -> object:
    """Return a dataclass as JSON can hold it."""
    return asdict(value, dict_factory=lambda pairs: {key: _scalar(item) for key, item in pairs})  # type: ignore[call-overload]


def _scalar(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def print_history(told: ArticleHistory) -> None:
    """Print the history for people."""
    from worker.cli.render.tables import console, escape_markup, format_time

    out = console()
    if told.candidate:
        record = told.candidate
        reason = f" ({record.reason})" if record.reason else ""
        out.print(f"[bold]{escape_markup(record.url)}[/]")
        out.print(f"  {record.state.value}{reason}, source {escape_markup(record.source)}, candidate {record.id}")
        if record.detail and not (record.events and record.detail in record.events[-1].detail):
            out.print(f"  {escape_markup(record.detail)}")
        _show_addresses(record)
        for event in record.events:
            out.print(f"  {format_time(event.at)}  {event.what:<11} {escape_markup(event.detail)}")
    for stored in told.articles:
        _show_article(stored, told.decisions[stored.id], told.exported[stored.id])


def _show_addresses(record: CandidateRecord) -> None:
    """Print every address seen for a candidate: who named it, and how it ended."""
    from worker.cli.render.tables import console, escape_markup, format_time

    out = console()
    for each in record.addresses:
        ended = ": ".join(part for part in (each.state, each.reason) if part) or "not tried"
        mark = ">" if each.current and len(record.addresses) > 1 else " "
        out.print(f"  {mark} {escape_markup(each.url)}  {ended}", soft_wrap=True)
        where = f"{escape_markup(each.source)}, {escape_markup(each.reference)}"
        out.print(f"      named {format_time(each.seen_at)} by {_AUTHORITIES[each.authority]}: {where}", soft_wrap=True)


def _show_article(stored: StoredArticle, decisions: tuple[Decision, ...], exported: ExportedText) -> None:
    from worker.cli.render.tables import console, escape_markup

    out = console()
    standing = "exported" if stored.head else f"kept, not exported (cluster {stored.cluster})"
    out.print()
    out.print(f"[bold]{stored.article.kind.value} {stored.id}[/]  {escape_markup(stored.article.title)}")
    out.print(f"  {stored.article.words} words, revision {stored.revision}, {standing}")
    for line in (_dated(stored.article), *stored.article.notes):
        if line:
            out.print(f"  {escape_markup(line)}")
    which = "this one" if stored.head else f"article {exported.head.id}, {exported.head.article.url}"
    out.print(f"  exported of its cluster: {escape_markup(which)} ({escape_markup(exported.reason)})", soft_wrap=True)
    for decision in decisions:
        _show_decision(decision)


def _dated(article: Article) -> str:
    """Return when an article was published and modified, and who says so."""
    from worker.cli.render.tables import format_time

    guessed = ", a guess" if article.is_date_guessed else ""
    dates = (
        ("published", article.published_at, f"{article.published_at_from}{guessed}"),
        ("modified", article.modified_at, article.modified_at_from),
    )
    return "; ".join(f"{what} {format_time(at)} ({origin})" for what, at, origin in dates if at)


def _show_decision(decision: Decision) -> None:
    from worker.cli.render.tables import console, escape_markup, format_time

    out, best = console(), decision.verdict.best
    if best is None or decision.against is None:
        relation, rule = decision.verdict.relation.value, _rule(decision.verdict)
        out.print(f"  {format_time(decision.at)}  judged [bold]{relation}[/]: {rule}")
        _show_considered(decision.verdict)
        return
    other = decision.against
    out.print(f"  {format_time(decision.at)}  judged [bold]{decision.verdict.relation.value}[/] against {other.id}")
    out.print(f"    {escape_markup(other.article.title)}\n    {escape_markup(other.article.url)}")
    out.print(f"    rule: {escape_markup(_rule(decision.verdict))}")
    _show_considered(decision.verdict)
    if change := decision.difference:
        out.print(f"    changed: {change.words_added} words added, {change.words_removed} removed")
    if decision.passages:
        _show_passages(decision.passages)


def _show_considered(verdict: Verdict) -> None:
    from worker.cli.render.tables import console, escape_markup

    out = console()
    for comparison in verdict.considered:
        out.print(f"    {_figures(comparison)}")
        for reason in comparison.notes:
            if reason.startswith(("for: ", "against: ")):
                out.print(f"              {escape_markup(reason)}", style="dim")


def _figures(comparison: Comparison) -> str:
    figures = f"jaccard {comparison.jaccard:.3f}, containment {comparison.containment:.3f}"
    probability = "" if comparison.probability is None else f", probability of one item {comparison.probability:.2f}"
    shared = f"{comparison.shared_words} shared words{probability}"
    return f"{comparison.article:>6}  {comparison.relation.value:<9} {figures}, {shared}"


def _show_passages(passages: AlignedPassages) -> None:
    from worker.cli.render.tables import console, escape_markup

    out = console()
    out.print("    passages: = both, + this article only, - the other only")
    for passage in passages.passages:
        if passage.shared:
            out.print(f"    = {escape_markup(_shortened(passage.text))}", style="dim")
            continue
        if passage.text.strip():
            out.print(f"    + {escape_markup(_flat(passage.text))}", style="green")
        if passage.other.strip():
            out.print(f"    - {escape_markup(_flat(passage.other))}", style="red")


def _flat(text: str) -> str:
    return " ".join(text.split())


def _shortened(text: str) -> str:
    flat = _flat(text)
    if len(flat) <= _MAX_SHARED:
        return flat
    half = _MAX_SHARED // 2
    return f"{flat[:half]} … {flat[-half:]}"

"""What people read of a store: the history of an article, for `why`, the web pages and `worker.api`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from worker.errors import NotFoundError
from worker.models import PAGE_FIELDS, Article, CandidateRecord, Relation, StoredArticle, Tombstone, Verdict
from worker.storage.corpus.reader import StoreReader

if TYPE_CHECKING:
    from worker.dedupe.alignment import AlignedPassages


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One verdict on an article: its time, the article it was compared with, and both texts aligned."""

    at: datetime
    verdict: Verdict
    against: StoredArticle | None = None
    passages: AlignedPassages | None = None

    @property
    def difference(self) -> Difference | None:
        """What a revision added to the previous version and removed from it; None for other relations."""
        if self.verdict.relation is not Relation.REVISION or self.passages is None:
            return None
        apart = [each for each in self.passages.passages if not each.shared]
        return Difference(
            added=tuple(one_line(each.text) for each in apart if each.text.strip()),
            removed=tuple(one_line(each.other) for each in apart if each.other.strip()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The passages that a revision added to a text and removed from it."""

    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def words_added(self) -> int:
        """The number of words added."""
        return sum(len(passage.split()) for passage in self.added)

    @property
    def words_removed(self) -> int:
        """The number of words removed."""
        return sum(len(passage.split()) for passage in self.removed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedText:
    """The exported text of a cluster (its head), and the reason for that choice as its verdict recorded it."""

    head: StoredArticle
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleHistory:
    """Everything known about one URL or article id; `decisions` and `exported` are keyed by article id.

    `forgotten` is the tombstone, if a person had it removed.
    """

    candidate: CandidateRecord | None
    articles: tuple[StoredArticle, ...]
    decisions: dict[int, tuple[Decision, ...]]
    exported: dict[int, ExportedText]
    forgotten: Tombstone | None = None


def load_history(reader: StoreReader, url_or_id: str) -> ArticleHistory:
    """Load the history of a URL or an article id; raises NotFoundError if the store has neither.

    A URL can have several articles: the revisions of its text. Texts are aligned again here, since the store keeps only
    the figures of a comparison.
    """
    candidate = reader.candidate(url_or_id)
    ids = candidate.articles if candidate else (int(url_or_id),) if url_or_id.isascii() and url_or_id.isdigit() else ()
    articles = tuple(article for article in map(reader.article, ids) if article)
    forgotten = None if articles else reader.tombstone(url_or_id)
    if not candidate and not articles and not forgotten:
        raise NotFoundError(
            f"{url_or_id}: the store knows no such URL or article id; `duplicates` and `export` show ids"
        )
    decisions = {article.id: tuple(_decisions(reader, article)) for article in articles}
    exported = {article.id: _exported_text(reader, article) for article in articles}
    return ArticleHistory(
        candidate=candidate, articles=articles, decisions=decisions, exported=exported, forgotten=forgotten
    )


def _exported_text(reader: StoreReader, article: StoredArticle) -> ExportedText:
    """Return the exported text of an article's cluster; its reason is in the later verdict of head and article."""
    head = article if article.head else reader.head_of(article.cluster) or article
    latest = [reader.verdicts(each)[-1:] for each in {head.id, article.id}]
    reasons = [(at, verdict.reason) for verdicts in latest for at, verdict in verdicts if verdict.reason]
    return ExportedText(head=head, reason=max(reasons)[1] if reasons else "the first of its cluster")


def _decisions(reader: StoreReader, article: StoredArticle) -> list[Decision]:
    """Return all verdicts on an article, oldest first, each with the two texts aligned."""
    from worker.dedupe.alignment import align_passages

    decisions = []
    for at, verdict in reader.verdicts(article.id):
        against = reader.article(verdict.best.article) if verdict.best else None
        passages = align_passages(article.article.text, against.article.text) if against else None
        decisions.append(Decision(at=at, verdict=verdict, against=against, passages=passages))
    return decisions


def shown_fields(article: Article) -> list[tuple[str, str, str]]:
    """Return the name, value and origin of each field of `PAGE_FIELDS` that an article has."""
    values = ((name, getattr(article, name)) for name in PAGE_FIELDS)
    return [
        (name, ", ".join(value) if isinstance(value, tuple) else value, article.fields_from.get(name, ""))
        for name, value in values
        if value
    ]


def rule_text(verdict: Verdict) -> str:
    """Return the rule behind a verdict, the human mark that decided it, or how many articles were compared in vain."""
    if verdict.best:
        said_same = verdict.best.rule == "marked same"
        return "a person said that they are the same" if said_same else verdict.best.rule
    apart = [str(each.article) for each in verdict.considered if each.rule == "marked different"]
    if apart:
        return f"a person said that it is another item than {', '.join(apart)}"
    compared = len(verdict.considered)
    return f"none alike among {compared} compared" if compared else "no article shares enough to be compared"


def one_line(text: str) -> str:
    """Return text with every run of white space replaced by one space."""
    return " ".join(text.split())

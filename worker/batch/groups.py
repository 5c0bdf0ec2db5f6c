"""Settles the groups of articles that may belong together: which cluster each joins, in their order, as online.

A group is a connected component of the pairs that join: no article outside of it can join one of its clusters. So
groups are independent, and within one the verdict on an article depends on the earlier ones only, which are compared
as the store does it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Final

from worker.dedupe.judge import Deduper
from worker.models import Article, Fingerprint, Neighbour, Verdict
from worker.models.base import dataclass
from worker.storage.corpus.clusters import JOINING
from worker.storage.corpus.neighbours import MAX_NEIGHBOURS, MAX_VERSIONS

MOST_IN_GROUP: Final = 2_000
"""Articles of a group that one process settles as they are, in some seconds. Chosen, not measured. A larger group is
divided first (`find_groups`), which judges most of its articles twice."""
FEW_CLUSTERS: Final = 3
"""With so few neighbours or clusters in all, no text can be common to three besides (docs/dedupe.md, "Verdicts")."""
UNCHANGED: Final = "unchanged"
"""In place of a relation: the same text under the same address again, which the online worker does not store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusRow:
    """An article with its number in the input, its group, and its hits: the numbers of earlier articles, best first.

    `may_join` is false if it joins none of its hits, so that it need not be judged. `judged` has the earlier articles
    with which it was judged alone and has words in common, by their numbers: why it joins one, None if it does not.
    """

    row: int
    group: int
    article: Article
    shingles: int
    hits: tuple[int, ...] = ()
    may_join: bool = True
    judged: Mapping[int, JoiningPair | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoiningPair:
    """Why an article joins another, and whether it becomes the head."""

    membership: Membership
    is_head: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """An article in a cluster of two or more, the cluster's head, and why the article joined.

    `against` is the number of the article whose cluster it joined; the figures are of these two. All are None for the
    first article of a cluster.
    """

    member: int
    head: int
    relation: str | None = None
    against: int | None = None
    probability: float | None = None
    jaccard: float | None = None
    containment: float | None = None


@dataclass(slots=True)
class _Clusters:
    """The articles so far with their clusters; a cluster is named by the number of its first article."""

    cluster_of: dict[int, int] = field(default_factory=dict)
    head_of: dict[int, int] = field(default_factory=dict)
    members: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def assign(self, row: int, cluster: int, *, is_head: bool) -> None:
        """Put an article into a cluster, as its head if `is_head`."""
        self.cluster_of[row] = cluster
        self.members[cluster].append(row)
        if is_head:
            self.head_of[cluster] = row

    def with_heads(self, rows: Sequence[int]) -> list[int]:
        """Return the articles that are in a cluster, each once, with the head of its cluster before it."""
        known = [row for row in rows if row in self.cluster_of]
        pairs = [(self.head_of[self.cluster_of[row]], row) for row in known]
        return list(dict.fromkeys(one for pair in pairs for one in pair))


def settle_group(rows: Sequence[CorpusRow], group: int, deduper: Deduper) -> list[Membership]:
    """Judge the articles of a group in order, and return those in clusters of two or more; rows may have any order.

    An article of another group counts as the head of its own, if it is the first of it among these rows.
    """
    by_row = {each.row: each for each in rows}
    clusters, memberships = _Clusters(), dict[int, Membership]()
    versions: defaultdict[str, list[int]] = defaultdict(list)
    for each in sorted(rows, key=lambda one: one.row):
        if each.group != group:
            clusters.assign(each.row, each.group, is_head=each.group not in clusters.head_of)
            continue
        earlier = versions[each.article.canonical_url]
        if earlier and by_row[earlier[-1]].article.sha256 == each.article.sha256:
            memberships[each.row] = Membership(member=each.row, head=each.row, relation=UNCHANGED, against=earlier[-1])
            clusters.members[clusters.cluster_of[earlier[-1]]].append(each.row)
            continue
        chosen = clusters.with_heads([*earlier[: -MAX_VERSIONS - 1 : -1], *each.hits])[:MAX_NEIGHBOURS]
        stored = [by_row[row] for row in chosen] if each.may_join else []
        found = _judge_in_group(each, stored, clusters, deduper)
        memberships[each.row] = found.membership
        joined = found.membership.against
        cluster = each.row if joined is None else clusters.cluster_of[joined]
        clusters.assign(each.row, cluster, is_head=joined is None or found.is_head)
        earlier.append(each.row)
    return list(_of_clusters(clusters, memberships))


def _judge_in_group(row: CorpusRow, stored: Sequence[CorpusRow], clusters: _Clusters, deduper: Deduper) -> JoiningPair:
    """Return which cluster an article joins, given the stored articles that it is compared with."""
    # It was judged with each hit of another group, and joins none: they only show what text is common.
    nothing_shared = set(row.hits).difference(row.judged)
    stored = [each for each in stored if each.group == row.group or each.row not in nothing_shared]
    if len({clusters.cluster_of[each.row] for each in stored}) <= FEW_CLUSTERS:
        # No text is common to three clusters besides, so those of other groups make no difference, and a verdict on the
        # head of the only cluster left is that of the pair alone, unless earlier versions of its page count as well.
        stored = [each for each in stored if each.group == row.group]
        heads = {clusters.head_of[clusters.cluster_of[each.row]] for each in stored}
        known = row.judged.get(next(iter(heads))) if len(heads) == 1 else None
        if known is not None and not _has_versions(stored, heads):
            return known
    verdict = judge_row(row, [_neighbour(each, clusters) for each in stored], deduper)
    return JoiningPair(membership=membership_of(row.row, verdict), is_head=verdict.head)


def _has_versions(stored: Sequence[CorpusRow], heads: Collection[int]) -> bool:
    """Return whether there is another version of the page of a head."""
    pages = {each.article.canonical_url for each in stored if each.row in heads}
    return any(each.article.canonical_url in pages for each in stored if each.row not in heads)


def judge_row(row: CorpusRow, neighbours: Sequence[Neighbour], deduper: Deduper) -> Verdict:
    """Return the verdict on an article."""
    return deduper.judge(
        row.article, Fingerprint(signature=b"", bands=(), anchors=(), shingles=row.shingles), neighbours
    )


def membership_of(row: int, verdict: Verdict) -> Membership:
    """Return why an article joins the cluster of another, if it does; it is its own head until all are judged."""
    best = verdict.best
    if best is None or verdict.relation not in JOINING:
        return Membership(member=row, head=row)
    return Membership(
        member=row,
        head=row,
        relation=verdict.relation.value,
        against=best.article,
        probability=best.probability,
        jaccard=best.jaccard,
        containment=best.containment,
    )


def _of_clusters(clusters: _Clusters, memberships: dict[int, Membership]) -> Iterator[Membership]:
    """Yield the members of each cluster of two or more, with its head."""
    for cluster, members in clusters.members.items():
        found = [memberships[row] for row in members if row in memberships]
        if len(found) > 1:
            head = clusters.head_of[cluster]
            yield from (replace(each, head=head) for each in found)


def _neighbour(stored: CorpusRow, clusters: _Clusters) -> Neighbour:
    cluster = clusters.cluster_of[stored.row]
    return Neighbour.of(stored.article, stored.row, cluster=cluster, head=clusters.head_of[cluster] == stored.row)

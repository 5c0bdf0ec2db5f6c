"""The texts that are exported: selected, with what is known of their copies, all from one snapshot of the store.

`copy_report` and `newest_copies` say who copied whom, for the web pages, from a bounded part of the store.
Everything is read a batch of ids at a time. So memory is bounded, and however a selection narrows the corpus, the
database sorts ids and not texts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, exists, func, select

from worker.models import (
    ClusterMember,
    CopyFacts,
    DuplicateLink,
    Kind,
    Page,
    Relation,
    Removal,
    Selection,
    State,
    StoredArticle,
    publication_time,
)
from worker.models.base import dataclass
from worker.models.browsing import CopiedStory, CopyList, CopyReport, HostShare
from worker.storage.corpus import views
from worker.storage.corpus.clusters import JOINING
from worker.storage.corpus.neighbours import originals
from worker.storage.db.codec import PAGE_FORM, content_from
from worker.storage.db.migrate import identity_of
from worker.storage.db.schema import ARTICLES, CANDIDATES, DECISIONS, PAGES, STANDINGS
from worker.storage.db.sql import among, batched, first_id_since
from worker.storage.queue import hosts

BATCH: Final = 200
"""Texts read at once. Chosen: some hundred kilobytes, and few statements beside the rows they return."""
PAGES_AT_ONCE: Final = 16
"""Pages read in one query. Chosen, not measured: bounds memory, as a page may be as large as `[fetch] max_bytes`."""
_REFUSING: Final = (State.REJECTED, State.BLOCKED, State.FAILED)

_ARTICLES = views.articles_query().where(among(ARTICLES.c.id, "ids")).order_by(ARTICLES.c.id)
_CLUSTERS_OF_SEVERAL = (
    select(STANDINGS.c.cluster)
    .where(among(STANDINGS.c.cluster, "clusters"))
    .group_by(STANDINGS.c.cluster)
    .having(func.count() > 1)
)
_MEMBERS = (
    select(
        STANDINGS.c.cluster, ARTICLES.c.id, ARTICLES.c.kind, ARTICLES.c.canonical_url, ARTICLES.c.host,
        ARTICLES.c.published_at, ARTICLES.c.published_at_from, ARTICLES.c.fetched_at,
    )
    .join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
    .where(among(STANDINGS.c.cluster, "clusters"))
)  # fmt: skip
_NEWER = ARTICLES.alias("newer")
_KEPT_PAGES = (
    select(PAGES.c.form, PAGES.c.described, PAGES.c.body, PAGES.c.fetched_at)
    .join(ARTICLES, ARTICLES.c.page_id == PAGES.c.id)
    .where(among(ARTICLES.c.id, "ids"), PAGES.c.form == PAGE_FORM)
    # Several articles may have been extracted from one page: it belongs to the newest.
    .where(
        ~exists().where(
            _NEWER.c.candidate_id == ARTICLES.c.candidate_id,
            _NEWER.c.page_id == ARTICLES.c.page_id,
            _NEWER.c.id > ARTICLES.c.id,
        )
    )
    .order_by(ARTICLES.c.id)
)
_LINKS = views.links_query(that_keep_both=False).where(among(ARTICLES.c.id, "ids"))
_HEADS_AMONG = select(STANDINGS.c.article_id).where(among(STANDINGS.c.article_id, "ids"), STANDINGS.c.head)
_REFUSED = (
    select(CANDIDATES.c.state, CANDIDATES.c.reason, func.count().label("pages"))
    .where(CANDIDATES.c.state.in_(_REFUSING))
    .group_by(CANDIDATES.c.state, CANDIDATES.c.reason)
    .order_by(CANDIDATES.c.state, CANDIDATES.c.reason)
)
_UNEXPORTED = select(func.count()).select_from(STANDINGS).where(~STANDINGS.c.head)


class CorpusSnapshot:
    """The corpus as it is at one moment, while others write to the store."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def texts(self, selection: Selection) -> Iterator[StoredArticle]:
        """Yield the selected texts ordered by id, each with its `copies`."""
        for batch in self._connection.execute(_ids_query(selection)).partitions(BATCH):
            ids = [row.article_id for row in batch]
            rows = self._connection.execute(_ARTICLES, {"ids": ids}).all()
            clusters = read_clusters(self._connection, {row.cluster for row in rows})
            links = self._links(ids) if selection.copies else {}
            for row in rows:
                facts = _copy_facts(row, clusters.get(row.cluster), links.get(row.id))
                yield views.stored_article(row, copies=facts)

    def pages(self, texts: Iterable[StoredArticle]) -> Iterator[Page]:
        """Yield the kept pages that these texts were extracted from, each once, in order; a text may have none."""
        left = iter(texts)
        while ids := [text.id for text in islice(left, PAGES_AT_ONCE)]:
            for row in self._connection.execute(_KEPT_PAGES, {"ids": ids}).all():
                page = content_from(row.form, row.described, row.body, row.fetched_at)
                if isinstance(page, Page):
                    yield page

    def duplicates(self, *, links_that_keep_both: bool) -> Iterator[DuplicateLink]:
        """Yield the links of recognised copies, ordered by id; with the flag also those that keep both texts."""
        query = views.links_query(that_keep_both=links_that_keep_both)
        for rows in self._connection.execute(query).partitions(BATCH):
            clusters = read_clusters(self._connection, {row.head_cluster for row in rows})
            firsts = {cluster: members.first_host for cluster, members in clusters.items()}
            yield from (views.link_from(row, firsts) for row in rows)

    def removals(self, ids: Sequence[int]) -> dict[int, Removal]:
        """Return why each of these articles, which were exported once and are no longer, is not."""
        heads = set(self._connection.execute(_HEADS_AMONG, {"ids": ids}).scalars())
        links = self._links(ids)
        found = {each.id: Removal(reason=each.relation, replaced_by=each.duplicate_of) for each in links.values()}
        forgotten = {row.key for row in hosts.tombstones(self._connection, map(hosts.article_key, ids))}
        left = set(ids) - found.keys()
        gone = {each: "forgotten" if hosts.article_key(each) in forgotten else "removed" for each in left - heads}
        return found | {each: Removal(reason=gone.get(each, "filtered")) for each in left}

    def refusals(self) -> dict[tuple[State, str], int]:
        """Return how many pages gave no article, by state and reason."""
        return {(State(row.state), row.reason): row.pages for row in self._connection.execute(_REFUSED)}

    def unexported(self) -> int:
        """Return how many stored texts are not exported, because another text of their cluster is."""
        return int(self._connection.execute(_UNEXPORTED).scalar_one())

    def identity(self) -> str | None:
        """Return the random name of the store, which its copies share; None if an older program made it."""
        return identity_of(self._connection)

    def _links(self, ids: Sequence[int]) -> dict[int, DuplicateLink]:
        """Return the links of those articles that are not the head of their cluster."""
        return {row.id: views.link_from(row, {}) for row in self._connection.execute(_LINKS, {"ids": ids})}


def _ids_query(selection: Selection) -> Select[Any]:
    """Return the query for the ids of the selected articles, in order."""
    conditions = list(_article_conditions(selection))
    query = select(STANDINGS.c.article_id).order_by(STANDINGS.c.article_id).execution_options(yield_per=BATCH)
    if conditions:
        query = query.join(ARTICLES, ARTICLES.c.id == STANDINGS.c.article_id).where(*conditions)
    return query if selection.copies else query.where(STANDINGS.c.head)


def _article_conditions(selection: Selection) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a selection that concern columns of the articles table."""
    dated = func.coalesce(ARTICLES.c.published_at, ARTICLES.c.fetched_at, type_=ARTICLES.c.fetched_at.type)
    if selection.since is not None:
        yield dated >= selection.since
    if selection.before is not None:
        yield dated < selection.before
    for column, wanted in (
        (ARTICLES.c.source, selection.sources),
        (ARTICLES.c.language, selection.languages),
        (ARTICLES.c.kind, selection.kinds),
    ):
        if wanted:
            yield column.in_(wanted)
    if selection.min_words:
        yield ARTICLES.c.words >= selection.min_words


# What is known of the copies of a text.


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMembers:
    """A cluster of several articles: how many, on which hosts, when they were fetched, and which host was first.

    `undated` are seeds without a date: their place in time is when they were imported. `first_dated` is the host that
    was first, empty if the first is one of them.
    """

    count: int
    hosts: Counter[str]
    first_seen: datetime
    last_seen: datetime
    first_host: str
    first_dated: str
    undated: frozenset[int]

    @property
    def known_first_host(self) -> str:
        """The host that was first, empty where a seed without a date may have been."""
        return "" if self.undated else self.first_dated


def read_clusters(connection: Connection, clusters: Collection[int]) -> dict[int, ClusterMembers]:
    """Return those of the clusters that have several articles."""
    several = connection.execute(_CLUSTERS_OF_SEVERAL, {"clusters": sorted(clusters)}).scalars().all()
    if not several:
        return {}
    members: dict[int, list[Row[Any]]] = defaultdict(list)
    rows: Iterable[Row[Any]] = connection.execute(_MEMBERS, {"clusters": several})
    for row in rows:
        members[row.cluster].append(row)
    marked = originals(connection, {row.canonical_url for rows in members.values() for row in rows})
    return {cluster: _described(rows, marked) for cluster, rows in members.items()}


def _described(rows: Sequence[Row[Any]], marked: Mapping[str, datetime]) -> ClusterMembers:
    """Return what is known of a cluster; `marked` are the articles that a person marked as the original.

    A marked article is the first of its cluster; else the publication time decides.
    """
    first = min(rows, key=lambda row: (row.canonical_url not in marked, _published(row), row.id))
    return ClusterMembers(
        count=len(rows),
        hosts=Counter(row.host for row in rows),
        first_seen=min(row.fetched_at for row in rows),
        last_seen=max(row.fetched_at for row in rows),
        first_host=first.host,
        first_dated=first.host if first.canonical_url in marked or _is_dated(first) else "",
        undated=frozenset(row.id for row in rows if not _is_dated(row)),
    )


def _published(row: Row[Any]) -> datetime:
    return publication_time(row.published_at, row.published_at_from, fetched_at=row.fetched_at)


def _is_dated(row: Row[Any]) -> bool:
    """Whether it is known when a text appeared: a page was fetched about then, a seed may be imported years later."""
    return bool(row.kind != Kind.SEED or _published(row) != row.fetched_at)


def _copy_facts(row: Row[Any], members: ClusterMembers | None, link: DuplicateLink | None) -> CopyFacts:
    """Return what is known of the copies of the article in a row; `members` is None if it is alone in its cluster."""
    if members is None:
        seen = row.fetched_at
        return CopyFacts(others=0, hosts=(), first_seen=seen, last_seen=seen, first_host=row.host)
    return CopyFacts(
        others=members.count - 1,
        hosts=tuple(sorted(host for host, count in members.hosts.items() if host and count > (host == row.host))),
        first_seen=members.first_seen,
        last_seen=members.last_seen,
        first_host=members.first_host,
        copy_of=link.duplicate_of if link else None,
        relation=link.relation if link else None,
    )


# Who copies whom, from the newest part of the store: what a page shows has to be quick in a store of any size.


MAX_LOOKED_AT: Final = 5_000
"""Texts that a report looks at. Measured on a busy machine, a quarter of the texts copies: of 8,000 it takes .22 s of
processor time, and a page should not take longer than .2."""
STORIES_SHOWN: Final = 20  # a page of them
HOSTS_SHOWN: Final = 40  # likewise
FEW_TEXTS: Final = 10  # chosen: of fewer texts a share says little, so such hosts come last
MAX_MEMBERS: Final = 500
"""Texts of a cluster that are shown. Chosen: a page stays small, and hardly a cluster of one story is larger."""
_MEMBERS_SHOWN: Final[Select[Any]] = (
    select(
        ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.canonical_url, ARTICLES.c.host, ARTICLES.c.source, ARTICLES.c.title,
        ARTICLES.c.words, ARTICLES.c.published_at, ARTICLES.c.published_at_from, ARTICLES.c.fetched_at,
        ARTICLES.c.kind, ARTICLES.c.revision, STANDINGS.c.relation, STANDINGS.c.head,
    )
    .join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
    .where(STANDINGS.c.cluster == bindparam("cluster"))
    .order_by(ARTICLES.c.id)
    .limit(MAX_MEMBERS)
)  # fmt: skip
_JUDGED = select(DECISIONS.c.article_id, DECISIONS.c.at)
"""When articles were judged: ids are given out in order of that time, whenever their pages were fetched."""
_LATEST: Final[Select[Any]] = (
    select(STANDINGS.c.article_id, STANDINGS.c.cluster, STANDINGS.c.relation, ARTICLES.c.host)
    .join(ARTICLES, ARTICLES.c.id == STANDINGS.c.article_id)
    .where(STANDINGS.c.article_id >= bindparam("first"))
)
_NEWEST_COPIES = (
    select(STANDINGS.c.article_id)
    .where(STANDINGS.c.article_id < bindparam("before"), STANDINGS.c.article_id >= bindparam("floor"))
    .where(~STANDINGS.c.head)
    .order_by(STANDINGS.c.article_id.desc())
    .limit(bindparam("limit"))
)


def members(connection: Connection, cluster: int) -> tuple[ClusterMember, ...]:
    """Return articles of a cluster in order of time, at most MAX_MEMBERS; one marked as the original is the first."""
    rows = connection.execute(_MEMBERS_SHOWN, {"cluster": cluster}).all()
    marked = originals(connection, {row.canonical_url for row in rows})
    return tuple(map(_member, sorted(rows, key=lambda row: (row.canonical_url not in marked, _published(row), row.id))))


def cluster_size(connection: Connection, cluster: int) -> int:
    """Return how many articles a cluster has."""
    count = select(func.count()).select_from(STANDINGS).where(STANDINGS.c.cluster == cluster)
    return int(connection.execute(count).scalar_one())


def _member(row: Row[Any]) -> ClusterMember:
    return ClusterMember(
        id=row.id,
        url=row.url,
        host=row.host,
        source=row.source,
        title=row.title,
        words=row.words,
        at=_published(row),
        published_at=row.published_at,
        fetched_at=row.fetched_at,
        relation=Relation(row.relation),
        head=row.head,
        revision=row.revision,
        is_dated=_is_dated(row),
    )


def copy_report(connection: Connection, *, since: datetime) -> CopyReport:
    """Return who copied whom in the texts stored since a time; at most the newest MAX_LOOKED_AT are looked at."""
    began, floor = first_id_since(connection, _JUDGED, since), _end(connection) - MAX_LOOKED_AT
    rows = connection.execute(_LATEST, {"first": max(began, floor)}).all()
    clusters: dict[int, ClusterMembers] = {}
    for batch in batched(sorted({row.cluster for row in rows if row.relation in JOINING}), BATCH):
        clusters |= read_clusters(connection, batch)
    first_hosts = {cluster: found.first_dated for cluster, found in clusters.items()}
    copied = [
        row
        for row in rows
        if first_hosts.get(row.cluster) not in {None, "", row.host}
        and row.article_id not in clusters[row.cluster].undated
    ]
    return CopyReport(
        since=since,
        texts=len(rows),
        is_cut=began < floor,
        stories=_stories(connection, {row.cluster: clusters[row.cluster] for row in copied}),
        hosts=_shares(Counter(row.host for row in rows if row.host), Counter(row.host for row in copied)),
    )


def _end(connection: Connection) -> int:
    """Return the number after the newest id of an article."""
    return int(connection.execute(select(func.coalesce(func.max(STANDINGS.c.article_id), 0))).scalar_one()) + 1


def _stories(connection: Connection, clusters: Mapping[int, ClusterMembers]) -> tuple[CopiedStory, ...]:
    """Return the clusters that are on most hosts, each with one text of every host."""
    widest = sorted(clusters, key=lambda each: (-len(clusters[each].hosts), -clusters[each].count, -each))
    return tuple(_story(connection, each, clusters[each]) for each in widest[:STORIES_SHOWN])


def _story(connection: Connection, cluster: int, known: ClusterMembers) -> CopiedStory:
    first, *others = members(connection, cluster)
    of_host = {each.host: each for each in reversed(others) if each.host != first.host and each.is_dated}
    copies = tuple(sorted(of_host.values(), key=lambda each: (each.at, each.id)))
    return CopiedStory(cluster=cluster, first=first, copies=copies, texts=known.count, hosts=len(known.hosts))


def _shares(texts: Counter[str], copied: Counter[str]) -> tuple[HostShare, ...]:
    """Return the hosts with copied texts, those with the largest share of them first."""
    shares = [HostShare(host=host, texts=texts[host], copied=count) for host, count in copied.items() if host]
    return tuple(sorted(shares, key=lambda each: (each.texts < FEW_TEXTS, -each.share, -each.texts, each.host)))[
        :HOSTS_SHOWN
    ]


def newest_copies(connection: Connection, *, before: int | None, limit: int) -> CopyList:
    """Return copies, the newest first, with ids below `before`; there may be fewer than `limit`, and still more.

    Earlier versions of a page are no copies.
    """
    end = _end(connection) if before is None else before
    bounds = {"before": end, "floor": end - MAX_LOOKED_AT, "limit": limit}
    ids = connection.execute(_NEWEST_COPIES, bounds).scalars().all()
    rows = connection.execute(_LINKS, {"ids": ids}).all()
    clusters = read_clusters(connection, {row.head_cluster for row in rows})
    firsts = {cluster: found.known_first_host for cluster, found in clusters.items()}
    found = (views.link_from(row, firsts) for row in rows)
    links = sorted((each for each in found if each.relation is not Relation.REVISION), key=lambda each: -each.id)
    rest = ids[-1] if len(ids) == limit else bounds["floor"]
    return CopyList(links=tuple(links), before=rest if rest > 0 else None)

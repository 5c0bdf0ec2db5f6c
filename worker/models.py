"""The values that pass between stages: one frozen type for each hop.

Source -> Page -> Candidate                                        (discover)
Candidate -> Page -> Article -> Fingerprint -> Verdict -> Outcome  (ingest)

Times are timezone-aware datetimes; stages never hand on naive ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Kind(StrEnum):
    """What an article row is: one that was there before the worker, or one the worker found."""

    SEED = "seed"
    ARTICLE = "article"


class State(StrEnum):
    """Where a candidate stands: pending, or its latest outcome."""

    PENDING = "pending"
    STORED = "stored"
    DUPLICATE = "duplicate"
    REVISED = "revised"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    FAILED = "failed"


class Relation(StrEnum):
    """What an article is to the article it was judged against."""

    UNIQUE = "unique"
    COPY = "copy"
    CONTAINED = "contained"
    CONTAINS = "contains"
    REVISION = "revision"
    FOLLOWUP = "followup"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place to poll, as the configuration names it."""

    name: str
    kind: str
    url: str
    enabled: bool = True
    every: timedelta | None = None
    timezone: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What a conditional GET sends back to the server (RFC 9110, section 13)."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One fetch to make. `accept` is the kind of body wanted: `page`, `feed` or `any`."""

    url: str
    validators: Validators = Validators()
    accept: str = "page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What came back for one URL: the body after decompression, or nothing for a 304.

    `url` is what was asked for and `final_url` what answered, after redirects. `headers` holds the response
    headers that matter later, names in lower case. `permanent_url` is the end of the leading run of permanent
    redirects, if there was one.
    """

    url: str
    final_url: str
    status: int
    body: bytes
    fetched_at: datetime
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    validators: Validators = Validators()
    permanent_url: str | None = None
    elapsed: timedelta = timedelta(0)

    @property
    def not_modified(self) -> bool:
        """Whether the server said that nothing changed (304)."""
        return self.status == 304


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text that needs no extraction: what an input file or a feed gave as plain text."""

    text: str
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An article somebody pointed at, before anybody has looked.

    `payload` is set where discovery already holds the content (input files, WARC records): nothing is fetched then.
    `reference` names the place of discovery (feed URL, file and line).
    """

    url: str
    canonical_url: str
    source: str
    reference: str
    title: str | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    external_id: str | None = None
    payload: Page | Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What reading one page of a source gave: candidates, and further pages of the source to read.

    `skipped` counts entries that could not become candidates; `notes` say why, for people. `itself` says that the page
    read is the one candidate.
    """

    candidates: tuple[Candidate, ...] = ()
    follow: tuple[str, ...] = ()
    skipped: int = 0
    notes: tuple[str, ...] = ()
    title: str | None = None
    itself: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Signals on a page about what may be done with it; empty strings and tuples where it says nothing."""

    robots: tuple[str, ...] = ()
    tdm_reservation: str = ""
    licence: str = ""
    copyright_holder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """An extracted article. `text` is paragraphs separated by one newline, the lead first, without the title.

    `published_at_from` says where the date came from: `json-ld`, `meta`, `time`, `text`, `url`, `feed`, `input`,
    or nothing.
    """

    url: str
    canonical_url: str
    source: str
    host: str
    title: str
    text: str
    language: str
    fetched_at: datetime
    words: int
    sha256: str
    kind: Kind = Kind.ARTICLE
    authors: tuple[str, ...] = ()
    published_at: datetime | None = None
    published_at_from: str = ""
    modified_at: datetime | None = None
    external_id: str | None = None
    rights: Rights = Rights()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What the index keeps of a text.

    `signature` is the serialised MinHash (little-endian); `bands` are LSH band keys, each a signed 64-bit integer that
    already carries its band's number; `anchors` are signed 64-bit keys of sampled shingles, for containment.
    `shingles` is the number of distinct shingles.
    """

    signature: bytes
    bands: tuple[int, ...]
    anchors: tuple[int, ...]
    shingles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexParameters:
    """How fingerprints are made: stored with the index, since fingerprints made in two ways cannot be compared."""

    scheme: str
    seed: int
    permutations: int
    bands: int
    rows: int
    shingle: int
    anchor_one_in: int
    most_anchors: int
    normalisation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A stored article that shares index keys with a newcomer, with what judging needs of it.

    `cluster` is the id of the cluster's founding article; `head` whether this article is the one its cluster exports.
    `marked` is what a person decided about the newcomer's URL and this article: `same`, `different` or empty.
    """

    id: int
    cluster: int
    head: bool
    kind: Kind
    url: str
    canonical_url: str
    source: str
    host: str
    title: str
    text: str
    published_at: datetime | None
    fetched_at: datetime
    shared_bands: int = 0
    shared_anchors: int = 0
    marked: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The exact figures between a newcomer and one stored article, and the rule that decided.

    `jaccard` and `containment` lie in 0..1 and count distinct word shingles; containment is the share of the shorter
    text found in the longer. `shared_words` counts words of the newcomer in passages that both have.
    """

    article: int
    relation: Relation
    rule: str
    jaccard: float
    containment: float
    shared_words: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a newcomer is: `best` is the comparison that decided, None for a text like no other.

    `considered` lists every comparison made, best first. `head` says whether the newcomer becomes the text its
    cluster exports.
    """

    relation: Relation
    head: bool
    best: Comparison | None = None
    considered: tuple[Comparison, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the work on one candidate ended: its new state, a short stable reason for counting, and a sentence.

    `article` is the id of the row that was written, if one was; `retry_at` is set where the candidate stays pending.
    """

    state: State
    reason: str = ""
    detail: str = ""
    article: int | None = None
    verdict: Verdict | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A candidate in one worker's hands until `lease_until`: after that it belongs to whoever claims it next.

    `known_sha256` is the body hash of the last page fetched for it and `known_article` the id of its newest article.
    """

    id: int
    url: str
    canonical_url: str
    source: str
    host: str
    attempts: int
    lease_until: datetime
    token: str
    title: str | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    external_id: str | None = None
    payload: Page | Text | None = None
    validators: Validators = Validators()
    known_sha256: str | None = None
    known_article: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """What the store remembers of a source between polls."""

    name: str
    due_at: datetime | None = None
    validators: Validators = Validators()
    polled_at: datetime | None = None
    succeeded_at: datetime | None = None
    failures: int = 0
    error: str = ""
    found: int = 0
    interval: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """The end of one poll of a source, to be written together with the candidates it found.

    `interval` is the source's interval from now on; `error` is empty after a poll that worked.
    """

    source: str
    polled_at: datetime
    due_at: datetime
    validators: Validators = Validators()
    error: str = ""
    found: int = 0
    not_modified: bool = False
    interval: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """One file of the seed corpus: its name, its raw text as scraped, and the SHA-256 of its bytes."""

    name: str
    raw: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a candidate's history: when, what (`discovered`, `fetched`, `decided`…), and details for people."""

    at: datetime
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArticle:
    """An article as the store holds it, for `export`, `why` and `duplicates`."""

    id: int
    article: Article
    cluster: int
    revision: int
    head: bool
    relation: Relation
    judged_against: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateLink:
    """One recognised copy, follow-up or template, linked to the head of the cluster it was judged against."""

    id: int
    url: str
    source: str
    title: str
    fetched_at: datetime
    duplicate_of: int
    duplicate_of_url: str
    duplicate_of_title: str
    relation: Relation
    jaccard: float
    containment: float
    shared_words: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRecord:
    """Everything the ledger holds about one candidate, for `why`."""

    id: int
    url: str
    canonical_url: str
    source: str
    reference: str
    state: State
    reason: str
    detail: str
    discovered_at: datetime
    due_at: datetime | None
    attempts: int
    articles: tuple[int, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The sum of the ledger and what is wrong with the store, if anything is.

    `counts` has every state; `problems` are sentences for people, empty in a sound store.
    """

    discovered: int
    counts: Mapping[State, int]
    articles: int
    seeds: int
    clusters: int
    problems: tuple[str, ...] = ()

    @property
    def balanced(self) -> bool:
        """Whether every candidate is in exactly one state and the index fits the articles."""
        return not self.problems and self.discovered == sum(self.counts.values())

"""What ingestion hands on: claims, articles, fingerprints, verdicts, outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from worker.models.enums import Kind, Relation, State
from worker.models.sources import Page, Text, Validators

_DUPLICATES = frozenset({Relation.COPY, Relation.CONTAINED})
_GUESSED_ORIGINS = frozenset({"unmarked-time", "unmarked-meta", "url", "text", "script"})
_FIRST_WEB_PAGE = datetime(1990, 1, 1, tzinfo=UTC)


def publication_time(published_at: datetime | None, origin: str, *, fetched_at: datetime) -> datetime:
    """Return when a text came out, as far as that is known and can be true; else when it was fetched.

    `origin` is as in `published_at_from`. What was fetched was there by then, and nothing before 1990.
    """
    if published_at is None or origin in _GUESSED_ORIGINS or not _FIRST_WEB_PAGE <= published_at <= fetched_at:
        return fetched_at
    return published_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A candidate in one worker's hands until `lease_until`: after that it belongs to whoever claims it next.

    `known_sha256` is the body hash of the last page fetched for it and `known_article` the id of its newest article.
    `former` is the outcome it had before it was looked at again of our own accord, `by_age` says that its age alone is
    the reason.
    `expired` says that it was taken over from a lease that had run out, `past` that a backfill looked for it.
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
    discovered_at: datetime | None = None
    previous_outcome: Outcome | None = None
    is_scheduled_recheck: bool = False
    lease_expired: bool = False
    from_backfill: bool = False


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

    `published_at_from` says where the date came from: `json-ld`, `meta`, `time`, `feed`, `input`; or, each a guess,
    `unmarked-time`, `unmarked-meta`, `url`, `text`; or nothing. `modified_at_from` says the same of the last change.
    `fallbacks` counts what stood in for a part of our reading: `library`, `json-ld`, and `fault` for each step that
    failed; `notes` say it in words. `paragraphs` are signed 64-bit keys of the page's paragraphs, those left out of the
    text included: what is counted for the host to learn its boilerplate.
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
    modified_at_from: str = ""
    external_id: str | None = None
    rights: Rights = Rights()
    notes: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    paragraphs: tuple[int, ...] = ()

    @property
    def is_date_guessed(self) -> bool:
        """Whether `published_at` is what the page seems to show, not what somebody says."""
        return self.published_at_from in _GUESSED_ORIGINS


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """One file of the seed corpus: its name, its raw text as scraped, and the SHA-256 of its bytes."""

    name: str
    raw: str
    sha256: str


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
    fewest_anchors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A stored article that shares index keys with a newcomer, with what judging needs of it.

    `cluster` is the id of the cluster's founding article; `head` whether this article is the one its cluster exports.
    `marked` is what a person decided about the newcomer's URL and this article: `same`, `different` or empty.
    `original` says where a person called one of the two the original: `newcomer`, `stored` (this one) or empty.
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
    published_at_from: str = ""
    original: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The exact figures between a newcomer and one stored article, and the rule that decided.

    `jaccard` and `containment` lie in 0..1 and count distinct word shingles; containment is the share of the shorter
    text found in the longer. `shared_words` counts words of the newcomer in passages that both have. `probability` is
    the fitted model's that a corpus should keep only one of the two; None where it was not asked, as a fact decided.
    """

    article: int
    relation: Relation
    rule: str
    jaccard: float
    containment: float
    shared_words: int
    notes: tuple[str, ...] = ()
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a newcomer is: `best` is the comparison that decided, None for a text like no other.

    `considered` lists every comparison made, best first. `head` says whether the newcomer becomes the text its
    cluster exports, `reason` why that one of the two is exported.
    """

    relation: Relation
    head: bool
    best: Comparison | None = None
    considered: tuple[Comparison, ...] = ()
    reason: str = ""

    @property
    def state(self) -> State:
        """What a candidate is whose article got this verdict."""
        if self.relation is Relation.REVISION:
            return State.REVISED
        refused = self.relation is Relation.CONTAINS and not self.head
        return State.DUPLICATE if refused or self.relation in _DUPLICATES else State.STORED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the work on one candidate ended: its new state, a short stable reason for counting, and a sentence.

    `article` is the id of the row that was written, if one was; `retry_at` is set where the candidate stays pending.
    `in_vain` says that this is the outcome of before, since another look at the page failed.
    """

    state: State
    reason: str = ""
    detail: str = ""
    article: int | None = None
    verdict: Verdict | None = None
    retry_at: datetime | None = None
    is_failed_recheck: bool = False

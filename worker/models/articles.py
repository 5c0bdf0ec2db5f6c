"""The values of ingestion: claims, articles, fingerprints, comparisons, verdicts and outcomes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from worker.models.base import Kind, Page, Relation, State, Text, Validators, dataclass

_DUPLICATES = frozenset({Relation.COPY, Relation.CONTAINED})
# Values of `published_at_from` that are guesses: no markup declares these dates to be the date of publication.
_GUESSED_ORIGINS = frozenset({"unmarked-time", "unmarked-meta", "url", "text", "script"})
# No page is older than the web; earlier dates are parse errors or placeholders such as 1970-01-01.
_FIRST_WEB_PAGE = datetime(1990, 1, 1, tzinfo=UTC)


def publication_time(published_at: datetime | None, origin: str, *, fetched_at: datetime) -> datetime:
    """Return the time of publication if it is declared and plausible, else the time of fetching.

    `origin` is a value of `Article.published_at_from`. Plausible is a time from 1990 on that is not after `fetched_at`.
    """
    if published_at is None or origin in _GUESSED_ORIGINS or not _FIRST_WEB_PAGE <= published_at <= fetched_at:
        return fetched_at
    return published_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A candidate leased to one worker until `lease_until`; afterwards another worker may claim it.

    `token` identifies the lease: only its holder may write an outcome. `attempts` counts this attempt. `payload` is
    content that came with the candidate, so that nothing is fetched. `known_sha256` is the body hash of the last page
    fetched for it, `known_article` the id of its newest article. `previous_outcome` is its outcome before a recheck,
    which is restored if the recheck fails; `is_scheduled_recheck` is true if the recheck is due to the article's age
    alone. `lease_expired` is true if the previous lease expired unfinished, `from_backfill` if a backfill found it.
    `is_taken` is true if a person wants the page stored, whatever the rules for articles say.
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
    is_taken: bool = False


# What a site states about the use of its texts, as `label=value`: in `Content-Usage` (draft-ietf-aipref-attach; the
# values are `y` and `n`, the syntax is a Dictionary of RFC 9651) and in `Content-Signal` (contentsignals.org; `yes` and
# `no`, and for `use` the three words below).

_STRICTEST_FIRST: Final = ("n", "no", "immediate", "reference", "full", "y", "yes")
_FORBIDS: Final = frozenset({"n", "no"})
_SAME_SIGNAL: Final = MappingProxyType({"train-ai": "ai-train", "tdm": "tdm-reservation"})
_MAX_STATEMENTS: Final = 20  # of one page: the drafts know six labels, and a hostile file thousands (chosen)
_KEY: Final = r"[a-z*][a-z0-9_.*-]*+"
_VALUE: Final = (
    r"[A-Za-z*][\w!#$%&'*+.^`|~:/-]*+|@?-?\d{1,15}(?:\.\d{1,3})?+|\?[01]|:[A-Za-z0-9+/=]*+:|"
    r"%?\"(?:[ !#-\[\]-~]|\\[\"\\])*+\""
)
_PARAMETERS: Final = rf"(?:; *+{_KEY}(?:=(?:{_VALUE}))?+)*+"
_INNER_LIST: Final = rf"\((?: *+(?:{_VALUE}){_PARAMETERS}(?=[ )]))*+ *+\)"
_MEMBER: Final = re.compile(
    rf"({_KEY})(?:=(?:({_VALUE})|{_INNER_LIST}))?+{_PARAMETERS}[ \t]*+(?:,(?=[ \t]*+[^ \t])|\Z)[ \t]*+", re.ASCII
)
_STATEMENT: Final = re.compile(r"(?<![\w.*-])([a-z][a-z0-9_.-]{0,50}+)[ \t]*+=[ \t]*+([a-z]{1,20}+)(?![\w-])")


def usage_statements(text: str) -> dict[str, str]:
    """Return the statements of one `Content-Usage` value.

    By the draft, a value that is no Dictionary states nothing; here, it still forbids what it says it forbids.
    """
    found, position, text = dict[str, str](), 0, text.strip(" \t")
    while position < len(text):
        member = _MEMBER.match(text, position)
        if member is None:
            return {label: "n" for label, value in signal_statements(text).items() if value in _FORBIDS}
        found[member[1]], position = member[2] or "", member.end()
    return {label: value for label, value in found.items() if value in {"y", "n"}}


def signal_statements(text: str) -> dict[str, str]:
    """Return the statements of one `Content-Signal` value, whatever its case; other parts are ignored."""
    return strictest({name: value} for name, value in _STATEMENT.findall(text.lower()) if value in _STRICTEST_FIRST)


def strictest(statements: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Combine statements of several places: what one of them forbids is forbidden (draft-ietf-aipref-vocab, 5.1)."""
    combined: dict[str, str] = {}
    for label, value in (pair for each in statements for pair in each.items()):
        if label in combined or len(combined) < _MAX_STATEMENTS:
            combined[label] = min(combined.get(label, value), value, key=_STRICTEST_FIRST.index)
    return dict(sorted(combined.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """The rights signals of a page; empty where there is none.

    `robots` holds directives of the robots meta element and the X-Robots-Tag header, `tdm_reservation` the value of
    the TDM Reservation Protocol (TDMRep), `content_usage` and `content_signal` statements such as `train-ai=n`.
    """

    robots: tuple[str, ...] = ()
    tdm_reservation: str = ""
    licence: str = ""
    copyright_holder: str = ""
    content_usage: tuple[str, ...] = ()
    content_signal: tuple[str, ...] = ()

    @property
    def signals(self) -> tuple[str, ...]:
        """What the page forbids or reserves, by the names that `rights.refuse` has for it."""
        stated = (each.split("=") for each in (*self.content_usage, *self.content_signal))
        names = [
            label if value in _FORBIDS else f"{label}-{value}"
            for label, value in stated
            if value in _FORBIDS or label == "use"
        ]
        reserved = ["tdm-reservation"] if self.tdm_reservation == "1" else []
        return tuple(dict.fromkeys(_SAME_SIGNAL.get(name, name) for name in (*self.robots, *reserved, *names)))

    def refused_by(self, refuse: Iterable[str]) -> str:
        """Return the first signal in `refuse` that the page has, an empty string if it has none of them."""
        present = {*self.signals, *(("noindex", "nofollow") if "none" in self.robots else ())}
        return next((name for name in refuse if _SAME_SIGNAL.get(name.lower(), name.lower()) in present), "")


PAGE_FIELDS: Final = ("lead", "section", "tags", "description", "image", "image_caption")
"""The fields of an article that may be missing: pages are stored without them, and `reprocess` fills them in later."""
ORIGIN_FIELDS: Final = (*PAGE_FIELDS, "authors")
"""The fields whose origin `Article.fields_from` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """An extracted article.

    `text` holds the paragraphs separated by one newline, the lead first, without the title. `words` is its number of
    words, `sha256` the hash of its UTF-8 bytes. `published_at_from` is the origin of the date: `json-ld`, `meta`,
    `time`, `feed`, `input`; or a guess from `unmarked-time`, `unmarked-meta`, `url`, `text`; or empty.
    `modified_at_from` is the same for `modified_at`. `lead` is the paragraph that introduces the article, as the page
    shows it; `description` is a summary for search engines and previews. `image` is the absolute URL of the main
    picture. `fields_from` maps a field of `ORIGIN_FIELDS` to its origin (docs/reference.md).

    `fallbacks` lists the fallbacks that extraction used: `library`, `json-ld`, and `fault` for each step that failed;
    `notes` describe them for people. `paragraphs` are signed 64-bit keys of all paragraphs of the page, also of those
    left out of the text; they are counted by host to learn its boilerplate.
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
    lead: str | None = None
    section: str | None = None
    tags: tuple[str, ...] = ()
    description: str | None = None
    image: str | None = None
    image_caption: str | None = None
    fields_from: Mapping[str, str] = field(default_factory=dict)
    rights: Rights = Rights()
    notes: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    paragraphs: tuple[int, ...] = ()

    @property
    def is_date_guessed(self) -> bool:
        """Whether `published_at` is inferred from the page's URL or text rather than declared in its markup."""
        return self.published_at_from in _GUESSED_ORIGINS


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The part of a text that the near-duplicate index stores.

    `signature` is the serialised MinHash signature (little-endian). `bands` are the LSH band keys: signed 64-bit
    integers that include the number of their band. `anchors` are signed 64-bit keys of sampled shingles, used to find
    containment. `shingles` is the number of distinct shingles.
    """

    signature: bytes
    bands: tuple[int, ...]
    anchors: tuple[int, ...]
    shingles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """One text of the seed corpus: a text file, a row of a table, or a page in a web archive.

    `name` is the file's name, with the number of the `row` where it has several. `raw` is the text as it is there, and
    `sha256` the hash of its bytes, by which a seed is known again. A text file has its title in the first line; the
    fields below `row` are those of a table. `fingerprint` is one that came with the row, and is of `raw`; `page` is set
    where the article has yet to be extracted. `problem` says what was left out of the row, and `place` names the row in
    messages: the line of a text, the row of Parquet.
    """

    name: str
    raw: str
    sha256: str
    row: int | None = None
    title: str | None = None
    url: str = ""
    published_at: datetime | None = None
    external_id: str | None = None
    language: str = ""
    fingerprint: Fingerprint | None = None
    page: Page | None = None
    problem: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSeed:
    """A seed with the article made of it and its fingerprint."""

    seed: Seed
    article: Article
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexParameters:
    """The parameters of fingerprinting, stored with the index: fingerprints with other parameters do not compare.

    One shingle in `anchor_one_in` is sampled as an anchor, but at least `fewest_anchors` and at most `most_anchors` of
    a text. `normalisation` is the version of the text normalisation.
    """

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
    """A stored article that shares index keys with the article being judged.

    `cluster` is the id of the first article of its cluster; `head` is true if its cluster exports this article.
    `marked` is a person's decision on the pair: `same`, `different` or empty. `original` names the article that a
    person marked as the original: `article` (the one being judged), `stored` (this one) or empty.
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

    @classmethod
    def of(cls, article: Article, number: int, *, cluster: int, head: bool) -> Neighbour:
        """Return the neighbour that an article with this id would be."""
        return cls(
            id=number,
            cluster=cluster,
            head=head,
            kind=article.kind,
            url=article.url,
            canonical_url=article.canonical_url,
            source=article.source,
            host=article.host,
            title=article.title,
            text=article.text,
            published_at=article.published_at,
            published_at_from=article.published_at_from,
            fetched_at=article.fetched_at,
        )


EARLIER_VERSION: Final = "one item with an earlier version of the page"
"""The rule of a comparison by which an article joins the cluster of a page that was revised since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The exact similarity of the article being judged to one stored article, and the rule that decided.

    `jaccard` and `containment` are in 0..1 and refer to distinct word shingles; containment is the share of the shorter
    text that occurs in the longer. `shared_words` counts the words in passages that both texts have. `probability` is
    the fitted model's estimate that a corpus should keep only one of the two; None if a rule decided without it.
    """

    article: int
    relation: Relation
    rule: str
    jaccard: float
    containment: float
    shared_words: int
    notes: tuple[str, ...] = ()
    probability: float | None = None

    @property
    def resemblance(self) -> float:
        """Both figures together: the greater, the more alike are the two texts."""
        return self.jaccard + self.containment


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judge's decision on an article.

    `best` is the comparison that decided, None if no stored article is similar. `considered` lists all comparisons,
    best first. `head` is true if its cluster exports the article from now on; `reason` explains that choice.
    """

    relation: Relation
    head: bool
    best: Comparison | None = None
    considered: tuple[Comparison, ...] = ()
    reason: str = ""

    @property
    def state(self) -> State:
        """The state of the candidate whose article got this verdict."""
        if self.relation is Relation.REVISION:
            return State.REVISED
        refused = self.relation is Relation.CONTAINS and not self.head
        return State.DUPLICATE if refused or self.relation in _DUPLICATES else State.STORED


SAME_LANGUAGE: Final = MappingProxyType({"nb": "no", "nn": "no", "iw": "he", "in": "id", "fil": "tl"})
"""Several codes for one written language, each with the one that articles have."""
FILTERED: Final = "filtered"
"""The reason of an outcome that a rule of the configuration's `[filter]` decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one attempt at a candidate.

    `reason` is a short stable word for statistics, `detail` a sentence for people. `article` is the id of the article
    written, if any; `retry_at` is set if the candidate stays pending. `is_failed_recheck` is true if a recheck failed
    and the previous outcome was restored. `filled` names the fields that an article with the same text was given.
    """

    state: State
    reason: str = ""
    detail: str = ""
    article: int | None = None
    verdict: Verdict | None = None
    retry_at: datetime | None = None
    is_failed_recheck: bool = False
    filled: tuple[str, ...] = ()

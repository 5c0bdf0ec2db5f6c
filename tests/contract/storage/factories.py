"""Candidates, articles and a small judge, made for the tests of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from worker.models import (
    Article,
    Candidate,
    Claim,
    Comparison,
    Fingerprint,
    IndexParameters,
    Kind,
    Neighbour,
    Outcome,
    Page,
    PreparedSeed,
    Relation,
    Seed,
    Text,
    Validators,
    Verdict,
)
from worker.ports import Judge
from worker.storage.db.schema import SEEDS
from worker.storage.seeds.importing import SeedBatch, SeedCounts
from worker.storage.store import Store
from worker.urls import host_of

NOW = datetime(2026, 5, 4, 3, 2, 1, 987654, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PARAMETERS = IndexParameters(
    scheme="words", seed=1, permutations=1, bands=1, rows=1, shingle=1, anchor_one_in=1, most_anchors=1, normalisation=1
)
JOINED = {Relation.COPY, Relation.CONTAINED, Relation.CONTAINS, Relation.REVISION}


def candidate(url: str = "https://bao.example/1", *, source: str = "bao", payload: Page | Text | None = None,
              modified_at: datetime | None = None) -> Candidate:  # fmt: skip
    """Return a candidate whose canonical URL is its URL."""
    return Candidate(
        url=url, canonical_url=url, source=source, reference="feed", payload=payload, modified_at=modified_at
    )


def page(url: str = "https://bao.example/1", body: bytes = b"<html>", *, etag: str | None = None,
         status: int = 200) -> Page:  # fmt: skip
    """Return a fetched page."""
    return Page(
        url=url,
        final_url=url,
        status=status,
        body=body,
        fetched_at=NOW,
        content_type="text/html",
        headers={"content-type": "text/html"},
        validators=Validators(etag=etag),
        elapsed=timedelta(milliseconds=1500),
    )


def article(url: str = "https://bao.example/1", text: str = "một hai ba bốn năm", *, kind: Kind = Kind.ARTICLE,
            fetched_at: datetime = NOW) -> Article:  # fmt: skip
    """Return an extracted article."""
    return Article(
        url=url,
        canonical_url=url,
        source="bao",
        host=host_of(url) if "://" in url else "",
        title="Tiêu đề",
        text=text,
        language="vi",
        fetched_at=fetched_at,
        words=len(text.split()),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        kind=kind,
        authors=("Nguyễn Văn A",),
        published_at=NOW - timedelta(hours=7),
        published_at_from="json-ld",
        modified_at=NOW - timedelta(hours=2),
        modified_at_from="feed",
        notes=("a note",),
        lead="Lời dẫn",
        section="Thời sự",
        tags=("bão", "lũ"),
        description="Tóm tắt",
        image="https://bao.example/1.jpg",
        image_caption="Ảnh: B",
        fields_from={"lead": "sapo", "tags": "json-ld"},
    )


def seed(name: str = "001_0123456789abcdef.txt", raw: str = "Tiêu đề\nmột hai ba bốn năm") -> Seed:
    """Return a seed file."""
    return Seed(name=name, raw=raw, sha256=hashlib.sha256(raw.encode()).hexdigest())


def fingerprint(text: str) -> Fingerprint:
    """Return index keys that two texts share wherever they share a word."""
    words = sorted(set(text.split()))
    keys = tuple(int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little", signed=True) for word in words)
    return Fingerprint(signature=b"s", bands=keys, anchors=(), shingles=len(words))


def judge_of(newcomer: Article) -> Judge:
    """Return a judge that compares sets of words: equal, within, around, same URL, or another story."""

    def judge(neighbours: Sequence[Neighbour]) -> Verdict:
        made = [_compare(newcomer, each) for each in neighbours]
        best = next((each for each in made if each.relation in JOINED), None)
        best = best or next((each for each in made if each.relation is Relation.SEED_COPY), None)
        best = best or next((each for each in made if each.relation is Relation.FOLLOWUP), None)
        if best is None:
            return Verdict(relation=Relation.UNIQUE, head=True, considered=tuple(made))
        head = best.relation not in {Relation.COPY, Relation.CONTAINED}
        return Verdict(relation=best.relation, head=head, best=best, considered=tuple(made))

    return judge


def judge(newcomer: Article, _fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
    """Judge by words, against heads and marked articles alone, as the rules do."""
    return judge_of(newcomer)([each for each in neighbours if each.head or each.marked])


def _compare(newcomer: Article, neighbour: Neighbour) -> Comparison:
    ours, theirs = set(newcomer.text.split()), set(neighbour.text.split())
    relation = _relation(newcomer, neighbour, ours, theirs)
    if newcomer.kind is neighbour.kind is Kind.SEED and relation in JOINED - {Relation.REVISION}:
        relation = Relation.SEED_COPY
    return Comparison(
        article=neighbour.id,
        relation=relation,
        rule="words",
        jaccard=len(ours & theirs) / len(ours | theirs),
        containment=len(ours & theirs) / min(len(ours), len(theirs)),
        shared_words=len(ours & theirs),
    )


def _relation(newcomer: Article, neighbour: Neighbour, ours: set[str], theirs: set[str]) -> Relation:
    if neighbour.marked:
        return Relation.COPY if neighbour.marked == "same" else Relation.UNIQUE
    if newcomer.canonical_url == neighbour.canonical_url:
        return Relation.REVISION
    if ours == theirs:
        return Relation.COPY
    if ours < theirs:
        return Relation.CONTAINED
    if ours > theirs:
        return Relation.CONTAINS
    return Relation.FOLLOWUP if "theo" in ours & theirs else Relation.UNIQUE


def claim_one(store: Store, *, now: datetime = NOW, worker: str = "w1", lease: timedelta = MINUTE) -> Claim:
    """Claim the one candidate that is due."""
    (claim,) = store.ledger.claim(now=now, lease=lease, limit=1, worker=worker)
    return claim


def settle(
    store: Store,
    claim: Claim,
    text: str,
    *,
    now: datetime = NOW,
    content: Page | None = None,
    recheck_at: datetime | None = None,
) -> Outcome | None:
    """Settle a claim with an article of this text, to be rechecked at a time."""
    newcomer = article(claim.canonical_url, text, fetched_at=now)
    return store.ledger.settle(
        claim,
        newcomer,
        fingerprint=fingerprint(text),
        judge=judge_of(newcomer),
        now=now,
        page=content,
        recheck_at=recheck_at,
    )


def take_in(store: Store, url: str, text: str, *, now: datetime = NOW) -> Outcome:
    """Enqueue, claim and settle an article, and return its outcome."""
    store.ledger.enqueue([candidate(url)], now=now, again=True)
    (claim,) = store.ledger.claim(now=now, lease=MINUTE, limit=1, worker="w1")
    outcome = settle(store, claim, text, now=now, content=page(url, text.encode()))
    assert outcome is not None
    return outcome


def add_seed(store: Store, name: str, text: str) -> int:
    """Import a seed of this text, and return its article's id."""
    made = article(f"seed:{name}", text, kind=Kind.SEED)
    prepared = PreparedSeed(seed=seed(name, text), article=made, fingerprint=fingerprint(text))
    add_seeds(store, prepared)
    of_seed = select(SEEDS.c.article_id).where(SEEDS.c.sha256 == prepared.seed.sha256).order_by(SEEDS.c.id.desc())
    return int(store.seeds.database.read(lambda connection: connection.execute(of_seed.limit(1)).scalar_one()))


def add_seeds(store: Store, *prepared: PreparedSeed, file: str = "seeds", gone: Collection[int] = ()) -> SeedCounts:
    """Import seeds in one batch, as the newest rows of a file."""
    held = store.seeds.open_file(file, stamp="as it is")
    batch = SeedBatch(file_id=held.id, new=prepared, rows=held.rows + len(prepared), refused=held.refused)
    return store.seeds.add_seeds(batch, judge=judge, gone=gone, now=NOW)

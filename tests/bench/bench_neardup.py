"""Measures how well copies are recognised: labelled pairs, same-event clusters, seeds, and edited copies.

    python -m tests.bench.bench_neardup [--articles FOLDER] [--pairs N] [--only fitted|labelled|clusters|seeds|edited]

Texts meet as in the worker: a fingerprint, index rows in SQLite, the neighbours found there, and the judge.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench.articles import NEARDUP, SHARED, Pair, Piece, read_file, read_folder, read_labels, read_pairs
from tests.bench.edit_generator import Recipe, edited, material
from tests.bench.fit_judge import cross_validate, operating_point, prepared, reached
from tests.bench.in_memory_index import Corpus, met
from tests.bench.judged_pairs import read_examples
from worker.dedupe.judge import Deduper
from worker.models import Kind, Relation

MERGED = frozenset({Relation.COPY, Relation.CONTAINED, Relation.CONTAINS, Relation.REVISION})
_ARTICLES = (NEARDUP, SHARED / "data" / "vi" / "vfnd")
_BELOW = re.compile(r"(tin bài liên quan|đọc thêm|đọc nhiều|bình luận|theo afp|nguồn: )", re.IGNORECASE)
LEVELS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurements asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=Path, nargs="+", default=_ARTICLES, help="folders of articles to edit")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other copies")
    parser.add_argument("--pairs", type=int, default=6000, help="edited copies to make")
    parser.add_argument("--only", choices=("fitted", "labelled", "clusters", "seeds", "edited"))
    asked = parser.parse_args(argv)
    parts: dict[str, Callable[[], Iterable[str]]] = {
        "fitted": fitted,
        "labelled": labelled,
        "clusters": clusters,
        "seeds": seeds,
        "edited": lambda: edited_copies(
            [each for at in asked.articles for each in read_folder(at)], pairs=asked.pairs, seed=asked.seed
        ),
    }
    for name, part in parts.items():
        if asked.only in (None, name):
            for line in part():
                say(line)
    return 0


def say(line: str) -> None:
    """Print a line of the result at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def fitted() -> Iterable[str]:
    """Fit the judge anew and tell what it reaches on labelled pairs of stories it did not see; the file stays."""
    if not NEARDUP.is_dir():
        yield "cross-validated: skipped, the shared data is not there"
        return
    examples = read_examples(SHARED / "data")
    scores = cross_validate(prepared(examples))
    yield "cross-validated by story (copies found and look-alikes merged, by merge_at)"
    for name, value in reached(examples, scores - operating_point(examples, scores[0])).items():
        yield f"  {name}: {value}"


def labelled() -> Iterable[str]:
    """Judge every hand-labelled pair both ways round: with and without the lead in the text."""
    if not NEARDUP.is_dir():
        yield "labelled pairs: skipped, the shared data is not there"
        return
    deduper = Deduper()
    yield "labelled pairs (weighted precision and recall of `one item`; merged of each label)"
    for name, labels in (("pairs", None), ("reuters_pairs", None), ("near_identical_pairs", read_labels())):
        for lead in (True, False):
            pairs = read_pairs(NEARDUP / f"{name}.jsonl", lead=lead, labels=labels)
            for turned in (False, True):
                yield f"  {name:22} lead {lead!s:5} turned {turned!s:5} {_score(pairs, deduper, turned=turned)}"


def _score(pairs: Sequence[Pair], deduper: Deduper, *, turned: bool) -> str:
    merged: defaultdict[str, float] = defaultdict(float)
    total: defaultdict[str, float] = defaultdict(float)
    for pair in pairs:
        newcomer, stored = (pair.one, pair.two) if turned else (pair.two, pair.one)
        total[pair.label] += pair.weight
        if met(newcomer, stored, deduper).relation in MERGED:
            merged[pair.label] += pair.weight
    wrong = sum(weight for label, weight in merged.items() if label not in ("duplicate", "borderline"))
    found = merged["duplicate"]
    counts = ", ".join(f"{label} {merged[label]:g}/{total[label]:g}" for label in sorted(total))
    return f"precision {found / max(found + wrong, 1):.3f} recall {found / total['duplicate']:.3f}  ({counts})"


def clusters() -> Iterable[str]:
    """Ingest the same-event articles one after another and list every pair that merged."""
    path = NEARDUP / "same_event_clusters.jsonl.gz"
    if not path.is_file():
        yield "same-event clusters: skipped, the shared data is not there"
        return
    corpus = Corpus()
    pieces = read_file(path)
    yield f"same-event clusters: {len(pieces)} articles, merged:"
    for piece in pieces:
        verdict = corpus.judge(piece)
        for seen in verdict.considered:
            if seen.relation in MERGED:
                other = corpus.piece(seen.article)
                yield (
                    f"  {piece.group} {piece.key} {seen.relation} {other.group} {other.key}"
                    f" jaccard {seen.jaccard:.2f} containment {seen.containment:.2f}"
                )
        corpus.add(piece)


def seeds() -> Iterable[str]:
    """Judge the raw seed files against each other, and each one's article, cut out by its headings, in other pages."""
    folder = SHARED / "seeds"
    if not folder.is_dir():
        yield "seeds: skipped, the shared data is not there"
        return
    pieces, deduper, rng = read_folder(folder), Deduper(), random.Random(1)
    merged = sum(
        met(one, two, deduper).relation in MERGED for place, one in enumerate(pieces) for two in pieces[place + 1 :]
    )
    yield f"seeds: {merged} of {len(pieces) * (len(pieces) - 1) // 2} pairs of raw files merged"
    stuff = material([each for at in _ARTICLES if at.is_dir() for each in read_folder(at)] or pieces)
    corpus = Corpus(kind=Kind.SEED)
    ids = [corpus.add(piece) for piece in pieces]
    for level in (0.0, 0.15):
        layouts = [edited(_article(piece), Recipe(words=level), stuff, rng)[0] for piece in pieces for _ in range(5)]
        found = sum(
            any(seen.article == ids[place // 5] and seen.relation in MERGED for seen in corpus.judge(layout).considered)
            for place, layout in enumerate(layouts)
        )
        yield f"seeds: {found} of {len(layouts)} copies of raw seeds' articles recognised, {level:.0%} words edited"


def _article(piece: Piece) -> Piece:
    """Return a seed without what stands below its article, as far as a few headings tell."""
    lines = piece.text.split("\n")
    below = [place for place, line in enumerate(lines) if _BELOW.match(line)]
    return replace(piece, text="\n".join(lines[: below[0] if below else len(lines)]))


def _twice(piece: Piece) -> bool:
    """Say whether a text holds itself twice, as some scraped ones do."""
    words = piece.text.split()
    runs = [tuple(words[place : place + 5]) for place in range(len(words) - 4)]
    return len(set(runs)) < 0.7 * len(runs)


class Tally:
    """Counts of one level of editing."""

    def __init__(self) -> None:
        self.made = self.met = self.recognised = 0
        self.missed: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()

    def count(self, original: int, corpus: Corpus, copy: Piece, changes: Sequence[str]) -> None:
        """Let a copy meet the stored articles and count how it went."""
        neighbours = corpus.near(copy)
        verdict = corpus.judge(copy, neighbours)
        self.made += 1
        self.met += any(neighbour.id == original for neighbour in neighbours)
        if verdict.relation in MERGED:
            self.recognised += 1
            return
        self.missed.update(changes)
        self.rules[next((seen.rule for seen in verdict.considered if seen.article == original), "not met")] += 1

    def __str__(self) -> str:
        changes = ", ".join(f"{name} {count}" for name, count in self.missed.most_common(4))
        rules = ", ".join(f"{name}: {count}" for name, count in self.rules.most_common(4))
        shares = f"met {self.met / self.made:.4f}  recognised {self.recognised / self.made:.4f}"
        return f"{shares}  ({self.made} copies; missed with {changes or 'none'}; {rules or 'no rule'})"


def edited_copies(pieces: Sequence[Piece], *, pairs: int, seed: int = 1) -> Iterable[str]:
    """Store every article, then judge edited copies of them; the curve over the share of words edited."""
    # One of each family: an exam key of another paper is no stranger to what is stored.
    families = {"".join(sign for sign in piece.title if not sign.isdigit()) or piece.key: piece for piece in pieces}
    pieces = [piece for piece in families.values() if len(piece.text.split()) >= 60 and not _twice(piece)]
    if not pieces:
        yield "edited copies: skipped, no articles there"
        return
    rng = random.Random(seed)
    rng.shuffle(pieces)
    # What stands around a copy comes from articles that are not stored, but for the teasers' titles.
    stuff, pieces = material(pieces[::4]), [piece for place, piece in enumerate(pieces) if place % 4]
    corpus = Corpus()
    ids = [corpus.add(piece) for piece in pieces]
    yield f"edited copies of {len(pieces)} articles: words edited, candidates found, recognised; worst changes"
    each = -(-pairs // len(LEVELS))
    for level in LEVELS:
        tally = Tally()
        for _ in range(each):
            place = rng.randrange(len(pieces))
            copy, changes = edited(pieces[place], Recipe(words=level), stuff, rng)
            tally.count(ids[place], corpus, copy, changes)
        yield f"  {level:4.0%}  {tally}"


if __name__ == "__main__":
    sys.exit(main())

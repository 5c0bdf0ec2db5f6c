"""The pairs that the judge is fitted to and measured on: labelled ones, edited copies, and which tell one story."""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

from tests.bench.articles import MORE_LABELS, Piece, read_file, read_folder, read_labelled, read_labels, read_pairs
from tests.bench.edit_generator import Recipe, edited, material
from worker.dedupe.features import PublishedText, measure_features, time_features
from worker.dedupe.fingerprint import anchor_keys
from worker.dedupe.prepared import prepare
from worker.dedupe.similarity import compare
from worker.dedupe.tokenizer import tokenize

LEVELS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
_COPIES = 40
_CUTS = 60
_CUT = ("58", "60", "66", "74", "186")
_A_CUT = 0.7
_DOUBTFUL = 0.35
_UNRELATED = 0.08
_LARGEST_FAMILY = 20
_FAMILY_WEIGHT = 80.0
_DIGIT = re.compile(r"\d")
_WEIGHTS = {
    "labelled": 1.0,
    "near_identical": 2.0,
    "reuters": 6.0,
    "pairs": 1.0,
    "events": 0.3,
    "more": 1.5,
    "edited": 1.35,
    "misprint": 0.25,
    "repeated": 0.5,
}
_MADE = ("edited", "misprint", "repeated")
_NOTICES = 60
_SHORTEST_NOTICE, _LONGEST_NOTICE = 20, 60
_MISPRINTS = 120
_MISPRINTED = 150
_LATEST = 120.0
_DAY = datetime(2026, 1, 1, tzinfo=UTC)
DATINGS = ("as they are", "unknown", "together", "apart")
"""The dates that a pair is fitted with in turn: what a text says of its date need not be so."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A pair with its label (1 one item, 0 two, None undecided), its weight in fitting, and its weight in scoring."""

    collection: str
    label: int | None
    kind: str
    one: Piece
    two: Piece
    counts: float = 1.0


def read_examples(data: Path) -> list[Example]:
    """Return every labelled pair below the shared data, and edited copies of its articles."""
    folder = data / "neardup"
    return [*_labelled(folder), *_more(folder), *_events(folder), *_edited(data), *_notices(folder)]


def _labelled(folder: Path) -> Iterator[Example]:
    merged = {"yes": 1, "no": 0, "either": None}
    for pair in read_labelled(folder / "labelled_pairs.jsonl"):
        yield Example(collection="labelled", label=merged[pair.label], kind=pair.one.group, one=pair.one, two=pair.two)
    for name, labels in (("pairs", None), ("reuters", None), ("near_identical", read_labels())):
        path = folder / f"{name if name == 'pairs' else name + '_pairs'}.jsonl"
        for pair in read_pairs(path, labels=labels):
            label = None if pair.label == "borderline" else int(pair.label == "duplicate")
            yield Example(collection=name, label=label, kind=pair.label, one=pair.one, two=pair.two, counts=pair.weight)


def _more(folder: Path) -> Iterator[Example]:
    """Yield the pairs labelled for the project, of articles that stand in the collections in other pairs."""
    pairs = [*read_labelled(folder / "labelled_pairs.jsonl"), *read_pairs(folder / "pairs.jsonl")]
    pieces = {piece.key: replace(piece, group="") for pair in pairs for piece in (pair.one, pair.two)}
    pieces |= {piece.key: piece for piece in read_file(folder / "same_event_clusters.jsonl.gz")}
    for (one, two), label in read_labels(MORE_LABELS).items():
        label_of = int(label == "duplicate")
        yield Example(collection="more", label=label_of, kind=label, one=pieces[one], two=pieces[two])


def _events(folder: Path) -> Iterator[Example]:
    """Yield reports of one event: cut copies, and independent ones; what may be either is left out."""
    pieces = read_file(folder / "same_event_clusters.jsonl.gz")
    sides = [prepare(piece.text, title=piece.title) for piece in pieces]
    for one, two in combinations(range(len(pieces)), 2):
        if pieces[one].group != pieces[two].group:
            continue
        shared = compare(sides[one], sides[two]).containment
        cut = shared >= _A_CUT and pieces[one].group.removeprefix("cluster_") in _CUT
        if cut or _UNRELATED <= shared < _DOUBTFUL:
            kind = "cut" if cut else "independent"
            yield Example(collection="events", label=int(cut), kind=kind, one=pieces[one], two=pieces[two])


def _edited(data: Path) -> Iterator[Example]:
    rng = random.Random(11)
    folders = (data / "neardup", data / "vi" / "vfnd")
    found = {piece.text: piece for folder in folders for piece in read_folder(folder)}
    families = {"".join(sign for sign in each.title if not sign.isdigit()) or each.key: each for each in found.values()}
    pieces = [piece for piece in families.values() if len(piece.text.split()) >= 60]
    rng.shuffle(pieces)
    stuff, pieces = material(pieces[::4]), [piece for place, piece in enumerate(pieces) if place % 4]
    for level in LEVELS:
        for _ in range(_COPIES):
            piece = pieces[rng.randrange(len(pieces))]
            copy, _changes = edited(piece, Recipe(words=level), stuff, rng)
            yield Example(collection="edited", label=1, kind=f"{level:.0%}", one=piece, two=copy)
    for _ in range(_CUTS):
        piece = pieces[rng.randrange(len(pieces))]
        yield Example(collection="edited", label=1, kind="cut", one=piece, two=_cut(piece, rng))
    long = [piece for piece in pieces if len(piece.text.split()) >= _MISPRINTED and _DIGIT.search(piece.text)]
    for _ in range(_MISPRINTS):
        piece = long[rng.randrange(len(long))]
        yield Example(collection="misprint", label=1, kind="misprint", one=piece, two=_misprinted(piece, rng))


def _notices(folder: Path) -> Iterator[Example]:
    """Yield brief notices with the same words of another day: other items."""
    rng = random.Random(17)
    pieces = sorted({each.text: each for each in read_folder(folder)}.values(), key=lambda each: each.text)
    brief = [each for each in pieces if _SHORTEST_NOTICE <= len(each.text.split()) <= _LONGEST_NOTICE]
    for piece in rng.sample(brief, min(_NOTICES, len(brief))):
        yield Example(collection="repeated", label=0, kind="notice", one=piece, two=replace(piece, key=f"{piece.key}%"))


def _misprinted(piece: Piece, rng: random.Random) -> Piece:
    """Return a text with one digit exchanged."""
    digit = rng.choice(list(_DIGIT.finditer(piece.text)))
    other = rng.choice([each for each in "123456789" if each != digit.group()])
    return replace(piece, key=f"{piece.key}#", text=f"{piece.text[: digit.start()]}{other}{piece.text[digit.end() :]}")


def _cut(piece: Piece, rng: random.Random) -> Piece:
    """Return the beginning of a text word for word, as a paper short of room prints it, in half under another title."""
    lines = piece.text.split("\n")
    kept = lines[: max(1, round(rng.uniform(0.3, 0.8) * len(lines)))]
    title = piece.title if rng.random() < 0.5 else " ".join(kept[0].split()[:10])
    return replace(piece, key=f"{piece.key}/", title=title, text="\n".join(kept))


def weigh(examples: Sequence[Example], stories: Sequence[str]) -> list[float]:
    """Return the weights in fitting: a large family of forms counts no more than a few pairs."""
    families = Counter(story for story, each in zip(stories, examples, strict=True) if each.collection != "labelled")
    weights = []
    for each, story in zip(examples, stories, strict=True):
        weight = _WEIGHTS[each.collection] if each.label is not None else 0.0
        large = each.collection == "near_identical" and families[story] > _LARGEST_FAMILY
        weights.append(_FAMILY_WEIGHT / families[story] if weight and large else weight)
    return weights


def shares(example: Example) -> tuple[float, ...]:
    """Return how much of a pair's weight goes to each of DATINGS.

    A copier's date is whatever he says it is, and forms may come out on one day; a date may always be missing.
    """
    if example.collection == "repeated":
        return 0.0, 0.0, 0.0, 1.0
    if example.collection in _MADE or (example.collection == "near_identical" and example.label):
        return 0.0, 1 / 3, 1 / 3, 1 / 3
    if example.collection == "near_identical":
        return 0.0, 0.5, 0.5, 0.0
    dated = example.one.published_at is not None and example.two.published_at is not None
    return (0.5, 0.5, 0.0, 0.0) if dated else (1.0, 0.0, 0.0, 0.0)


def measure(examples: Iterable[Example]) -> list[list[dict[str, float]]]:
    """Return the features of each pair under each of DATINGS."""
    rng = random.Random(5)
    measured = []
    for each in examples:
        one, two = (
            PublishedText(prepared=prepare(piece.text, title=piece.title), host="", published_at=piece.published_at)
            for piece in (each.one, each.two)
        )
        found = measure_features(one, two, compare(one.prepared, two.prepared))
        later = _DAY + timedelta(days=math.exp(rng.uniform(0.0, math.log(_LATEST))))
        dates = ((one.published_at, two.published_at), (None, None), (_DAY, _DAY), (_DAY, later))
        dated = [(replace(one, published_at=ours), replace(two, published_at=theirs)) for ours, theirs in dates]
        measured.append([found | time_features(*pair) for pair in dated])
    return measured


def stories(examples: Sequence[Example]) -> list[str]:
    """Return one name for all pairs of a story: with a text, an event, shingles or rare title words in common."""
    joined = _Joined(len(examples))
    texts: dict[str, int] = {}
    lease_owners: defaultdict[int, set[int]] = defaultdict(set)
    for place, each in enumerate(examples):
        copies = each.collection in _MADE
        for piece in (each.one,) if copies else (each.one, each.two):
            joined.join(place, texts.setdefault(piece.text, place))
            if not copies:
                for key in anchor_keys(prepare(piece.text).shingles):
                    lease_owners[key].add(place)
        if each.one.group and each.collection in ("events", "more"):
            joined.join(place, texts.setdefault(each.one.group, place))
    shared = Counter(
        pair for held in lease_owners.values() if len(held) <= 30 for pair in combinations(sorted(held), 2)
    )
    for (one, two), count in shared.items():
        if count >= 3:
            joined.join(one, two)
    _join_titles(examples, joined)
    return [str(joined.root(place)) for place in range(len(examples))]


def _join_titles(examples: Sequence[Example], joined: _Joined) -> None:
    spoken = [set(tokenize(f"{each.one.title} {each.two.title}").hashes.tolist()) for each in examples]
    common = Counter(word for each in spoken for word in each)
    rare = [set(sorted(each, key=lambda word: (common[word], word))[:6]) for each in spoken]
    places = [place for place, each in enumerate(examples) if each.collection in ("labelled", "more", "pairs")]
    for one, two in combinations(places, 2):
        if len(rare[one] & rare[two]) >= 3:
            joined.join(one, two)


class _Joined:
    """Sets that grow together."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def root(self, place: int) -> int:
        while self._above[place] != place:
            self._above[place] = self._above[self._above[place]]
            place = self._above[place]
        return place

    def join(self, one: int, two: int) -> None:
        self._above[self.root(one)] = self.root(two)

"""The seed corpus of the repository has the form that seeds have."""

import hashlib
import re
import unicodedata
from pathlib import Path

import pytest

from tests.newsroom import seed_stories

ROOT = Path(__file__).parents[3]
SEEDS = sorted((ROOT / "seeds/sample").glob("[0-9]*.txt"))
REAL = ROOT.parent / "shared" / "seeds"
TITLE_NOT_FIRST = {"002", "008"}
PIECES_OF_A_SITE = (
    "Tin bài liên quan",
    "Đọc nhiều",
    "Đọc thêm",
    "Bình luận",
    "![",
    "Theo dõi",
    "Ảnh:",
    "Tin liên quan",
)


def lines_of_article(number: str) -> list[str]:
    story = seed_stories()[number]
    return [story.title, *story.text.splitlines()]


def test_there_are_twelve_seeds_in_a_row_and_an_article_for_each() -> None:
    assert [file.name[:3] for file in SEEDS] == [f"{number:03}" for number in range(12)] == list(seed_stories())


@pytest.mark.parametrize("seed", SEEDS, ids=lambda file: file.name)
def test_a_seed_is_named_after_its_bytes(seed: Path) -> None:
    digest = hashlib.sha256(seed.read_bytes()).hexdigest()

    assert seed.name == f"{seed.name[:3]}_{digest[:16]}.txt"


@pytest.mark.parametrize("seed", SEEDS, ids=lambda file: file.name[:3])
def test_a_seed_is_clean_text_that_begins_with_its_title(seed: Path) -> None:
    text = seed.read_text("utf-8")
    title = seed_stories()[seed.name[:3]].title

    assert unicodedata.is_normalized("NFC", text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    assert (text.splitlines()[0] == title) == (seed.name[:3] not in TITLE_NOT_FIRST)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda file: file.name[:3])
def test_the_article_stands_in_its_seed_in_order_and_is_from_a_quarter_to_two_thirds_of_it(seed: Path) -> None:
    text, lines = seed.read_text("utf-8"), lines_of_article(seed.name[:3])
    places: list[int] = []
    for line in lines:
        places.append(text.find(line, places[-1] if places else 0))

    share = len(" ".join(lines).split()) / len(text.split())

    assert -1 not in places
    assert 0.23 <= share <= 0.63
    assert 180 <= len(" ".join(lines).split()) <= 500


def test_a_seed_carries_pieces_of_the_site_it_was_taken_from() -> None:
    found = {seed.name[:3]: [piece for piece in PIECES_OF_A_SITE if piece in seed.read_text("utf-8")] for seed in SEEDS}

    assert all(found.values())
    assert {piece for pieces in found.values() for piece in pieces} == set(PIECES_OF_A_SITE)


@pytest.mark.skipif(not REAL.is_dir(), reason="the five real seed files (../shared/seeds) are not here")
def test_no_sentence_is_taken_from_the_real_seeds() -> None:
    real = set().union(*(shingles(file.read_text("utf-8")) for file in REAL.glob("*.txt")))

    taken = {number: shingles(" ".join(lines_of_article(number))) & real for number in seed_stories()}

    assert not any(taken.values()), taken


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + 8]) for start in range(len(words) - 7)}

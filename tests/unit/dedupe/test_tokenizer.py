"""Splitting texts into words, and hashing words and shingles."""

from __future__ import annotations

import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.dedupe.tokenizer import char_tables, char_tables_of, shingles, sorted_unique, tokenize


def cut(text: str) -> list[str]:
    found = tokenize(text)
    return [found.text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]


def hashes(text: str) -> list[int]:
    return [int(one) for one in tokenize(text).hashes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n—“”…!", []),
        ("😀😀 🎉", []),
        ("Hà Nội, ngày 23/10", ["Hà", "Nội", "ngày", "23", "10"]),
        ("9M729 và F-22", ["9M729", "và", "F", "22"]),
        ("中国人", ["中", "国", "人"]),
        ("a中b", ["a", "中", "b"]),
        ("ไทย ok", ["ไ", "ท", "ย", "ok"]),
        ("мир 𠀀x", ["мир", "𠀀", "x"]),
        ("\u0301x", ["\u0301x"]),
    ],
)
def test_words_are_runs_of_letters_digits_and_marks(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("hoà bình", "hòa bình"),
        ("thuỷ thủ khoẻ", "thủy thủ khỏe"),
        ("QUÝ", "qúy"),
        ("Việt Nam", "VIỆT NAM"),
        ("Việt", unicodedata.normalize("NFD", "Việt")),
        ("thông tin", "th\u00adông t\u200bin\ufeff"),
        ("“Nga” – Mỹ…", '"Nga" - Mỹ...'),
        ("1.000 đồng", "1,000 đồng"),
    ],
)
def test_spellings_of_the_same_words_hash_alike(one: str, two: str) -> None:
    assert hashes(one) == hashes(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [("ma", "má"), ("má", "mà"), ("o", "ô"), ("dao", "đao"), ("212", "203"), ("ab", "ba"), ("aa", "a"), ("é", "e")],
)
def test_different_words_hash_differently(one: str, two: str) -> None:
    assert hashes(one) != hashes(two)


@given(
    st.lists(st.text("abcđéộ0123中𠀀", min_size=1, max_size=6), max_size=8), st.sampled_from([" ", "\n", " 😀 ", "—"])
)
def test_a_word_hashes_the_same_wherever_it_stands(parts: list[str], between: str) -> None:
    together = hashes(between.join(parts))

    assert together == [one for part in parts for one in hashes(part)]


@given(st.text(max_size=60))
def test_any_text_is_split_into_words_in_their_order(text: str) -> None:
    found = tokenize(text)

    assert (found.starts < found.ends).all()
    assert (found.ends[:-1] <= found.starts[1:]).all()
    assert len(found) == 0 or found.ends[-1] <= len(found.text)


def test_a_hundred_thousand_words_have_as_many_hashes() -> None:
    text = " ".join(f"từ{number}" for number in range(100_000))

    assert len(set(hashes(text))) == 100_000


def test_words_beyond_the_cached_powers_have_the_same_hashes() -> None:
    text = "một hai ba bốn năm " * 10_000

    found = tokenize(text).hashes

    assert (found.reshape(-1, 5) == found[:5]).all()


@given(st.lists(st.integers(0, 3), max_size=30))
def test_shingles_are_equal_where_five_words_in_order_are(numbers: list[int]) -> None:
    text = " ".join("abcd"[number] for number in numbers)
    runs = [tuple(numbers[place : place + 5]) for place in range(max(1, len(numbers) - 4))] if numbers else []

    found = shingles(tokenize(text).hashes).tolist()

    assert len(found) == len(runs)
    assert len(set(found)) == len(set(runs))


def test_sorted_unique_sorts_and_removes_repetitions() -> None:
    assert sorted_unique(np.array([3, 1, 3, 2, 1], dtype=np.uint64)).tolist() == [1, 2, 3]
    assert sorted_unique(np.array([], dtype=np.uint64)).tolist() == []


@pytest.mark.parametrize("text", ["x" * 5_000_000, "một " * 1_000_000, "😀" * 1_000_000, "7" * 1_000_000])
def test_five_megabytes_are_split_in_seconds(text: str) -> None:
    began = time.process_time()

    shingles(tokenize(text).hashes)

    assert time.process_time() - began < 300


def test_the_tables_hold_what_each_code_point_is_whichever_texts_were_read_before() -> None:
    texts = ["Việt Nam – hoà", "мир, 中 ไทย 한국 ١٢", "𝔘𠀀 x 😀", "Ωmega Straße"]
    char_tables.cache_clear()
    for text in texts:
        tokenize(text)
    codes = np.array([ord(each) for each in "".join(texts) if ord(each) < 1 << 16], dtype=np.uint32)

    tables, expected = char_tables(), char_tables_of(codes)

    for name in ("kinds", "letters", "tones"):
        assert getattr(tables, name)[codes].tolist() == getattr(expected, name).tolist()
    assert tables.kinds[0x1000] not in expected.kinds  # no text had Burmese, so its block is not filled in

"""Fingerprints: datasketch's own signatures, bands and anchors."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import numpy as np
import pytest
from datasketch import LeanMinHash, MinHash
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from worker.dedupe import fingerprint as module
from worker.dedupe.fingerprint import (
    BANDS,
    FEWEST_ANCHORS,
    MOST_ANCHORS,
    PERMUTATIONS,
    ROWS,
    fingerprint,
    serialise_minhash,
    to_uint32,
)
from worker.dedupe.fingerprint import band_keys as bands
from worker.dedupe.fingerprint import minhash as signature
from worker.dedupe.tokenizer import shingles, tokenize


def some_text(seed: int, *, length: int = 300) -> str:
    rng = random.Random(seed)
    return " ".join(f"t{rng.randrange(5000)}" for _ in range(length))


def by_datasketch(text: str) -> MinHash:
    minhash = MinHash(num_perm=PERMUTATIONS, hashfunc=int)
    for shingle in to_uint32(shingles(tokenize(text).hashes)).tolist():
        minhash.update(shingle)
    return minhash


@given(st.text("ab cđé 0\n", max_size=400))
def test_signatures_equal_datasketchs_bit_for_bit(text: str) -> None:
    values = signature(shingles(tokenize(text).hashes))

    assert np.array_equal(values, by_datasketch(text).hashvalues)


@pytest.mark.parametrize("length", [1, 4, 5, 255, 256, 260, 261, 2000])
def test_signatures_equal_datasketchs_at_the_edges_of_blocks(length: int) -> None:
    text = some_text(length, length=length)

    assert np.array_equal(signature(shingles(tokenize(text).hashes)), by_datasketch(text).hashvalues)


def test_a_stored_signature_is_read_by_datasketch() -> None:
    text = some_text(1)
    expected = LeanMinHash(by_datasketch(text))

    assert LeanMinHash.deserialize(fingerprint(text).signature, byteorder="<") == expected
    buffer = bytearray(expected.bytesize("<"))
    expected.serialize(buffer, "<")
    assert serialise_minhash(expected.hashvalues) == bytes(buffer)


def test_the_bands_meet_98_in_100_pairs_at_the_threshold() -> None:
    met = 1 - (1 - 0.8**ROWS) ** BANDS

    assert met >= 0.98
    assert BANDS * ROWS <= PERMUTATIONS


def test_pairs_at_the_threshold_share_a_band() -> None:
    rng = np.random.default_rng(1)
    met = 0
    for _ in range(300):
        both, one, two = (rng.integers(0, 1 << 63, size, dtype=np.uint64) for size in (400, 50, 50))
        first = band_keys(np.concatenate([both, one]))
        met += bool(first & band_keys(np.concatenate([both, two])))

    assert met >= 0.98 * 300


def band_keys(hashes: NDArray[np.uint64]) -> set[int]:
    return set(bands(signature(hashes)))


def test_a_band_key_carries_the_number_of_its_band() -> None:
    keys = bands(np.zeros(PERMUTATIONS, dtype=np.uint32))

    assert len(set(keys)) == BANDS
    assert all(-(1 << 63) <= key < 1 << 63 for key in keys)


def test_an_article_inside_a_longer_text_shares_anchors_with_it() -> None:
    for seed in range(50):
        article = some_text(seed, length=120)
        page = f"{some_text(seed + 1000, length=200)}\n{article}\n{some_text(seed + 2000, length=200)}"

        shared = set(fingerprint(article).anchors) & set(fingerprint(page).anchors)

        assert shared, seed


def test_short_texts_keep_the_fewest_anchors_and_no_text_more_than_the_most() -> None:
    assert len(fingerprint(some_text(1, length=60)).anchors) == FEWEST_ANCHORS
    assert len(fingerprint(some_text(1, length=20)).anchors) == 16
    assert len(fingerprint(some_text(1, length=50_000)).anchors) == MOST_ANCHORS


def test_repetitions_change_nothing() -> None:
    once, twice = fingerprint("một hai ba bốn năm " * 30), fingerprint("một hai ba bốn năm " * 60)

    assert (once.bands, once.anchors, once.signature) == (twice.bands, twice.anchors, twice.signature)


@pytest.mark.parametrize("text", ["", "😀 🎉", "\n\n", "—"])
def test_a_text_without_words_has_no_keys(text: str) -> None:
    made = fingerprint(text)

    assert (made.bands, made.anchors, made.shingles) == ((), (), 0)


@pytest.mark.parametrize(
    "text", ["x " * 1_000_000, "😀" * 1_000_000, "123 " * 1_000_000, some_text(1, length=400_000), "中x " * 500_000]
)
def test_bad_input_is_fingerprinted_in_bounded_time(text: str) -> None:
    began = time.process_time()

    made = fingerprint(text)

    assert time.process_time() - began < 300
    assert len(made.anchors) <= MOST_ANCHORS


def test_threads_that_need_the_permutations_at_once_import_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, inside, most = module._without_package_code, list[str](), list[int]()
    threads = [Thread(target=module._permutations.__wrapped__) for _ in range(2)]

    @contextmanager
    def counted(name: str) -> Iterator[None]:
        inside.append(name)
        if not most:
            most.append(0)
            threads[1].start()
        with plain(name):
            yield
        most.append(len(inside))
        inside.pop()

    monkeypatch.setattr(module, "_without_package_code", counted)

    threads[0].start()
    for thread in threads:
        thread.join()

    assert most == [0, 1, 1]

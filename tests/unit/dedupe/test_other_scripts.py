"""Variants of one letter or digit have the same hash; the hashes of Latin and Vietnamese words never change."""

from __future__ import annotations

import hashlib

import pytest

from worker.dedupe.prepared import number_keys
from worker.dedupe.tokenizer import shingles, tokenize


def hashes(text: str) -> list[int]:
    return [int(one) for one in tokenize(text).hashes]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("سال ۱۴۰۳ و ۷ نفر", "سال 1403 و 7 نفر"),
        ("سال ١٤٠٣", "سال ۱۴۰۳"),
        ("كتاب علي", "کتاب علی"),
        ("الحكومة", "الحکومة"),
        ("كِتَابٌ", "كتاب"),
        ("مـحـمـد", "محمد"),
        ("ﻛﺘﺎﺏ", "كتاب"),
        ("پاکستان میں ہے", "پاکستان میں هے"),
        ("साल २०२६", "साल 2026"),
        ("২০২৬ সাল", "2026 সাল"),
        ("ปี ๒๕๖๗", "ปี 2567"),
        ("ປີ ໒໐໒໖", "ປີ 2026"),
        ("ឆ្នាំ២០២៦", "ឆ្នាំ2026"),
        ("၂၀၂၆ ခုနှစ်", "2026 ခုနှစ်"),
        ("ＮＨＫが２０２６年", "NHKが2026年"),
        ("ｶﾀｶﾅ", "カタカナ"),
    ],
)
def test_one_letter_or_digit_under_several_code_points_is_one(one: str, other: str) -> None:
    assert hashes(one) == hashes(other)


@pytest.mark.parametrize(
    ("one", "other"), [("۷ نفر", "8 نفر"), ("كتاب", "باب"), ("一", "二"), ("đ", "d"), ("ไม", "มา")]
)
def test_other_letters_and_digits_stay_others(one: str, other: str) -> None:
    assert hashes(one) != hashes(other)


@pytest.mark.parametrize(
    ("one", "other"), [("۷/۶", "7/6"), ("۱٬۰۰۰", "1,000"), ("٣٫٥", "3٫5"), ("२०", "20"), ("๑๐", "10"), ("০৭", "7")]
)
def test_numbers_are_the_same_whatever_script_their_digits_are_of(one: str, other: str) -> None:
    assert number_keys(tokenize(one)) == number_keys(tokenize(other))


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (
            (
                "Hà Nội, ngày 23/10: thuỷ thủ tàu 9M729 và F-22 đã hoà vào dòng người; giá vàng tăng 1.000 đồng, "
                "QUÝ III/2025."
            ),
            "3a089a059fcd927b1a00b76e13153d94",
        ),
        (
            "The minister's plan of 12 May (worth €3.5bn) won't pass, naïve critics say; café owners disagree — 2nd.",
            "6104c1b89ea37f2c01f79ce24d7a0c33",
        ),
        (
            "Über die Straße läuft Jürgen; l'été à Orléans, año, Łódź, İstanbul, Ærø: мир и труд, Ελλάδα 2024.",
            "e92fec8118fd6c9c67dba7e2e9166bf4",
        ),
    ],
)
def test_latin_and_vietnamese_words_and_shingles_hash_as_they_always_did(text: str, digest: str) -> None:
    cut = tokenize(text)

    assert hashlib.sha256(cut.hashes.tobytes() + shingles(cut.hashes).tobytes()).hexdigest()[:32] == digest

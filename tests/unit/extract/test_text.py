"""Strings are normalised: Unicode NFC, and no characters that a database rejects."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.charset.characters import clean_text, count_words, fold, fold_ascii

any_text = st.text(st.characters(exclude_categories=()), max_size=200)


@given(any_text)
def test_cleaning_leaves_only_what_any_store_takes(raw: str) -> None:
    cleaned = clean_text(raw)

    cleaned.encode("utf-8")
    assert unicodedata.is_normalized("NFC", cleaned)
    assert not [c for c in cleaned if unicodedata.category(c) in {"Cc", "Cs"} and c != "\n"]


@given(any_text)
def test_cleaning_twice_changes_nothing(raw: str) -> None:
    assert clean_text(clean_text(raw)) == clean_text(raw)


@given(any_text)
def test_paragraphs_are_separated_by_exactly_one_newline_and_have_no_blank_edges(raw: str) -> None:
    paragraphs = clean_text(raw).split("\n") if clean_text(raw) else []

    assert all(paragraph and paragraph == paragraph.strip() for paragraph in paragraphs)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("a\u0301o da\u0300i", "áo dài"),
        ("một\x00 hai\ufeff ba\u200b", "một hai ba"),
        ("một\r\n\r\n  hai \n\n\n ba ", "một\nhai\nba"),
        ("giá\u00a05.000\u00a0đồng", "giá 5.000 đồng"),
        ("hỏng \ud800 đôi", "hỏng đôi"),
        ("họ\u00adc", "học"),
    ],
)
def test_cleaning_by_example(raw: str, cleaned: str) -> None:
    assert clean_text(raw) == cleaned


@pytest.mark.parametrize(
    ("text", "words"), [("", 0), ("một hai", 2), ("- một – hai !", 2), ("5.000 đồng", 2), ("… “ ”", 0)]
)
def test_a_word_is_a_token_with_a_letter_or_a_digit(text: str, words: int) -> None:
    assert count_words(text) == words


@given(any_text | st.text(st.sampled_from("aĐß_ .,’“–«²İ\u0301\u2028\ud800"), max_size=40))
def test_folding_leaves_the_letters_and_digits_between_single_blanks(text: str) -> None:
    letters = "".join(char if char.isalnum() else " " for char in text.casefold())

    assert fold(text) == " ".join(letters.split())


def test_folding_does_not_see_case_punctuation_or_blanks() -> None:
    assert fold("Nga,  Mỹ – “INF”!") == fold("nga mỹ inf")


def test_ascii_folding_gives_what_a_slug_gives() -> None:
    assert fold_ascii("Đồng Nai: mở đường") == "dong nai mo duong"

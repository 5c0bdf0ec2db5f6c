"""A number of words is about the same amount of text in every language."""

from __future__ import annotations

import pytest

from worker.charset.characters import count_words, text_length

# One sentence of news in translations made for this table.
SENTENCE = {
    "en": "The city council decided on Monday to repair three old bridges before the rainy season begins next year.",
    "vi": "Hội đồng thành phố hôm thứ Hai quyết định sửa ba cây cầu cũ trước khi mùa mưa năm tới bắt đầu.",
    "zh": "市议会星期一决定在明年雨季开始之前修复三座旧桥，以保证居民出行安全。",
    "ja": "市議会は月曜日、来年の雨季が始まる前に三つの古い橋を修理することを決定した。",
    "th": "สภาเมืองตัดสินใจเมื่อวันจันทร์ที่จะซ่อมแซมสะพานเก่าสามแห่งก่อนฤดูฝนปีหน้าจะเริ่มต้น",
    "lo": "ສະພາເມືອງຕັດສິນໃຈໃນວັນຈັນທີ່ຈະສ້ອມແປງຂົວເກົ່າສາມແຫ່ງກ່ອນລະດູຝົນປີໜ້າຈະເລີ່ມຕົ້ນ",
    "km": "ក្រុមប្រឹក្សាទីក្រុងបានសម្រេចនៅថ្ងៃច័ន្ទជួសជុលស្ពានចាស់ចំនួនបីមុនរដូវវស្សាឆ្នាំក្រោយចាប់ផ្តើម",
    "my": "မြို့တော်ကောင်စီသည် လာမည့်နှစ် မိုးရာသီမစတင်မီ တံတားဟောင်းသုံးစင်းကို ပြုပြင်ရန် တနင်္လာနေ့တွင် ဆုံးဖြတ်ခဲ့သည်",
}


@pytest.mark.parametrize("language", SENTENCE)
def test_a_sentence_has_about_as_many_words_in_every_language(language: str) -> None:
    assert 0.6 <= count_words(SENTENCE[language]) / count_words(SENTENCE["en"]) <= 1.7


@pytest.mark.parametrize("language", SENTENCE)
def test_a_sentence_is_about_as_long_in_every_language(language: str) -> None:
    assert 0.7 <= text_length(SENTENCE[language]) / text_length(SENTENCE["en"]) <= 1.3


@pytest.mark.parametrize("language", ["en", "vi"])
def test_the_length_of_a_text_in_an_alphabet_is_its_number_of_characters(language: str) -> None:
    assert text_length(f" {SENTENCE[language]}\n\n".replace(" ", "  ")) == len(SENTENCE[language])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("Xin chào các bạn, năm 2026 - !", 6),
        ("中国", 1),
        ("中国人民银行", 3),
        ("2026年3月 GDP", 4),
        ("ประเทศไทย ปี 2567", 5),
        ("서울시는 다리 세 곳을 고친다", 5),
        ("مجلس شهر تصمیم گرفت", 4),
    ],
)
def test_words_are_between_blanks_or_a_number_of_letters(text: str, words: int) -> None:
    assert count_words(text) == words

"""Quality signals by their papers' definitions; masking that knows a phone number from a price."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes import article
from worker.charset.characters import sha256_of
from worker.errors import UsageError
from worker.export.columns import COLUMNS, NAMED_FILTERS, read_filter, row_of
from worker.export.signals import mask_personal_data, quality_columns, quality_signals, without_personal_data
from worker.models import Relation, StoredArticle

LINES = "\n".join(("Câu đầu có dấu chấm.", "Câu hai thì không", "Câu hai thì không", "• Một mục…", "Hỏi gì? #tag #tag"))


def test_signals_follow_their_definitions() -> None:
    found = quality_signals(LINES, "vi")

    words = [word.strip(".•…?#") for word in LINES.split() if word.strip(".•…?#")]
    assert found.mean_word_length == pytest.approx(sum(map(len, words)) / len(words))
    assert (found.symbol_share, found.alphabetic_words) == (2 / len(words), 1.0)
    assert (found.bullet_lines, found.ellipsis_lines, found.punctuated_lines) == (0.2, 0.2, 0.2)
    assert (found.doubled_lines, found.short_lines) == (0.2, 1.0)
    assert found.doubled_line_chars == pytest.approx(17 / sum(map(len, LINES.split("\n"))))
    assert (found.stop_words, quality_signals(LINES, "fr").stop_words) == (2, None)


@pytest.mark.parametrize("text", ["", "\n\n", "…", "###"])
def test_a_text_without_words_has_shares_of_zero(text: str) -> None:
    found = quality_signals(text, "vi")

    assert (found.mean_word_length, found.symbol_share, found.alphabetic_words) == (0.0, 0.0, 0.0)


def stored(text: str, language: str = "vi") -> StoredArticle:
    made = replace(article(text), language=language, lead="ĐT 0912 345 678", tags=("a@b.vn",))
    return StoredArticle(id=1, article=made, cluster=1, revision=1, head=True, relation=Relation.UNIQUE)


def score(_text: str, language: str) -> float:
    return 0.987654321 if language == "vi" else 0.5


def test_signals_are_columns_only_when_asked_for() -> None:
    columns = quality_columns(score)

    assert read_filter({}, quality=columns).columns == COLUMNS
    asked = read_filter({"quality": True}, quality=columns).columns
    row = row_of(stored(LINES), asked)
    assert list(row)[len(COLUMNS) :] == [
        "language_score", "mean_word_length", "symbol_share", "alphabetic_words", "bullet_lines", "ellipsis_lines",
        "doubled_lines", "doubled_line_chars", "punctuated_lines", "short_lines", "stop_words",
    ]  # fmt: skip
    assert (row["language_score"], row["doubled_lines"], row["stop_words"]) == (0.9877, 0.2, 2)


def test_a_named_filter_and_conditions_on_signals_need_no_columns() -> None:
    good, bad = stored("Một câu dài có dấu chấm.\nHai."), stored(LINES)
    wanted = read_filter({"named_filters": ["fineweb2-vi"]}, quality=quality_columns(score))
    by_hand = read_filter({"where": ["punctuated_lines>=0.5"]}, quality=quality_columns(score))

    assert list(wanted.apply([good, bad, stored("Hai.", "en")])) == list(by_hand.apply([good, bad])) == [good]
    assert wanted.columns == COLUMNS
    with pytest.raises(UsageError, match="no column 'punctuated'"):
        read_filter({"where": ["punctuated>=0.5"]}, quality=quality_columns(score))
    assert all(read_filter({"named_filters": [name]}, quality=quality_columns(score)) for name in NAMED_FILTERS)


def test_every_text_of_an_article_is_masked_and_the_rest_is_true_of_it() -> None:
    (masked,) = read_filter({}, change=without_personal_data).apply([stored("Gọi +84 912 345 678 nhé")])

    text = "Gọi [phone] nhé"
    assert (masked.article.text, masked.article.lead, masked.article.tags) == (text, "ĐT [phone]", ("[email]",))
    assert (masked.article.sha256, masked.article.words) == (sha256_of(text), 3)


MASKED = {
    "Liên hệ toa-soan.bao+tin@mau.com.vn nhé": "Liên hệ [email] nhé",
    "(email: a_b@example.org).": "(email: [email]).",
    "gọi 0912345678 ngay": "gọi [phone] ngay",
    "gọi 0912 345 678, hoặc 0912.345.678": "gọi [phone], hoặc [phone]",
    "0912-345-678": "[phone]",
    "091 234 5678 và 0912 34 56 78.": "[phone] và [phone].",
    "ĐT: (024) 3825 1234": "ĐT: [phone]",
    "ĐT: 024.3825.1234 - 028 38 123 456": "ĐT: [phone] - [phone]",
    "máy cũ (04) 3825 1234, 01234567890": "máy cũ [phone], [phone]",
    "+84912345678, +84 912 345 678, (+84) 912 345 678": "[phone], [phone], [phone]",
    "+84 (0) 912 345 678; +84.24.3825.1234; 0084 912 345 678": "[phone]; [phone]; [phone]",
    "call +1 (212) 555-0100 or +44 20 7946 0958": "call [phone] or [phone]",
    "+49 30 901820 or (415) 673-5700.": "[phone] or [phone].",
    "0912345678/0987654321": "[phone]/[phone]",
    "024.38251234 / 0912345678-0987654321": "[phone] / [phone]-[phone]",
    "ĐT.0912345678, tel:+84912345678": "ĐT.[phone], tel:[phone]",
    "gọi 0987 255 653 2 lần, số 2 0912345678": "gọi [phone] 2 lần, số 2 [phone]",
    "0912 345 678 0987 654 321": "[phone] [phone]",
    "84912345678 hay 84 912 345 678": "[phone] hay [phone]",
    "1-877-669-6877, 615-252-8530": "[phone], [phone]",
    "ĐT: 08 3818 1436, 04-62737323": "ĐT: [phone], [phone]",
    "+84.912.345.678, (84-24) 3825 1234, (+84.24) 38251234": "[phone], [phone], [phone]",
    "0912–345–678, 0912‑345‑678, 0912\u2007345\u2007678": "[phone], [phone], [phone]",
    "0912\u200d345\u200d678, \u202a0912\u200e 345 678\u202c": "[phone], \u202a[phone]\u202c",
    "０９１２３４５６７８": "[phone]",
    "09.12.34.56.78 – tên.họ@báo.vn": "[phone] – [email]",
    "CMND số 123456789": "CMND số [id]",
    "CMND: 012 345 678 cấp ngày 02/03/2010": "CMND: [id] cấp ngày 02/03/2010",
    "căn cước công dân số 001.199.012.345": "căn cước công dân số [id]",
    "số CCCD 079200012345": "số CCCD [id]",
    "thẻ 001099012345 của anh": "thẻ [id] của anh",
}
KEPT = (
    "ngày 05.12.2023 08.30", "05-12-2023", "tháng 05.2023 08.30", "02/09/1945", "2023-12-05 08:30",
    "lúc 08.30 ngày 30.04.1975", "giá 1.234.567.890 đồng", "giá 1 234 567 890", "912345678 đồng", "0912345678 đồng",
    "thu 123456789 USD", "+1.250.000.000", "tăng +12.345.678", "123456789", "bài 4954454",
    "bài số 188260307071033787", "https://bao.vn/tin-0912345678.htm", "https://bao.vn/0912345678/",
    "?id=0912345678", "https://bao.vn/2026/0912345678.htm", "/11/0912345678-a", "QD-0912345678",
    "tỉ số 2-1, 3-0, 21-19 21-18", "2019-2020-2021", "1900 1234", "0,912345678", "0.912.345.678",
    "ISBN 978-3-16-148410-0", "3.14159265358979", "192.168.100.200", "12:30:45.123456", "user@localhost",
    "@tai_khoan", "2.000.000 - 3.000.000", "số 12/2024/NĐ-CP", "000123456789", "tài khoản 0011002643148",
    "năm 1954 1975 1986 2023",
)  # fmt: skip


def test_personal_data_is_masked() -> None:
    assert {text: mask_personal_data(text) for text in MASKED} == MASKED


def test_other_numbers_stay() -> None:
    assert {text: mask_personal_data(text) for text in KEPT} == {text: text for text in KEPT}


def test_masking_takes_linear_time_and_is_idempotent() -> None:
    hostile = "1" * 50_000 + " 0" * 50_000 + "a@" * 50_000 + "." * 50_000 + "(0)" * 20_000

    masked = mask_personal_data(hostile)

    assert mask_personal_data(masked) == masked

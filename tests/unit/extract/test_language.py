"""Languages are identified offline, of short texts too."""

from __future__ import annotations

import pytest

from worker.extract.quality import LanguageDetector, primary_language


@pytest.fixture(scope="module")
def languages() -> LanguageDetector:
    return LanguageDetector()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Nga muốn tôn trọng quan hệ với Mỹ", "vi"),
        ("Ngày 5/3, giá dầu tăng mạnh.", "vi"),
        ("The prime minister said on Friday that the talks would go on next week.", "en"),
        ("Der Bundestag hat am Donnerstag über das neue Gesetz beraten.", "de"),
        ("12.345 – 67!", "und"),
        ("", "und"),
    ],
)
def test_the_text_decides(languages: LanguageDetector, text: str, language: str) -> None:
    assert languages.identify(text) == language


ENGLISH = (
    "It is a truth universally acknowledged, that a single man in possession of a fortune must be in want of a wife. "
)
VIETNAMESE = "Cuốn sách kể chuyện một làng chài bên sông, nơi người ta sống bằng nghề lưới và những chuyến đò đêm. "


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH * 3 + VIETNAMESE * 27, "vi"),
        (VIETNAMESE * 12 + ENGLISH * 3 + VIETNAMESE * 12, "vi"),
        (VIETNAMESE * 27 + ENGLISH * 3, "vi"),
        (VIETNAMESE * 3 + ENGLISH * 27, "en"),
        (VIETNAMESE + ENGLISH * 12, "en"),
    ],
)
def test_a_quotation_in_another_language_does_not_decide_wherever_it_is(
    languages: LanguageDetector, text: str, language: str
) -> None:
    assert languages.identify(text) == language


def test_the_declared_language_counts_only_in_doubt(languages: LanguageDetector) -> None:
    clear = "Thủ tướng cho biết hội nghị sẽ bàn về giá gạo và việc làm ở nông thôn trong năm tới."

    assert languages.identify(clear, declared="en-US") == "vi"
    assert languages.identify("ok", declared="fi") == "fi"


@pytest.mark.parametrize(
    ("tag", "code"), [("vi-VN", "vi"), ("VI_vn", "vi"), ("nb", "no"), ("x", ""), ("", ""), ("??", "")]
)
def test_language_tags_are_reduced_to_their_primary_subtag(tag: str, code: str) -> None:
    assert primary_language(tag) == code

"""Rejects pages that are no article or in another language, each with a reason and the figure that decided."""

from __future__ import annotations

import re

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from worker.errors import ExtractError
from worker.extract.document import Document
from worker.extract.text import count_words
from worker.urls import refresh_target

_GONE = re.compile(
    r"\b404\b|page (?:was )?not found|không tìm thấy (?:trang|bài|nội dung)|"
    r"(?:trang|bài viết|nội dung|đường dẫn)[^.]{0,40}(?:không tồn tại|không tìm thấy|đã bị (?:xóa|xoá|gỡ))|"
    r"seite nicht gefunden|page introuvable|página no encontrada",
    re.IGNORECASE,
)
_CONSENT = re.compile(
    r"(?:we (?:and our|value your)|wir und unsere|nous et nos) .{0,60}(?:partners?|partner|partenaires|privacy)|"
    r"(?:accept|manage|reject) (?:all )?cookies|cookie[- ](?:einstellungen|consent|policy|settings)|"
    r"(?:chấp nhận|đồng ý)[^.]{0,40}cookie|before you continue",
    re.IGNORECASE,
)
_PAYWALL = re.compile(
    r"(?:subscribe|subscription|sign (?:in|up)|log in|register)[^.]{0,60} to (?:continue|read|unlock|access|view)|"
    r"(?:already a|for|only) (?:subscribers?|members)|subscribers? only|abonn(?:ieren|enten|ements?|ez|és?)\b|"
    r"réservé aux|suscr[ií]b|đăng (?:nhập|ký)[^.]{0,60}(?:đọc|xem) (?:tiếp|toàn)|mua gói|"
    r"dành (?:riêng )?cho (?:thuê bao|hội viên|thành viên|độc giả trả phí)",
    re.IGNORECASE,
)
_VIDEO_TYPES = frozenset({"videoobject", "clip", "movie", "tvepisode"})
_GALLERY_TYPES = frozenset({"imagegallery", "mediagallery", "imageobjectgallery"})
_MAX_CHECKED_WORDS = 150
_MAX_STUB_WORDS = 120
_MAX_STUB_SHARE = 0.6


def require_words(words: int, *, min_words: int) -> None:
    """Reject what is too short; raises ExtractError (`short`)."""
    if words < min_words:
        raise ExtractError(f"too short: {words} words, at least {min_words} are asked for", reason="short")


def require_language(language: str, *, wanted: tuple[str, ...]) -> None:
    """Reject other languages than the wanted ones, none of which means all; raises ExtractError (`language`)."""
    if wanted and language not in wanted:
        raise ExtractError(f"other language: {language}, wanted is {', '.join(wanted)}", reason="language")


def is_paywalled(document: Document) -> bool:
    """Tell whether a page that declares that it is not free says in words that there is more for those who pay."""
    return document.json_ld.accessible_for_free is False and bool(_PAYWALL.search(document.tree.text_content()))


def require_article(
    document: Document, text: str, *, title: str, words: int, min_words: int, is_paywalled: bool = False
) -> None:
    """Reject pages that stand in an article's place; raises ExtractError.

    Reasons: `gone` (a page that says so with status 200), `moved` (one that sends on to another), `consent`, `paywall`,
    `video`, `gallery`. A page with text of some length passes all of them: a few words about cookies or a film do not
    unmake an article.
    """
    if words >= _MAX_CHECKED_WORDS:
        return
    _reject_gone(text, title, words)
    _reject_moved(document, words)
    _reject_consent(text, words)
    _reject_paywall_stub(document, text, words, is_paywalled=is_paywalled)
    if words < max(min_words, 1):
        _reject_media(document, words)


def _reject_gone(text: str, title: str, words: int) -> None:
    match = _GONE.search(title) or (words < _MAX_STUB_WORDS and _GONE.search(text[:200]))
    if match:
        raise ExtractError(f"the page says that it is gone ({match.group()!r}; {words} words)", reason="gone")


def _reject_moved(document: Document, words: int) -> None:
    target = next(filter(None, map(refresh_target, document.meta.get("refresh", ()))), None)
    if target is not None:
        raise ExtractError(f"the page sends on to {target[:200]} ({words} words)", reason="moved")


def _reject_consent(text: str, words: int) -> None:
    count = len(_CONSENT.findall(text))
    if count >= 2 or (count and words < 40):
        raise ExtractError(f"a consent wall: {count} such phrases in {words} words", reason="consent")


def _reject_paywall_stub(document: Document, text: str, words: int, *, is_paywalled: bool) -> None:
    """Reject what is shown of an article that has to be paid for: less than it declares, or broken off at a wall."""
    json_ld = document.json_ld
    whole = count_words(json_ld.body)
    if json_ld.accessible_for_free is not False or words >= _MAX_STUB_WORDS:
        return
    breaks_off = is_paywalled or text.endswith(("…", "..."))
    if words < _MAX_STUB_SHARE * whole or (not whole and breaks_off):
        sign = f"the page declares {whole} words" if whole else "the page speaks of those who pay, or breaks off,"
        raise ExtractError(
            f"a paywall stub: {words} words are shown, {sign} and declares no free access", reason="paywall"
        )


def _reject_media(document: Document, words: int) -> None:
    kind = document.meta_value("og:type").lower()
    types = document.json_ld.types
    if kind.startswith("video") or types & _VIDEO_TYPES:
        raise ExtractError(f"a video page: {words} words beside a film", reason="video")
    if types & _GALLERY_TYPES:
        raise ExtractError(f"a picture gallery: {words} words beside the pictures", reason="gallery")


# Tells the language of a text, offline; the only place that knows py3langid.


# How many pieces a sample is taken in, from all of the text, and of how many characters: a text may begin with a
# quotation in another language, or be a review of foreign papers.
_SHORT_SAMPLE = (4, 90)
_LONG_SAMPLE = (10, 200)
_CERTAIN_PROBABILITY = 0.95
_LIKELY_PROBABILITY = 0.8
# One written language under several codes.
_SAME_LANGUAGE = {"nb": "no", "nn": "no", "iw": "he", "in": "id", "fil": "tl"}


class LanguageDetector:
    """Identifies languages; loading the model takes some tenths of a second, so make one and keep it."""

    def __init__(self) -> None:
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def identify(self, text: str, *, declared: str = "") -> str:
        """Return the ISO 639-1 code of the language, `und` for a text without letters.

        `declared` is what the page says of itself; it counts only where the text leaves room for doubt.
        """
        sample = _sample_text(text, *_LONG_SAMPLE)
        if not any(map(str.isalpha, sample)):
            return "und"
        language, probability = self._identifier.classify(_sample_text(text, *_SHORT_SAMPLE))
        if probability < _CERTAIN_PROBABILITY:
            language, probability = self._identifier.classify(sample)
        if probability < _LIKELY_PROBABILITY and (said := primary_language(declared)):
            return said
        return primary_language(str(language))


def _sample_text(text: str, pieces: int, size: int) -> str:
    """Return pieces of a text at equal distances, the first at its beginning; all of a text that is no longer."""
    if len(text) <= pieces * size:
        return text
    step = (len(text) - size) / (pieces - 1)
    return " ".join(text[round(place * step) : round(place * step) + size] for place in range(pieces))


def primary_language(code: str) -> str:
    """Return a language tag's primary subtag in lower case (`vi-VN` gives `vi`; RFC 5646), or an empty string."""
    primary = code.strip().lower().replace("_", "-").partition("-")[0]
    if not (primary.isascii() and primary.isalpha() and 2 <= len(primary) <= 3):
        return ""
    return _SAME_LANGUAGE.get(primary, primary)

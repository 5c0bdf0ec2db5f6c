"""Quality filters: reject pages that are no article, too short or in an unwanted language.

Each rejection is an ExtractError with a reason and the number that decided. The language detector is here, too, and the
rights signals. These are always recorded; the configuration says which of them reject a page. They come from the robots
meta element and `X-Robots-Tag`, the TDM Reservation Protocol (W3C community report), `Content-Usage` and
`Content-Signal`, `rel=license`, and schema.org's `license` and `copyrightHolder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from worker.charset.characters import clean_line, count_words
from worker.errors import ExtractError, FetchBlocked
from worker.extract.document import Document
from worker.extract.ipc import ExtractRules
from worker.models import Rights, signal_statements, strictest, usage_statements
from worker.models.articles import SAME_LANGUAGE
from worker.models.base import counted
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
# Texts of so many words pass all filters against pages that are shown in place of an article: a few words about cookies
# or a film do not make an article something else. Chosen, not measured.
_MAX_CHECKED_WORDS = 150
# A paywall stub has fewer words than this, and less than this share of the text that the page declares. Chosen, not
# measured.
_MAX_STUB_WORDS = 120
_MAX_STUB_SHARE = 0.6


def require_words(words: int, *, min_words: int) -> None:
    """Raise ExtractError (`short`) for a text of fewer than `least` words."""
    if words < min_words:
        raise ExtractError(f"too short: {counted(words, 'word')}, at least {min_words} are asked for", reason="short")


def require_language(language: str, *, wanted: tuple[str, ...]) -> None:
    """Raise ExtractError (`language`) unless the language is wanted; no wanted languages means all."""
    if wanted and language not in wanted:
        raise ExtractError(f"in {language}, and [extract] languages is {', '.join(wanted)}", reason="language")


def text_of_paid_page(document: Document) -> str:
    """Return all text of a page that declares itself not free, where it may speak of subscribing; else nothing."""
    return document.tree.text_content() if document.json_ld.accessible_for_free is False else ""


def require_article(
    document: Document, text: str, title: str, *, words: int, rules: ExtractRules, page_text: str = ""
) -> None:
    """Raise ExtractError for a page that is shown in place of an article; `page_text` is `text_of_paid_page`.

    Reasons: `gone` (an error page with status 200), `moved` (a redirect in a meta element), `consent`, `paywall`,
    `video`, `gallery`. Texts of _MAX_CHECKED_WORDS words or more always pass.
    """
    if words >= _MAX_CHECKED_WORDS:
        return
    _reject_gone(text, title, words)
    _reject_moved(document, words)
    _reject_consent(text, words)
    _reject_paywall_stub(document, text, words, page_text=page_text)
    if words < max(rules.min_words, 1):
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


def _reject_paywall_stub(document: Document, text: str, words: int, *, page_text: str) -> None:
    """Reject the free part of a paid article: much shorter than the declared text, or cut off at the paywall."""
    json_ld = document.json_ld
    whole = count_words(json_ld.body)
    if json_ld.accessible_for_free is not False or words >= _MAX_STUB_WORDS:
        return
    breaks_off = text.endswith(("…", "...")) or _PAYWALL.search(page_text) is not None
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


# Rights signals.

_DIRECTIVE = re.compile(r"[a-z][a-z0-9-]*")
_ROBOTS_META = ("robots", "googlebot", "googlebot-news", "bingbot", "corpus-worker")


def require_rights(document: Document, refuse: Iterable[str]) -> Rights:
    """Return the page's rights signals; raise FetchBlocked (`rights`) for one that the rules refuse."""
    rights = find_rights(document)
    if signal := rights.refused_by(refuse):
        raise FetchBlocked(f"the page reserves its rights: {signal}", reason="rights")
    return rights


def find_rights(document: Document) -> Rights:
    """Return the page's rights signals, as written."""
    json_ld, robots = document.json_ld, _robots_values(document)
    return Rights(
        robots=tuple(sorted(set(_directives(robots)))),
        tdm_reservation=_reservation(document),
        licence=clean_line(json_ld.licence or next(iter(document.links.get("license", ())), "")),
        copyright_holder=clean_line(json_ld.copyright_holder),
        content_usage=_statements(document, "content-usage"),
        content_signal=_statements(document, "content-signal", *robots),  # `X-Robots-Tag: ai-train=no` is one, too
    )


def _reservation(document: Document) -> str:
    """Return the page's own TDM reservation, else its site's from `/.well-known/tdmrep.json`."""
    headers = document.headers
    own = headers.get("tdm-reservation", "") or document.meta_value("tdm-reservation")
    return own or headers.get("well-known-tdm-reservation", "")


def _statements(document: Document, name: str, *others: str) -> tuple[str, ...]:
    """Return the statements under a name: of the response, of the page, and of the site's robots.txt."""
    read = usage_statements if name == "content-usage" else signal_statements
    headers = document.headers
    places = (headers.get(name, ""), *document.meta.get(name, ()), headers.get(f"robots-{name}", ""), *others)
    return tuple(f"{label}={value}" for label, value in strictest(map(read, places)).items())


def _robots_values(document: Document) -> list[str]:
    """Return the values of X-Robots-Tag and of the robots meta elements."""
    said = [document.headers.get("x-robots-tag", "")]
    for name in _ROBOTS_META:
        said.extend(document.meta.get(name, ()))
    return said


def _directives(values: Iterable[str]) -> Iterable[str]:
    for value in values:
        for part in value.lower().split(","):
            # `googlebot: noindex` addresses one crawler; `max-snippet:-1` has a number and forbids nothing.
            head, colon, tail = part.partition(":")
            name = (tail if colon and not head.strip().startswith("max-") else part).strip()
            if _DIRECTIVE.fullmatch(name) and name not in {"index", "follow", "all"}:
                yield name


# Language identification, offline. No other module uses py3langid.


# Number and length (characters) of the pieces that make up a sample. They are spread over the whole text, which may
# begin with a quotation in another language. Where the short sample was certain, it gave the same language as the long
# one on 272 of 272 articles (docs/extract.md; measured when samples were still taken from the beginning of the text).
# Pieces of 60 characters gave the same languages as pieces of 90 on all 1,328 labelled pages.
_SHORT_SAMPLE = (4, 60)
_LONG_SAMPLE = (10, 200)
_CERTAIN_PROBABILITY = 0.95
_LIKELY_PROBABILITY = 0.8
# Below _CERTAIN_PROBABILITY the long sample decides; below _LIKELY_PROBABILITY the page's own declaration. Both are
# chosen, not measured.
_VIETNAMESE = re.compile("[ơưấầẩẫậắằẳẵặếềểễệốồổỗộớờởỡợứừửữựđ]")
_VIETNAMESE_SHARE = 0.06
"""Of the characters of Vietnamese articles .07 to .15 are these letters (measured on 223), which hardly any other
language has. They settle it twenty times as fast as the model, which counts for seeds by the million."""


class LanguageDetector:
    """Identifies languages; loading the model takes some tenths of a second, so create one and keep it."""

    def __init__(self) -> None:
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def identify(self, text: str, *, declared: str = "") -> str:
        """Return the ISO 639-1 code of the language, `und` for a text without letters.

        `declared` is the language tag of the page; it is used only if the text leaves doubt.
        """
        sample = _sample_text(text, *_LONG_SAMPLE)
        if not any(map(str.isalpha, sample)):
            return "und"
        if len(_VIETNAMESE.findall(sample)) > _VIETNAMESE_SHARE * len(sample):
            return "vi"
        language, probability = self._identifier.classify(_sample_text(text, *_SHORT_SAMPLE))
        if probability < _CERTAIN_PROBABILITY:
            language, probability = self._identifier.classify(sample)
        if probability < _LIKELY_PROBABILITY and (said := primary_language(declared)):
            return said
        return primary_language(str(language))

    def probability(self, text: str, language: str) -> float:
        """Return the probability that a text is in a language (ISO 639-1)."""
        ranked = self._identifier.rank(_sample_text(text, *_LONG_SAMPLE))
        return float(sum(share for code, share in ranked if primary_language(str(code)) == language))


def _sample_text(text: str, pieces: int, size: int) -> str:
    """Return pieces of a text at equal distances, the first at its beginning; a short text is returned whole."""
    if len(text) <= pieces * size:
        return text
    step = (len(text) - size) / (pieces - 1)
    return " ".join(text[round(place * step) : round(place * step) + size] for place in range(pieces))


def primary_language(code: str) -> str:
    """Return a language tag's primary subtag in lower case (`vi-VN` gives `vi`; RFC 5646), or an empty string."""
    primary = code.strip().lower().replace("_", "-").partition("-")[0]
    if not (primary.isascii() and primary.isalpha() and 2 <= len(primary) <= 3):
        return ""
    return SAME_LANGUAGE.get(primary, primary)

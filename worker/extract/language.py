"""Tells the language of a text, offline; the only place that knows py3langid."""

from __future__ import annotations

from py3langid.langid import MODEL_FILE, LanguageIdentifier

# How many pieces a sample is taken in, from all of the text, and of how many characters: a text may begin with a
# quotation in another language, or be a review of foreign papers.
_GLANCE = (4, 90)
_SAMPLE = (10, 200)
_CERTAIN = 0.95
_SURE = 0.8
# One written language under several codes.
_SAME = {"nb": "no", "nn": "no", "iw": "he", "in": "id", "fil": "tl"}


class Languages:
    """Identifies languages; loading the model takes some tenths of a second, so make one and keep it."""

    def __init__(self) -> None:
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def identify(self, text: str, *, declared: str = "") -> str:
        """Return the ISO 639-1 code of the language, `und` for a text without letters.

        `declared` is what the page says of itself; it counts only where the text leaves room for doubt.
        """
        sample = _spread(text, *_SAMPLE)
        if not any(map(str.isalpha, sample)):
            return "und"
        language, probability = self._identifier.classify(_spread(text, *_GLANCE))
        if probability < _CERTAIN:
            language, probability = self._identifier.classify(sample)
        if probability < _SURE and (said := normalise_code(declared)):
            return said
        return normalise_code(str(language))


def _spread(text: str, pieces: int, size: int) -> str:
    """Return pieces of a text at equal distances, the first at its beginning; all of a text that is no longer."""
    if len(text) <= pieces * size:
        return text
    step = (len(text) - size) / (pieces - 1)
    return " ".join(text[round(place * step) : round(place * step) + size] for place in range(pieces))


def normalise_code(code: str) -> str:
    """Return a language tag's primary subtag in lower case (`vi-VN` gives `vi`; RFC 5646), or an empty string."""
    primary = code.strip().lower().replace("_", "-").partition("-")[0]
    if not (primary.isascii() and primary.isalpha() and 2 <= len(primary) <= 3):
        return ""
    return _SAME.get(primary, primary)

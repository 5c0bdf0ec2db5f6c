"""Weighs what speaks for a list of other pages against what speaks for an article: one score, fitted to labelled pages.

A logistic regression over 1,001 articles and 111 listing pages that do not call themselves articles, fitted on the
publishers of one half, tried on those of the other, and the other way round; then on all. Over the threshold are, out
of fold, 85 of the 111 listing pages (45 of 61 and 40 of 50) and 3 of the 1,001 articles (1 of 513 and 2 of 488), none
of them of a news site: a portfolio without text, a page of webcams, a page that is mostly a menu.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import log2
from urllib.parse import urlsplit

from worker.extract.cards import Flow
from worker.urls.paths import is_specific

_PRICE = re.compile(r"[$€£¥₫₹]\s?\d|\d\s?(?:€|₫|USD|EUR|zł|kr)\b")
_NUMBERED = re.compile(r"(?:^|[=&])\d{4,}(?:$|&)")
THRESHOLD = 0.6
"""Above the score at which both are as likely: no article of a news site comes within 0.7 of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is weighed.

    `elsewhere` is the share of the text that announces other pages, `prices` how many prices there are, `is_headed`
    whether the page's title is a headline on it.
    """

    flow: Flow
    elsewhere: float
    prices: int
    is_home: bool
    may_name_an_article: bool
    says_article: bool
    is_headed: bool


def likeness_of_listing(evidence: Evidence) -> float:
    """Return how much a page looks like a list of other pages: 0 where articles and lists are as likely."""
    flow = evidence.flow
    return (
        1.64
        + 0.30 * _log(flow.cards)
        + 1.89 * flow.inside / max(1, flow.inside + flow.outside)
        # Cards of some length are the items of a text.
        - 0.46 * _log(flow.inside / max(1, flow.cards))
        - 0.32 * _log(flow.together)
        - 0.83 * _log(flow.paragraphs)
        + 2.03 * evidence.elsewhere
        + 0.29 * _log(evidence.prices)
        # Fitted 1.86: a penalty on weights holds down what is as rare as a home page.
        + 2.20 * evidence.is_home
        - 1.80 * evidence.may_name_an_article
        - 1.20 * evidence.says_article
        - 1.48 * evidence.is_headed
    )


def count_prices(text: str) -> int:
    """Count the prices in a text."""
    return len(_PRICE.findall(text))


def may_name_an_article(url: str) -> bool:
    """Tell whether an address may be an article's: it holds a number or a slug of some words; unknown, it may be."""
    if not url:
        return True
    parts = urlsplit(url)
    last_two = parts.path.split("/")[-2:]
    return any(map(is_specific, last_two)) or _NUMBERED.search(parts.query) is not None


def _log(count: float) -> float:
    return log2(1 + count)

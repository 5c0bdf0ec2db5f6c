"""Fits the weights by which extraction recognises listing pages, and prints them with what they reach.

    python -m tests.bench.fit_listings [--folder FOLDER] [--check]

Every labelled page is read under its own address. Measured out of fold: hosts are dealt into two halves, each fitted on
the other. The weights printed at the end are fitted on all pages, as they are written in
worker/extract/main_text/listing.py: those in use are printed with --folder.
With --check it prints what the weights in use do, page by page, and fits nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

import numpy as np

from tests.bench.additive import Floats
from tests.bench.extract_gold import DATA, SETS, Gold
from tests.bench.extract_passages import labelled_pages
from tests.bench.extract_quality import ours
from worker.extract.article import ArticleExtractor
from worker.extract.document import Document
from worker.extract.ipc import ExtractRules
from worker.extract.main_text import finder
from worker.extract.main_text.listing import LISTING_THRESHOLD, ListingSigns, gather_listing_signs
from worker.extract.main_text.text_blocks import TextBlock, TextDensity, TextShares

_DEALS = 5
_STEPS = 30  # of Newton's method: it converges in ten
_RIDGE = 0.3
# Each page is also fitted under a section's address, at this weight: no page is to be a list by its address alone.
_ELSEWHERE = 0.3
_SECTION_ADDRESS = {
    "letters of the slug": 0.9,
    "digits in the address": 0.0,
    "day in the address": 0.0,
    "folder of a list": 0.0,
    "home page": 0.0,
}
_RULES = ExtractRules(min_words=20, languages=(), timezone="UTC")
# Start pages, catalogues and lists of links among trafilatura's pages, read by hand.
_LISTS_AMONG_ARTICLES = frozenset(
    {
        "vinosytapas.de.rioja.html",
        "minusl.de.joghurt.html",
        "jodel.com.advertising.html",
        "iwr.de.IWR-Pressedienst.html",
        "mitundvoneinander.com-Frühling.html",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One labelled page: its signs (None if they were not needed), and why it is no article for us."""

    name: str
    url: str
    is_listing: bool
    signs: ListingSigns | None
    reason: str

    @property
    def host(self) -> str:
        """Return the host by which pages are dealt; the name of a page without an address."""
        return (urlsplit(self.url).netloc or self.name).removeprefix("www.")

    @property
    def is_scored(self) -> bool:
        """Whether the score decides on the page."""
        return self.signs is not None and self.signs.shows_list and not self.signs.claims_article


def main(argv: Sequence[str] | None = None) -> int:
    """Read every page, print what the weights in use do, then fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="the folder `tests` of trafilatura's repository: 954 more articles")
    parser.add_argument("--check", action="store_true", help="fit nothing")
    options = parser.parse_args(argv)
    if not DATA.is_dir():
        sys.stderr.write(f"nothing to fit on: {DATA} is missing\n")
        return 1
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with Pool(len(os.sched_getaffinity(0)), initializer=_start) as pool:
        samples = list(pool.imap(_read, _pages(options.folder), chunksize=4))
    _report(samples)
    if not options.check:
        _fit_and_print([sample for sample in samples if sample.is_scored])
    return 0


def _pages(folder: Path | None) -> Iterator[Gold]:
    for name in SETS:
        if name != "htmldate":
            yield from SETS[name]()
    if folder is not None:
        yield from (labelled.page for labelled in labelled_pages(folder))


_readers: list[ArticleExtractor] = []


def _start() -> None:
    _readers.append(ArticleExtractor(_RULES))


def _read(page: Gold) -> Sample:
    found: list[ListingSigns] = []

    def gather(document: Document, density: TextDensity, own: Sequence[TextBlock], shares: TextShares) -> ListingSigns:
        found.append(gather_listing_signs(document, density, own, shares))
        return found[0]

    with mock.patch.object(finder, "gather_listing_signs", gather):
        mine = ours(_readers[0], page)
    return Sample(
        name=page.name,
        url="" if page.url.startswith("file:") else page.url,
        is_listing=page.listing or page.name in _LISTS_AMONG_ARTICLES,
        signs=found[0] if found else None,
        reason="" if mine.text else mine.reason,
    )


def _report(samples: Sequence[Sample]) -> None:
    articles = [sample for sample in samples if not sample.is_listing]
    rejected = [sample for sample in articles if sample.reason.startswith("listing")]
    stored = [sample for sample in samples if sample.is_listing and not sample.reason]
    _say(f"{len(samples)} pages; {len(rejected)} of {len(articles)} articles rejected as listings, ")
    _say(f"{len(stored)} of {len(samples) - len(articles)} listings stored")
    for label, found in (("rejected", rejected), ("stored", stored)):
        for sample in found:
            score = f"{sample.signs.score:.2f}" if sample.signs else "no signs"
            _say(f"    {label} {sample.name[:40]:40} {score:>8} {sample.url[:100]}")


def _fit_and_print(samples: Sequence[Sample]) -> None:
    terms = [sample.signs.features.terms() for sample in samples if sample.signs is not None]
    table = np.array([[1.0, *map(float, each.values())] for each in terms])
    elsewhere = np.array([[1.0, *map(float, {**each, **_SECTION_ADDRESS}.values())] for each in terms])
    labels = np.array([float(sample.is_listing) for sample in samples])
    hosts = [sample.host for sample in samples]
    _say(f"fitted on {int((labels == 0).sum())} articles and {int(labels.sum())} listings of {len(set(hosts))} hosts")
    for deal in range(_DEALS):
        half = np.array([hashlib.sha256(f"{deal} {host}".encode()).digest()[0] % 2 for host in hosts])
        scores = np.zeros(len(labels))
        for side in (0, 1):
            others = half != side
            scores[~others] = table[~others] @ fit(table[others], elsewhere[others], labels[others])
        above = scores > LISTING_THRESHOLD
        parts = (labels == 0, labels == 1, (labels == 1) & (half == 0), (labels == 1) & (half == 1))
        articles, listings, *halves = (f"{above[each].sum()} of {each.sum()}" for each in parts)
        _say(
            f"  deal {deal}, unseen: taken for listings {articles} articles, {listings} listings ({', '.join(halves)})"
        )
    intercept, *weights = fit(table, elsewhere, labels).tolist()
    for name, weight in zip(terms[0], weights, strict=True):
        _say(f"    {name:36} {weight:6.2f}")
    written = ", ".join(f"{weight:.2f}" for weight in weights)
    _say(f"_INTERCEPT = {intercept:.2f}\n# fmt: off\n_WEIGHTS = (\n    {written},\n)\n# fmt: on")


def fit(table: Floats, elsewhere: Floats, labels: Floats) -> Floats:
    """Return the weights of a logistic regression with a ridge, by Newton's method; the first column is the intercept.

    The rows of `elsewhere` are the same pages under a section's address, at a lower weight.
    """
    rows, labels = np.vstack([table, elsewhere]), np.concatenate([labels, labels])
    counts = np.repeat([1.0, _ELSEWHERE], len(table))
    ridge = np.diag([1e-6, *([_RIDGE] * (table.shape[1] - 1))])
    weights = np.zeros(table.shape[1])
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-rows @ weights))
        slope = rows.T @ (counts * (chance - labels)) + ridge @ weights
        weights -= np.linalg.solve((rows.T * (counts * chance * (1.0 - chance))) @ rows + ridge, slope)
    return weights


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

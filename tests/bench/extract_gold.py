"""Reads the labelled pages that extraction is measured on, and computes its figures."""

from __future__ import annotations

import gzip
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from worker.charset.characters import SPACELESS

DATA = Path(os.environ.get("CORPUS_WORKER_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gold:
    """One labelled page; empty where its collection does not say. `day` is the date as given, ISO 8601.

    `images` are the URLs of the main picture in several sizes, `caption` is its caption.
    """

    name: str
    url: str
    markup: bytes
    title: str = ""
    lead: str = ""
    body: str = ""
    day: str = ""
    fetched: str = ""
    listing: bool = False
    authors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    caption: str = ""


def _markup(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def vietnamese() -> Iterator[Gold]:
    """Yield articles with a hand-made gold, and listing pages."""
    gold = json.loads((DATA / "vi/gold.json").read_text("utf-8"))
    for path in sorted((DATA / "vi/html").glob("*.gz")):
        entry = gold.get(path.stem)
        if entry is None:
            yield _listing(path)
            continue
        paragraphs = [entry["lead"], *entry["paragraphs"]] if entry["lead"] else entry["paragraphs"]
        yield Gold(
            name=path.stem,
            url=entry["url"],
            markup=_markup(path),
            title=entry["title"],
            lead=entry["lead"],
            body="\n".join(paragraphs),
            day=entry["published"],
        )


def fundus() -> Iterator[Gold]:
    """Yield pages of 69 publishers; the gold is what each publisher's own parser made."""
    for meta in sorted((DATA / "fundus").glob("*/meta.info")):
        pages: dict[str, list[tuple[str, dict[str, str]]]] = defaultdict(list)
        for name, entry in json.loads(meta.read_text("utf-8")).items():
            pages[name.partition("_")[0]].append((name, entry))
        for publisher, versions in sorted(pages.items()):
            labels = json.loads((meta.parent / f"{publisher}.json").read_text("utf-8")).values()
            for (name, entry), label in zip(sorted(versions, key=lambda version: version[0]), labels, strict=False):
                if (meta.parent / name).exists():
                    yield _fundus_page(meta.parent / name, entry, label)


def _fundus_page(path: Path, entry: dict[str, str], label: dict[str, object]) -> Gold:
    body = label.get("body")
    summary, sections = (body["summary"], body["sections"]) if isinstance(body, dict) else ([], [])
    parts = [*summary, *(part for section in sections for part in (*section["headline"], *section["paragraphs"]))]
    pictures = label.get("images")
    cover: dict[str, Any] = next((each for each in pictures or () if each["is_cover"]), {})  # type: ignore[attr-defined]
    return Gold(
        name=path.stem,
        url=entry["url"],
        markup=_markup(path),
        title=str(label.get("title") or ""),
        authors=tuple(label.get("authors") or ()),  # type: ignore[arg-type]
        tags=tuple(label.get("topics") or ()),  # type: ignore[arg-type]
        images=tuple(version["url"] for version in cover.get("versions", ())),
        caption=cover.get("caption") or "",
        lead=" ".join(summary),
        body="\n".join(parts),
        day=str(label.get("publishing_date") or ""),
        fetched=entry["crawl_date"],
    )


def aeb() -> Iterator[Gold]:
    """Yield pages of the article-extraction benchmark."""
    truth = json.loads((DATA / "aeb/ground-truth.json").read_text("utf-8"))
    for path in sorted((DATA / "aeb/html").glob("*.gz")):
        entry = truth[path.name.partition(".")[0]]
        yield Gold(name=path.stem[:16], url=entry["url"], markup=_markup(path), body=entry["articleBody"])


def wcxb() -> Iterator[Gold]:
    """Yield article and listing pages of all kinds of sites."""
    for path in sorted((DATA / "wcxb/html").glob("*.gz")):
        entry = json.loads((DATA / "wcxb/ground-truth" / f"{path.name.partition('.')[0]}.json").read_text("utf-8"))
        truth, markup = entry["ground_truth"], _markup(path)
        yield Gold(
            name=path.stem,
            url=entry.get("url") or _declared_address(path, markup),
            markup=markup,
            title=truth["title"] or "",
            body=truth.get("main_content") or "",
            day=truth["publish_date"] or "",
            listing=entry["_internal"]["page_type"]["primary"] == "listing",
        )


def _listing(path: Path) -> Gold:
    markup = _markup(path)
    return Gold(name=path.stem, url=_declared_address(path, markup), markup=markup, listing=True)


_DECLARED = (
    re.compile(rb"""<link[^>]+rel=["']?canonical["']?[^>]*?href=["']?(https?://[^"'> ]+)"""),
    re.compile(rb"""<link[^>]+href=["']?(https?://[^"'> ]+)["']?[^>]*?rel=["']?canonical"""),
    re.compile(rb"""<meta[^>]+og:url["'][^>]*?content=["'](https?://[^"']+)"""),
    re.compile(rb"""<meta[^>]+content=["'](https?://[^"']+)["'][^>]*?og:url"""),
)


def _declared_address(path: Path, markup: bytes) -> str:
    """Return the address that a page declares, and that of a saved file if it declares none."""
    found = next(filter(None, (pattern.search(markup) for pattern in _DECLARED)), None)
    return unescape(found[1].decode("utf-8")) if found else f"file:///{path.name.removesuffix('.gz')}"


def vietnamese_more() -> Iterator[Gold]:
    """Yield articles and listing pages of more Vietnamese papers."""
    yield from _by_hand(DATA / "vi2")


def other_languages() -> Iterator[Gold]:
    """Yield articles and listing pages in other scripts."""
    yield from _by_hand(DATA / "vi2" / "other")


def _by_hand(folder: Path) -> Iterator[Gold]:
    gold = json.loads((folder / "gold.json").read_text("utf-8"))
    for path in sorted((folder / "html").glob("*.gz")):
        entry, markup = gold[path.name.removesuffix(".gz")], _markup(path)
        lead = entry["lead"] or ""
        yield Gold(
            name=path.name.removesuffix(".html.gz"),
            url=entry["url"] or _declared_address(path, markup),
            markup=markup,
            title=entry["title"] or "",
            lead=lead,
            body="\n".join(filter(None, (lead, *entry["paragraphs"]))),
            day=entry["published"] or "",
        )
    yield from map(_listing, sorted((folder / "listings").glob("*.gz")))


def htmldate() -> Iterator[Gold]:
    """Yield pages of all ages whose date is known."""
    for url, entry in json.loads((DATA / "htmldate/gold.json").read_text("utf-8")).items():
        path = DATA / "htmldate" / f"{entry['file']}.gz"
        if path.exists():
            yield Gold(name=entry["file"], url=url, markup=_markup(path), day=entry["date"])


SETS: dict[str, Callable[[], Iterator[Gold]]] = {
    "vi": vietnamese,
    "vi2": vietnamese_more,
    "other": other_languages,
    "fundus": fundus,
    "aeb": aeb,
    "wcxb": wcxb,
    "htmldate": htmldate,
}


def tokens(text: str) -> list[str]:
    """Return a text's words, in lower case and NFC; letters alone in scripts that write no blanks between words."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", text).lower())
    return [token for word in words for token in (word if _SPACELESS.search(word) else (word,))]


_SPACELESS = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in SPACELESS) + "]")


def body_f1(found: str, gold: str) -> float:
    """Return the F1 of two texts' multisets of words."""
    one, other = Counter(tokens(found)), Counter(tokens(gold))
    common = (one & other).total()
    return 2 * common / (one.total() + other.total()) if common else 0.0

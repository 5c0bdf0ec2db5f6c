"""The card of a release: its `README.md`, made of the manifest alone, with front matter that `datasets` reads.

`ReleaseSummary` counts the texts while they are written.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from worker.models import StoredArticle

_SIZES: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
"""The limits of the Hub's size categories."""
_SIZE_NAMES: Final = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
_LISTED: Final = 20  # rows of a table of sources, licences or reasons: what one screen shows; the manifest has all
_MONTHS: Final = 12  # columns of the table of sources: a year; earlier months are one column
_PLOTTED: Final = 60  # lines of the plot: five years; earlier months are one line
_BAR: Final = 40  # characters of the longest bar: beside the month and the count it fits 80 columns
_BLOCKS: Final = " ▏▎▍▌▋▊▉█"
_READING: Final = """
## Reading it

```python
from datasets import load_dataset

texts = load_dataset("PATH", split="SPLIT")
```

```sql
-- DuckDB
SELECT title, source, published_at FROM 'data/SPLIT-*.parquet' WHERE words > 500;
```
"""
_RIGHTS: Final = """\
The texts belong to their authors and publishers; this data set gives no licence to them. What a page says about its use
is recorded with its text in `robots`, `tdm_reservation` (TDM Reservation Protocol), `content_usage` (IETF AIPREF),
`content_signal` (Content Signals), `licence` and `copyright_holder`.
Texts that are removed later are in `delta/removed.parquet` of the next release: apply it."""
_APPLYING: Final = """
```sql
-- DuckDB, with the previous release in OLD
COPY (
    SELECT * FROM 'OLD/data/*.parquet'
    WHERE id NOT IN (SELECT id FROM 'delta/removed.parquet')
      AND id NOT IN (SELECT id FROM 'delta/changed-*.parquet')
    UNION ALL BY NAME SELECT * FROM 'delta/changed-*.parquet'
    UNION ALL BY NAME SELECT * FROM 'delta/new-*.parquet'
    ORDER BY id
) TO 'texts.parquet' (COMPRESSION zstd);
```"""


class ReleaseSummary:
    """Counts of the texts of a release; `record` returns them for the manifest."""

    def __init__(self) -> None:
        self._texts = self._words = self._copied = self._copies = 0
        self._languages: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._months: dict[str, Counter[str]] = defaultdict(Counter)
        self._rights: dict[str, Counter[str]] = defaultdict(Counter)
        self._published: tuple[datetime, datetime] | None = None
        self._newest: datetime | None = None

    def add(self, text: StoredArticle) -> None:
        """Count a text."""
        article = text.article
        dated = (article.published_at or article.fetched_at).astimezone(UTC)
        self._texts += 1
        self._words += article.words
        self._languages[article.language] += 1
        self._kinds[article.kind.value] += 1
        self._months[article.source][f"{dated.year:04}-{dated.month:02}"] += 1
        earliest, latest = self._published or (dated, dated)
        self._published = min(earliest, dated), max(latest, dated)
        self._newest = max(self._newest or article.fetched_at, article.fetched_at)
        if text.copies and text.copies.others:
            self._copied += 1
            self._copies += text.copies.others
        self._count_rights(text)

    def _count_rights(self, text: StoredArticle) -> None:
        rights = text.article.rights
        for name in ("robots", "content_usage", "content_signal"):
            self._rights[name].update(getattr(rights, name))
        for name, value in (("tdm_reservation", rights.tdm_reservation), ("licence", rights.licence)):
            if value:
                self._rights[name][value] += 1
        if rights.copyright_holder:
            self._rights["copyright_holder"]["declared"] += 1

    def record(self) -> dict[str, Any]:
        """Return the counts, in an order that depends on them alone."""
        earliest, latest = self._published or (None, None)
        return {
            "texts": self._texts,
            "words": self._words,
            "dated_from": earliest and earliest.isoformat(),
            "dated_to": latest and latest.isoformat(),
            "newest": self._newest and self._newest.astimezone(UTC).isoformat(),
            "texts_with_copies": self._copied,
            "copies": self._copies,
            "languages": _by_count(self._languages),
            "kinds": _by_count(self._kinds),
            "sources": {name: dict(sorted(months.items())) for name, months in sorted(self._months.items())},
            "rights": {name: _by_count(found) for name, found in sorted(self._rights.items()) if found},
        }


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts, the largest first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def write_card(manifest: Mapping[str, Any]) -> str:
    """Return the card of a release."""
    parts: tuple[Callable[[Mapping[str, Any]], Iterable[str]], ...] = (
        _front_matter, _introduction, _loading, _columns, _months, _sources, _making, _refused, _rights, _delta,
    )  # fmt: skip
    return "\n".join(line for part in parts for line in part(manifest)) + "\n"


def _front_matter(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the YAML that the Hub and `datasets` read; JSON strings are YAML strings."""
    texts, split = manifest["texts"], manifest["split"]
    languages = [each for each in manifest["languages"] if len(each) in {2, 3} and each.isascii() and each.isalpha()]
    yield "---"
    yield f"pretty_name: {json.dumps(manifest['title'], ensure_ascii=False)}"
    if languages:
        yield "language:"
        yield from (f"- {json.dumps(each)}" for each in languages)
    yield from ("license: other", "license_name: rights-of-the-publishers", "task_categories:", "- text-generation")
    yield from ("tags:", "- news", "size_categories:", f"- {_size_category(texts)}")
    yield from ("configs:", "- config_name: default", "  data_files:")
    yield from (f'  - split: "{split}"', f'    path: "data/{split}-*.parquet"', "---")


def _size_category(texts: int) -> str:
    """Return the Hub's size category of a number of rows."""
    if texts < _SIZES[0]:
        return f"n<{_SIZE_NAMES[0]}"
    if texts >= _SIZES[-1]:
        return f"n>{_SIZE_NAMES[-1]}"
    place = next(place for place, limit in enumerate(_SIZES) if texts < limit)
    return f"{_SIZE_NAMES[place - 1]}<n<{_SIZE_NAMES[place]}"


def _introduction(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"# {_plain(manifest['title'])}", "")
    if not manifest["texts"]:
        yield "This release has no texts."
        return
    size = f"{manifest['texts']:,} texts of {manifest['words']:,} words ({_megabytes(manifest['text_bytes'])})"
    span = f"dated {manifest['dated_from'][:10]} to {manifest['dated_to'][:10]}"
    yield f"{size} from {_counted(len(manifest['sources']), 'source')}, {span}; one text for each group of copies."
    tool = f"Corpus Worker {manifest['made_with']['corpus-worker']}"
    yield f"Collected with {tool}; the newest was fetched at {manifest['newest'][:19]}Z."
    yield ""
    yield from _table(("language", "texts"), [(name, f"{count:,}") for name, count in manifest["languages"].items()])


def _loading(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield _READING.replace("SPLIT", manifest["split"])
    yield "`manifest.json` has the size and SHA-256 of every file, all counts, and the settings."


def _columns(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Columns", "")
    rows = [(f"`{each['name']}`", each["type"], each["meaning"]) for each in manifest["columns"]]
    yield from _table(("column", "type", "meaning"), rows)
    yield from ("", "Times are instants in UTC. Types: `texts` is a list of texts, `origins` a struct of texts.")


def _months(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the plot of texts by month."""
    months: Counter[str] = Counter()
    for counts in manifest["sources"].values():
        months.update(counts)
    if not months:
        return
    yield from (
        "",
        "## Texts by month",
        "",
        "By date of publication, or of fetching where there is none.",
        "",
        "```text",
    )
    names = sorted(months)
    bars = [(name, months[name]) for name in names[-_PLOTTED:]]
    if earlier := sum(months[name] for name in names[:-_PLOTTED]):
        bars.insert(0, ("earlier", earlier))
    most = max(count for _, count in bars)
    yield from (f"{name:7} {count:>{len(f'{most:,}')},} {_bar(count / most)}".rstrip() for name, count in bars)
    yield "```"


def _bar(share: float) -> str:
    """Return a bar whose length is a share of the longest, to an eighth of a character."""
    eighths = max(1, round(share * _BAR * 8))
    return _BLOCKS[8] * (eighths // 8) + _BLOCKS[eighths % 8].strip()


def _sources(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of texts by source and month."""
    sources: Mapping[str, Mapping[str, int]] = manifest["sources"]
    totals = _by_count({name: sum(months.values()) for name, months in sources.items()})
    if not totals:
        return
    shown = sorted({month for months in sources.values() for month in months})[-_MONTHS:]
    yield from ("", "## Texts by source and month", "")
    rows = []
    for name, total in list(totals.items())[:_LISTED]:
        recent = [sources[name].get(month, 0) for month in shown]
        cells = [total, total - sum(recent), *recent]
        rows.append((_plain(name), *(f"{count:,}" if count else "" for count in cells)))
    yield from _table(("source", "all", f"before {shown[0]}", *shown), rows)
    if len(totals) > _LISTED:
        rest = sum(list(totals.values())[_LISTED:])
        yield from (
            "",
            f"{_counted(len(totals) - _LISTED, 'further source')} have {rest:,} texts; see `manifest.json`.",
        )


def _making(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## How it was made", "")
    yield "Articles were discovered in feeds, sitemaps and listings, or imported; their main text was extracted."
    yield "Copies were recognised by MinHash and a fitted judge; one text of each group is here."
    yield f"{manifest['texts_with_copies']:,} texts have {manifest['copies']:,} others in their groups: see `copies`."
    yield f"{manifest['not_exported']:,} stored texts are left out as copies or earlier versions."
    settings = [
        *manifest["configuration"].items(),
        *(("filter " + name, each) for name, each in manifest["filters"].items()),
    ]
    if settings:
        yield ""
        yield from _table(("setting", "value"), [(f"`{name}`", _plain(_written(value))) for name, value in settings])


def _refused(manifest: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (state, _plain(reason), f"{pages:,}")
        for state, reasons in manifest["refused"].items()
        for reason, pages in list(_by_count(reasons).items())[:_LISTED]
    ]
    if rows:
        yield from ("", "## What was refused, and why", "")
        yield "`rejected` pages gave no article, `blocked` ones must not be fetched, `failed` ones could not be had."
        yield ""
        yield from _table(("state", "reason", "pages"), rows)


def _rights(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Rights", "")
    yield _RIGHTS
    rows = [
        (f"`{name}`", _plain(value), f"{count:,}")
        for name, found in manifest["rights"].items()
        for value, count in list(found.items())[:_LISTED]
    ]
    if rows:
        yield ""
        yield from _table(("signal", "value", "texts"), rows)


def _delta(manifest: Mapping[str, Any]) -> Iterator[str]:
    delta = manifest["delta"]
    if delta is None:
        return
    yield from ("", "## Changes since the previous release", "")
    yield (
        f"The release whose `manifest.json` has the SHA-256 `{delta['since']['manifest_sha256']}` "
        f"({delta['since']['texts']:,} texts) becomes this one by `delta/`: {delta['new']:,} new texts, "
        f"{delta['changed']:,} with changed columns, {delta['removed']:,} removed."
    )
    if delta["removed_by_reason"]:
        yield ""
        yield from _table(
            ("removed because", "texts"), [(name, f"{n:,}") for name, n in delta["removed_by_reason"].items()]
        )
    yield _APPLYING


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _plain(text: str) -> str:
    """Return foreign text on one line, without characters that Markdown reads as something else."""
    flat = " ".join(text.split())
    return "".join(f"&#{ord(each)};" if each in "|`<>[]*&" else each for each in flat)


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"

"""The columns of an export, one line each, and the filters that choose its texts.

Every format writes the same columns in the same order. New ones are added at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from worker.errors import UsageError
from worker.models import (
    ORIGIN_FIELDS,
    PAGE_FIELDS,
    Article,
    CopyFacts,
    Kind,
    Relation,
    Rights,
    Selection,
    StoredArticle,
)
from worker.models.base import dataclass

ColumnType = Literal["text", "texts", "int32", "int64", "float64", "bool", "time", "origins"]


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """A column: `value` returns a str, a list of str, an int, a float, a bool, an aware datetime, or None if nullable.

    A value of `origins` is a dict with the origin of each of `ORIGIN_FIELDS`, None for a field without one. `meaning`
    is one line for the card of a release.
    """

    name: str
    type: ColumnType
    value: Callable[[StoredArticle], object]
    meaning: str
    nullable: bool = False


def _facts(text: StoredArticle) -> CopyFacts:
    """Return what is known of a text's copies; without anything, it is alone."""
    if text.copies is not None:
        return text.copies
    seen = text.article.fetched_at
    return CopyFacts(others=0, hosts=(), first_seen=seen, last_seen=seen, first_host=text.article.host)


def _origins(article: Article) -> dict[str, str | None]:
    return {name: article.fields_from.get(name) for name in ORIGIN_FIELDS}


COLUMNS: Final = (
    ExportColumn("id", "int64", lambda text: text.id, "number of the text, which never changes"),
    ExportColumn("url", "text", lambda text: text.article.url, "address it was fetched from"),
    ExportColumn("canonical_url", "text", lambda text: text.article.canonical_url, "normalised address of the page"),
    ExportColumn("source", "text", lambda text: text.article.source, "configured source that found it"),
    ExportColumn("host", "text", lambda text: text.article.host, "host of the address; empty for a seed or a file"),
    ExportColumn("title", "text", lambda text: text.article.title, "title"),
    ExportColumn("authors", "texts", lambda text: list(text.article.authors), "authors"),
    ExportColumn("published_at", "time", lambda text: text.article.published_at, "time of publication", nullable=True),
    ExportColumn("published_at_from", "text", lambda text: text.article.published_at_from, "origin of that time"),
    ExportColumn(
        "modified_at", "time", lambda text: text.article.modified_at, "time of the last change", nullable=True
    ),
    ExportColumn("fetched_at", "time", lambda text: text.article.fetched_at, "time of fetching"),
    ExportColumn("language", "text", lambda text: text.article.language, "detected language (ISO 639-1)"),
    ExportColumn("text", "text", lambda text: text.article.text, "paragraphs separated by one newline, no title"),
    ExportColumn("words", "int32", lambda text: text.article.words, "number of words"),
    ExportColumn("sha256", "text", lambda text: text.article.sha256, "SHA-256 of the text in UTF-8"),
    ExportColumn("cluster", "int64", lambda text: text.cluster, "number of the cluster of copies"),
    ExportColumn("revision", "int32", lambda text: text.revision, "version of the page, from 1"),
    ExportColumn("kind", "text", lambda text: text.article.kind.value, "`seed` or `article`"),
    ExportColumn("lead", "text", lambda text: text.article.lead, "introductory paragraph", nullable=True),
    ExportColumn("section", "text", lambda text: text.article.section, "section of the paper", nullable=True),
    ExportColumn("tags", "texts", lambda text: list(text.article.tags), "tags of the page"),
    ExportColumn("description", "text", lambda text: text.article.description, "summary for previews", nullable=True),
    ExportColumn("image", "text", lambda text: text.article.image, "address of the main picture", nullable=True),
    ExportColumn("image_caption", "text", lambda text: text.article.image_caption, "its caption", nullable=True),
    ExportColumn("fields_from", "origins", lambda text: _origins(text.article), "origin of `lead` to `image_caption`"),
    ExportColumn("robots", "texts", lambda text: list(text.article.rights.robots), "robots directives of the page"),
    ExportColumn("tdm_reservation", "text", lambda text: text.article.rights.tdm_reservation, "TDMRep: `1` reserves"),
    ExportColumn("licence", "text", lambda text: text.article.rights.licence, "licence that the page declares"),
    ExportColumn("copyright_holder", "text", lambda text: text.article.rights.copyright_holder, "declared holder"),
    ExportColumn("content_usage", "texts", lambda text: list(text.article.rights.content_usage), "`Content-Usage`"),
    ExportColumn("content_signal", "texts", lambda text: list(text.article.rights.content_signal), "`Content-Signal`"),
    ExportColumn("copies", "int32", lambda text: _facts(text).others, "other texts of its cluster"),
    ExportColumn("copy_hosts", "texts", lambda text: list(_facts(text).hosts), "hosts of these texts"),
    ExportColumn("first_seen", "time", lambda text: _facts(text).first_seen, "first fetch of a text of the cluster"),
    ExportColumn("last_seen", "time", lambda text: _facts(text).last_seen, "last fetch of a new text of the cluster"),
    ExportColumn("first_host", "text", lambda text: _facts(text).first_host, "host that published it first"),
)
"""The columns of every export and release."""
COPY_COLUMNS: Final = (
    ExportColumn("copy_of", "int64", lambda text: _facts(text).copy_of, "exported text of its cluster", nullable=True),
    ExportColumn("relation", "text", lambda text: _facts(text).relation, "what it is to that text", nullable=True),
)
"""The columns that `--copies` adds, in which texts that are the exported ones of their clusters have nothing."""

_PREVIEWED: Final = (
    "url", "canonical_url", "host", "title", "authors", "published_at", "published_at_from", "modified_at", "language",
    "words", "rights", "sha256", "text", *PAGE_FIELDS, "fields_from",
)  # fmt: skip


def previewed_fields(article: Article) -> dict[str, object]:
    """Return the fields that `extract` prints of an article that is not stored, times as `datetime`."""
    shown = StoredArticle(id=0, article=article, cluster=0, revision=1, head=True, relation=Relation.UNIQUE)
    values = {column.name: column.value(shown) for column in COLUMNS if column.name in _PREVIEWED}
    values["rights"] = rights_values(article.rights)
    return {name: values[name] for name in _PREVIEWED}


def rights_values(rights: Rights) -> dict[str, object]:
    """Return the rights signals of a page as JSON values, by the names of their columns."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rights).items()}


def row_of(text: StoredArticle, columns: Sequence[ExportColumn]) -> dict[str, object]:
    """Return the values of a text by column, times as `datetime`."""
    return {column.name: column.value(text) for column in columns}


def to_json_values(values: Mapping[str, object]) -> dict[str, object]:
    """Return values with each `datetime` replaced by ISO 8601 text with its offset."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


# Conditions on columns, for `--where`.


_OPERATORS: Final = ("!=", ">=", "<=", "=")
_RIGHTS: Final = "rights"


@dataclass(frozen=True, slots=True)
class ColumnCondition:
    """A condition on one column; calling it returns whether a text meets it.

    A list has a value if one of its entries is equal to it. The empty value is an empty text, an empty list, or none.
    """

    written: str
    column: ExportColumn
    operator: str
    value: object

    def __call__(self, text: StoredArticle) -> bool:
        """Return whether the text meets the condition; nothing is more or less than a missing value."""
        found = self.column.value(text)
        if self.operator == "=":
            return self._equals(found)
        if self.operator == "!=":
            return not self._equals(found)
        if found is None:
            return False
        least, most = (self.value, found) if self.operator == ">=" else (found, self.value)
        return bool(least <= most)  # type: ignore[operator]

    def _equals(self, found: object) -> bool:
        if self.value == "":
            return found is None or found in ("", [])
        return self.value in found if isinstance(found, list) else found == self.value


def condition(written: str, columns: Sequence[ExportColumn]) -> ColumnCondition:
    """Return the condition that `KEY=VALUE` or the like states; raises UsageError if there is no such column or value.

    Besides the columns, there is the key `rights`: the signals of a page as `rights.refuse` names them.
    """
    places = [(written.find(sign), -len(sign), sign) for sign in _OPERATORS if sign in written]
    if not places:
        raise UsageError(f"--where {written}: write COLUMN=VALUE, with one of {', '.join(sorted(_OPERATORS))}")
    _, _, sign = min(places)
    name, value = written.split(sign, 1)
    known = {column.name: column for column in (*columns, _RIGHTS_COLUMN) if column.type != "origins"}
    column = known.get(name.strip())
    if column is None:
        raise UsageError(f"--where {written}: there is no column {name.strip()!r}; there are {', '.join(known)}")
    if sign in {">=", "<="} and (column.type in {"texts", "bool"} or not value.strip()):
        raise UsageError(f"--where {written}: {column.name} cannot be compared with that; use = or !=")
    return ColumnCondition(written, column, sign, _read_value(written, column, value.strip()))


def _signals(text: StoredArticle) -> list[str]:
    """Return the rights signals of a text, by the names that `rights.refuse` has for them."""
    return list(text.article.rights.signals)


_RIGHTS_COLUMN: Final = ExportColumn(_RIGHTS, "texts", _signals, "rights signals, as `rights.refuse` names them")


def _read_value(written: str, column: ExportColumn, value: str) -> object:
    """Return a value in the column's type; raises UsageError if it has none."""
    if value == "" or column.type in {"text", "texts"}:
        return value
    try:
        if column.type == "time":
            return read_time(value)
        if column.type == "bool":
            return {"true": True, "false": False}[value.lower()]
        return float(value) if column.type == "float64" else int(value)
    except (ValueError, KeyError):
        expected = {"time": "a day or a time such as 2026-01-31T08:00+07:00", "bool": "true or false"}
        raise UsageError(f"--where {written}: {column.name} is {expected.get(column.type, 'a number')}") from None


def read_time(value: str) -> datetime:
    """Return a day (its beginning) or a time, in UTC unless it has an offset; raises ValueError."""
    read = datetime.fromisoformat(value)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


# The filters of a command: the database selects by the columns that it stores, the rest is decided text by text.


NAMED_FILTERS: Final = {"fineweb2-vi": ("language_score>=0.802", "punctuated_lines>=0.333", "doubled_lines<=0.293")}
"""Named filters: conditions as `--where` takes them.

`fineweb2-vi` has thresholds of FineWeb-2's configuration `vie_Latn` (Penedo et al. 2025, arXiv:2506.20920), whose
language score is that of another model than this program's.
"""
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d|\d{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFilter:
    """Which texts are exported with which columns; `written` are the filters as they were given, for people."""

    selection: Selection
    columns: Sequence[ExportColumn]
    conditions: Sequence[ColumnCondition]
    written: Mapping[str, object]
    change: Callable[[StoredArticle], StoredArticle] | None = None

    def apply(self, texts: Iterable[StoredArticle]) -> Iterable[StoredArticle]:
        """Return those of the selected texts that meet every condition on a column, changed by `change`."""
        if self.conditions:
            texts = (text for text in texts if all(is_met(text) for is_met in self.conditions))
        return map(self.change, texts) if self.change else texts


def read_filter(
    given: Mapping[str, Any],
    *,
    copies: bool = False,
    quality: Sequence[ExportColumn] = (),
    change: Callable[[StoredArticle], StoredArticle] | None = None,
) -> TextFilter:
    """Return the filter that the options of a command state; raises UsageError for a value that cannot be read.

    The keys are `since`, `until` (days or times as text), `sources`, `languages`, `kinds`, `min_words`, `where`,
    `named_filters` (keys of NAMED_FILTERS) and `quality` (whether to write the columns `quality`, which conditions may
    name in any case). With `copies`, the texts that are not exported are wanted as well. `change` is applied to each
    text that is written.
    """
    columns = (*COLUMNS, *COPY_COLUMNS) if copies else COLUMNS
    for name in ("sources", "languages", "where"):
        for written in given.get(name, ()):
            require_text(written)
    conditions = [
        *given.get("where", ()),
        *(each for name in given.get("named_filters", ()) for each in NAMED_FILTERS[name]),
    ]
    selection = Selection(
        since=_bound("--from", given.get("since")),
        before=_bound("--to", given.get("until")),
        sources=tuple(given.get("sources", ())),
        languages=tuple(given.get("languages", ())),
        kinds=tuple(Kind(kind) for kind in given.get("kinds", ())),
        min_words=given.get("min_words", 0),
        copies=copies,
    )
    return TextFilter(
        selection=selection,
        columns=(*columns, *quality) if given.get("quality") else columns,
        conditions=[condition(each, (*columns, *quality)) for each in conditions],
        written={name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value},
        change=change,
    )


def require_text(written: str) -> str:
    """Return an argument of the command line; raises UsageError if its bytes are not UTF-8."""
    try:
        written.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{written!r}: is not UTF-8 text; write it in UTF-8") from None
    return written


def _bound(option: str, written: str | None) -> datetime | None:
    """Return the time that an option names; a day is its beginning, for `--to` its end. Raises UsageError."""
    if written is None:
        return None
    try:
        read = read_time(written)
        return read + timedelta(days=1) if option == "--to" and _DAY.fullmatch(written) else read
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {written}: no day or time; write 2026-01-31 or 2026-01-31T08:00+07:00") from None

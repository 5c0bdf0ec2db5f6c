"""Finds the files of a seed corpus and reads them row by row.

`find_seed_files` expands files, folders and globs; `read_seed_file` yields the rows of one file. What cannot be read is
an `InputProblem` with file and row, and reading continues. `FORMS` is the registry of forms by file ending.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final

from worker.charset import nearly_utf8
from worker.errors import SourceError
from worker.files.reading import note_progress, open_regular, shown_path, walk_once
from worker.models import Candidate, Page, Seed
from worker.sources.files.article_files import (
    UNREADABLE,
    InputContext,
    InputProblem,
    decode_text_file,
    opened_file,
    opened_lines,
    why_unread,
)
from worker.sources.files.columns import MAX_ROW_BYTES, MAX_TEXT_BYTES, is_table_of_result
from worker.sources.files.json_lines import MAX_TRIED, json_rows, read_members
from worker.sources.files.seed_rows import (
    SeedFile,
    SeedReader,
    count_parquet_rows,
    read_arrow,
    read_parquet,
    read_table,
    shown_name,
)
from worker.sources.files.warc import read_warc

SAMPLE: Final = "sample"
"""The sub-folder with the invented seeds of `make demo`."""
SAMPLE_DIGESTS: Final = frozenset(
    {
        "289d76102012cee2",
        "bc821bbc5ba79dc3",
        "1be7b88eb74f8a0d",
        "1bf49670fe3a7844",
        "5c43a2e8cff98b78",
        "a80889a6fb491206",
        "d1666582db30e258",
        "a1d6040b0ce208fe",
        "353063fe98c5d0c8",
        "d9ab89bc39097be9",
        "4d5fd2b9ffdef099",
        "a95d2deb0b45c5eb",
    }
)
"""The first 16 hexadecimal digits of the SHA-256 of each seed in `SAMPLE`."""

_LINES: Final = frozenset({".jsonl", ".ndjson", ".csv", ".tsv"})
_COUNTED_BYTES: Final = 1_000_000  # at the beginning of a file, from which its number of lines is estimated
_DESCRIPTIONS: Final = (
    *("readme", "license", "licence", "dataset_info", "dataset_dict", "state.json", "citation"),
    *("report.json", "manifest.json"),
)
"""How the names of files begin that belong to a data set and hold no rows; the last two are of `dedupe` and `release`.
"""

# Finding: files by path, folder or glob.


def find_seed_files(paths: Iterable[str]) -> Iterator[SeedFile | InputProblem]:
    """Yield the seed files at paths (files, folders, globs) in the order of names, each once.

    A folder is read with its sub-folders. Hidden ones are left out, and so is `sample` directly below (the invented
    texts of the demonstration). Files of other kinds are one problem for each path. Several text files of one folder
    that are named by themselves, or match a glob, are one file as if the folder were named, and come last.
    """
    seen: set[str] = set()
    texts: defaultdict[Path, dict[Path, None]] = defaultdict(dict)
    for written in paths:
        path = Path(written)
        matches = [path] if path.exists() else _matches(written)
        if not matches:
            yield InputProblem(where=written, why="no such file or folder; make it, or set [seeds] path", lost=0)
        others: Counter[str] = Counter()
        for match in matches:
            if ending_of(match.name) == ".txt" and not match.is_dir():
                texts[match.parent][match] = None
                continue
            for found in _below(match, others) if match.is_dir() else _named(match):
                key = "" if isinstance(found, InputProblem) else os.path.realpath(found.name)
                if key not in seen:
                    seen |= {key} if key else set()
                    yield found
        if others:
            kinds = ", ".join(f"{count:,} {ending}" for ending, count in others.most_common(5))
            yield InputProblem(where=written, why=f"files of other kinds are not read: {kinds}", lost=0)
    for folder, files in texts.items():
        if os.path.realpath(folder) not in seen:
            yield from _named(*files) if len(files) == 1 else (_texts_of(folder, [*files], ""),)


def _texts_of(folder: Path, files: Sequence[Path], label: str) -> SeedFile:
    return SeedFile(name=shown_name(folder), label=label, ending=".txt", files=tuple(files))


def _matches(pattern: str) -> list[Path]:
    """Return the paths that match a glob, in the order of names; no hidden ones unless the glob names them."""
    return [Path(each) for each in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - absolute and relative


def _named(path: Path) -> Iterator[SeedFile | InputProblem]:
    """Yield a file that was given by its name."""
    ending = ending_of(path.name)
    if ending is None:
        known = ", ".join(FORMS)
        yield InputProblem(where=str(path), why=f"unknown kind of file; known are {known} and folders", lost=0)
        return
    yield SeedFile(name=shown_name(path), label=shown_path(path.name), ending=ending, files=(path,))


def _below(folder: Path, others: Counter[str]) -> Iterator[SeedFile | InputProblem]:
    """Yield the files in a folder and its sub-folders, the text files of each folder as one; count other files."""
    refused: list[OSError] = []
    for place, folders, names in walk_once(folder, onerror=refused.append):
        note_progress()
        at = Path(place)
        left_out = {SAMPLE} if at == folder else set()
        folders[:] = sorted(name for name in folders if name not in left_out)
        texts: list[Path] = []
        for name in sorted(names):
            ending = ending_of(name)
            if is_table_of_result(name, names):
                continue
            if ending is None:
                is_row_file = not name.startswith(".") and not _is_description(name)
                others.update([Path(name).suffix or name] if is_row_file else [])
            elif ending == ".txt":
                texts.append(at / name)
            elif not (name.startswith((".", "cache-")) or (ending == ".json" and _is_description(name))):
                label = shown_path((at / name).relative_to(folder))
                yield SeedFile(name=shown_name(at / name), label=label, ending=ending, files=(at / name,))
        if texts:
            label = shown_path(at.relative_to(folder))
            yield _texts_of(at, texts, "" if label == "." else label)
    for error in refused:
        yield InputProblem(where=str(error.filename), why=f"cannot be read: {error.strerror}", lost=0)


def _is_description(name: str) -> bool:
    return name.lower().startswith(_DESCRIPTIONS)


def describe_problem(problem: InputProblem) -> str:
    """Return a problem as one line."""
    return f"{problem.where}: {problem.why}"


def problems_in(items: Iterable[Seed | InputProblem]) -> Iterator[InputProblem]:
    """Yield the problems among the rows of a file, also those of rows that are seeds all the same."""
    for each in items:
        if isinstance(each, InputProblem):
            yield each
        elif each.problem:
            yield InputProblem(where=each.place, why=each.problem)


def ending_of(name: str) -> str | None:
    """Return the ending of a file name under which its form is in `FORMS`; None if there is none."""
    lower = name.lower()
    plain = lower.removesuffix(".gz").removesuffix(".zst")
    if plain.endswith((".parquet", ".arrow")) and plain != lower:
        return None
    return next((ending for ending in FORMS if plain.endswith(ending)), None)


def sample_size(folder: Path) -> int:
    """Return the number of seeds in the sub-folder `sample`, which `find_seed_files` leaves out."""
    return sum(ending_of(path.name) == ".txt" for path in (folder / SAMPLE).glob("[0-9]*.txt"))


def count_rows(file: SeedFile) -> int | None:
    """Return about how many rows a file has, for an estimate of the time; None if that would take long to tell."""
    if file.ending == ".txt":
        return len(file.files)
    path = file.files[0]
    if file.ending == ".parquet":
        return count_parquet_rows(path)
    if file.ending not in _LINES or not path.name.lower().endswith(file.ending):
        return None
    try:
        with open_regular(path) as opened:
            head = opened.read(_COUNTED_BYTES)
        return round(path.stat().st_size * head.count(b"\n") / len(head)) if head else 0
    except OSError:
        return None  # the reader says why


# Reading: one function for each form; those of columns are in `seed_rows`.


def read_seed_file(reader: SeedReader, file: SeedFile, *, start: int = 0) -> Iterator[Seed | InputProblem]:
    """Yield one item for each row after the first `start` ones: the seed, or what is wrong with the row.

    A problem that ends the file comes last and is not `lost`. Raises no error for whatever the file contains.
    """
    rows = start
    try:
        for rows, item in enumerate(FORMS[file.ending](reader, file, start), start + 1):  # noqa: B007 - used below
            yield item
        if not rows:
            yield InputProblem(where=file.name, why="no rows in it; remove it", lost=0)
    except UNREADABLE as exc:
        yield InputProblem(where=file.name, why=why_unread(exc), lost=0)


def _read_texts(_reader: SeedReader, file: SeedFile, start: int) -> Iterator[Seed | InputProblem]:
    """Yield the seed in each text file of a folder."""
    for path in islice(file.files, start, None):
        try:
            yield _read_text(path, file)
        except UNREADABLE as exc:
            why = getattr(exc, "strerror", None) or exc
            yield InputProblem(where=shown_name(path), why=f"cannot be read: {why}; remove it or check its permissions")


def _read_text(path: Path, file: SeedFile) -> Seed | InputProblem:
    """Return the seed in a text file; its identity is the hash of its bytes."""
    with opened_file(path) as opened:
        body = opened.read(MAX_TEXT_BYTES + 1)
    where = shown_name(path)
    if len(body) > MAX_TEXT_BYTES:
        return InputProblem(where=where, why=f"larger than {MAX_TEXT_BYTES:,} bytes; split it")
    raw = nearly_utf8(body.removeprefix(b"\xef\xbb\xbf"))
    raw = decode_text_file(body) if raw is None else raw
    if raw is None:
        return InputProblem(where=where, why="not text in UTF-8 or another recognisable encoding; save it as UTF-8")
    if not raw.strip():
        return InputProblem(where=where, why="empty; remove it")
    name = shown_path(path.name)
    name = name if file.label in {"", name} else f"{file.label}/{name}"
    return Seed(name=name, raw=raw, sha256=hashlib.sha256(body).hexdigest())


def _read_json(reader: SeedReader, file: SeedFile, start: int) -> Iterator[Seed | InputProblem]:
    """Yield the seed in each line or array element of JSON."""
    read = 0
    with opened_lines(file.files[0]) as opened:
        values = json_rows(opened, MAX_ROW_BYTES, may_be_one=file.ending == ".json")
        for row, (kind, number, value) in enumerate(values, 1):
            if row <= start:
                continue
            found = _read_json_row(reader, file, row, value, where=f"{file.name}, {kind} {number}")
            read += isinstance(found, Seed)
            yield found
            if not read and row - start >= MAX_TRIED:
                raise SourceError(f"no seed in the first {MAX_TRIED} rows, so the rest was not read")


def _read_json_row(reader: SeedReader, file: SeedFile, row: int, value: bytes, *, where: str) -> Seed | InputProblem:
    """Return the seed in a row of JSON; `where` names it in messages."""
    try:
        members, wrong = read_members(value, MAX_ROW_BYTES)
        places = reader.places(list(members))
    except SourceError as exc:
        return InputProblem(where=where, why=str(exc))
    found = reader.seed(file, row, {wanted: members[name] for wanted, name in places.items()}, where=where)
    if not wrong or isinstance(found, InputProblem):
        return found
    return replace(found, problem="; ".join(filter(None, (wrong, found.problem))))


def _read_archive(reader: SeedReader, file: SeedFile, start: int) -> Iterator[Seed | InputProblem]:
    """Yield the page in each record of a web archive; its article is extracted later."""
    context = InputContext(source="seeds", now=reader.now, max_bytes=MAX_TEXT_BYTES, zone=reader.zone)
    for row, found in enumerate(read_warc(file.files[0], context), 1):
        if row > start:
            yield found if isinstance(found, InputProblem) else _archived(file, row, found)


def _archived(file: SeedFile, row: int, candidate: Candidate) -> Seed | InputProblem:
    page = candidate.payload
    if not isinstance(page, Page):
        return InputProblem(where=f"{file.name}, record {row}", why="no page in this record")
    digest = hashlib.sha256(page.body).hexdigest()
    return Seed(name=f"{file.label}#{row}", row=row, raw="", sha256=digest, url=candidate.url, page=page)


FormReader = Callable[[SeedReader, SeedFile, int], Iterator[Seed | InputProblem]]
FORMS: Final[Mapping[str, FormReader]] = MappingProxyType(
    {
        ".txt": _read_texts,
        ".jsonl": _read_json,
        ".ndjson": _read_json,
        ".json": _read_json,
        ".csv": read_table,
        ".tsv": read_table,
        ".parquet": read_parquet,
        ".arrow": read_arrow,
        ".warc": _read_archive,
        ".arc": _read_archive,
    }
)
"""The reader of each form by file ending; all but Parquet and Arrow may also be compressed (`.gz`, `.zst`)."""

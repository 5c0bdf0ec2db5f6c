"""Read local files and folders as candidates.

`read_inputs` serves `ingest PATH`: it walks a folder and reads each file with the reader of its extension. What cannot
be read is reported with file and line, and reading continues.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from errno import EINVAL
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from worker.dates.parsing import source_zone
from worker.errors import SourceError
from worker.files.atomic import PREFIX
from worker.files.reading import note_progress
from worker.models import Candidate, Discovery, Source
from worker.sources.files.article_files import InputContext, InputProblem, read_html, read_text
from worker.sources.files.json_lines import read_json_lines
from worker.sources.files.url_list import is_file_of_urls, read_url_list
from worker.sources.files.warc import read_warc
from worker.urls import file_url

# Candidates yielded at a time: they carry their content, so a batch of the largest pages must fit into memory.
BATCH = 100
FileReader = Callable[[Path, InputContext], Iterator[Candidate | InputProblem]]
READERS: Mapping[str, FileReader] = MappingProxyType(
    {
        ".html": read_html,
        ".htm": read_html,
        ".txt": read_text,
        ".jsonl": read_json_lines,
        ".warc": read_warc,
        ".warc.gz": read_warc,
        ".arc": read_warc,
        ".arc.gz": read_warc,
    }
)
STANDARD_INPUT = "standard-input"
"""The name, without its ending, of the file that standard input is saved to."""
_ARCHIVES = frozenset({".warc", ".warc.gz", ".arc", ".arc.gz"})


def read_inputs(path: Path, source: Source, /, *, now: datetime, max_bytes: int) -> Iterator[Discovery]:
    """Yield the articles in a file or folder, with their content, in batches of at most 100 candidates.

    A folder is read recursively in the order of names; symbolic links to folders are not followed. A file that cannot
    be read is counted in `skipped` and described in `notes`. `max_bytes` limits one article. The option `sites` of the
    source limits the pages taken from archives. If the kind of the source is `urls`, every file is read as a list of
    URLs, whatever its name. Raises SourceError at once if the path does not exist or is a file of unknown kind.
    """
    _require_exists(path)
    if source.kind == "urls" or _is_list(path):
        return _named(_url_lists(path, source, now=now), path)
    return _batches(read_items(path, source, now=now, max_bytes=max_bytes))


def read_items(path: Path, source: Source, /, *, now: datetime, max_bytes: int) -> Iterator[Candidate | InputProblem]:
    """Yield the articles of files and the problems with them one by one, in the order of the input; see `read_inputs`.

    Of a list of URLs, the candidates are without content. An input without anything is a problem.
    """
    _require_exists(path)
    if _is_list(path):
        return _items(_named(_url_lists(path, source, now=now), path), path)
    if not path.is_dir() and _extension(path) is None:
        raise SourceError(f"{path}: unknown kind of file; known are {', '.join(READERS)}, and folders of these")
    files = _files_below(path) if path.is_dir() else iter((path,))
    context = InputContext(
        source=source.name, now=now, max_bytes=max_bytes, sites=source.options.sites, zone=source_zone(source)
    )
    found = _or_nothing(_contents(files, context), path)
    return (_name_item(item, path) for item in found) if _is_standard_input(path) else found


def _require_exists(path: Path) -> None:
    if not path.exists():
        aim = f"a link to {path.readlink()}, which does not exist" if path.is_symlink() else "no such file or folder"
        raise SourceError(f"{path}: {aim}; check the path")


def _is_list(path: Path) -> bool:
    """Return whether a file of a neutral name is a list of URLs."""
    return not path.is_dir() and _extension(path) in {None, ".txt"} and is_file_of_urls(path)


def _items(found: Iterator[Discovery], path: Path) -> Iterator[Candidate | InputProblem]:
    for each in found:
        yield from each.candidates
        yield from (InputProblem(where=str(path), why=note) for note in each.notes)


def _is_standard_input(path: Path) -> bool:
    """Return whether this is the private file that standard input was saved to (`cli.base.spooled_input`)."""
    return path.name.partition(".")[0] == STANDARD_INPUT and path.parent.name.startswith(PREFIX)


def name_standard_input(text: str, path: Path) -> str:
    """Name standard input in a message instead of the file that it was saved to, which is deleted at the end."""
    return _name_lines(text, path).replace(str(path), "standard input")


def _name_lines(text: str, path: Path) -> str:
    named = text.replace(file_url(path), "standard input")
    return re.sub(re.escape(str(path)) + r":(\d+)", r"standard input, line \1", named)


def _name_item(item: Candidate | InputProblem, path: Path) -> Candidate | InputProblem:
    if isinstance(item, Candidate):
        return replace(item, reference=_name_lines(item.reference, path))
    return replace(item, where=name_standard_input(item.where, path), why=name_standard_input(item.why, path))


def _named(found: Iterator[Discovery], path: Path) -> Iterator[Discovery]:
    """Name standard input in what was read from it."""
    if not _is_standard_input(path):
        yield from found
        return
    try:
        for each in found:
            candidates = tuple(replace(one, reference=_name_lines(one.reference, path)) for one in each.candidates)
            notes = tuple(name_standard_input(note, path) for note in each.notes)
            yield replace(each, candidates=candidates, notes=notes)
    except SourceError as exc:
        raise SourceError(name_standard_input(str(exc), path)) from None


def _url_lists(path: Path, source: Source, *, now: datetime) -> Iterator[Discovery]:
    """Yield the URLs of a list, or of every file in a folder; a file that is no list becomes a note."""
    if not path.is_dir():
        yield read_url_list(path, source, now=now)
        return
    for file in sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith(".")):
        try:
            yield read_url_list(file, source, now=now)
        except SourceError as exc:
            yield Discovery(skipped=1, notes=(str(exc),))


def archives_below(path: Path) -> list[Path]:
    """Return the archive at a path, or all archives in a folder, in the order of names.

    Raises SourceError if the path does not exist or has no archive.
    """
    _require_exists(path)
    files = [each for each in _files_below(path) if isinstance(each, Path)] if path.is_dir() else [path]
    archives = [file for file in files if _extension(file) in _ARCHIVES]
    if not archives:
        raise SourceError(f"{path}: no {' or '.join(sorted(_ARCHIVES))} file; check the path")
    return archives


def _extension(path: Path) -> str | None:
    name = path.name.lower()
    return next((ending for ending in READERS if name.endswith(ending)), None)


def _files_below(folder: Path) -> Iterator[Path | InputProblem]:
    """Yield the files with a known extension in a folder and its sub-folders, and the folders that cannot be read."""
    refused: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=refused.append):
        note_progress()
        yield from _refusals(refused)
        folders.sort()
        yield from (path for name in sorted(names) if _extension(path := Path(place, name)))
    yield from _refusals(refused)


def _refusals(refused: list[OSError]) -> Iterator[InputProblem]:
    while refused:
        error = refused.pop(0)
        yield InputProblem(where=str(error.filename), why=f"cannot be opened ({error.strerror}); check its permissions")


def _contents(files: Iterator[Path | InputProblem], context: InputContext) -> Iterator[Candidate | InputProblem]:
    for file in files:
        if isinstance(file, InputProblem):
            yield file
            continue
        try:
            yield from READERS[_extension(file) or ""](file, context)
        except OSError as exc:
            yield InputProblem(where=str(file), why=unreadable(file, exc))


def unreadable(file: Path, error: OSError) -> str:
    """Return in words why a file cannot be read, and what to do."""
    if isinstance(error, FileNotFoundError) and file.is_symlink():
        return f"is a link to {file.readlink()}, which does not exist; mend the link or remove it"
    advice = "remove it, or save what it gives to a file" if error.errno == EINVAL else "check its permissions"
    return f"cannot be read: {error.strerror or error}; {advice}"


def _or_nothing(found: Iterator[Candidate | InputProblem], path: Path) -> Iterator[Candidate | InputProblem]:
    """Yield what was found, or a note that an input has nothing."""
    empty = True
    for item in found:
        yield item
        empty = False
    if empty:
        why = f"nothing to read; expected are {', '.join(READERS)}" if path.is_dir() else "nothing in it; remove it"
        yield InputProblem(where=str(path), why=why, lost=0)


def _batches(found: Iterator[Candidate | InputProblem]) -> Iterator[Discovery]:
    """Group candidates and problems into discoveries."""
    while batch := list(islice(found, BATCH)):
        problems = [item for item in batch if isinstance(item, InputProblem)]
        yield Discovery(
            candidates=tuple(item for item in batch if isinstance(item, Candidate)),
            skipped=sum(problem.lost for problem in problems),
            notes=tuple(f"{problem.where}: {problem.why}" for problem in problems),
        )

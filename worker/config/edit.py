"""Writing the configuration file: a new one, and edits that add, change, pause and remove sources.

`with_sources`, `without_source`, `with_values` and `with_enabled` take the text of the file and return the new text;
comments and formatting of everything else stay. `edit_file` applies such an edit: the new text must load as valid
settings, and replaces the old file atomically.
"""

from __future__ import annotations

import re
import tomllib
from codecs import BOM_UTF8
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from worker import urls
from worker.config.load import load_settings
from worker.config.schema import Settings
from worker.config.sources import SourceSettings
from worker.errors import ConfigurationError, UsageError
from worker.files.atomic import atomic_file
from worker.models.base import dataclass


def edit_file(path: Path, edit: Callable[[str], str], environment: Mapping[str, str]) -> Settings:
    """Replace a configuration file atomically by its edited text; return the new settings.

    Raises ConfigurationError, and leaves the file unchanged, if it cannot be written or the new text is invalid.
    """
    target = path.resolve()
    try:
        found = target.read_bytes()
        text = edit(found.decode("utf-8-sig"))
        with atomic_file(target) as file:
            file.write(text.encode("utf-8-sig" if found.startswith(BOM_UTF8) else "utf-8"))
            file.flush()
            return _load_edited(Path(file.name), path, environment)
    except OSError as exc:
        raise _write_error(path, exc) from exc


def _load_edited(written: Path, path: Path, environment: Mapping[str, str]) -> Settings:
    """Load the temporary file; error messages name the configuration file instead of it."""
    try:
        return load_settings(written, environment)
    except ConfigurationError as exc:
        raise ConfigurationError(str(exc).replace(str(written), str(path))) from exc


def _write_error(path: Path, error: OSError) -> ConfigurationError:
    """Return the error for a configuration file that cannot be written."""
    advice = "check the free space, and the permissions of the file and its folder"
    return ConfigurationError(f"{path}: cannot be written: {error.strerror or error}; {advice}")


NEW_CONFIGURATION: Final = """\
# The configuration of Corpus Worker. These are the settings that are changed most; `corpus-worker config check` prints
# all of them. Environment variables override them: CORPUS_WORKER_FETCH__PER_HOST_DELAY=5s.
# A relative path starts at the folder in which a command is run.

[store]
url = {store}    # or postgresql+psycopg://user@host/database

[seeds]
path = {seeds}    # texts that you have already: .txt, .jsonl, .csv, .parquet, WARC; a list of paths, or "" for none

[fetch]
# Every site sees this: the name of your crawler, and where the owner of a site can reach you.
user_agent = {user_agent}
per_host_delay = "2s"    # between two requests to one host; a longer Crawl-delay in robots.txt counts instead
obey_robots = true

[extract]
languages = ["vi"]    # articles in other languages are not stored; [] for all languages
min_words = 60    # shorter texts are not stored

[dedupe]
# Which copy is exported. "earliest": of one publisher's copies the one published first; of several publishers' the one
# stored first, since a date that an article's own page or feed gives replaces no other publisher's text; an earlier
# date in your own input files does, and so does an archive's capture. Or "first" (fetched first), or "longest".
keep = "earliest"

[schedule]
every = "15m"    # how often `run` polls a source at first; then as often as the source publishes, within these two
min_every = "5m"
max_every = "12h"

[web]
listen = "127.0.0.1:8750"    # where `run` serves its pages, for this machine alone; "" for nowhere

# The sources. `corpus-worker sources add URL` finds out what a site offers and adds the best below. By hand:
#
# [[sources]]
# name = "mypaper"
# kind = "feed"    # or sitemap, listing, urls, files, warc
# url = "https://mypaper.example/rss"
"""


def create_file(path: Path, settings: Mapping[str, str], environment: Mapping[str, str]) -> None:
    """Write a new configuration file with the given `store`, `seeds` and `user_agent`.

    Raises ConfigurationError, and writes nothing, if the file cannot be written or these values are invalid.
    """
    text = NEW_CONFIGURATION.format_map({name: toml_of(value) for name, value in settings.items()})
    try:
        with atomic_file(path) as file:
            file.write(text.encode())
            file.flush()
            _load_edited(Path(file.name), path, environment)
    except OSError as exc:
        raise _write_error(path, exc) from exc


# Edits of the text. Lines are replaced instead of dumping parsed TOML, so that everything else keeps its form; each
# result is parsed again and compared with what the edit should give.


_HEADER = re.compile(r"\s*\[\[\s*sources\s*\]\]\s*(?:#.*)?\Z")
"""A line that starts a source: `[[sources]]`, perhaps with a comment."""
_ANY_HEADER = re.compile(r"\s*\[(?!\s*sources\s*\.)")
"""A line that starts another table, and so ends a source; a table within it (`[sources.block]`) does not."""
_NOT_EDITABLE = "the configuration cannot be edited the way it is written; edit its sources by hand"
_NON_NAME_CHARACTERS = re.compile(r"[^a-z0-9]+")
_FILE_EXTENSION = re.compile(r"\.(?:rss|xml|html?|aspx?|php|atom|json)\Z")
_IP_ADDRESS = re.compile(r"[\d.]+")  # of version 4; its parts name no site
_GENERIC_NAMES = frozenset(["rss", "feed", "feeds", "rss-feed", "home", "trang-chu", "index", "atom", "sitemap", ""])
"""Parts of feed addresses that do not distinguish the feeds of a site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSource:
    """A source to be added to the configuration; `extra_keys` are written after name, kind and url."""

    name: str
    kind: str
    url: str
    extra_keys: Mapping[str, str | list[str]] = field(default_factory=dict)


def name_for(url: str, taken: Collection[str]) -> str:
    """Return a short unused name for a source.

    Tried are the site's name, `site-section` with the last distinctive part of the address, then `site-section-2` and
    so on. Parts are cut to 40 characters, within the 100 that the schema allows.
    """
    host = urls.site_of(url)
    parts = urlsplit(url)
    if host.startswith("[") or _IP_ADDRESS.fullmatch(parts.hostname or ""):
        host = parts.netloc.rpartition("@")[2]
    else:
        host = host.partition(".")[0]
    site = _slug(host)[:40] or "feed"
    segments = [_slug(_FILE_EXTENSION.sub("", part)) for part in parts.path.lower().split("/")]
    section = next((part for part in reversed(segments) if part not in _GENERIC_NAMES), "")
    names = [site, f"{site}-{section[:40]}"] if section else [site]
    free = next((name for name in names if name not in taken), None)
    return free or next(name for number in range(2, len(taken) + 3) if (name := f"{names[-1]}-{number}") not in taken)


def _slug(text: str) -> str:
    """Return text with each run of characters other than lower-case letters and digits replaced by a hyphen."""
    return _NON_NAME_CHARACTERS.sub("-", text).strip("-")


def with_sources(text: str, added: Sequence[NewSource]) -> str:
    """Return the text with sources added after the existing ones.

    Raises UsageError for a name that is taken, ConfigurationError if the text is not TOML.
    """
    names = _source_names(text)
    for source in added:
        if source.name in names:
            raise UsageError(f"a source {source.name!r} already exists; choose another name or remove it first")
        names.append(source.name)
    lines = text.splitlines(keepends=True)
    at = max((end for _, end in _source_blocks(lines)), default=len(lines))
    before, after = "".join(lines[:at]), "".join(lines[at:])
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    return _require_sources(before + gap + "\n".join(_source_toml(source) for source in added) + after, expected=names)


def without_source(text: str, name: str) -> str:
    """Return the text without one source; raises UsageError if there is no source of that name."""
    names = _source_names(text)
    if name not in names:
        raise UsageError(f"there is no source {name!r}; there are {', '.join(names) or 'none'}")
    lines = text.splitlines(keepends=True)
    blocks = _source_blocks(lines)
    if len(blocks) != len(names):
        raise ConfigurationError(_NOT_EDITABLE)
    start, end = blocks[names.index(name)]
    while end < len(lines) and not lines[end].strip():
        end += 1
    result = "".join(lines[:start] + lines[end:]).rstrip("\n") + "\n"
    return _require_sources(result, expected=[each for each in names if each != name])


def with_enabled(text: str, names: Collection[str], *, enabled: bool) -> str:
    """Return the text with the key `enabled` of some sources set; raises UsageError for an unknown name."""
    for name in names:
        text = with_values(text, name, {"enabled": enabled})
    return text


def with_values(text: str, name: str, values: Mapping[str, object]) -> str:
    """Return the text with keys of one source set, or removed if their value is None.

    A new key becomes the last of the source. Raises UsageError if there is no source of that name.
    """
    known = _source_names(text)
    if name not in known:
        raise UsageError(f"there is no source {name!r}; there are {', '.join(known) or 'none'}")
    lines = text.splitlines(keepends=True)
    blocks = _source_blocks(lines)
    if len(blocks) != len(known):
        raise ConfigurationError(_NOT_EDITABLE)
    start, end = blocks[known.index(name)]
    result = "".join([*lines[:start], _block_with(lines[start:end], values), *lines[end:]])
    expected = _values(text)
    source = expected["sources"][known.index(name)]
    expected["sources"][known.index(name)] = _changed(source, values)
    if _values(result) != expected:
        raise ConfigurationError(_NOT_EDITABLE)
    return result


def _block_with(block: Sequence[str], values: Mapping[str, object]) -> str:
    """Return the text of one source with its keys set or removed; raises ConfigurationError."""
    ending = "\r\n" if block[0].endswith("\r\n") else "\n"
    written = "".join(block)
    try:
        document = tomlkit.parse(written if written.endswith("\n") else written + ending)
    except TOMLKitError as exc:
        raise ConfigurationError(_NOT_EDITABLE) from exc
    source = cast("AoT", document["sources"])[0]
    for key, value in values.items():
        if value is not None:
            source[key] = value
        elif key in source:
            del source[key]
    return re.sub(r"\r?\n", ending, tomlkit.dumps(document))


def _changed(source: Mapping[str, object], values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in {**source, **values}.items() if value is not None}


def toml_of(value: object) -> str:
    """Return a value as TOML writes it."""
    return tomlkit.item(value).as_string()


def source_values(text: str, name: str) -> dict[str, object]:
    """Return the keys of a source that a configuration sets; empty if there is no such source."""
    return next((dict(each) for each in _values(text).get("sources", ()) if each.get("name") == name), {})


def source_value(key: str, text: str) -> object:
    """Return what a person wrote for a key of a source, as the value to write; it is not validated.

    A list may be written with commas, a string without quotation marks.
    """
    with suppress(tomllib.TOMLDecodeError):
        if text[:1] in set("\"'[{"):
            return tomllib.loads(f"value = {text}")["value"]
    field = SourceSettings.model_fields.get(key)
    default = field.get_default(call_default_factory=True) if field else ""
    if isinstance(default, tuple):
        return [part for each in text.split(",") if (part := each.strip())]
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    return int(text) if isinstance(default, int) and text.isdecimal() else text


def _values(text: str) -> dict[str, Any]:
    """Return the parsed TOML, empty if the text is invalid."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _source_names(text: str) -> list[str]:
    """Return the names of the sources in a configuration; raises ConfigurationError if it is not TOML."""
    try:
        sources = tomllib.loads(text).get("sources", [])
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"the configuration is not valid TOML ({exc}); correct it first") from exc
    return [str(source.get("name", "")) for source in sources if isinstance(source, dict)]


def _source_blocks(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Return the line range of each `[[sources]]` block; a comment above a header is part of no block before it."""
    starts = [number for number, line in enumerate(lines) if _HEADER.match(line)]
    return [(start, _block_end(lines, start)) for start in starts]


def _block_end(lines: Sequence[str], start: int) -> int:
    """Return the line after a block: blank lines, and comments above the next header, are not part of it."""
    following = (number for number in range(start + 1, len(lines)) if _ANY_HEADER.match(lines[number]))
    end = next(following, len(lines))
    while end < len(lines) and lines[end - 1].lstrip().startswith("#"):
        end -= 1
    while not lines[end - 1].strip():
        end -= 1
    return end


def _source_toml(source: NewSource) -> str:
    """Return the `[[sources]]` table of a source."""
    table = tomlkit.table()
    for key, value in {"name": source.name, "kind": source.kind, "url": source.url, **source.extra_keys}.items():
        table.add(key, value)
    return f"[[sources]]\n{table.as_string()}"


def _require_sources(result: str, *, expected: list[str]) -> str:
    """Return the text if it has the expected sources; raises ConfigurationError for TOML written in unusual ways."""
    if _source_names(result) != expected:
        raise ConfigurationError(
            "the configuration is written in a way that cannot be edited; edit its sources by hand"
        )
    return result

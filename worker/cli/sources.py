"""The commands about sources: `sources list`, `add`, `check`, `pause`, `resume`, `remove`, `import`, `export`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from worker.cli.base import DEFAULT_CONFIG, CommonOptions, options, print_json, print_note, run_until_signal
from worker.errors import UsageError
from worker.logs import escape as visible

if TYPE_CHECKING:
    from worker.config.edit import NewSource
    from worker.config.schema import Settings
    from worker.runs.discover_sources import SuggestedSource

_LONGEST_LIST: Final = 50_000_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,89}")


@click.group()
def sources() -> None:
    """Look after what is polled."""


@sources.command("list")
@options
def list_sources(common: CommonOptions) -> None:
    """List the configured sources and how their last poll went."""
    from worker.cli.render.tables import print_source_table
    from worker.errors import StoreError
    from worker.storage.opening import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    try:
        with open_read_only(settings) as store:
            states = {state.name: state for state in store.reader.sources()}
    except StoreError:
        states = {}  # nothing was polled yet; the list is worth reading all the same
    print_source_table(settings, states, as_json=common.as_json)


@sources.command()
@click.argument("url", metavar="URL")
@click.option("--yes", is_flag=True, help="Write the best without asking.")
@click.option("--name", metavar="NAME", help="What to call the source.")
@options
def add(common: CommonOptions, url: str, yes: bool, name: str | None) -> None:
    """Find what can be polled on a site, test-poll it, and write the best to the configuration.

    URL is a site's home page, a page of it, or a feed or sitemap. With --json nobody is asked: without --yes nothing is
    written.
    """
    from worker.cli.render.tables import name_sources, print_suggestions, suggestion_record

    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    _check_name(name, settings)
    found = _survey(common, settings, _address(url))
    new = name_sources([each.rated.poll for each in found if each.rated.picked], name, settings)
    if not common.as_json:
        print_suggestions(found)
    agreed = bool(new) and (yes or (not common.as_json and _asked(new, path=_path(common))))
    written = agreed and _write(common, new)
    if common.as_json:
        print_json(
            {"written": written, "added": [_plain(each) for each in new], "found": list(map(suggestion_record, found))}
        )
    if not new:
        print_note(f"corpus-worker: {url}: nothing new was found that is worth polling; nothing was written")
    raise SystemExit(0 if written else 1)


def _check_name(name: str | None, settings: Settings) -> None:
    if name and not _NAME.fullmatch(name):
        raise UsageError(f"--name {name}: use letters, digits, '.', '_' and '-'")
    if name in {source.name for source in settings.sources}:
        raise UsageError(f"--name {name}: there is a source of that name already; choose another, or remove it first")


def _survey(common: CommonOptions, settings: Settings, url: str) -> tuple[SuggestedSource, ...]:
    from worker.runs.discover_sources import find_sources

    def report(step: str) -> None:
        if common.loudness >= 0:
            print_note(step)

    found, _ = run_until_signal(lambda: find_sources(settings, url, report=report))
    return found


def _address(url: str) -> str:
    """Return an address as it can be fetched: `https` where people leave the scheme out."""
    whole = url if "://" in url else f"https://{url}"
    if not re.fullmatch(r"https?://[^/\s]\S*", whole):
        raise UsageError(f"{url}: not a web address; write https://… or the name of the site")
    return whole


def _asked(new: Sequence[NewSource], *, path: Path) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("nothing was written: nobody can be asked here; say --yes to write what is picked")
    names = ", ".join(each.name for each in new)
    return click.confirm(f"Write {names} to {path}?", default=True, err=True)


def _write(common: CommonOptions, new: Sequence[NewSource]) -> bool:
    """Add sources to the configuration file and say so."""
    from worker.config.edit import edit_file, with_sources
    from worker.logs import escape

    edit_file(_path(common), lambda text: with_sources(text, new), os.environ)
    if not common.as_json:
        for each in new:
            click.echo(escape(f"added {each.name} ({each.kind} {each.url}) to {_path(common)}"))
    return True


@sources.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@options
def check(common: CommonOptions, names: tuple[str, ...]) -> None:
    """Poll every source once, or those named, and tell what each gives; store nothing."""
    from worker.cli.render.tables import check_record, print_checks
    from worker.runs.doctor import check_sources

    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    known = {source.name for source in settings.sources}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(_unknown(unknown, settings))
    chosen = [each for each in settings.sources if (each.name in names if names else each.enabled)]
    checked, _ = run_until_signal(lambda: check_sources(settings, [each.source() for each in chosen]))
    if common.as_json:
        print_json([check_record(each) for each in checked])
    else:
        print_checks(checked)
    raise SystemExit(1 if any(each.finding.failed for each in checked) else 0)


def _unknown(names: Sequence[str], settings: Settings) -> str:
    known = ", ".join(source.name for source in settings.sources) or "none"
    return f"no source is called {', '.join(names)}; the configuration has {known}"


@sources.command()
@click.argument("name", metavar="NAME")
@options
def remove(common: CommonOptions, name: str) -> None:
    """Take a source out of the configuration; what it brought stays in the corpus."""
    from worker.config.edit import edit_file, without_source

    settings = common.settings()
    if name not in {source.name for source in settings.sources}:
        raise UsageError(_unknown([name], settings))
    edit_file(_path(common), lambda text: without_source(text, name), os.environ)
    if common.as_json:
        print_json({"removed": name})
    else:
        click.echo(f"removed {name} from {_path(common)}; what it brought stays in the corpus")


@sources.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options
def pause(common: CommonOptions, names: tuple[str, ...]) -> None:
    """Poll these sources no more until `sources resume`; what they have found already is still worked off."""
    _switch(common, names, enabled=False)


@sources.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options
def resume(common: CommonOptions, names: tuple[str, ...]) -> None:
    """Poll paused sources again."""
    _switch(common, names, enabled=True)


def _switch(common: CommonOptions, names: Sequence[str], *, enabled: bool) -> None:
    """Write to the configuration whether sources are polled; a running daemon follows by itself."""
    from worker.config.edit import edit_file, with_enabled

    settings = common.settings()
    states = {source.name: source.enabled for source in settings.sources}
    if unknown := [name for name in names if name not in states]:
        raise UsageError(_unknown(unknown, settings))
    changed = [name for name in dict.fromkeys(names) if states[name] is not enabled]
    if changed:
        edit_file(_path(common), lambda text: with_enabled(text, changed, enabled=enabled), os.environ)
    done = "resumed" if enabled else "paused"
    if common.as_json:
        print_json({done: changed})
        return
    for name in dict.fromkeys(names):
        if name in changed:
            click.echo(f"{done} {name} in {_path(common)}; a running daemon follows within a minute")
        else:
            click.echo(f"{name} is {'polled' if enabled else 'paused'} already")


@sources.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.opml")
@options
def import_sources(common: CommonOptions, file: Path) -> None:
    """Add the feeds of an OPML list to the configuration, without polling them; known ones are passed over."""
    from worker.config.edit import NewSource, name_for
    from worker.runs.discover_sources import url_key
    from worker.sources.feed.opml import read_opml

    settings = common.settings()
    try:
        with file.open("rb") as opened:
            body = opened.read(_LONGEST_LIST + 1)
    except OSError as exc:
        raise UsageError(f"{file}: cannot be read: {exc.strerror}") from exc
    if len(body) > _LONGEST_LIST:
        raise UsageError(f"{file}: larger than {_LONGEST_LIST:,} bytes, and so no list of feeds")
    outlines, refused = read_opml(body)
    taken = {source.name for source in settings.sources}
    known = {url_key(source.url) for source in settings.sources if source.url}
    new: list[NewSource] = []
    for outline in outlines:
        if url_key(outline.url) not in known:
            new.append(NewSource(name=name_for(outline.url, taken), kind="feed", url=outline.url))
            taken.add(new[-1].name)
    if new:
        _write(common, new)
    if common.as_json:
        print_json(
            {"added": [_plain(each) for each in new], "known": len(outlines) - len(new), "left_out": list(refused)}
        )
    else:
        for each in refused:
            click.echo(f"{file}: {visible(each)}", err=True)
        click.echo(f"{len(outlines)} feeds in {file}: {len(new)} added, {len(outlines) - len(new)} known already")


@sources.command("export")
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="A file instead of standard output.")
@options
def export_sources(common: CommonOptions, output: Path | None) -> None:
    """Write the configured feeds as an OPML list."""
    from worker.export.formats import open_export
    from worker.sources.feed.opml import write_opml

    settings = common.settings()
    body = write_opml([source.source() for source in settings.sources])
    if output is None or output == Path("-"):
        click.echo(body, nl=False)
        return
    common.require_foreign(settings, output)
    with open_export(output) as file:
        file.write(body)


def _path(common: CommonOptions) -> Path:
    return common.config or DEFAULT_CONFIG


def _plain(source: NewSource) -> dict[str, str]:
    return {"name": source.name, "kind": source.kind, "url": source.url}

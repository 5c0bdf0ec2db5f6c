"""The commands about sources: `sources list`, `add`, `check`, `edit`, `pause`, `resume`, `remove`, `import`, `export`.

All changes are made to the configuration file, as edits of its text (`worker.config.edit`); a running daemon re-reads
the file within seconds.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from worker.cli.base import CommonOptions, examples, options, print_json, print_note, run_until_signal
from worker.errors import SourceError, UsageError
from worker.logs import escape
from worker.models.base import counted

if TYPE_CHECKING:
    from worker.config.edit import NewSource
    from worker.config.schema import Settings
    from worker.runs.discover_sources import SuggestedSource

_MAX_OPML_BYTES: Final = 50_000_000
"""Chosen, not measured: hundreds of thousands of feeds, and still small enough to parse in memory."""
# As in the schema, but shorter: `-2` and so on may be appended.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,89}")


@click.group()
@options
def sources(common: CommonOptions) -> None:
    """Manage the sources that are polled."""


@sources.command("list", epilog=examples("sources list"))
@options
def list_sources(common: CommonOptions) -> None:
    """List the configured sources and how their last poll went."""
    from worker.cli.render.tables import print_source_table
    from worker.errors import StoreError
    from worker.storage.store import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    try:
        with open_read_only(settings) as store:
            states = {state.name: state for state in store.reader.sources()}
    except StoreError:
        states = {}  # there is no store before the first run; the configured sources are listed all the same
    print_source_table(settings, states, as_json=common.as_json)
    if not settings.sources:
        print_note("corpus-worker: no source is configured: add one with `corpus-worker sources add URL`")


@sources.command(epilog=examples("sources add example.com", "sources add https://example.com/rss --name example --yes"))
@click.argument("url", metavar="URL")
@click.option("--yes", is_flag=True, help="Write the best sources without asking.")
@click.option("--name", metavar="NAME", help="The name of the new source.")
@options
def add(common: CommonOptions, url: str, yes: bool, name: str | None) -> None:
    """Find sources of a site and add the best of them.

    The site's feeds, sitemaps and listing pages are test-polled; the best are written to the configuration. URL is a
    site's home page, one of its pages, or a feed or sitemap. --json never prompts: without --yes, nothing is written.
    """
    from worker.cli.render.tables import print_suggestions, suggestion_record
    from worker.runs.discover_sources import name_sources, web_address

    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    _check_name(name, settings)
    found = _find_sources(common, settings, web_address(url))
    new = name_sources([each.rated.poll for each in found if each.rated.picked], name, settings)
    if not common.as_json:
        print_suggestions(found)
    agreed = bool(new) and (yes or (not common.as_json and _confirmed(new, path=common.config_file())))
    written = agreed and _write_sources(common, new)
    if common.as_json:
        print_json(
            {
                "written": written,
                "added": [_source_record(each) for each in new],
                "found": list(map(suggestion_record, found)),
            }
        )
    if not new:
        own = "; to poll one all the same, write it as [[sources]] into the configuration" if found else ""
        print_note(f"corpus-worker: {url}: no new source worth polling was found; nothing was written{own}")
    raise SystemExit(0 if written else 1)


def _check_name(name: str | None, settings: Settings) -> None:
    """Raise UsageError if a name has other characters than a source's name may have, or is taken."""
    if name and not _NAME.fullmatch(name):
        raise UsageError(f"--name {name}: use letters, digits, '.', '_' and '-'")
    if name in {source.name for source in settings.sources}:
        raise UsageError(f"--name {name}: a source of that name already exists; choose another, or remove it first")


def _find_sources(common: CommonOptions, settings: Settings, url: str) -> tuple[SuggestedSource, ...]:
    """Search a site for sources, and report each step on standard error."""
    from worker.runs.discover_sources import find_sources

    def report(step: str) -> None:
        if common.verbosity >= 0:
            print_note(step)

    found, _ = run_until_signal(lambda: find_sources(settings, url, report=report))
    return found


def _confirmed(new: Sequence[NewSource], *, path: Path) -> bool:
    """Ask on the terminal whether to write the new sources; raises UsageError without a terminal."""
    if not sys.stdin.isatty():
        raise UsageError("nothing was written: there is no terminal to ask on; add --yes to write what was picked")
    names = ", ".join(each.name for each in new)
    return click.confirm(f"Write {names} to {path}?", default=True, err=True)


def _write_sources(common: CommonOptions, new: Sequence[NewSource]) -> bool:
    """Add sources to the configuration file and print their names; return True."""
    from worker.config.edit import edit_file, with_sources

    edit_file(common.config_file(), lambda text: with_sources(text, new), os.environ)
    if not common.as_json:
        for each in new:
            click.echo(escape(f"added {each.name} ({each.kind} {each.url}) to {common.config_file()}"))
    return True


@sources.command(epilog=examples("sources check", "sources check example"))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@options
def check(common: CommonOptions, names: tuple[str, ...]) -> None:
    """Poll sources once and show what each returns.

    Without a NAME, every enabled source is polled. Nothing is stored.
    """
    from worker.cli.render.tables import check_record, print_checks
    from worker.runs.doctor import check_sources

    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    known = {source.name for source in settings.sources}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(_unknown_names_message(unknown, settings))
    chosen = [each for each in settings.sources if (each.name in names if names else each.enabled)]
    checked, _ = run_until_signal(lambda: check_sources(settings, [each.source() for each in chosen]))
    if common.as_json:
        print_json([check_record(each) for each in checked])
    else:
        print_checks(checked)
        if not chosen:
            print_note("corpus-worker: no source is configured and enabled, so none was checked")
    raise SystemExit(1 if any(each.finding.failed for each in checked) else 0)


def _unknown_names_message(names: Sequence[str], settings: Settings) -> str:
    """Return the error for names that are not configured, with those that are."""
    known = ", ".join(source.name for source in settings.sources) or "none"
    return f"no source is called {', '.join(names)}; the configuration has {known}"


@sources.command(epilog=examples("sources remove example"))
@click.argument("name", metavar="NAME")
@options
def remove(common: CommonOptions, name: str) -> None:
    """Remove a source from the configuration.

    Its articles stay in the corpus.
    """
    from worker.config.edit import edit_file, without_source

    settings = common.settings()
    if name not in {source.name for source in settings.sources}:
        raise UsageError(_unknown_names_message([name], settings))
    edit_file(common.config_file(), lambda text: without_source(text, name), os.environ)
    if common.as_json:
        print_json({"removed": name})
    else:
        click.echo(f"removed {name} from {common.config_file()}; its articles stay in the corpus")


@sources.command(epilog=examples("sources pause example"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options
def pause(common: CommonOptions, names: tuple[str, ...]) -> None:
    """Stop polling sources until `sources resume`.

    Articles they have already found are still processed.
    """
    _set_enabled(common, names, enabled=False)


@sources.command(epilog=examples("sources resume example"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options
def resume(common: CommonOptions, names: tuple[str, ...]) -> None:
    """Poll paused sources again."""
    _set_enabled(common, names, enabled=True)


def _set_enabled(common: CommonOptions, names: Sequence[str], *, enabled: bool) -> None:
    """Write the `enabled` key of sources to the configuration; a running daemon notices the change itself."""
    from worker.config.edit import edit_file, with_enabled

    settings = common.settings()
    states = {source.name: source.enabled for source in settings.sources}
    if unknown := [name for name in names if name not in states]:
        raise UsageError(_unknown_names_message(unknown, settings))
    changed = [name for name in dict.fromkeys(names) if states[name] is not enabled]
    if changed:
        edit_file(common.config_file(), lambda text: with_enabled(text, changed, enabled=enabled), os.environ)
    done = "resumed" if enabled else "paused"
    if common.as_json:
        print_json({done: changed})
        return
    for name in dict.fromkeys(names):
        if name in changed:
            click.echo(f"{done} {name} in {common.config_file()}; a running daemon applies it within seconds")
        else:
            click.echo(f"{name} is already {'polled' if enabled else 'paused'}")


@sources.command(
    epilog=examples("sources edit example every=30m", "sources edit example sites=example.org,example.net since=")
)
@click.argument("name", metavar="NAME")
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE...")
@options
def edit(common: CommonOptions, name: str, changes: tuple[str, ...]) -> None:
    """Change settings of a source in the configuration.

    KEY= without a value removes a key, so that its default counts. A list is written with commas. The rest of the file
    stays as it is, and nothing is written if the result is not valid. The command that undoes the change is printed.
    """
    from worker.config.edit import edit_file, source_value, source_values, with_values

    settings = common.settings()
    source = next((each for each in settings.sources if each.name == name), None)
    if source is None:
        raise UsageError(_unknown_names_message([name], settings))
    pairs = [(key.strip(), text.strip()) for key, equals, text in (each.partition("=") for each in changes) if equals]
    if len(pairs) < len(changes):
        raise UsageError(f"sources edit {name}: write each change as KEY=VALUE, such as every=30m")
    if any(key == "name" for key, _ in pairs):
        raise UsageError(f"sources edit {name}: a source keeps its name, under which its history is stored")
    values = {key: source_value(key, text) if text else None for key, text in pairs}
    was: dict[str, object] = {}

    def change(text: str) -> str:
        was.update(source_values(text, name))
        return with_values(text, name, values)

    edited = edit_file(common.config_file(), change, os.environ)
    for warning in edited.warnings():
        print_note(f"corpus-worker: warning: {warning}")
    _print_edited(common, name, {key: (was.get(key), value) for key, value in values.items()})


def _print_edited(common: CommonOptions, name: str, changes: Mapping[str, tuple[object, object]]) -> None:
    """Print each change of a source, and the command that undoes them."""
    if common.as_json:
        print_json({"edited": name, "changes": {key: {"from": old, "to": new} for key, (old, new) in changes.items()}})
        return
    for key, (old, new) in changes.items():
        click.echo(escape(f"{name}: {key} = {_as_written(new) or 'default'} (was {_as_written(old) or 'default'})"))
    click.echo(f"written to {common.config_file()}; a running daemon applies it within seconds")
    undo = shlex.join(f"{key}={_as_written(old)}" for key, (old, _) in changes.items())
    click.echo(escape(f"to undo: corpus-worker sources edit {shlex.quote(name)} {undo}"))


def _as_written(value: object) -> str:
    """Return a value as `sources edit` takes it, empty for none."""
    from worker.config.edit import toml_of

    if isinstance(value, list) and value and all(isinstance(each, str) and "," not in each for each in value):
        return ",".join(value)
    return "" if value is None else value if isinstance(value, str) else toml_of(value)


@sources.command("import", epilog=examples("sources import feeds.opml"))
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.opml")
@options
def import_sources(common: CommonOptions, file: Path) -> None:
    """Add the feeds of an OPML list to the configuration.

    Nothing is polled; feeds that are already configured are skipped. - is standard input.
    """
    from worker.config.edit import NewSource, name_for
    from worker.runs.discover_sources import url_key
    from worker.sources.feed.opml import read_opml

    settings = common.settings()
    try:
        with nullcontext(sys.stdin.buffer) if file == Path("-") else file.open("rb") as opened:
            body = opened.read(_MAX_OPML_BYTES + 1)
    except OSError as exc:
        raise UsageError(f"{file}: cannot be read: {exc.strerror}") from exc
    if len(body) > _MAX_OPML_BYTES:
        raise UsageError(f"{file}: larger than {_MAX_OPML_BYTES:,} bytes; not a list of feeds")
    try:
        outlines, refused = read_opml(body)
    except SourceError as exc:
        raise SourceError(f"{file}: {exc}") from exc
    taken = {source.name for source in settings.sources}
    known = {url_key(source.url) for source in settings.sources if source.url}
    new: list[NewSource] = []
    for outline in outlines:
        if url_key(outline.url) not in known:
            new.append(NewSource(name=name_for(outline.url, taken), kind="feed", url=outline.url))
            taken.add(new[-1].name)
    if new:
        _write_sources(common, new)
    if common.as_json:
        print_json(
            {
                "added": [_source_record(each) for each in new],
                "known": len(outlines) - len(new),
                "left_out": list(refused),
            }
        )
    else:
        for each in refused:
            click.echo(f"{file}: {escape(each)}", err=True)
        feeds = counted(len(outlines), "feed")
        click.echo(f"{feeds} in {file}: {len(new)} added, {len(outlines) - len(new)} already known")


@sources.command("export", epilog=examples("sources export --output feeds.opml"))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="PATH", help="Output file; default: standard output."
)
@options
def export_sources(common: CommonOptions, output: Path | None) -> None:
    """Write the configured feeds as an OPML list."""
    from worker.export.outputs import open_export
    from worker.sources.feed.opml import write_opml

    settings = common.settings()
    feeds = [source.source() for source in settings.sources]
    body = write_opml(feeds)
    listed = [{"name": each.name, "url": each.url} for each in feeds if each.kind == "feed"]
    if output is None or output == Path("-"):
        if common.as_json:
            print_json(listed)
        else:
            click.echo(body, nl=False)
        return
    common.require_safe_output(settings, output)
    with open_export(str(output)) as file:
        file.write(body)
    if common.as_json:
        print_json({"exported": len(listed), "output": str(output)})


def _source_record(source: NewSource) -> dict[str, str]:
    """Return a new source as JSON values."""
    return {"name": source.name, "kind": source.kind, "url": source.url}

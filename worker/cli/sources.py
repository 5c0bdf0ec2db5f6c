"""The commands about sources: `sources list`, `add`, `check`, `pause`, `resume`, `remove`, `import`, `export`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from worker.cli.common import DEFAULT_CONFIG, Common, note, options, print_json
from worker.cli.signals import until_signal
from worker.errors import UsageError
from worker.logs import escape as visible

if TYPE_CHECKING:
    from worker.prospect.survey import Proposal
    from worker.settings import Settings
    from worker.sources.configuration_text import NewSource

_LONGEST_LIST: Final = 50_000_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,89}")


@click.group()
def sources() -> None:
    """Look after what is polled."""


@sources.command("list")
@options
def list_sources(common: Common) -> None:
    """List the configured sources and how their last poll went."""
    from worker.cli.show import source_table
    from worker.errors import StoreError
    from worker.reading import open_reading

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    try:
        with open_reading(settings) as store:
            states = {state.name: state for state in store.reader.sources()}
    except StoreError:
        states = {}  # nothing was polled yet; the list is worth reading all the same
    source_table(settings, states, as_json=common.as_json)


@sources.command()
@click.argument("url", metavar="URL")
@click.option("--yes", is_flag=True, help="Write the best without asking.")
@click.option("--name", metavar="NAME", help="What to call the source.")
@options
def add(common: Common, url: str, yes: bool, name: str | None) -> None:
    """Find what can be polled on a site, test-poll it, and write the best to the configuration.

    URL is a site's home page, a page of it, or a feed or sitemap. With --json nobody is asked: without --yes nothing is
    written.
    """
    from worker.cli.prospects import as_record, named, show

    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    _check_name(name, settings)
    found = _survey(common, settings, _address(url))
    new = named([each.rated.poll for each in found if each.rated.picked], name, settings)
    if not common.as_json:
        show(found)
    agreed = bool(new) and (yes or (not common.as_json and _asked(new, path=_path(common))))
    written = agreed and _write(common, new)
    if common.as_json:
        print_json({"written": written, "added": [_plain(each) for each in new], "found": list(map(as_record, found))})
    if not new:
        note(f"corpus-worker: {url}: nothing new was found that is worth polling; nothing was written")
    raise SystemExit(0 if written else 1)


def _check_name(name: str | None, settings: Settings) -> None:
    if name and not _NAME.fullmatch(name):
        raise UsageError(f"--name {name}: use letters, digits, '.', '_' and '-'")
    if name in {source.name for source in settings.sources}:
        raise UsageError(f"--name {name}: there is a source of that name already; choose another, or remove it first")


def _survey(common: Common, settings: Settings, url: str) -> tuple[Proposal, ...]:
    from worker.prospect.survey import survey

    def tell(step: str) -> None:
        if common.loudness >= 0:
            note(step)

    found, _ = until_signal(lambda: survey(settings, url, tell=tell))
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


def _write(common: Common, new: Sequence[NewSource]) -> bool:
    """Add sources to the configuration file and say so."""
    from worker.logs import escape
    from worker.rewriting import rewrite
    from worker.sources.configuration_text import with_sources

    rewrite(_path(common), lambda text: with_sources(text, new), os.environ)
    if not common.as_json:
        for each in new:
            click.echo(escape(f"added {each.name} ({each.kind} {each.url}) to {_path(common)}"))
    return True


@sources.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@options
def check(common: Common, names: tuple[str, ...]) -> None:
    """Poll every source once, or those named, and tell what each gives; store nothing."""
    from worker.checkup import check_sources
    from worker.cli.prospects import check_record, show_checks

    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    known = {source.name for source in settings.sources}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(_unknown(unknown, settings))
    chosen = [each for each in settings.sources if (each.name in names if names else each.enabled)]
    checked, _ = until_signal(lambda: check_sources(settings, [each.source() for each in chosen]))
    if common.as_json:
        print_json([check_record(each) for each in checked])
    else:
        show_checks(checked)
    raise SystemExit(1 if any(each.finding.failed for each in checked) else 0)


def _unknown(names: Sequence[str], settings: Settings) -> str:
    known = ", ".join(source.name for source in settings.sources) or "none"
    return f"no source is called {', '.join(names)}; the configuration has {known}"


@sources.command()
@click.argument("name", metavar="NAME")
@options
def remove(common: Common, name: str) -> None:
    """Take a source out of the configuration; what it brought stays in the corpus."""
    from worker.rewriting import rewrite
    from worker.sources.configuration_text import without_source

    settings = common.settings()
    if name not in {source.name for source in settings.sources}:
        raise UsageError(_unknown([name], settings))
    rewrite(_path(common), lambda text: without_source(text, name), os.environ)
    if common.as_json:
        print_json({"removed": name})
    else:
        click.echo(f"removed {name} from {_path(common)}; what it brought stays in the corpus")


@sources.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options
def pause(common: Common, names: tuple[str, ...]) -> None:
    """Poll these sources no more until `sources resume`; what they have found already is still worked off."""
    _switch(common, names, enabled=False)


@sources.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options
def resume(common: Common, names: tuple[str, ...]) -> None:
    """Poll paused sources again."""
    _switch(common, names, enabled=True)


def _switch(common: Common, names: Sequence[str], *, enabled: bool) -> None:
    """Write to the configuration whether sources are polled; a running daemon follows by itself."""
    from worker.rewriting import rewrite
    from worker.sources.configuration_text import with_enabled

    settings = common.settings()
    states = {source.name: source.enabled for source in settings.sources}
    if unknown := [name for name in names if name not in states]:
        raise UsageError(_unknown(unknown, settings))
    changed = [name for name in dict.fromkeys(names) if states[name] is not enabled]
    if changed:
        rewrite(_path(common), lambda text: with_enabled(text, changed, enabled=enabled), os.environ)
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
def import_sources(common: Common, file: Path) -> None:
    """Add the feeds of an OPML list to the configuration, without polling them; known ones are passed over."""
    from worker.prospect.trials import key_of
    from worker.sources.configuration_text import NewSource, name_for
    from worker.sources.opml import read_opml

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
    known = {key_of(source.url) for source in settings.sources if source.url}
    new: list[NewSource] = []
    for outline in outlines:
        if key_of(outline.url) not in known:
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
def export_sources(common: Common, output: Path | None) -> None:
    """Write the configured feeds as an OPML list."""
    from worker.export.whole import opened
    from worker.sources.opml import write_opml

    settings = common.settings()
    body = write_opml([source.source() for source in settings.sources])
    if output is None or output == Path("-"):
        click.echo(body, nl=False)
        return
    common.require_foreign(settings, output)
    with opened(output) as file:
        file.write(body)


def _path(common: Common) -> Path:
    return common.config or DEFAULT_CONFIG


def _plain(source: NewSource) -> dict[str, str]:
    return {"name": source.name, "kind": source.kind, "url": source.url}

"""Commands to look into the corpus: `search`, and `web`, which serves pages for a browser."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import click

from worker.cli.base import CommonOptions, examples, json_time, options, print_json, print_note, run_until_signal
from worker.errors import UsageError
from worker.models.base import counted

if TYPE_CHECKING:
    from worker.models import Passage, SearchHit, SearchResult


DEFAULT_LISTEN: Final = "127.0.0.1:8750"


@click.command(epilog=examples("web", "web --listen 127.0.0.1:9000"))
@click.option(
    "--listen", metavar="HOST:PORT", help=f"The address [default: that of [web] listen, else {DEFAULT_LISTEN}]."
)
@click.option("--read-only", is_flag=True, help="Show no button that changes something, and refuse every change.")
@click.option("--hash-password", is_flag=True, help="Print what [web] password_hash needs; serve nothing.")
@options
def web(common: CommonOptions, listen: str | None, read_only: bool, hash_password: bool) -> None:
    """Serve the web pages until stopped.

    They show an overview, search, and each article. This works beside a running daemon, which serves the same pages
    under [web] listen, and without one.

    With --hash-password, a password is asked for, or read from standard input, and its hash is printed.
    """
    if hash_password:
        _print_hash()
        return
    from worker.config.schema import with_listen
    from worker.config.types import is_loopback
    from worker.runs.pages import WebRun
    from worker.web.access import served_to_others

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    address = listen or settings.web.listen or DEFAULT_LISTEN
    settings = with_listen(settings, address)
    if read_only:
        settings = settings.model_copy(update={"web": settings.web.model_copy(update={"read_only": True})})
    note = "" if is_loopback(address) else f"; {served_to_others(settings.web)}"
    run = WebRun(settings, listen=address, config=common.config_file())

    def report(url: str) -> None:
        print_note(f"corpus-worker: serving {url}{note}")
        if common.as_json:
            print_json({"serving": url})
            sys.stdout.flush()

    _, stopped_by = run_until_signal(lambda: run.run(report))
    raise SystemExit(128 + stopped_by)


def _print_hash() -> None:
    """Print the hash of a password that is typed twice, or is the first line of standard input."""
    from worker.web.passwords import hash_password

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    click.echo(hash_password(password))
    print_note("corpus-worker: put this line, between quotation marks, into [web] password_hash, and restart")


@click.command(epilog=examples("search đường sắt", "search '\"cao tốc\" source:example' --limit 5"))
@click.argument("query", nargs=-1, required=True, metavar="QUERY...")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="The most results.")
@click.option("--source", multiple=True, help="Only texts of this source or host (repeatable).")
@click.option("--language", multiple=True, help="Only texts in this language, such as vi (repeatable).")
@click.option("--section", multiple=True, help="Only texts of this section of a site (repeatable).")
@click.option("--from", "since", metavar="DATE", help="Published on or after a day, month or year (UTC).")
@click.option("--to", "until", metavar="DATE", help="Published on or before it.")
@options
def search(
    common: CommonOptions,
    query: tuple[str, ...],
    limit: int,
    source: tuple[str, ...],
    language: tuple[str, ...],
    section: tuple[str, ...],
    since: str | None,
    until: str | None,
) -> None:
    """Search the texts of the corpus.

    A text has to have every word of QUERY. A word without diacritics finds all its spellings, one with them only its
    own. Quotation marks hold words together ('"cao tốc"'), a minus excludes what follows (write -- before a QUERY that
    begins with one). The filters can be part of QUERY: source:NAME, language:vi, section:NAME, from:2026-11, to:2026.
    """
    from worker.storage.store import open_read_only

    filters = [
        *(("source", each) for each in source),
        *(("language", each) for each in language),
        *(("section", each) for each in section),
        *(_date_filters(("from", since), ("to", until))),
    ]
    settings = common.settings()
    common.set_up_logs(settings.log.format)
    with open_read_only(settings) as store:
        result = store.reader.search(" ".join(query), filters=filters, limit=limit)
    _print_result(result, as_json=common.as_json)
    _print_notes(result)


def _date_filters(*given: tuple[str, str | None]) -> Iterable[tuple[str, str]]:
    """Yield the dates that are given; raises UsageError for one that cannot be read."""
    from worker.storage.corpus.query import parse_query

    for name, value in given:
        if value is None:
            continue
        if parse_query("", filters=[(name, value)]).is_empty:
            raise UsageError(f"--{name} {value}: is no date; write 2026-11-29, 2026-11 or 2026")
        yield name, value


def _print_result(result: SearchResult, *, as_json: bool) -> None:
    for hit in result.hits:
        if as_json:
            print_json(search_record(hit))
        else:
            _print_hit(hit)


def search_record(hit: SearchHit) -> dict[str, object]:
    """Return a result as `search --json` prints it; the hits of the snippet are between asterisks."""
    return {
        "id": hit.id,
        "url": hit.url,
        "title": "".join(piece.text for piece in hit.title),
        "snippet": "".join(f"**{piece.text}**" if piece.is_hit else piece.text for piece in hit.snippet),
        "source": hit.source,
        "published_at": json_time(hit.published_at),
    }


def _print_hit(hit: SearchHit) -> None:
    """Print the title, the place and the snippet of a result, with the hits in bold."""
    from worker.cli.render.tables import console, escape_markup

    out = console()
    when = f"{hit.published_at or hit.fetched_at:%Y-%m-%d}"
    out.print(f"[dim]{hit.id}[/]  {_marked(hit.title) or 'no title'}", soft_wrap=True)
    out.print(f"  [dim]{when}  {escape_markup(hit.source)}  {escape_markup(hit.url)}[/]", soft_wrap=True)
    out.print(f"  {_marked(hit.snippet)}\n", soft_wrap=True)


def _marked(pieces: Sequence[Passage]) -> str:
    from worker.cli.render.tables import escape_markup

    texts = ((escape_markup(piece.text), piece.is_hit) for piece in pieces)
    return "".join(f"[bold]{text}[/]" if is_hit else text for text, is_hit in texts)


def _print_notes(result: SearchResult) -> None:
    """Say what was ignored, that there is more, that nothing was found, or that some texts could not be searched."""
    for note in result.notes:
        print_note(f"corpus-worker: {note}")
    if not result.hits and not result.notes:
        print_note("corpus-worker: no text has all of this")
    if result.more:
        print_note(f"corpus-worker: only the best {len(result.hits)} are shown: see --limit, or narrow the query")
    if result.unindexed:
        print_note(
            f"corpus-worker: {counted(result.unindexed, 'text')} not in the index yet; `ingest` and `run` add them"
        )

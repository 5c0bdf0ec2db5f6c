"""Forgets pages, articles or whole hosts at a request, and lists what a person still has to do: `forget`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.dedupe.judge import Deduper
from worker.errors import NotFoundError, SourceError, StoreError, UsageError
from worker.logs import log
from worker.models.base import dataclass
from worker.sources.files.url_list import lines_of_list
from worker.storage.maintenance.forget import ForgetReport, ForgetRequest
from worker.storage.maintenance.rejudge import JudgeFunction
from worker.storage.store import Store, open_store
from worker.urls import canonicalise, host_of, publisher_host

_WITH_CONTENT: Final = (
    "addresses, articles, candidates, contents, decisions, events, fallbacks, pages, search_texts, seeds"
)
"""The tables that hold what a page says or its address, for a server's VACUUM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetResult:
    """What was forgotten, or in a dry run would be: a report for each request, and what is left to a person."""

    at: datetime
    reports: tuple[ForgetReport, ...]
    to_do: tuple[str, ...]

    def as_record(self) -> dict[str, object]:
        """Return the result as `forget --json` prints it."""
        return {
            "at": _iso(self.at),
            "forgotten": [_record_of(each) for each in self.reports],
            "to_do": list(self.to_do),
        }


def _record_of(report: ForgetReport) -> dict[str, object]:
    found = report.selection
    return {
        "target": report.request.target,
        "host": report.request.is_host,
        "forgotten_before": found.since and _iso(found.since),
        "articles": [asdict(article) for article in found.articles],
        "addresses": sorted(found.urls),
        "pages": found.pages,
        "copies_that_stay": [asdict(article) for article in found.copies],
        "judged_again": [asdict(article) for article in report.judged_again],
    }


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def requests_for(
    targets: Mapping[str, str], hosts: Iterable[str], *, reason: str, copies: bool = False
) -> tuple[ForgetRequest, ...]:
    """Return a request for each target, given with its place ("" if it was on the command line), and for each host.

    Raises UsageError for one that is no URL, id or host.
    """
    made = [ForgetRequest(target=each, reason=reason, copies=copies) for each in targets]
    for each in made:
        if not (each.is_id or each.target.startswith("seed:")):
            _require(canonicalise, each.target, _prefix(targets, each))
    named = [_require(publisher_host, host) for host in hosts]
    return (*made, *(ForgetRequest(target=host, reason=reason, is_host=True, copies=copies) for host in named))


def targets_in(text: str) -> dict[str, str]:
    """Return the targets in standard input, one a line, each with its first place.

    Raises UsageError for a line with anything else.
    """
    found: dict[str, str] = {}
    for number, line in lines_of_list(text):
        place = f"standard input, line {number}"
        if len(line.split()) > 1 and not line.startswith("seed:"):  # the name of a file may have blanks
            raise UsageError(
                f"{place}: {line[:80]!r} is more than a URL or an id; write one a line, comments behind `#`; "
                "nothing was forgotten"
            )
        found.setdefault(line, place)
    return found


def _prefix(places: Mapping[str, str], request: ForgetRequest) -> str:
    """Return what a message about a request begins with."""
    place = "" if request.is_host else places.get(request.target, "")
    return f"{place}: " if place else ""


def _require(of: object, text: str, prefix: str = "") -> str:
    try:
        return str(of(text))  # type: ignore[operator]
    except SourceError as exc:
        raise UsageError(f"{prefix}{exc}; nothing was forgotten") from None


def forget(
    settings: Settings, requests: Sequence[ForgetRequest], *, places: Mapping[str, str], dry_run: bool = False
) -> ForgetResult:
    """Delete everything that the store holds of these, for good; each is done before the next one begins.

    Nothing is deleted before all are found. Whatever ends it later, the same call again completes it. Raises
    NotFoundError for an id that was never in the store, which names its place, and StoreError.
    """
    now = SystemClock().now()
    with open_store(settings.store.url, parameters=Deduper().parameters, create=False) as store:
        judge = Deduper(settings.dedupe, store.reader.weights()).judge
        for request in requests:
            if request.is_id:  # any URL and any host can be forgotten
                _require_known(store, request, _prefix(places, request), judge=judge, now=now)
        done: list[ForgetReport] = []
        left: tuple[str, ...] = ()
        try:
            for request in requests:
                done.append(store.review.forget(request, judge=judge, now=now, dry_run=dry_run))
                log.info("forget.done", articles=len(done[-1].selection.articles), dry_run=dry_run)
        except BaseException:
            log.warning("forget.interrupted", done=len(done), of=len(requests), advice="run the same command again")
            raise
        finally:  # also for what was deleted before an error or an interrupt
            if not dry_run:
                left = _overwrite(store)
    return ForgetResult(at=now, reports=tuple(done), to_do=(*left, *_left_to_people(settings, done)))


def _require_known(store: Store, request: ForgetRequest, prefix: str, *, judge: JudgeFunction, now: datetime) -> None:
    try:
        store.review.forget(request, judge=judge, now=now, dry_run=True)
    except NotFoundError as exc:
        raise NotFoundError(f"{prefix}{exc}; nothing was forgotten") from None


def lift(settings: Settings, requests: Sequence[ForgetRequest]) -> list[tuple[str, datetime]]:
    """Allow what was forgotten to be found again; return each target and when it was forgotten.

    Raises NotFoundError if one of them was not; then nothing has changed.
    """
    with open_store(settings.store.url, parameters=None, create=False) as store:
        times = store.review.lift(requests, now=SystemClock().now())
    return [(request.target, since) for request, since in zip(requests, times, strict=True)]


def _overwrite(store: Store) -> tuple[str, ...]:
    """Overwrite what SQLite's file still holds; return what is left to do if that was not possible."""
    again = "then run the same command again; until then deleted rows may still be in the free space of its file"
    try:
        if store.review.overwrite_forgotten():
            return ()
    except StoreError as exc:
        return (f"the store was not written anew ({exc}): {again}",)
    return (f"a long reader (an export, a backup) kept the log of the store: wait until it has ended, {again}",)


def _left_to_people(settings: Settings, done: Sequence[ForgetReport]) -> Iterator[str]:
    """Yield what the store cannot do by itself."""
    for name in sorted({name for each in done for name in each.selection.files}):
        yield f"{name} still has it: delete it there"
    for source in settings.sources:
        if any(each.request.is_host and _is_below(source.url, each.request.target) for each in done):
            yield f"the source {source.name} polls a forgotten host: `corpus-worker sources remove {source.name}`"
    ids = sorted({article.id for each in done for article in each.selection.articles})
    if ids:
        listed = ", ".join(map(str, ids[:10])) + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")
        yield "backups and copies of the store, exports and log files from before still have it: delete or replace them"
        yield f"releases from before still have it (article {listed}): `release --since` lists it in removed.parquet"
    if ids and not settings.store.url.startswith("sqlite"):
        yield (
            "the server keeps the bytes of deleted rows in its files, and their words in the index of search, until "
            f"the tables are rewritten: run VACUUM (FULL) {_WITH_CONTENT}; mind its standbys and the archives of its "
            "log (docs/store.md, Forgetting)"
        )


def _is_below(url: str, host: str) -> bool:
    try:
        found = host_of(url)
    except SourceError:
        return False
    return found == host or found.endswith(f".{host}")

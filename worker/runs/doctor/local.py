"""The checks that need no network: machine, configuration, store and seed corpus."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from worker.app import seed_options
from worker.clock import SystemClock
from worker.config.load import mask_url
from worker.config.schema import Settings
from worker.config.sources import DEFAULT_TIMEZONE
from worker.config.types import format_duration
from worker.dedupe.judge import Deduper
from worker.errors import ConfigurationError, StoreError, StoreMissing
from worker.extract.ipc import control_groups, usable_cores
from worker.fetch.http.network_backend import DEFAULT_AGENT, is_local, parse_connect_to
from worker.fetch.identity import require_identity
from worker.models import AuditReport, Seed
from worker.models.base import counted, format_utc
from worker.pipeline.prepare_seeds import make_reader, take
from worker.runs.doctor.findings import Finding, make_finding
from worker.runs.notify import LITTLE_DISK
from worker.sources.files.article_files import InputProblem
from worker.sources.files.seed_rows import SeedFile
from worker.sources.files.seeds import (
    SAMPLE,
    SAMPLE_DIGESTS,
    count_rows,
    describe_problem,
    find_seed_files,
    read_seed_file,
    sample_size,
)
from worker.storage.db.migrate import VERSIONS
from worker.storage.store import Store, open_store

AREA: Final = "machine"
_OLDEST_PYTHON: Final = (3, 11)
_MB: Final = 1_000_000
"""Bytes in a megabyte, as disks and this command's output count them."""
_PROCESS_BYTES: Final = 300 * _MB
"""Memory of one extraction process on large pages: an upper estimate. In an endurance run the daemon and three such
processes held 594 MB together (docs/daemon.md, "Measured")."""
_MAIN_BYTES: Final = 500 * _MB
"""Memory of the main process with its index and language data: an upper estimate, for the same reason."""
_NO_DISK: Final = 100 * _MB  # what one run needs; chosen, not measured
_SPARE_FILES: Final = 100
"""Open files besides connections and pipes: the store, libraries, logs and the status pages."""
_SAMPLE_FOLDER: Final = "seeds/sample"
_FILES_READ: Final = 20  # seed files of which the first rows are read; chosen: it takes a second or two
_FOREIGN_SHARE: Final = 0.9  # of a source's pages, rejected for their language: hardly by chance. Chosen
_FOREIGN_PAGES: Final = 5  # fewer may be chance; chosen
_SLACK: Final = timedelta(days=1)
"""Tolerance of the clock check: files of an installation may carry the time of another time zone."""


def check_machine(settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """Check Python, cores, memory, disk space, open files, the clock and the time zone data."""
    processes = settings.extract.processes or usable_cores()
    yield python(sys.version_info[:3])
    yield cpus(usable_cores(), processes=processes)
    yield memory(free_memory(), processes=processes)
    folder = nearest_folder(store_path(settings.store.url) or Path())
    yield disk(shutil.disk_usage(folder).free, folder=folder)
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield open_files(soft, connections=settings.fetch.max_connections, processes=processes)
    installed = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    yield clock(now, installed=installed)
    yield time_zones()


def python(version: tuple[int, ...]) -> Finding:
    """Check the Python version."""
    found = f"{platform.python_implementation()} {'.'.join(map(str, version))}"
    return make_finding(AREA, "python", found, fail=version < _OLDEST_PYTHON, remedy="use Python 3.11 or later")


def cpus(count: int, *, processes: int) -> Finding:
    """Check that there are enough cores for the extraction processes."""
    found = f"{count} cores, {processes} extraction processes"
    remedy = f"set [extract] processes to {count} or less: more processes than cores bring nothing"
    return make_finding(AREA, "cpu", found, warn=processes > count, remedy=remedy)


def memory(free: int | None, *, processes: int) -> Finding:
    """Check the available memory (bytes; None if unknown)."""
    if free is None:
        return make_finding(AREA, "memory", "the free memory of this system is unknown")
    need = _MAIN_BYTES + processes * _PROCESS_BYTES
    found = f"{free // _MB:,} MB free, a run takes up to about {need // _MB:,} MB"
    return make_finding(
        AREA, "memory", found, warn=free < need, remedy="lower [extract] processes, or stop other programs"
    )


def disk(free: int, *, folder: Path) -> Finding:
    """Check the free disk space (bytes) in the folder of the store."""
    found = f"{free // _MB:,} MB free in {folder.absolute()}"
    remedy = "free some space, or move the store with [store] url: a full disk stops every run"
    return make_finding(AREA, "disk", found, warn=free < LITTLE_DISK, fail=free < _NO_DISK, remedy=remedy)


def open_files(limit: int, *, connections: int, processes: int) -> Finding:
    """Check the limit on open files: two for each connection and each extraction process, and some to spare."""
    need = 2 * connections + 2 * processes + _SPARE_FILES
    unlimited = limit == resource.RLIM_INFINITY
    found = f"{'no limit' if unlimited else f'{limit:,} allowed'}, a run takes up to about {need:,}"
    remedy = f"raise the limit (ulimit -n {2 * need}), or lower [fetch] max_connections"
    return make_finding(AREA, "open files", found, warn=not unlimited and limit < need, remedy=remedy)


def clock(now: datetime, *, installed: datetime) -> Finding:
    """Check the wall clock: it cannot be earlier than the installation of this program."""
    found = format_utc(now)
    if now >= installed - _SLACK:
        return make_finding(AREA, "clock", found)
    found += f", {format_duration(timedelta(days=(installed - now).days))} before this program was installed"
    return make_finding(
        AREA, "clock", found, fail=True, remedy="set the clock: poll times and the dates of articles depend on it"
    )


def time_zones() -> Finding:
    """Check that the time zone data can be read."""
    try:
        ZoneInfo(DEFAULT_TIMEZONE)
    except (ZoneInfoNotFoundError, OSError):
        remedy = "install the system's tzdata package, or the Python package tzdata"
        return make_finding(AREA, "time zones", f"no data for {DEFAULT_TIMEZONE}", fail=True, remedy=remedy)
    return make_finding(AREA, "time zones", f"{DEFAULT_TIMEZONE} is known")


def store_path(url: str) -> Path | None:
    """Return the file of a SQLite store; None for a server."""
    return Path(url.removeprefix("sqlite:///").partition("?")[0]) if url.startswith("sqlite:///") else None


def nearest_folder(path: Path) -> Path:
    """Return the nearest existing folder above a path."""
    return next(folder for folder in path.absolute().parents if folder.is_dir())


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory available without swapping, to this process; None where the system does not say."""
    try:
        lines = (root / "proc" / "meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([*available, *filter(None, map(_left_in, control_groups(root)))], default=None)


def _left_in(group: Path) -> int | None:
    """Return the bytes that a control group may still use, the page cache that can be given up included."""
    try:
        limit, used = (int((group / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):  # no limit, which is written "max", or no such files
        return None
    return limit - used + sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


_STORE_PATIENCE: Final = timedelta(seconds=5)
"""How long a store that does not answer is waited for: a person waits for the result."""


def check_configuration(settings: Settings) -> Iterator[Finding]:
    """Check settings that are valid but may be mistakes."""
    yield _user_agent(settings)
    yield make_finding(
        "configuration",
        "robots.txt",
        "obeyed" if settings.fetch.obey_robots else "ignored, by [fetch] obey_robots",
        warn=not settings.fetch.obey_robots,
        remedy="set obey_robots = true unless the sites are your own",
    )
    polled, paused = sum(each.enabled for each in settings.sources), [s.name for s in settings.sources if not s.enabled]
    yield make_finding(
        "configuration",
        "sources",
        f"{polled} of {len(settings.sources)} enabled" + (f"; paused: {', '.join(paused)}" if paused else ""),
        warn=not polled,
        remedy="add one: corpus-worker sources add URL",
    )
    yield from _unused(settings)
    try:
        require_identity(settings)
    except ConfigurationError as exc:
        yield make_finding(
            "configuration", "fetching", str(exc), fail=True, remedy="nothing is fetched before this is fixed"
        )


def _unused(settings: Settings) -> Iterator[Finding]:
    """Yield the keys that have no effect for their kind of source."""
    for remark in settings.warnings():
        yield make_finding("configuration", "sources", remark, warn=True, remedy="from version 0.3 on this is an error")


def _user_agent(settings: Settings) -> Finding:
    """Check that the user agent is not the shipped default, under which only loopback is fetched from."""
    is_default, urls = settings.fetch.has_default_agent, [each.url for each in settings.sources if each.enabled]
    connect_to = parse_connect_to(settings.fetch.connect_to)
    refused = [url for url in urls if url.startswith("http") and not is_local(url, connect_to)] if is_default else []
    return make_finding(
        "configuration",
        "user agent",
        f'"{settings.fetch.user_agent}"' + (f": {DEFAULT_AGENT.partition(';')[0]}" if is_default else ""),
        warn=is_default,
        fail=bool(refused),
        remedy="set [fetch] user_agent to a name and an address where the owner of a site can reach you; "
        "until then, nothing is fetched but from this machine",
    )


def check_store(settings: Settings) -> Iterator[Finding]:
    """Check that the store can be opened and written, and that its totals are right; list the workers on it."""
    path = store_path(settings.store.url)
    if path is not None:
        yield make_finding("store", "sqlite", sqlite3.sqlite_version)
        yield _check_access(path)
        if not path.exists():
            yield make_finding("store", "store", f"{path} does not exist yet; the first run creates it")
            return
    try:
        store = open_store(settings.store.url, parameters=None, create=False, patience=_STORE_PATIENCE)
    except StoreMissing:
        yield make_finding(
            "store", "store", f"{mask_url(settings.store.url)} is still empty; the first run creates its tables"
        )
        return
    except StoreError as exc:
        yield make_finding("store", "store", str(exc), fail=True, remedy="nothing can run before this is fixed")
        return
    with store:
        yield from _check_open_store(store, settings)


def _check_open_store(store: Store, settings: Settings) -> Iterator[Finding]:
    """Yield the findings on a store that could be opened; stop if it cannot be read."""
    url = settings.store.url
    yield make_finding("store", "store", f"{mask_url(url)}, schema {VERSIONS[-1]}")
    if store_path(url) is None:
        yield _check_rights(store)
    try:
        yield from _list_workers(store)
        totals, sample = store.reader.counts(), store.reader.seeds_among(SAMPLE_DIGESTS)
    except StoreError as exc:
        yield make_finding("store", "books", str(exc), fail=True, remedy="restore the last backup")
        return
    yield _check_totals(totals)
    if totals.clusters:
        yield _check_verdicts(store, settings)
    if sample and not any(Path(path).name == SAMPLE for path in settings.seeds.path):
        yield _sample_seeds(sample)
    yield from _foreign_sources(store, settings)


def _foreign_sources(store: Store, settings: Settings) -> Iterator[Finding]:
    """Warn about sources of which nearly everything is rejected for its language."""
    foreign = store.reader.foreign_pages() if settings.extract.languages else {}
    for name in (source.name for source in settings.sources if source.enabled and source.name in foreign):
        pages, read, detail = foreign[name]
        if pages >= max(_FOREIGN_PAGES, _FOREIGN_SHARE * read):
            found = f"source {name}: {pages:,} of {read:,} pages are rejected for their language, such as one {detail}"
            remedy = "add the language to [extract] languages, or remove the source"
            yield make_finding("store", "languages", found, warn=True, remedy=remedy)


def _sample_seeds(count: int) -> Finding:
    """Warn about seeds of the demonstration in a real corpus: their texts are invented."""
    return make_finding(
        "store",
        "sample seeds",
        f"{count:,} of the invented texts of seeds/sample are in this corpus",
        warn=True,
        remedy=f"remove them: corpus-worker seeds remove {_SAMPLE_FOLDER}",
    )


def _check_verdicts(store: Store, settings: Settings) -> Finding:
    """Check whether the verdicts in the store were made with the current rules."""
    now, then = Deduper(settings.dedupe, store.reader.weights()).terms, store.reader.terms()
    return make_finding(
        "store",
        "verdicts",
        f"made with {now}" if then == now else f"made with {then or 'the rules of an earlier version'}; now: {now}",
        warn=then != now,
        remedy="stored verdicts stay; see what would change: corpus-worker reprocess --dedupe --dry-run",
    )


def _check_rights(store: Store) -> Finding:
    """Check the rights of the database role."""
    try:
        store.require_rights()
    except StoreError as exc:
        return make_finding("store", "access", str(exc), fail=True, remedy="nothing can run before this is fixed")
    return make_finding("store", "access", "this role may read and write every table")


def _list_workers(store: Store) -> Iterator[Finding]:
    """Name the daemon and the workers that use the store."""
    daemon = store.reader.daemon()
    no_daemon = "none is running on this store" if daemon is not None else "not known: a pooler or a lock file hides it"
    yield make_finding("store", "daemon", daemon or no_daemon)
    present = store.workers(now=SystemClock().now())
    yield make_finding("store", "workers", ", ".join(map(str, present)) or "none is running")


def _check_totals(totals: AuditReport) -> Finding:
    """Check that every candidate is in exactly one state."""
    found = f"{totals.discovered:,} discovered, {counted(totals.clusters, 'text')} in the corpus"
    return make_finding(
        "store",
        "books",
        found if totals.balanced else f"{found}, but the states add up to {sum(totals.counts.values()):,}",
        fail=not totals.balanced,
        remedy="see what is wrong: corpus-worker audit",
    )


def _check_access(path: Path) -> Finding:
    """Check the permissions of the store's file and folder."""
    folder = nearest_folder(path)
    refused = [place for place in (folder, path) if place.exists() and not os.access(place, os.W_OK)]
    found = f"{refused[0]} cannot be written" if refused else f"{folder} can be written"
    return make_finding(
        "store", "access", found, fail=bool(refused), remedy="change its permissions, or set [store] url"
    )


def check_seeds(settings: Settings) -> Finding:
    """Count the seed files and about how many rows they have, and read the first rows of each."""
    paths = settings.seeds.path
    if not paths:
        return make_finding("seeds", "seeds", "none are configured")
    found = list(find_seed_files(paths))
    files = [each for each in found if isinstance(each, SeedFile)]
    chosen = seed_options(settings)
    reader = make_reader(chosen, SystemClock().now(), Deduper().parameters)
    first = [each for file in files[:_FILES_READ] for each in take(read_seed_file(reader, file))]
    wrong = [describe_problem(each) for each in (*found, *first) if isinstance(each, InputProblem)]
    sample = sum(sample_size(Path(path)) for path in paths)
    not_read = f"; the {sample:,} of the demonstration in {SAMPLE}/ are left out" if sample else ""
    where = ", ".join(paths)
    if not any(isinstance(each, Seed) for each in first):
        detail = wrong[0] if wrong else f"{where}: no seed in it{not_read}"
        return make_finding("seeds", "seeds", detail, warn=True, remedy="put the seed corpus there, or run without one")
    rows = sum(count_rows(file) or 0 for file in files)
    left_out = f"; {len(wrong):,} left out: {wrong[0]}" if wrong else ""
    detail = f"about {rows:,} in {len(files):,} files and folders of {where}{not_read}{left_out}"
    return make_finding("seeds", "seeds", detail, warn=bool(wrong), remedy="correct or remove what is left out")

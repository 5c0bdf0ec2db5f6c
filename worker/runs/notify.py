"""Sends what needs a person to the addresses of `[notify]`, through apprise: mail, chats, webhooks.

check:  what is wrong now | what was sent of it before (a note in the store) | one message, at most once a cause and day

A cause that has ended is reported once, too. A message that cannot be delivered is a line in the log and a count, and
is tried again at the next check. Addresses hold passwords: none is logged or printed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import unquote

from worker.app import App
from worker.config.schema import Settings
from worker.config.types import format_rounded
from worker.errors import SourceError, StoreError
from worker.files.reading import note_progress, read_in_thread
from worker.logs import escape, log
from worker.models import Alarm, Health, SourceStats, StoreStats
from worker.models.base import counted, dataclass
from worker.models.records import LOST, source_warnings
from worker.ports import MetricsSink
from worker.schedule.drift import SILENCE_FACTOR
from worker.storage.store import worker_name

if TYPE_CHECKING:
    from apprise import Apprise

    from worker.storage.corpus.reader import StoreReader

    ReadStore = Callable[[Callable[[StoreReader], int | None]], Awaitable[int | None]]

CHECK_EVERY: Final = timedelta(minutes=5)
"""How often the daemon looks for what needs a person; trouble of the daemon itself counts from the second check on."""
DAY: Final = timedelta(days=1)
"""A cause is reported at most once in this time; a source is dead, and news is missing, after as much."""
LITTLE_DISK: Final = 1_000_000_000
"""Bytes: days of raw pages fill as much. Chosen, not measured; below it `doctor` warns as well."""
LOST_SHOWN_FOR: Final = timedelta(days=7)
"""How long the pages show lost pages: long enough for someone who looks once a week."""
NOTE: Final = "notifications sent"
_STORE_TIMEOUT_S: Final = 60.0  # as for the daemon's other queries: simple reads take milliseconds
_MAX_CHARS: Final = 300  # of one line; chosen: it fits a message on a telephone
_SECRET_PART: Final = 4  # letters of a part of an address that is masked; shorter ones occur in any text
INSTALL_HINT: Final = 'needs apprise: run `pip install "corpus-worker[notify]"`'

_PARTS: Final = re.compile(r"[:/@?&=,\s]+")

Send = Callable[[str, str, str], str]
"""Sends title and body to an address; returns why that failed, an empty text if it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentNotice:
    """What was said of a cause last, and when; `open` until its end was reported."""

    at: datetime
    open: bool = True

    @property
    def stage(self) -> tuple[datetime, bool]:
        """Orders what was said of one cause: a later report, and its end, are greater."""
        return self.at, not self.open


@dataclass(frozen=True, slots=True, kw_only=True)
class Problems:
    """What needs a person now: a sentence by cause. `checked` are the beginnings of the causes that were looked for."""

    found: Mapping[str, str]
    checked: tuple[str, ...]


def plan_notices(
    problems: Problems, sent: Mapping[str, SentNotice], *, now: datetime
) -> tuple[list[str], dict[str, SentNotice]]:
    """Return the lines to send now, and what will have been sent then. Pure."""
    lines, after = [], dict[str, SentNotice]()
    for cause, sentence in problems.found.items():
        before = sent.get(cause)
        if before is None or now - before.at >= DAY:
            lines.append(f"{cause}: {sentence}")
            after[cause] = SentNotice(at=now)
        else:
            after[cause] = before
    for cause, before in sent.items():
        if cause in after:
            continue
        if before.open and cause.startswith(problems.checked):
            lines.append(f"{cause}: well again")
            after[cause] = replace(before, open=False)
        elif now - before.at < DAY:
            after[cause] = before
    return lines, after


def problems_of_sources(sources: Sequence[SourceStats], *, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield cause and sentence of each source that is dead, has missed items or has changed; a paused one has none."""
    for source in sources:
        for each in source_warnings(source, now=now):
            what = {"polls": "dead", "gap": "gap"}.get(each.what, f"drift ({each.what})")
            age = now - each.since
            # A failure counts once it has lasted for a day, a gap for a day after it.
            if {"polls": age >= DAY, "gap": age < DAY}.get(each.what, True):
                yield f"source {source.name}: {what}", each.detail


def general_alarms(
    sources: Sequence[SourceStats], free: int | None, *, machine: str, began: datetime, now: datetime
) -> Iterator[Alarm]:
    """Yield what needs a person beside single sources: no news at all, and a full disk (`free`: bytes on it).

    `began` is when somebody began to watch. Sources that are paused do not count.
    """
    polled = [source for source in sources if not source.paused]
    newest = max((source.newest_at for source in sources if source.newest_at), default=began)
    usual = min((source.state.learned.publishing_stats.silence for source in polled), default=timedelta(0))
    if polled and now - newest >= max(DAY, SILENCE_FACTOR * usual):
        detail = f"no new article for {format_rounded(now - newest)} from {counted(len(polled), 'source')}"
        yield Alarm(what="no news", since=newest, detail=detail)
    if free is not None and free < LITTLE_DISK:
        detail = f"{free // 1_000_000:,} MB are free beside the store"
        yield Alarm(what=f"disk of {machine}", since=now, detail=detail)


async def alarms_of_store(figures: StoreStats | None, read: ReadStore | None, *, now: datetime) -> tuple[Alarm, ...]:
    """Return the `general_alarms` of a store for its web pages; none while it is not open (`read` is None)."""
    if figures is None or read is None:
        return ()
    try:
        free = await read(lambda reader: reader.database.free_bytes())
    except (StoreError, OSError):
        free = None
    return tuple(general_alarms(figures.sources, free, machine=_machine(), began=now, now=now))


def _machine() -> str:
    return worker_name().rpartition(":")[0]


def lost_by_day(hours: Mapping[tuple[datetime, str], int], *, now: datetime) -> Counter[datetime]:
    """Return how many pages extraction has lost on each of the last days."""
    days: Counter[datetime] = Counter()
    for (hour, state), number in hours.items():
        if state == LOST and now - hour < LOST_SHOWN_FOR:
            days[hour.replace(hour=0)] += number
    return days


def losses(hours: Mapping[tuple[datetime, str], int], *, now: datetime) -> Iterator[Alarm]:
    """Yield an alarm for each day on which extraction has lost pages."""
    for day, number in lost_by_day(hours, now=now).items():
        pages = f"{number:,} {'page' if number == 1 else 'pages'}"
        detail = f"{pages} lost on {day:%Y-%m-%d}: `corpus-worker reprocess --rejected` reads what is kept again"
        yield Alarm(what="lost", since=day, detail=detail)


class Notifier:
    """Watches one daemon; what it has sent is kept in the store, and in memory while that does not answer."""

    def __init__(self, *, now: datetime, meter: MetricsSink, send: Send | None = None) -> None:
        self._began = now
        self._meter = meter
        self._send = send or send_with_apprise
        self._sent: dict[str, SentNotice] = {}
        self._was_ill = False
        self._sending: set[str] = set()
        self._machine = _machine()

    async def check(
        self, settings: Settings, health: Health, app: App | None, *, now: datetime, alarms: Sequence[Alarm] = ()
    ) -> None:
        """Look for what needs a person, and send what has to be said of it; a failure is a line in the log.

        `alarms` are those of the daemon, which its overview shows as well.
        """
        urls = [each.get_secret_value() for each in settings.notify.urls]
        if not urls:
            return
        problems = await self._problems(health, alarms, app, now=now)
        plan = await self._change_note(app, lambda sent: _Plan.of(problems, sent, now=now))
        self._sent = plan.after
        if plan.lines and not await self._deliver(urls, plan.lines):
            self._sent = plan.before
            undone = await self._change_note(app, plan.undone)
            self._sent = undone.after

    async def _problems(self, health: Health, alarms: Sequence[Alarm], app: App | None, *, now: datetime) -> Problems:
        """Return what is wrong with the daemon, and with the sources and the disk if the store answers."""
        place = f"daemon on {self._machine}"
        found = {place: health.reason} if not health.ok and self._was_ill else {}
        # What is not well at one check alone may just be starting; its end is not reported before it is well.
        checked: tuple[str, ...] = (place,) if health.ok else (f"{place}: ",)
        found |= {f"{place}: {each.what}": each.detail for each in alarms}
        self._was_ill = not health.ok
        if app is not None:
            try:
                async with asyncio.timeout(_STORE_TIMEOUT_S):
                    stats, free, hours = await app.offload(_read_state, app, since=now - 2 * DAY)
            except (StoreError, TimeoutError):
                pass  # the health says so
            else:
                polled = {source.name for source in app.sources if source.enabled}
                sources = [replace(each, paused=each.name not in polled) for each in stats]
                found |= problems_of_sources(sources, now=now)
                general = general_alarms(sources, free, machine=self._machine, began=self._began, now=now)
                found |= {each.what: each.detail for each in general}
                # A loss is an event, not a state: nothing says later that it is well again.
                found |= {f"extraction, {each.since:%Y-%m-%d}": each.detail for each in losses(hours, now=now)}
                checked += ("no news", f"disk of {self._machine}", *(f"source {name}: " for name in polled))
        return Problems(found=found, checked=checked)

    async def _change_note(self, app: App | None, plan: Callable[[Mapping[str, SentNotice]], _Plan]) -> _Plan:
        """Replace what was sent by what a plan makes of it, in the store; in memory alone if that does not answer."""

        def change(note: str) -> tuple[str, _Plan]:
            stored = _read_note(note)
            newer = {c: each for c, each in self._sent.items() if c not in stored or stored[c].stage < each.stage}
            made = plan({**stored, **newer})
            return _written_note(made.after), made

        if app is not None:
            try:
                async with asyncio.timeout(_STORE_TIMEOUT_S):
                    return await app.offload(app.store.change_note, NOTE, change)
            except (StoreError, TimeoutError) as exc:
                log.warning("notify.not_noted", error=str(exc) or "the store does not answer")
        return plan(self._sent)

    async def _deliver(self, urls: Sequence[str], lines: Sequence[str]) -> bool:
        """Send lines to every address; return whether one of them took the message."""
        title = f"Corpus Worker on {self._machine}"
        body = "\n".join(_shortened(line) for line in lines)
        results = [self._deliver_to(place, url, title, body) for place, url in named_addresses(urls)]
        return any(await asyncio.gather(*results))

    async def _deliver_to(self, place: str, url: str, title: str, body: str) -> bool:
        why = (
            "the message before has not ended"
            if url in self._sending
            else await deliver(self._sent_by, url, title, body)
        )
        self._meter.notified("failed" if why else "sent")
        if why:
            log.warning("notify.failed", address=place, error=why)
        else:
            log.info("notify.sent", address=place, lines=body.count("\n") + 1)
        return not why

    def _sent_by(self, url: str, title: str, body: str) -> str:
        """Send a message on this thread, which may have been given up by then."""
        self._sending.add(url)
        try:
            return self._send(url, title, body)
        finally:
            self._sending.discard(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The lines to send, and what was sent before and is sent after them."""

    lines: list[str]
    before: dict[str, SentNotice]
    after: dict[str, SentNotice]

    @classmethod
    def of(cls, problems: Problems, sent: Mapping[str, SentNotice], *, now: datetime) -> Self:
        """Return what is to be sent now."""
        lines, after = plan_notices(problems, sent, now=now)
        return cls(lines=lines, before=dict(sent), after=after)

    def undone(self, sent: Mapping[str, SentNotice]) -> _Plan:
        """Return a plan that takes back what this one has noted, since it could not be sent."""
        changed = {cause for cause, each in self.after.items() if self.before.get(cause) != each}
        rest = {cause: each for cause, each in sent.items() if cause not in changed}
        undone = {cause: self.before[cause] for cause in changed if cause in self.before}
        return _Plan(lines=[], before=dict(sent), after={**rest, **undone})


def _read_state(
    app: App, *, since: datetime
) -> tuple[tuple[SourceStats, ...], int | None, Mapping[tuple[datetime, str], int]]:
    """Return the sources, the free bytes on the store's disk, and the outcomes by hour since a time."""
    reader = app.store.reader
    return reader.source_stats(), reader.database.free_bytes(), reader.activity(after=0, since=since).hours


def _read_note(note: str) -> dict[str, SentNotice]:
    """Return what was sent, by cause; nothing for a note that an earlier or later version wrote in another form."""
    try:
        return {
            cause: SentNotice(at=datetime.fromisoformat(each["at"]), open=bool(each["open"]))
            for cause, each in json.loads(note or "{}").items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _written_note(sent: Mapping[str, SentNotice]) -> str:
    return json.dumps({cause: {"at": each.at.isoformat(), "open": each.open} for cause, each in sent.items()})


def _shortened(line: str) -> str:
    """Return a line without control characters, and not too long: parts of it come from the web."""
    line = escape(" ".join(line.split()))
    return line if len(line) <= _MAX_CHARS else f"{line[:_MAX_CHARS]}…"


# The addresses, and apprise.


def named_addresses(urls: Iterable[str]) -> list[tuple[str, str]]:
    """Return each address with what may be shown of it: its number and its service."""
    return [(f"{number} ({url.partition('://')[0]})", url) for number, url in enumerate(urls, start=1)]


def unusable_addresses(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each address of `[notify]` that nothing can be sent to."""
    if settings.notify.urls and importlib.util.find_spec("apprise") is None:
        yield f"notify.urls: {INSTALL_HINT}"
        return
    for place, url in named_addresses(each.get_secret_value() for each in settings.notify.urls):
        if _opened(url) is None:
            yield f"notify.urls: address {place} is none that apprise knows; see its list of services"


async def deliver(send: Send, url: str, title: str, body: str) -> str:
    """Send a message on a thread of its own; return why that failed, an empty text if it did not."""
    try:
        return await read_in_thread(send, url, title, body)
    except SourceError:
        return "no answer within a minute"
    except Exception as exc:  # noqa: BLE001 - a fault of a service's module: its text may hold parts of the address
        return f"internal error: {type(exc).__name__}"


def send_with_apprise(url: str, title: str, body: str) -> str:
    """Send a message to an address; return why that failed, without what the address holds."""
    if importlib.util.find_spec("apprise") is None:
        return INSTALL_HINT
    service = _opened(url)
    if service is None:
        return "no address that apprise knows"
    with _apprise_log() as said:
        is_sent = service.notify(title=title, body=body, notify_type="warning", body_format="text")
    return "" if is_sent else _masked("; ".join(said) or "not accepted", url)


def _opened(url: str) -> Apprise | None:
    """Return the service of an address, None if apprise knows none; nothing is written to disk, nothing logged."""
    from apprise import Apprise, AppriseAsset, PersistentStoreMode

    note_progress()  # loading apprise takes seconds, on a busy machine more: that is not the receiver's time
    asset = AppriseAsset(storage_mode=PersistentStoreMode.MEMORY, async_mode=False, app_id="Corpus Worker")
    with _apprise_log():
        service = Apprise(asset=asset)
        return service if service.add(url) else None


@contextmanager
def _apprise_log() -> Iterator[list[str]]:
    """Collect what apprise logs on this thread, in place of the log: it holds addresses."""
    said, thread = list[str](), threading.get_ident()

    class Collector(logging.Handler):
        """Keeps the messages of one thread."""

        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                said.append(record.getMessage())

    logger, collector = logging.getLogger("apprise"), Collector(level=logging.WARNING)
    logger.propagate = False
    logger.addHandler(collector)
    try:
        yield said
    finally:
        logger.removeHandler(collector)


def _masked(text: str, url: str) -> str:
    """Return a text in which every part of an address that may be a secret is `***`."""
    parts = {*_PARTS.split(url), *_PARTS.split(unquote(url))}
    for part in sorted((part for part in parts if len(part) >= _SECRET_PART), key=len, reverse=True):
        text = text.replace(part, "***")
    return _shortened(text)

"""Policies of a site: robots.txt and tdmrep.json of every origin, fetched once, cached in memory and in the host store.

RFC 9309, 2.3.1: a 4xx response allows everything; a 5xx response or none at all forbids everything, but the last good
copy is used for up to a day. 429 is treated like 5xx: "too many requests" is no permission to send more. Workers on one
store share the copies, so each robots.txt is fetched once a day. A run that a person asks for by address reads it again
once, unless the copy is a few minutes old: who has just had a site's rules changed would else wait a day.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import httpx

from worker.charset import read_json
from worker.errors import FetchBlocked, FetchError
from worker.fetch.http.semantics import REDIRECTS
from worker.fetch.http.ssrf import parse_url, resolve_location, url_host, url_origin
from worker.fetch.politeness import KeyedSemaphore
from worker.fetch.request import FetchContext, HttpRequest, HttpResponse, RequestRunner, Step
from worker.fetch.robots import ALLOW_ALL, MAX_BYTES, PathPattern, Robots, parse_robots, path_of, product_token
from worker.models import Rights
from worker.models.base import dataclass, format_utc
from worker.ports import Clock, HostRegistry, RobotsRecord, RunInThread

MAX_AGE = timedelta(hours=24)  # RFC 9309, 2.4: no copy should be used for longer
# How soon an unavailable robots.txt is fetched again: it blocks the whole site (chosen, not measured). Also how old a
# copy may be at the start of a run that a person asked for: who tries ten pages of a site costs it one request more.
RETRY_INTERVAL = timedelta(minutes=5)
MAX_REDIRECTS = 5  # RFC 9309, 2.3.1.2: at least five must be followed
# Both bound the memory of the cache: 100,000 parsed disallow rules take 36 MB (measured), whatever hostile files hold.
# An origin that was evicted is read from the store again.
MAX_CACHED_ORIGINS = 1_024
MAX_CACHED_RULES = 100_000


def is_fresh(record: RobotsRecord, *, now: datetime) -> bool:
    """Return whether a record can be used without fetching the file again."""
    age = now - record.checked_at
    return timedelta(0) <= age < (RETRY_INTERVAL if is_unavailable(record.status) else MAX_AGE)


def is_unavailable(status: int | None) -> bool:
    """Return whether a status (None: no response) leaves open what may be fetched: no response, 5xx, 429."""
    return status is None or status >= 500 or status == 429


def robots_of_record(record: RobotsRecord, token: str, *, now: datetime) -> Robots | None:
    """Return the rules of a record; None if nothing may be fetched for now."""
    if not is_unavailable(record.status):
        return parse_robots(record.body, token) if record.status in range(200, 300) else ALLOW_ALL
    if record.good_at is not None and now - record.good_at < MAX_AGE:
        return parse_robots(record.body, token)
    return None


@dataclass(frozen=True, slots=True)
class _CachedRobots:
    """A parsed robots.txt; its record comes without the body."""

    record: RobotsRecord
    robots: Robots | None

    @property
    def rules(self) -> int:
        return len(self.robots.rules) + len(self.robots.usage) if self.robots is not None else 0


def usage_headers(robots: Robots, url: str) -> dict[str, str]:
    """Return what robots.txt states about the use of a page, as headers of the page; servers' own are not kept."""
    return {f"robots-{name}": value for name, value in robots.statements(url).items()}


def refuse_usage(robots: Robots, url: httpx.URL, refuse: Collection[str]) -> None:
    """Raise FetchBlocked (`rights`) if robots.txt states about a page what the configuration refuses."""
    stated = robots.statements(str(url)) if refuse and robots.usage else {}
    rights = Rights(
        content_usage=tuple(filter(None, stated.get("content-usage", "").split(", "))),
        content_signal=tuple(filter(None, stated.get("content-signal", "").split(", "))),
    )
    if signal := rights.refused_by(refuse):
        raise FetchBlocked(f"robots.txt of {url_host(url)} reserves the page's rights: {signal}", reason="rights")


class _CachedFile(Protocol):
    @property
    def record(self) -> RobotsRecord: ...


Entry = TypeVar("Entry", bound=_CachedFile)


class _OriginCache(Generic[Entry]):
    """One parsed file of every origin, in memory; at any time one task loads that of an origin."""

    def __init__(self, runner: RequestRunner, *, clock: Clock, hosts: HostRegistry, offload: RunInThread) -> None:
        self._oldest: datetime | None = None
        self._runner = runner
        self._clock = clock
        self._hosts = hosts
        self._offload = offload
        self._cache: dict[str, Entry] = {}
        self._locks = KeyedSemaphore(1)

    def reread(self) -> None:
        """Use no copy from more than some minutes before now."""
        self._oldest = self._clock.now() - RETRY_INTERVAL

    async def _entry(self, origin: str, load: Callable[[], Awaitable[Entry]]) -> Entry:
        """Return the entry of an origin, loaded if there is none in memory or if it is too old."""
        cached = self._cached(origin)
        if cached is None:
            async with self._locks.acquire(origin):
                cached = self._cached(origin) or await load()
        return cached

    def _cached(self, origin: str) -> Entry | None:
        cached = self._cache.get(origin)
        return cached if cached is not None and self._is_usable(cached.record) else None

    def _is_usable(self, record: RobotsRecord) -> bool:
        new_enough = self._oldest is None or record.checked_at >= self._oldest
        return new_enough and is_fresh(record, now=self._clock.now())


class RobotsCache(_OriginCache[_CachedRobots]):
    """The robots.txt of every origin, for one user agent."""

    def __init__(
        self, runner: RequestRunner, *, user_agent: str, clock: Clock, hosts: HostRegistry, offload: RunInThread
    ) -> None:
        super().__init__(runner, clock=clock, hosts=hosts, offload=offload)
        self._token = product_token(user_agent)
        self._rules = 0

    async def check(self, url: httpx.URL, context: FetchContext) -> Robots:
        """Return the robots.txt of a URL that it allows.

        Raises FetchBlocked (`robots`) with the rule that forbids the URL and the age of the copy, and FetchError
        (`robots-silent`) if the file cannot be read for now.
        """
        cached, robots = await self._usable(url, context)
        decision = robots.decide(str(url))
        context.observe(
            Step(what="robots", detail=f"{'allowed' if decision.allowed else 'forbidden'}: {decision}", url=str(url))
        )
        if not decision.allowed:
            message = f"robots.txt of {url_host(url)} forbids it: {decision.rule}; {_age_of(cached.record)}"
            raise FetchBlocked(message, reason="robots")
        return robots

    async def robots(self, url: httpx.URL, context: FetchContext) -> Robots:
        """Return the robots.txt that applies to a URL, fetched if the copy is too old; raises FetchError."""
        _, robots = await self._usable(url, context)
        return robots

    async def _usable(self, url: httpx.URL, context: FetchContext) -> tuple[_CachedRobots, Robots]:
        origin = url_origin(url)
        cached = await self._entry(origin, lambda: self._load(origin, context))
        if cached.robots is None:
            raise _unavailable_error(cached.record)
        return cached, cached.robots

    async def _load(self, origin: str, context: FetchContext) -> _CachedRobots:
        """Return the robots.txt from the store if it is fresh, else fetch and save it."""
        stored = await self._offload(self._hosts.robots, origin)
        if stored is not None and self._is_usable(stored):
            return self._store(stored)
        record = await self._fetch(origin, stored, context)
        await self._offload(self._hosts.save_robots, record)
        return self._store(record)

    def _store(self, record: RobotsRecord) -> _CachedRobots:
        """Add a robots.txt to the cache, and evict the oldest ones while it is too large."""
        # The store keeps the body. In memory, half a megabyte for each hostile site would add up.
        cached = _CachedRobots(replace(record, body=b""), robots_of_record(record, self._token, now=self._clock.now()))
        self._evict(record.origin)
        self._cache[record.origin] = cached
        self._rules += cached.rules
        while len(self._cache) > MAX_CACHED_ORIGINS or (self._rules > MAX_CACHED_RULES and len(self._cache) > 1):
            self._evict(next(iter(self._cache)))
        return cached

    def _evict(self, origin: str) -> None:
        cached = self._cache.pop(origin, None)
        self._rules -= cached.rules if cached is not None else 0

    async def _fetch(self, origin: str, stored: RobotsRecord | None, context: FetchContext) -> RobotsRecord:
        """Fetch a robots.txt; on failure return the stored copy as unavailable, or raise if there is none."""
        try:
            response = await self._follow_redirects(parse_url(f"{origin}/robots.txt"), context)
        except FetchBlocked as error:
            message = f"{origin}/robots.txt may not be fetched: {error}"
            raise FetchBlocked(message, reason=error.reason) from error
        except FetchError as error:
            if stored is None or stored.good_at is None:
                raise
            return self._unavailable_record(stored, None, str(error))
        if is_unavailable(response.status):
            return self._unavailable_record(
                stored or RobotsRecord(origin=origin, checked_at=self._clock.now(), status=None), response.status, ""
            )
        now = self._clock.now()
        return RobotsRecord(origin=origin, checked_at=now, status=response.status, body=response.body, good_at=now)

    def _unavailable_record(self, stored: RobotsRecord, status: int | None, error: str) -> RobotsRecord:
        return RobotsRecord(
            origin=stored.origin,
            checked_at=self._clock.now(),
            status=status,
            body=stored.body,
            good_at=stored.good_at,
            error=error,
        )

    async def _follow_redirects(self, url: httpx.URL, context: FetchContext) -> HttpResponse:
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._runner.run(_robots_request(url), context)
            location = response.headers.get("location")
            if response.status not in REDIRECTS or location is None:
                return response
            context.observe(Step(what="redirect", detail=f"{response.status} to {location[:200]}", url=str(url)))
            url = resolve_location(url, location)
        # RFC 9309, 2.3.1.2: after more redirects the file may be treated as missing.
        return HttpResponse(status=404, headers=httpx.Headers())


def _robots_request(url: httpx.URL) -> HttpRequest:
    return HttpRequest(
        url=url,
        accept="text/plain,*/*;q=0.5",
        wants_body=lambda status, _headers: status in range(200, 300),
        max_bytes=MAX_BYTES,
        truncate=True,
    )


def _age_of(record: RobotsRecord) -> str:
    """Return in words when a copy was read, and until when it is used."""
    again = record.checked_at + (RETRY_INTERVAL if is_unavailable(record.status) else MAX_AGE)
    return f"read {format_utc(record.good_at or record.checked_at)}, used until {format_utc(again)}"


def _unavailable_error(record: RobotsRecord) -> FetchError:
    """Return the FetchError (`robots-silent`) for a site whose robots.txt is unavailable."""
    what = f"answered {record.status}" if record.status is not None else record.error
    return FetchError(
        f"{record.origin}/robots.txt cannot be read ({what}); nothing is fetched from this site until it can be",
        reason="robots-silent",
        retry=True,
        status=record.status,
        retry_at=record.checked_at + RETRY_INTERVAL,
    )


# Fetch and parse `/.well-known/tdmrep.json` (TDM Reservation Protocol, W3C community group report, 2024).
#
# With this file a site reserves its rights to text and data mining. It is fetched once a day for each origin, with the
# same SSRF checks and rate limit as pages, and kept in the store beside the site's robots.txt. A missing or unreadable
# file reserves nothing; the page's own header and meta element are read elsewhere (`extract`) and take precedence.


PATH = "/.well-known/tdmrep.json"
HEADER = "well-known-tdm-reservation"
"""The name under which the result is added to the headers of a page; one that a server sends is not kept."""

# Bounds for hostile files, chosen, not measured: real files hold a handful of rules in a kilobyte. Together with the
# number of origins they bound the memory of the cache.
MAX_TDMREP_BYTES = 200_000
MAX_TDMREP_RULES = 1_000


@dataclass(frozen=True, slots=True)
class TdmRule:
    """One rule: a path pattern, and `1` if rights are reserved for these paths, `0` if not."""

    location: str
    pattern: PathPattern
    value: str


def parse_tdmrep(body: bytes) -> tuple[TdmRule, ...]:
    """Parse a file; entries that are no rule are skipped, and anything that is no JSON list has no rules."""
    try:
        data = read_json(body)
    except (ValueError, RecursionError):
        return ()
    rules = [_rule(each) for each in data[:MAX_TDMREP_RULES]] if isinstance(data, list) else []
    return tuple(rule for rule in rules if rule is not None)


def _rule(data: object) -> TdmRule | None:
    """Return one entry of the list as a rule, None if it is not one."""
    if not isinstance(data, dict):
        return None
    location, value = data.get("location"), str(data.get("tdm-reservation"))
    if not isinstance(location, str) or value not in {"0", "1"}:
        return None
    anchored = location.endswith("$")
    segments = tuple(location.removesuffix("$").split("*"))
    return TdmRule(location, PathPattern(segments, anchored), value)


def reservation_for(rules: tuple[TdmRule, ...], url: str) -> str:
    """Return `1`, `0`, or an empty text if no rule matches the URL.

    The longest matching location wins, and of equally long ones the rule that reserves.
    """
    path = path_of(url)
    matching = [rule for rule in rules if rule.pattern.matches(path)]
    best = max(matching, key=lambda rule: (len(rule.location), rule.value), default=None)
    return best.value if best is not None else ""


@dataclass(frozen=True, slots=True)
class _CachedRules:
    """The parsed rules of one file; the record comes without the body."""

    record: RobotsRecord
    rules: tuple[TdmRule, ...]


class TdmrepCache(_OriginCache[_CachedRules]):
    """The tdmrep.json of every origin, in memory and in the host store."""

    async def reservation(self, url: httpx.URL, robots: Robots, context: FetchContext) -> str:
        """Return `1` if the site reserves the rights to a page, `0` if it does not, an empty text if it does not say.

        Never raises FetchError: a page is not lost because this file cannot be fetched. `robots` is that of the page.
        """
        origin = url_origin(url)
        cached = await self._entry(origin, lambda: self._load(origin, robots, context))
        return reservation_for(cached.rules, str(url))

    async def _load(self, origin: str, robots: Robots, context: FetchContext) -> _CachedRules:
        # Stored like a robots.txt, with the URL of the file in place of the origin.
        address = f"{origin}{PATH}"
        stored = await self._offload(self._hosts.robots, address)
        if stored is None or not self._is_usable(stored):
            stored = await self._fetch(address, stored, robots, context)
            await self._offload(self._hosts.save_robots, stored)
        # The store keeps the body; in memory, those of all origins would add up.
        cached = _CachedRules(replace(stored, body=b""), parse_tdmrep(stored.body))
        self._cache.pop(origin, None)
        self._cache[origin] = cached
        if len(self._cache) > MAX_CACHED_ORIGINS:
            self._cache.pop(next(iter(self._cache)))
        return cached

    async def _fetch(
        self,
        address: str,
        stored: RobotsRecord | None,
        robots: Robots,
        context: FetchContext,
    ) -> RobotsRecord:
        """Fetch the file unless robots.txt forbids it; a failure keeps the stored body and is recorded."""
        now, body = self._clock.now(), stored.body if stored is not None else b""
        if not robots.decide(address).allowed:
            return RobotsRecord(origin=address, checked_at=now, status=403)
        try:
            response = await self._runner.run(_tdmrep_request(address, robots), context)
        except FetchError as error:
            return RobotsRecord(origin=address, checked_at=self._clock.now(), status=None, body=body, error=str(error))
        context.observe(Step(what="tdm reservation", detail=f"fetched, status {response.status}", url=address))
        now = self._clock.now()
        if is_unavailable(response.status):
            return RobotsRecord(origin=address, checked_at=now, status=response.status, body=body)
        return RobotsRecord(origin=address, checked_at=now, status=response.status, body=response.body, good_at=now)


def _tdmrep_request(address: str, robots: Robots) -> HttpRequest:
    return HttpRequest(
        url=parse_url(address),
        accept="application/json,*/*;q=0.5",
        wants_body=lambda status, _headers: status == 200,
        max_bytes=MAX_TDMREP_BYTES,
        delay=robots.crawl_delay,
        truncate=True,
    )

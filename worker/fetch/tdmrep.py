"""Fetch and parse `/.well-known/tdmrep.json` (TDM Reservation Protocol, W3C community group report, 2024).

With this file a site reserves its rights to text and data mining. It is fetched once a day for each origin, with the
same SSRF checks and rate limit as pages, and kept in the store beside the site's robots.txt. A missing or unreadable
file reserves nothing; the page's own header and meta element are read elsewhere (`extract`) and take precedence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import httpx

from worker.charset import read_json
from worker.errors import FetchError
from worker.fetch.http.ssrf import parse_url, url_origin
from worker.fetch.rate_limit import KeyedSemaphore
from worker.fetch.request import HttpRequest, PausableDeadline, RequestRunner, Step, StepObserver
from worker.fetch.robots import PathPattern, Robots, path_of
from worker.fetch.robots_cache import is_fresh
from worker.ports import Clock, HostRegistry, RobotsRecord, RunInThread

PATH = "/.well-known/tdmrep.json"
HEADER = "well-known-tdm-reservation"
"""The name under which the result is added to the headers of a page; servers do not send it."""

# Bounds for hostile files, chosen, not measured: real files hold a handful of rules in a kilobyte. Together with the
# number of origins they bound the memory of the cache.
MAX_BYTES = 200_000
MAX_RULES = 1_000
MAX_CACHED_ORIGINS = 1_024


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
    rules = [_rule(each) for each in data[:MAX_RULES]] if isinstance(data, list) else []
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


class TdmrepCache:
    """The tdmrep.json of every origin, in memory and in the host store."""

    def __init__(self, runner: RequestRunner, *, clock: Clock, hosts: HostRegistry, offload: RunInThread) -> None:
        self._runner = runner
        self._clock = clock
        self._hosts = hosts
        self._offload = offload
        self._cache: dict[str, _CachedRules] = {}
        self._locks = KeyedSemaphore(1)

    async def reservation(
        self, url: httpx.URL, robots: Robots, deadline: PausableDeadline, observe: StepObserver
    ) -> str:
        """Return `1` if the site reserves the rights to a page, `0` if it does not, an empty text if it does not say.

        Never raises FetchError: a page is not lost because this file cannot be fetched. `robots` is that of the page.
        """
        origin = url_origin(url)
        cached = self._cached(origin)
        if cached is None:
            async with self._locks.acquire(origin):
                cached = self._cached(origin) or await self._load(origin, robots, deadline, observe)
        return reservation_for(cached.rules, str(url))

    def _cached(self, origin: str) -> _CachedRules | None:
        cached = self._cache.get(origin)
        return cached if cached is not None and is_fresh(cached.record, now=self._clock.now()) else None

    async def _load(
        self, origin: str, robots: Robots, deadline: PausableDeadline, observe: StepObserver
    ) -> _CachedRules:
        # Stored like a robots.txt, with the URL of the file in place of the origin.
        address = f"{origin}{PATH}"
        stored = await self._offload(self._hosts.robots, address)
        if stored is None or not is_fresh(stored, now=self._clock.now()):
            stored = await self._fetch(address, stored, robots, deadline, observe)
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
        deadline: PausableDeadline,
        observe: StepObserver,
    ) -> RobotsRecord:
        """Fetch the file unless robots.txt forbids it; a failure keeps the stored body and is recorded."""
        now, body = self._clock.now(), stored.body if stored is not None else b""
        if not robots.decide(address).allowed:
            return RobotsRecord(origin=address, checked_at=now, status=403)
        try:
            response = await self._runner.run(_tdmrep_request(address, robots), deadline, observe)
        except FetchError as error:
            return RobotsRecord(origin=address, checked_at=self._clock.now(), status=None, body=body, error=str(error))
        observe(Step(what="tdm reservation", detail=f"fetched, status {response.status}", url=address))
        now = self._clock.now()
        if response.status >= 500 or response.status == 429:
            return RobotsRecord(origin=address, checked_at=now, status=response.status, body=body)
        return RobotsRecord(origin=address, checked_at=now, status=response.status, body=response.body, good_at=now)


def _tdmrep_request(address: str, robots: Robots) -> HttpRequest:
    return HttpRequest(
        url=parse_url(address),
        accept="application/json,*/*;q=0.5",
        wants_body=lambda status, _headers: status == 200,
        max_bytes=MAX_BYTES,
        delay=robots.crawl_delay,
        truncate=True,
    )

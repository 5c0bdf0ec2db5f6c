"""Know what a site reserves in `/.well-known/tdmrep.json` (TDM Reservation Protocol, W3C community report of 2024).

Asked for once a day and origin, kept in the store beside the site's robots.txt, under the same guard and pace. A site
that has no such file, or cannot say, reserves nothing by it: then the page's own header and meta element speak alone.
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
"""The name under which a page carries what the file says of it; no header of HTTP."""

MAX_BYTES = 200_000
MAX_RULES = 1_000
MAX_ORIGINS = 1_024


@dataclass(frozen=True, slots=True)
class TdmRule:
    """One rule: which paths, and `1` where rights are reserved, `0` where they are not."""

    location: str
    pattern: PathPattern
    value: str


def parse_tdmrep(body: bytes) -> tuple[TdmRule, ...]:
    """Read the rules of a file; what is no rule is passed over, whatever the bytes are."""
    try:
        said = read_json(body)
    except (ValueError, RecursionError):
        return ()
    rules = [_rule(each) for each in said[:MAX_RULES]] if isinstance(said, list) else []
    return tuple(rule for rule in rules if rule is not None)


def _rule(said: object) -> TdmRule | None:
    if not isinstance(said, dict):
        return None
    location, value = said.get("location"), str(said.get("tdm-reservation"))
    if not isinstance(location, str) or value not in {"0", "1"}:
        return None
    anchored = location.endswith("$")
    segments = tuple(location.removesuffix("$").split("*"))
    return TdmRule(location, PathPattern(segments, anchored), value)


def reservation_for(rules: tuple[TdmRule, ...], url: str) -> str:
    """Return what the rules say of a URL: the longest location that fits wins, of equals the one that reserves."""
    path = path_of(url)
    fitting = [rule for rule in rules if rule.pattern.matches(path)]
    best = max(fitting, key=lambda rule: (len(rule.location), rule.value), default=None)
    return best.value if best is not None else ""


@dataclass(frozen=True, slots=True)
class _CachedRules:
    record: RobotsRecord
    rules: tuple[TdmRule, ...]


class TdmrepCache:
    """Holds the file of every origin, and asks for it when it is due."""

    def __init__(self, visitor: RequestRunner, *, clock: Clock, hosts: HostRegistry, offload: RunInThread) -> None:
        self._visitor = visitor
        self._clock = clock
        self._hosts = hosts
        self._offload = offload
        self._known: dict[str, _CachedRules] = {}
        self._asking = KeyedSemaphore(1)

    async def reservation(self, url: httpx.URL, robots: Robots, budget: PausableDeadline, observe: StepObserver) -> str:
        """Return `1` where a site reserves the rights to a page, `0` where it says it does not, else nothing.

        Raises nothing for a file that cannot be had: the page is there.
        """
        origin = url_origin(url)
        known = self._fresh(origin)
        if known is None:
            async with self._asking.enter(origin):
                known = self._fresh(origin) or await self._find(origin, robots, budget, observe)
        return reservation_for(known.rules, str(url))

    def _fresh(self, origin: str) -> _CachedRules | None:
        known = self._known.get(origin)
        return known if known is not None and is_fresh(known.record, now=self._clock.now()) else None

    async def _find(self, origin: str, robots: Robots, budget: PausableDeadline, observe: StepObserver) -> _CachedRules:
        address = f"{origin}{PATH}"
        stored = await self._offload(self._hosts.robots, address)
        if stored is None or not is_fresh(stored, now=self._clock.now()):
            stored = await self._ask(address, stored, robots, budget, observe)
            await self._offload(self._hosts.keep_robots, stored)
        # The store keeps the body, as it does that of robots.txt: of every origin it would add up in memory.
        known = _CachedRules(replace(stored, body=b""), parse_tdmrep(stored.body))
        self._known.pop(origin, None)
        self._known[origin] = known
        if len(self._known) > MAX_ORIGINS:
            self._known.pop(next(iter(self._known)))
        return known

    async def _ask(
        self, address: str, stored: RobotsRecord | None, robots: Robots, budget: PausableDeadline, observe: StepObserver
    ) -> RobotsRecord:
        now, body = self._clock.now(), stored.body if stored is not None else b""
        if not robots.ruling(address).allowed:
            return RobotsRecord(origin=address, checked_at=now, status=403)
        try:
            reply = await self._visitor.visit(_tdmrep_request(address, robots), budget, observe)
        except FetchError as error:
            return RobotsRecord(origin=address, checked_at=self._clock.now(), status=None, body=body, error=str(error))
        observe(Step(what="tdm reservation", detail=f"asked, answered {reply.status}", url=address))
        now = self._clock.now()
        if reply.status >= 500 or reply.status == 429:
            return RobotsRecord(origin=address, checked_at=now, status=reply.status, body=body)
        return RobotsRecord(origin=address, checked_at=now, status=reply.status, body=reply.body, good_at=now)


def _tdmrep_request(address: str, robots: Robots) -> HttpRequest:
    return HttpRequest(
        url=parse_url(address),
        accept="application/json,*/*;q=0.5",
        wants=lambda status, _headers: status == 200,
        max_bytes=MAX_BYTES,
        delay=robots.crawl_delay,
        cut=True,
    )

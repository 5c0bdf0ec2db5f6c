"""Keep every origin's robots.txt at hand: fetch it when it is due, remember it in the store, judge URLs by it.

RFC 9309, 2.3.1: an answer of 4xx allows everything, 5xx and silence forbid everything; a good copy up to a day old
is used meanwhile. 429 is counted as silence: a server that asks for patience has not said "come in".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import httpx

from worker.charset import read_json
from worker.errors import FetchBlocked, FetchError
from worker.fetch.http.semantics import REDIRECTS
from worker.fetch.http.ssrf import parse_url, resolve_location, url_host, url_origin
from worker.fetch.politeness import KeyedSemaphore
from worker.fetch.request import HttpRequest, HttpResponse, PausableDeadline, RequestRunner, Step, StepObserver
from worker.fetch.robots import ALLOW_ALL, MAX_BYTES, PathPattern, Robots, parse_robots, path_of, product_token
from worker.ports import Clock, HostRegistry, RobotsRecord, RunInThread

GOOD_FOR = timedelta(hours=24)
RETRY_AFTER = timedelta(minutes=5)
MAX_REDIRECTS = 5
MAX_ORIGINS = 1_024
MAX_RULES = 100_000


def is_fresh(record: RobotsRecord, *, now: datetime) -> bool:
    """Tell whether a robots.txt need not be asked for again yet."""
    age = now - record.checked_at
    return timedelta(0) <= age < (RETRY_AFTER if is_unavailable(record.status) else GOOD_FOR)


def is_unavailable(status: int | None) -> bool:
    """Tell whether a site left open what may be fetched: unreachable, or an error of its own."""
    return status is None or status >= 500 or status == 429


def robots_of_record(record: RobotsRecord, token: str, *, now: datetime) -> Robots | None:
    """Return what a record means; None where nothing may be fetched for now."""
    if not is_unavailable(record.status):
        return parse_robots(record.body, token) if record.status in range(200, 300) else ALLOW_ALL
    if record.good_at is not None and now - record.good_at < GOOD_FOR:
        return parse_robots(record.body, token)
    return None


@dataclass(frozen=True, slots=True)
class _CachedRobots:
    record: RobotsRecord
    robots: Robots | None

    @property
    def rules(self) -> int:
        return len(self.robots.rules) if self.robots is not None else 0


class RobotsCache:
    """Lets through what robots.txt allows."""

    def __init__(
        self, visitor: RequestRunner, *, user_agent: str, clock: Clock, hosts: HostRegistry, offload: RunInThread
    ) -> None:
        self._visitor = visitor
        self._token = product_token(user_agent)
        self._clock = clock
        self._hosts = hosts
        self._offload = offload
        self._known: dict[str, _CachedRobots] = {}
        self._rules = 0
        self._asking = KeyedSemaphore(1)

    async def check(self, url: httpx.URL, budget: PausableDeadline, observe: StepObserver) -> Robots:
        """Return the site's wishes; raises FetchBlocked (`robots`) with the rule, FetchError where it is silent."""
        robots = await self.robots(url, budget, observe)
        ruling = robots.ruling(str(url))
        observe(Step(what="robots", detail=f"{'allowed' if ruling.allowed else 'forbidden'}: {ruling}", url=str(url)))
        if not ruling.allowed:
            raise FetchBlocked(f"robots.txt of {url_host(url)} forbids it: {ruling.rule}", reason="robots")
        return robots

    async def robots(self, url: httpx.URL, budget: PausableDeadline, observe: StepObserver) -> Robots:
        """Return the robots.txt that rules a URL, fetched if it is due."""
        origin = url_origin(url)
        known = self._fresh(origin)
        if known is None:
            async with self._asking.enter(origin):
                known = self._fresh(origin) or await self._find(origin, budget, observe)
        if known.robots is None:
            raise _unavailable_error(known.record)
        return known.robots

    def _fresh(self, origin: str) -> _CachedRobots | None:
        known = self._known.get(origin)
        return known if known is not None and is_fresh(known.record, now=self._clock.now()) else None

    async def _find(self, origin: str, budget: PausableDeadline, observe: StepObserver) -> _CachedRobots:
        stored = await self._offload(self._hosts.robots, origin)
        if stored is not None and is_fresh(stored, now=self._clock.now()):
            return self._remember(stored)
        record = await self._ask(origin, stored, budget, observe)
        await self._offload(self._hosts.keep_robots, record)
        return self._remember(record)

    def _remember(self, record: RobotsRecord) -> _CachedRobots:
        # The store keeps the body; here a hostile half megabyte a site would add up to all memory there is.
        known = _CachedRobots(replace(record, body=b""), robots_of_record(record, self._token, now=self._clock.now()))
        self._forget(record.origin)
        self._known[record.origin] = known
        self._rules += known.rules
        while len(self._known) > MAX_ORIGINS or (self._rules > MAX_RULES and len(self._known) > 1):
            self._forget(next(iter(self._known)))
        return known

    def _forget(self, origin: str) -> None:
        known = self._known.pop(origin, None)
        self._rules -= known.rules if known is not None else 0

    async def _ask(
        self, origin: str, stored: RobotsRecord | None, budget: PausableDeadline, observe: StepObserver
    ) -> RobotsRecord:
        try:
            reply = await self._follow(parse_url(f"{origin}/robots.txt"), budget, observe)
        except FetchBlocked as error:
            message = f"{origin}/robots.txt may not be fetched: {error}"
            raise FetchBlocked(message, reason=error.reason) from error
        except FetchError as error:
            if stored is None or stored.good_at is None:
                raise
            return self._silent(stored, None, str(error))
        if is_unavailable(reply.status):
            return self._silent(
                stored or RobotsRecord(origin=origin, checked_at=self._clock.now(), status=None), reply.status, ""
            )
        now = self._clock.now()
        return RobotsRecord(origin=origin, checked_at=now, status=reply.status, body=reply.body, good_at=now)

    def _silent(self, stored: RobotsRecord, status: int | None, error: str) -> RobotsRecord:
        return RobotsRecord(
            origin=stored.origin,
            checked_at=self._clock.now(),
            status=status,
            body=stored.body,
            good_at=stored.good_at,
            error=error,
        )

    async def _follow(self, url: httpx.URL, budget: PausableDeadline, observe: StepObserver) -> HttpResponse:
        for _ in range(MAX_REDIRECTS + 1):
            reply = await self._visitor.visit(_robots_request(url), budget, observe)
            location = reply.headers.get("location")
            if reply.status not in REDIRECTS or location is None:
                return reply
            observe(Step(what="redirect", detail=f"{reply.status} to {location[:200]}", url=str(url)))
            url = resolve_location(url, location)
        # RFC 9309, 2.3.1.2: a longer chain counts as "there is none".
        return HttpResponse(status=404, headers=httpx.Headers())


def _robots_request(url: httpx.URL) -> HttpRequest:
    return HttpRequest(
        url=url,
        accept="text/plain,*/*;q=0.5",
        wants=lambda status, _headers: status in range(200, 300),
        max_bytes=MAX_BYTES,
        cut=True,
    )


def _unavailable_error(record: RobotsRecord) -> FetchError:
    what = f"answered {record.status}" if record.status is not None else record.error
    return FetchError(
        f"{record.origin}/robots.txt cannot be read ({what}): nothing is fetched there until it can",
        reason="robots-silent",
        retry=True,
        status=record.status,
        retry_at=record.checked_at + RETRY_AFTER,
    )


# Know what a site reserves in `/.well-known/tdmrep.json` (TDM Reservation Protocol, W3C community report of 2024).
#
# Asked for once a day and origin, kept in the store beside the site's robots.txt, under the same guard and pace. A site
# that has no such file, or cannot say, reserves nothing by it: then the page's own header and meta element speak alone.


PATH = "/.well-known/tdmrep.json"
HEADER = "well-known-tdm-reservation"
"""The name under which a page carries what the file says of it; no header of HTTP."""

MAX_TDMREP_BYTES = 200_000
MAX_TDMREP_RULES = 1_000


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
    rules = [_rule(each) for each in said[:MAX_TDMREP_RULES]] if isinstance(said, list) else []
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
        max_bytes=MAX_TDMREP_BYTES,
        delay=robots.crawl_delay,
        cut=True,
    )

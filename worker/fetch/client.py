"""Fetch one page: robots, turns, redirects, conditions and limits in the order they come.

fetch:  check URL | robots.txt | visit | redirect? again | status | body | page
visit:  check URL | host closed? | wait for the turn | resolve, check, connect | ask | read within limits
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import httpx

from worker.config.schema import FetchSettings
from worker.errors import ConfigurationError, FetchError
from worker.fetch.circuit_breaker import CircuitBreakers
from worker.fetch.http.connections import Connections, TlsContext
from worker.fetch.http.network_backend import GuardedBackend, parse_connect_to
from worker.fetch.http.semantics import (
    PERMANENT,
    REDIRECTS,
    UNCONDITIONAL_EVERY,
    USABLE,
    Cookies,
    accept_header,
    check_content_type,
    condition_headers,
    kept_headers,
    status_error,
    validators_after,
    validators_in,
)
from worker.fetch.http.ssrf import (
    Network,
    Resolve,
    Resolver,
    check_url,
    parse_networks,
    parse_url,
    resolve_location,
    url_host,
    url_origin,
)
from worker.fetch.rate_limit import HostRateLimiter
from worker.fetch.request import (
    FetchTrace,
    HttpRequest,
    HttpResponse,
    PausableDeadline,
    PermanentRedirects,
    RequestRunner,
    Step,
    StepObserver,
    ignore_step,
    page_steps,
    refresh_redirect,
)
from worker.fetch.robots import ALLOW_ALL, Robots
from worker.fetch.robots_cache import RobotsCache
from worker.fetch.tdmrep import HEADER, TdmrepCache
from worker.models import Page, Request, Validators
from worker.ports import Clock, HostHealth, HostRegistry, RobotsRecord, RunInThread

MAX_REDIRECTS = 10
MAX_TRACKED_URLS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _FinalResponse:
    url: httpx.URL
    reply: HttpResponse
    permanent_url: str | None
    moved_before: bool


class HttpFetcher:
    """A `ports.Fetcher` over HTTP and HTTPS.

    Raises ConfigurationError where the settings cannot be used (unreadable `ca_file`, `connect_to`, networks).
    `resolve` looks names up; by default the system does. `ask_reservations` fetches the `/.well-known/tdmrep.json` of
    every site, once a day.
    """

    def __init__(
        self,
        settings: FetchSettings,
        *,
        clock: Clock,
        hosts: HostRegistry,
        offload: RunInThread,
        resolve: Resolve | None = None,
        ask_reservations: bool = True,
    ) -> None:
        self._settings = settings
        self._ask_reservations = ask_reservations
        self._clock = clock
        self._networks = _networks(settings.allow_networks)
        self._resolver = Resolver()
        routes = parse_connect_to(settings.connect_to)
        dialer = GuardedBackend(resolve=resolve or self._resolver, networks=self._networks, routes=routes)
        self._wire = Connections(
            dialer,
            TlsContext(settings.ca_file),
            max_idle=settings.max_connections,
            timeout_s=settings.timeout.total_seconds(),
        )
        self._visitor = self._make_visitor(hosts, offload)
        self._moves = PermanentRedirects(hosts=hosts, offload=offload)
        self._gate = RobotsCache(
            self._visitor, user_agent=settings.user_agent, clock=clock, hosts=hosts, offload=offload
        )
        self._reservations = TdmrepCache(self._visitor, clock=clock, hosts=hosts, offload=offload)
        self._asked: dict[str, int] = {}

    def _make_visitor(self, hosts: HostRegistry, offload: RunInThread) -> RequestRunner:
        settings = self._settings
        turns = HostRateLimiter(
            per_host=settings.per_host_connections,
            in_all=settings.max_connections,
            delay=settings.per_host_delay,
            clock=self._clock,
            hosts=hosts,
            offload=offload,
        )
        return RequestRunner(
            wire=self._wire,
            turns=turns,
            standings=CircuitBreakers(clock=self._clock, hosts=hosts, offload=offload),
            networks=self._networks,
            user_agent=settings.user_agent,
        )

    async def fetch(self, request: Request, *, observe: StepObserver = ignore_step) -> Page:
        """Return the page (200, or 304 where validators were sent).

        Raises FetchBlocked where fetching is forbidden, FetchError for everything else that gives no page.
        """
        budget = PausableDeadline(self._settings.deadline)
        asked = self._with_due_validators(request)
        start = await self._moves.start_of(request)
        try:
            arrival = await self._arrive(asked, start, budget, observe)
            page = self._page(asked, arrival, budget)
        except FetchError:
            await self._moves.lost(request, start=start)
            raise
        await self._moves.arrived(page, start=start)
        page = await self._with_reservation(page, request, budget, observe)
        if observe is not ignore_step:
            for step in page_steps(page):
                observe(step)
        return page

    async def explain(self, request: Request) -> FetchTrace:
        """Fetch, and return what was decided at each step; an error is returned, not raised."""
        steps: list[Step] = []
        try:
            page = await self.fetch(request, observe=steps.append)
        except FetchError as error:
            return FetchTrace(steps=tuple(steps), error=error)
        return FetchTrace(steps=tuple(steps), page=page)

    async def robots(self, url: str) -> Robots:
        """Return the robots.txt that rules a URL: its sitemaps, its crawl delay, its rules for this worker."""
        parsed = parse_url(url)
        check_url(parsed, self._networks)
        return await self._gate.robots(parsed, PausableDeadline(self._settings.deadline), ignore_step)

    async def sitemaps(self, url: str) -> tuple[str, ...]:
        """Return the sitemaps that the robots.txt of a URL's site names."""
        return tuple((await self.robots(url)).sitemaps)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._wire.aclose()
        self._resolver.close()
        # Dropped sockets are closed in the loop's next turn: a loop that ends right now would leave them open.
        await self._clock.sleep(timedelta(0))

    async def _arrive(
        self, request: Request, start: str, budget: PausableDeadline, observe: StepObserver
    ) -> _FinalResponse:
        url, cookies, leading = parse_url(start), Cookies(), True
        permanent = None if start == request.url else start
        seen: set[tuple[str, str]] = set()
        while True:
            sent = cookies.header(url_origin(url))
            _refuse_loop(seen, str(url), sent.get("Cookie", ""))
            reply = await self._hop(url, request, sent, budget, observe)
            onward = _next_url(url, reply)
            if onward is None:
                known = permanent is not None and permanent == start
                return _FinalResponse(url=url, reply=reply, permanent_url=permanent, moved_before=known)
            how = reply.status if reply.status in REDIRECTS else "refresh"
            observe(Step(what="redirect", detail=f"{how} to {str(onward)[:200]}", url=str(url)))
            cookies.take(url_origin(url), reply.headers.get_list("set-cookie"))
            url = onward
            leading = leading and reply.status in PERMANENT
            permanent = str(url) if leading else permanent

    async def _hop(
        self,
        url: httpx.URL,
        request: Request,
        cookies: Mapping[str, str],
        budget: PausableDeadline,
        observe: StepObserver,
    ) -> HttpResponse:
        check_url(url, self._networks)
        robots = await self._gate.check(url, budget, observe) if self._settings.obey_robots else ALLOW_ALL
        errand = HttpRequest(
            url=url,
            accept=accept_header(request.accept),
            wants=lambda status, headers: _wants(status, headers, request.accept),
            max_bytes=self._settings.max_bytes,
            headers={**condition_headers(request.validators), **cookies},
            delay=robots.crawl_delay,
        )
        return await self._visitor.visit(errand, budget, observe)

    async def _with_reservation(
        self, page: Page, request: Request, budget: PausableDeadline, observe: StepObserver
    ) -> Page:
        """Return the page with what its site reserves in `/.well-known/tdmrep.json`, where that is asked for."""
        if not self._ask_reservations or request.accept != "page" or page.status == 304:
            return page
        url = parse_url(page.final_url)
        robots = await self._gate.robots(url, budget, observe) if self._settings.obey_robots else ALLOW_ALL
        said = await self._reservations.reservation(url, robots, budget, observe)
        return replace(page, headers={**page.headers, HEADER: said}) if said else page

    def _page(self, request: Request, arrival: _FinalResponse, budget: PausableDeadline) -> Page:
        reply, now = arrival.reply, self._clock.now()
        conditional = bool(condition_headers(request.validators))
        if not (reply.status == 304 and conditional):
            self._check_status(arrival)
        return Page(
            url=request.url,
            final_url=str(arrival.url),
            status=reply.status,
            body=reply.body,
            fetched_at=now,
            content_type=reply.headers.get("content-type"),
            headers=kept_headers(reply.headers),
            validators=validators_after(request.validators, reply.headers)
            if reply.status == 304
            else validators_in(reply.headers),
            permanent_url=arrival.permanent_url,
            moved_before=arrival.moved_before,
            elapsed=budget.spent,
        )

    def _check_status(self, arrival: _FinalResponse) -> None:
        reply, host = arrival.reply, url_host(arrival.url)
        error = status_error(reply.status, reply.headers, host=host, now=self._clock.now())
        if error is None and reply.status not in USABLE:
            message = f"{host} answered {reply.status} without saying where to"
            error = FetchError(message, reason="redirects", retry=False, status=reply.status)
        if error is not None:
            raise error

    def _with_due_validators(self, request: Request) -> Request:
        """Leave the validators out now and then: some servers say 304 whatever happened to the page."""
        if request.validators == Validators():
            return request
        count = self._asked.pop(request.url, 0) + 1
        self._asked[request.url] = count % UNCONDITIONAL_EVERY
        if len(self._asked) > MAX_TRACKED_URLS:
            self._asked.pop(next(iter(self._asked)))
        return replace(request, validators=Validators()) if count == UNCONDITIONAL_EVERY else request


def _next_url(url: httpx.URL, reply: HttpResponse) -> httpx.URL | None:
    """Return the address that a reply sends on to: by its status, or as a page that holds nothing else."""
    if reply.status in USABLE:
        return refresh_redirect(url, reply)
    location = reply.headers.get("location")
    return resolve_location(url, location) if reply.status in REDIRECTS and location is not None else None


def _refuse_loop(seen: set[tuple[str, str]], url: str, cookies: str) -> None:
    if (url, cookies) in seen:
        raise FetchError(f"redirects in a circle, back to {url[:200]}", reason="redirects", retry=False)
    if len(seen) > MAX_REDIRECTS:
        raise FetchError(f"more than {MAX_REDIRECTS} redirects", reason="redirects", retry=False)
    seen.add((url, cookies))


def _wants(status: int, headers: httpx.Headers, accept: str) -> bool:
    if status not in USABLE:
        return False
    check_content_type(headers.get("content-type"), accept)
    return True


def _networks(texts: Sequence[str]) -> tuple[Network, ...]:
    try:
        return parse_networks(texts)
    except ValueError as exc:
        raise ConfigurationError(f'fetch.allow_networks: {exc}; write for example "127.0.0.0/8"') from exc


# Hosts remembered by one process alone: for dry runs and checks that leave no trace in the store.


class InMemoryHostStore:
    """A `ports.HostBook` that forgets everything when the process ends."""

    def __init__(self) -> None:
        self._turns: dict[str, datetime] = {}
        self._standings: dict[str, HostHealth] = {}
        self._robots: dict[str, RobotsRecord] = {}
        self._moved: dict[str, str] = {}

    def reserve(self, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None) -> datetime:
        """Take the host's next turn and return when it starts; one that was missed and is still the last moves."""
        following = self._turns.get(host, now)
        if instead_of is not None and following == instead_of + delay:
            following = now
        turn = max(now, following)
        self._turns[host] = turn + delay
        return turn

    def standing(self, host: str) -> HostHealth:
        """Return how the host has been answering."""
        return self._standings.get(host, HostHealth(host=host))

    def note(self, standing: HostHealth) -> None:
        """Remember how the host has been answering."""
        self._standings[standing.host] = standing

    def robots(self, origin: str) -> RobotsRecord | None:
        """Return what is known of an origin's robots.txt."""
        return self._robots.get(origin)

    def keep_robots(self, record: RobotsRecord) -> None:
        """Remember a robots.txt."""
        self._robots[record.origin] = record

    def moved(self, url: str) -> str | None:
        """Return where a URL has moved for good."""
        return self._moved.get(url)

    def keep_moved(self, url: str, target: str | None) -> None:
        """Remember where a URL has moved for good; None: forget it."""
        self._moved.pop(url, None)
        if target is not None:
            self._moved[url] = target

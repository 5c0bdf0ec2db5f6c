"""The HTTP client: fetch one page, with robots.txt, redirects, conditional requests and limits.

    fetch:    known redirect | request, again for each redirect | status | body | page | tdmrep.json
    request:  check URL | robots.txt | host paused? | wait for the slot | resolve, check, connect | send | read

`HttpFetcher.fetch` returns a `Page` or raises FetchError; `HttpFetcher.explain` returns every step and raises nothing,
for `--dry-run` and `doctor`. `InMemoryHostStore` stands in for the store's host table where nothing may be stored.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Self

import httpx

from worker.config.schema import FetchSettings, Settings
from worker.errors import FetchError
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
    Resolve,
    Resolver,
    check_url,
    configured_networks,
    parse_url,
    resolve_location,
    url_host,
    url_origin,
)
from worker.fetch.identity import NO_ACCESS, SourceAccess, make_signer, read_access
from worker.fetch.politeness import CircuitBreakers, HostRateLimiter
from worker.fetch.request import (
    FetchContext,
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
    starting_url,
)
from worker.fetch.robots import ALLOW_ALL, Robots
from worker.fetch.site_policies import HEADER, RobotsCache, TdmrepCache, refuse_usage, usage_headers
from worker.models import Page, Request, Validators
from worker.models.base import dataclass
from worker.ports import Clock, HostHealth, HostRegistry, RobotsRecord, RunInThread

# The Fetch Standard allows 20. Chosen, not measured: a longer chain is nearly always a loop, and each redirect takes a
# slot of its host.
MAX_REDIRECTS = 10
# URLs whose conditional requests are counted. Only sources are requested conditionally and often; this many take about
# two megabytes, and a URL that drops out merely starts counting again.
MAX_TRACKED_URLS = 10_000
NO_SOURCES: Final[Mapping[str, SourceAccess]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class _FinalResponse:
    """The response at the end of the redirects. `permanent_url`: the end of the leading run of 301 and 308."""

    url: httpx.URL
    response: HttpResponse
    permanent_url: str | None


class HttpFetcher:
    """A `ports.Fetcher` over HTTP and HTTPS.

    `resolve` looks up names (default: the system's resolver, in threads). `read_tdmrep` also fetches the
    `/.well-known/tdmrep.json` of every site, once a day. Pages of which robots.txt states what is in `refuse` are not
    fetched. Raises ConfigurationError if a setting cannot be used
    (`ca_file`, `connect_to`, `allow_networks`).
    """

    def __init__(
        self,
        settings: FetchSettings,
        *,
        clock: Clock,
        hosts: HostRegistry,
        offload: RunInThread,
        resolve: Resolve | None = None,
        read_tdmrep: bool = True,
        refuse: Collection[str] = (),
        access: Mapping[str, SourceAccess] = NO_SOURCES,
    ) -> None:
        self._settings = settings
        self._refuse = refuse
        self._access = access
        self._read_tdmrep = read_tdmrep
        self._clock = clock
        self._networks = configured_networks(settings.allow_networks)
        self._resolver = Resolver()
        backend = GuardedBackend(
            resolve=resolve or self._resolver,
            networks=self._networks,
            connect_to=parse_connect_to(settings.connect_to),
            only_loopback=settings.has_default_agent,
        )
        self._connections = Connections(
            backend,
            TlsContext(settings.ca_file),
            max_idle=settings.max_connections,
            timeout_s=settings.timeout.total_seconds(),
        )
        self._runner = self._make_runner(hosts, offload)
        self._redirects = PermanentRedirects(hosts=hosts, offload=offload)
        self._robots_cache = RobotsCache(
            self._runner, user_agent=settings.user_agent, clock=clock, hosts=hosts, offload=offload
        )
        self._tdmrep_cache = TdmrepCache(self._runner, clock=clock, hosts=hosts, offload=offload)
        self._conditional_count: dict[str, int] = {}

    def _make_runner(self, hosts: HostRegistry, offload: RunInThread) -> RequestRunner:
        settings = self._settings
        limiter = HostRateLimiter(
            per_host=settings.per_host_connections,
            total=settings.max_connections,
            delay=settings.per_host_delay,
            clock=self._clock,
            hosts=hosts,
            offload=offload,
        )
        return RequestRunner(
            connections=self._connections,
            limiter=limiter,
            breakers=CircuitBreakers(clock=self._clock, hosts=hosts, offload=offload),
            networks=self._networks,
            user_agent=settings.user_agent,
            clock=self._clock,
            signer=make_signer(settings) if settings.signature_key else None,
        )

    @classmethod
    def of(cls, settings: Settings, *, clock: Clock, hosts: HostRegistry, offload: RunInThread) -> Self:
        """Return the fetcher of a configuration; raises ConfigurationError if it cannot be used."""
        return cls(
            settings.fetch,
            clock=clock,
            hosts=hosts,
            offload=offload,
            refuse=settings.rights.refused,
            access=read_access(settings.sources, os.environ)
            if any(each.identifies for each in settings.sources)
            else {},
        )

    async def fetch(self, request: Request, *, observe: StepObserver = ignore_step) -> Page:
        """Return the page (status 200, or 304 where validators were sent).

        `observe` is called with each step. Raises FetchBlocked where fetching is forbidden (robots.txt, SSRF checks),
        and FetchError for everything else that prevents a page.
        """
        context = FetchContext(
            deadline=PausableDeadline(self._settings.deadline), observe=observe, access=self._access_of(request)
        )
        to_send = self._with_due_validators(request)
        known = await self._redirects.known(request)
        start = starting_url(request.url, known)
        try:
            final = await self._follow_redirects(to_send, start, context)
            page = self._page(to_send, final, context.deadline)
        except FetchError:
            await self._redirects.forget(request, start=start)
            raise
        page = await self._redirects.remember(page, known=known)
        page = await self._with_site_rights(page, request, context)
        if observe is not ignore_step:
            for step in page_steps(page):
                observe(step)
        return page

    def reread_policies(self) -> None:
        """Read what sites allow again, each once, unless it is some minutes old: a person asks for what is fetched."""
        self._robots_cache.reread()
        self._tdmrep_cache.reread()

    async def explain(self, request: Request) -> FetchTrace:
        """Fetch, and return every step with the page or the error; raises no FetchError."""
        steps: list[Step] = []
        try:
            page = await self.fetch(request, observe=steps.append)
        except FetchError as error:
            return FetchTrace(steps=tuple(steps), error=error)
        return FetchTrace(steps=tuple(steps), page=page)

    async def robots(self, url: str) -> Robots:
        """Return the parsed robots.txt for a URL; raises FetchBlocked or FetchError if it cannot be read."""
        parsed = parse_url(url)
        check_url(parsed, self._networks)
        context = FetchContext(
            deadline=PausableDeadline(self._settings.deadline), access=self._access_of(Request(url=url))
        )
        return await self._robots_cache.robots(parsed, context)

    async def sitemaps(self, url: str) -> tuple[str, ...]:
        """Return the sitemaps listed in the robots.txt of a URL's site; raises FetchError."""
        return tuple((await self.robots(url)).sitemaps)

    async def aclose(self) -> None:
        """Close idle connections and the resolver."""
        await self._connections.aclose()
        self._resolver.close()
        # Aborted sockets are closed in the next iteration of the event loop: let it run once, in case it ends now.
        await self._clock.sleep(timedelta(0))

    def _access_of(self, request: Request) -> SourceAccess:
        """Return the access of the request's source; for one that is not configured, that of a source for the URL."""
        if request.source in self._access:
            return self._access[request.source]
        origin = url_origin(parse_url(request.url))
        return next((access for access in self._access.values() if origin in access.origins), NO_ACCESS)

    async def _follow_redirects(self, request: Request, start: str, context: FetchContext) -> _FinalResponse:
        # `permanent` is the end of the permanent redirects so far, until the first redirect of another kind ends the
        # leading run. A redirect that an earlier fetch found counts as the first of them.
        url, cookies, leading = parse_url(start), Cookies(), True
        permanent = None if start == request.url else start
        seen: set[tuple[str, str]] = set()
        while True:
            sent = cookies.header(url_origin(url))
            _refuse_loop(seen, str(url), sent.get("Cookie", ""))
            response = await self._send(url, request, sent, context)
            next_url = _next_url(url, response)
            if next_url is None:
                return _FinalResponse(url=url, response=response, permanent_url=permanent)
            how = response.status if response.status in REDIRECTS else "refresh"
            context.observe(Step(what="redirect", detail=f"{how} to {str(next_url)[:200]}", url=str(url)))
            cookies.store(url_origin(url), response.headers.get_list("set-cookie"))
            url = next_url
            leading = leading and response.status in PERMANENT
            permanent = str(url) if leading else permanent

    async def _send(
        self, url: httpx.URL, request: Request, cookies: Mapping[str, str], context: FetchContext
    ) -> HttpResponse:
        """Send one request of a fetch, to its first URL or the target of a redirect."""
        check_url(url, self._networks)
        robots = await self._robots_cache.check(url, context) if self._settings.obey_robots else ALLOW_ALL
        if request.accept == "page":
            refuse_usage(robots, url, self._refuse)
        http_request = HttpRequest(
            url=url,
            accept=accept_header(request.accept),
            wants_body=lambda status, headers: _wants_body(status, headers, request.accept),
            max_bytes=self._settings.max_bytes,
            headers={**condition_headers(request.validators), **cookies},
            delay=robots.crawl_delay,
        )
        return await self._runner.run(http_request, context)

    async def _with_site_rights(self, page: Page, request: Request, context: FetchContext) -> Page:
        """Add to the headers of a page what its site states about the use: in robots.txt, and in tdmrep.json."""
        if page.status == 304:
            return page
        url = parse_url(page.final_url)
        robots = await self._robots_cache.robots(url, context) if self._settings.obey_robots else ALLOW_ALL
        found = usage_headers(robots, page.final_url)
        if self._read_tdmrep and request.accept == "page":
            reservation = await self._tdmrep_cache.reservation(url, robots, context)
            found |= {HEADER: reservation} if reservation else {}
        return replace(page, headers={**page.headers, **found}) if found else page

    def _page(self, request: Request, final: _FinalResponse, deadline: PausableDeadline) -> Page:
        """Return the page of a response; raises FetchError for a status that is no page."""
        response, now = final.response, self._clock.now()
        conditional = bool(condition_headers(request.validators))
        if not (response.status == 304 and conditional):
            self._check_status(final)
        return Page(
            url=request.url,
            final_url=str(final.url),
            status=response.status,
            body=response.body,
            fetched_at=now,
            content_type=response.headers.get("content-type"),
            headers=kept_headers(response.headers),
            validators=validators_after(request.validators, response.headers)
            if response.status == 304
            else validators_in(response.headers),
            permanent_url=final.permanent_url,
            elapsed=deadline.elapsed,
        )

    def _check_status(self, final: _FinalResponse) -> None:
        response, host = final.response, url_host(final.url)
        error = status_error(response.status, response.headers, host=host, now=self._clock.now())
        if error is None and response.status not in USABLE:
            message = f"{host} answered {response.status} without a target in Location"
            error = FetchError(message, reason="redirects", retry=False, status=response.status)
        if error is not None:
            raise error

    def _with_due_validators(self, request: Request) -> Request:
        """Omit the validators of every 24th request for a URL: some servers answer 304 although the page changed."""
        if request.validators == Validators():
            return request
        count = self._conditional_count.pop(request.url, 0) + 1
        self._conditional_count[request.url] = count % UNCONDITIONAL_EVERY
        if len(self._conditional_count) > MAX_TRACKED_URLS:
            self._conditional_count.pop(next(iter(self._conditional_count)))
        return replace(request, validators=Validators()) if count == UNCONDITIONAL_EVERY else request


def _next_url(url: httpx.URL, response: HttpResponse) -> httpx.URL | None:
    """Return the target of a redirect, by status and Location header or by a refresh in the page; else None."""
    if response.status in USABLE:
        return refresh_redirect(url, response)
    location = response.headers.get("location")
    return resolve_location(url, location) if response.status in REDIRECTS and location is not None else None


def _refuse_loop(seen: set[tuple[str, str]], url: str, cookies: str) -> None:
    """Raise FetchError (`redirects`) for a URL that was sent with the same cookies before, and for too many URLs."""
    if (url, cookies) in seen:
        raise FetchError(f"redirect loop, back to {url[:200]}", reason="redirects", retry=False)
    if len(seen) > MAX_REDIRECTS:
        raise FetchError(f"more than {MAX_REDIRECTS} redirects", reason="redirects", retry=False)
    seen.add((url, cookies))


def _wants_body(status: int, headers: httpx.Headers, accept: str) -> bool:
    """Return whether a status comes with a page; raises FetchError (`content-type`) for another kind of body."""
    if status not in USABLE:
        return False
    check_content_type(headers.get("content-type"), accept)
    return True


class InMemoryHostStore:
    """A `ports.HostRegistry` in memory, for dry runs and checks that must not write to the store.

    `SharedPacing` (runs/dry_run.py) combines it with the slots of the real store.
    """

    def __init__(self) -> None:
        self._next_slots: dict[str, datetime] = {}
        self._health: dict[str, HostHealth] = {}
        self._robots: dict[str, RobotsRecord] = {}
        self._moved: dict[str, str] = {}

    def reserve(self, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None) -> datetime:
        """Reserve the host's next slot and return its start; see `ports.HostRegistry.reserve`."""
        following = self._next_slots.get(host, now)
        if instead_of is not None and following == instead_of + delay:
            following = now
        slot = max(now, following)
        self._next_slots[host] = slot + delay
        return slot

    def health_of(self, host: str) -> HostHealth:
        """Return the host's failures in a row and its pause."""
        return self._health.get(host, HostHealth(host=host))

    def save_health(self, health: HostHealth) -> None:
        """Save a host's health."""
        self._health[health.host] = health

    def robots(self, origin: str) -> RobotsRecord | None:
        """Return the saved robots.txt of an origin, None if there is none."""
        return self._robots.get(origin)

    def save_robots(self, record: RobotsRecord) -> None:
        """Save a robots.txt."""
        self._robots[record.origin] = record

    def redirect_of(self, url: str) -> str | None:
        """Return the target of a URL's permanent redirect, None if none is known."""
        return self._moved.get(url)

    def save_redirect(self, url: str, target: str | None) -> None:
        """Save the target of a permanent redirect; None deletes it."""
        self._moved.pop(url, None)
        if target is not None:
            self._moved[url] = target

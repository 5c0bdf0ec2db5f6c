"""How a page is registered: `WebPage` gives its path for people and programs, `Action` a form that changes something.

    WebPage(path="/articles/{article_id}", template="article.html", read=pages.article)
    FeedPage(path="/feeds/articles.atom", read=pages.articles_feed)
    Action(path="/sources/{name}/pause", act=pages.pause)

`read` is given the keywords it names, from path and query, and returns a frozen dataclass. `GET /articles/7` renders it
with the template, where it is `shown`; `GET /api/v1/articles/7` is the same record as JSON. A list takes a `cursor` and
has a field `next`: the cursor of its next part, None at the end.

`act` is given its keywords from path and form. It returns the path to show afterwards, or None for the page with the
form, which contains `{{ csrf() }}` and is shown only where `can_change` is true.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from email.utils import formatdate, parsedate_to_datetime
from functools import partial
from typing import Any, Final, get_args, get_type_hints
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.errors import ConfigurationError, NotFoundError, StoreError, StoreMissing, UsageError
from worker.models import Health
from worker.models.base import dataclass
from worker.ports import Clock
from worker.web.access import DATA, Access, FormGuard, address_of
from worker.web.data import ATOM, AtomFeed, JsonObject, Parameter, Schemas, parameters_of, to_atom, to_json
from worker.web.pages import environment

API: Final = "/api/v1"
_PATIENCE: Final = timedelta(seconds=20)  # chosen: as long as a person waits for a page
_IN_PATH: Final = re.compile(r"\{(\w+)\}")
_LOCAL: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path of this server: browsers read `//` and `/\\` as the beginning of another host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPage:
    """A page and its twin for programs, which is at `data` below `API`; its summary is the docstring of `read`."""

    path: str
    template: str
    read: Callable[..., Awaitable[object]]
    data: str = ""

    @property
    def data_path(self) -> str:
        """The path of the twin."""
        return API + (self.data or self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """A feed; `read` returns a `AtomFeed`, which is served as Atom."""

    path: str
    read: Callable[..., Awaitable[AtomFeed]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A change that a form makes."""

    path: str
    act: Callable[..., Awaitable[str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a request was not served."""

    status: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPath:
    """A path below `API`, with its parameters."""

    path: str
    summary: str
    parameters: tuple[DataParameter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataParameter:
    """A parameter of a path: `place` is `path` or `query`."""

    name: str
    place: str
    is_required: bool
    description: str


class Routes:
    """The routes of pages and actions, and what describes them."""

    def __init__(
        self,
        pages: Sequence[WebPage],
        actions: Sequence[Action],
        feeds: Sequence[FeedPage],
        *,
        access: Access,
        guard: FormGuard,
        health: Callable[[], Health],
        clock: Clock,
    ) -> None:
        self._pages = (*pages, WebPage(path="/api", template="api.html", read=self.describe, data="/paths"))
        self._actions, self._feeds = actions, feeds
        self._access, self._guard, self._health, self._clock = access, guard, health, clock
        self._templates = environment()
        self._served: dict[str, tuple[str, float]] = {}
        """Of each feed: the tag of what it has, and since when it has been served so."""

    def routes(self) -> Iterator[BaseRoute]:
        """Yield the routes of all pages, their twins, and the actions."""
        yield Route(f"{API}/openapi.json", self._openapi, methods=["GET"])
        for page in self._pages:
            parameters = parameters_of(page.read)
            yield Route(page.path, partial(self._show, page, parameters), methods=["GET"])
            yield Route(page.data_path, partial(self._give, page, parameters), methods=["GET"])
        yield Route("/login", self._show_login, methods=["GET"])
        yield Route("/login", self._log_in, methods=["POST"])
        yield Route("/logout", self._log_out, methods=["POST"])
        for feed in self._feeds:
            yield Route(feed.path, partial(self._feed, feed), methods=["GET"])
        for action in self._actions:
            yield Route(action.path, partial(self._act, action, parameters_of(action.act)), methods=["POST"])

    async def _show(self, page: WebPage, parameters: Sequence[Parameter], request: Request) -> Response:
        shown = await _read(page, _values(parameters, request))
        return self._page(request, page.template, shown=shown, more=_more(request, getattr(shown, "next", None)))

    async def _give(self, page: WebPage, parameters: Sequence[Parameter], request: Request) -> Response:
        known = {each.name for each in parameters}
        if unknown := sorted(set(request.query_params) - known):
            raise UsageError(f"{unknown[0]}: no parameter of this path; it takes {', '.join(sorted(known)) or 'none'}")
        return JSONResponse(to_json(await _read(page, _values(parameters, request))))

    async def _feed(self, feed: FeedPage, request: Request) -> Response:
        async with asyncio.timeout(_PATIENCE.total_seconds()):
            found = await feed.read()
        tag = f'"{hashlib.sha256(repr(found).encode(errors="backslashreplace")).hexdigest()[:32]}"'
        if self._served.get(feed.path, ("", 0.0))[0] != tag:
            self._served[feed.path] = tag, self._clock.now().timestamp()
        since = self._served[feed.path][1]
        headers = {"ETag": tag, "Last-Modified": formatdate(since, usegmt=True), "Cache-Control": "no-cache"}
        if _is_known(request, tag, since):
            return Response(status_code=304, headers=headers)
        scheme = "https" if self._access.is_https(request) else "http"
        body = to_atom(found, base=f"{scheme}://{request.headers['host']}", path=feed.path)
        return Response(body, media_type=ATOM, headers=headers)

    async def _act(self, action: Action, parameters: Sequence[Parameter], request: Request) -> Response:
        form = await self._guard.form(request)
        try:
            target = await action.act(**_values(parameters, request, form))
        except StoreError as exc:
            if exc.retry or isinstance(exc, StoreMissing):
                raise
            # What was wanted does not fit what is stored now: somebody else was quicker, or it is gone.
            raise HTTPException(409, str(exc)) from exc
        return RedirectResponse(target or _local("".join(form.get("back", []))), status_code=303)

    # Login.

    async def _show_login(self, request: Request) -> Response:
        back = _local(request.query_params.get("back", ""))
        if not self._access.asks(request):
            return RedirectResponse(back, status_code=303)
        answer = self._page(request, "login.html", back=back, is_wrong=False)
        self._access.set_login_cookie(request, answer)
        return answer

    async def _log_in(self, request: Request) -> Response:
        form = await self._guard.form(request, changes=False)
        back = _local(request.query_params.get("back", ""))
        if await self._access.log_in(request, "".join(form.get("password", []))):
            answer: Response = RedirectResponse(back, status_code=303)
            self._access.set_cookies(request, answer)
            return answer
        return self._page(request, "login.html", status=403, back=back, is_wrong=True)

    async def _log_out(self, request: Request) -> Response:
        await self._guard.form(request, changes=False)
        self._access.log_out(request)
        answer = RedirectResponse("/login", status_code=303)
        self._access.set_cookies(request, answer)
        return answer

    # What a page shows.

    async def failed(self, request: Request, error: Exception) -> Response:
        """Return the page, or the record, for a request that cannot be served: why, and what to do."""
        problem = _problem(error)
        headers = error.headers if isinstance(error, HTTPException) else None
        if request.scope["path"].startswith(DATA):
            return JSONResponse(to_json(problem), status_code=problem.status, headers=headers)
        return self._page(request, "error.html", status=problem.status, headers=headers, detail=problem.error)

    def _page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        body = self._templates.get_template(template).render(
            health=self._health(),
            now=self._clock.now(),
            status=status,
            can_change=not self._guard.is_read_only,
            has_session=self._access.has_session(request),
            csrf=partial(self._form_token, request),
            **values,
        )
        return HTMLResponse(body, status_code=status, headers=headers)

    def _form_token(self, request: Request) -> Markup:
        """Return the hidden fields of a form: its token, and the page to come back to afterwards."""
        fields = self._templates.get_template("form_token.html")
        return Markup(fields.render(token=self._guard.token(request), back=address_of(request)))  # noqa: S704 - escaped in there

    # The description of all pages.

    async def describe(self) -> DataDescription:
        """Describe what can be read as data."""
        return DataDescription(paths=tuple(map(_data_path, self._pages)))

    async def _openapi(self, request: Request) -> Response:  # noqa: ARG002
        return JSONResponse(self.openapi())

    def openapi(self) -> JsonObject:
        """Return the OpenAPI document of all pages."""
        schemas = Schemas()
        failure = {"description": "Why not.", "content": {"application/json": {"schema": schemas.of(Problem)}}}
        paths = {
            page.data_path: {
                "get": {
                    "operationId": re.sub(r"\W+", "_", page.data_path.removeprefix(API)).strip("_"),
                    "summary": _summary(page),
                    "parameters": [_openapi_parameter(each, page, schemas) for each in parameters_of(page.read)],
                    "responses": {
                        "200": {
                            "description": "The record.",
                            "content": {"application/json": {"schema": schemas.of(_record(page))}},
                        },
                        "default": failure,
                    },
                }
            }
            for page in self._pages
        }
        about = {"title": "Corpus Worker", "version": "1", "description": "The pages as data. Nothing is changed here."}
        components = {
            "schemas": schemas.components,
            "securitySchemes": {"password": {"type": "http", "scheme": "basic", "description": "Any user name."}},
        }
        security: list[JsonObject] = [{}, {"password": []}]  # as the server is configured
        return {"openapi": "3.1.0", "info": about, "security": security, "paths": paths, "components": components}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDescription:
    """What can be read as data."""

    paths: tuple[DataPath, ...] = field(default=())


def _values(
    parameters: Sequence[Parameter], request: Request, form: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """Return the keywords of a function; raises UsageError, or HTTPException 404 for a path that names nothing."""
    values: dict[str, Any] = {}
    for each in parameters:
        if each.name in request.path_params:
            try:
                values[each.name] = each.value([request.path_params[each.name]])
            except UsageError as exc:
                raise HTTPException(404, f"there is nothing at this address: {exc}") from None
        else:
            given = request.query_params.getlist(each.name) if form is None else form.get(each.name, ())
            values[each.name] = each.value(given)
    return values


async def _read(page: WebPage, values: Mapping[str, Any]) -> object:
    async with asyncio.timeout(_PATIENCE.total_seconds()):
        record = await page.read(**values)
    if record is None:
        named = ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in values.items())
        raise HTTPException(404, f"there is no {named}")
    return record


def _more(request: Request, cursor: str | None) -> str:
    """Return the address of the next part of a list; empty at its end."""
    if not cursor:
        return ""
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f"{address_of(request).partition('?')[0]}?{urlencode([*others, ('cursor', cursor)])}"


def _local(path: str) -> str:
    """Return a path of this server, the overview for anything else."""
    return path if _LOCAL.fullmatch(path) else "/"


def _is_known(request: Request, tag: str, since: float) -> bool:
    """Return whether a client has a feed as it is (RFC 9110, section 13): a tag decides, without one the time."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in tags.split(","))
    try:
        known = parsedate_to_datetime(request.headers.get("if-modified-since", "")).timestamp()
    except (ValueError, OverflowError):
        return False
    return int(since) <= known


def _problem(error: Exception) -> Problem:
    match error:
        case HTTPException():
            return Problem(status=error.status_code, error=error.detail)
        case NotFoundError():
            return Problem(status=404, error=str(error))
        case UsageError() | ConfigurationError():
            return Problem(status=400, error=str(error))
        case StoreError():
            return Problem(status=503, error=str(error))
    return Problem(status=503, error="the store did not answer in time: try again in a moment")


EXPECTED: Final = (HTTPException, NotFoundError, UsageError, ConfigurationError, StoreError, TimeoutError)
"""The errors that `Routes.failed` explains."""


def _summary(page: WebPage) -> str:
    return (page.read.__doc__ or "").strip().splitlines()[0].removeprefix("Return ").rstrip(".")


def _record(page: WebPage) -> object:
    """Return the type of the record; that there may be none is status 404."""
    hint = get_type_hints(page.read)["return"]
    return next((each for each in get_args(hint) if isinstance(each, type) and each is not type(None)), hint)


def _place(each: Parameter, page: WebPage) -> str:
    return "path" if each.name in _IN_PATH.findall(page.path) else "query"


def _data_path(page: WebPage) -> DataPath:
    parameters = tuple(
        DataParameter(
            name=each.name, place=_place(each, page), is_required=each.is_required, description=each.description
        )
        for each in parameters_of(page.read)
    )
    return DataPath(path=page.data_path, summary=_summary(page), parameters=parameters)


def _openapi_parameter(each: Parameter, page: WebPage, schemas: Schemas) -> JsonObject:
    schema = schemas.of(each.kind)
    if each.default not in (None, ""):
        schema["default"] = to_json(each.default)
    return {
        "name": each.name,
        "in": _place(each, page),
        "required": each.is_required,
        "description": each.description,
        "schema": schema,
    }

"""Who may see the pages, and who may change something.

On loopback everybody may. Elsewhere a visitor has a session, begun with the password, or is named by a reverse proxy
that the configuration trusts. What is read as data also takes the password by HTTP Basic: feed readers know no form.

A form that changes something carries a token: a keyed hash of its visitor. A page of another site can send a form here,
but it can neither read a token nor hide where the form comes from (`Sec-Fetch-Site`, `Origin`). Keys and sessions are
kept in memory, so they end with the server.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.config.schema import WebSettings
from worker.logs import log
from worker.models.base import dataclass
from worker.ports import Clock
from worker.web.passwords import PasswordCheck

STATIC: Final = "/static/"
"""The files of the pages: they are no secret, and the login page needs them."""
DATA: Final = ("/api/v1/", "/feeds/")
"""What programs read: answered by status 401 instead of the login page."""
_UNGUARDED: Final = frozenset({"/healthz", "/metrics"})
_COOKIE: Final = "corpus_worker_session"
_LOGIN_COOKIE: Final = "corpus_worker_login"
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")
_CLOSED: Final = (
    "only /healthz and /metrics are served to other machines, as the pages have no password: set [web] password_hash "
    "(`corpus-worker web --hash-password` makes it), or open the pages through this machine's loopback (`ssh -L`)\n"
)
_PROXIED: Final = (
    "this request came through a proxy, and the pages have no password: set [web] password_hash, or list the proxy in "
    "trusted_proxies if it lets nobody else in\n"
)
_UNNAMED: Final = "no user is named by a proxy that [web] trusted_proxies lists\n"
_IDLE: Final = timedelta(hours=12)  # a session ends that is unused for so long: chosen as half a day
_LONGEST: Final = timedelta(days=7)  # a session ends after this in any case: chosen as a week
_MAX_SESSIONS: Final = 100  # chosen: more than a team has; the one that is unused for longest makes way


def served_to_others(web: WebSettings) -> str:
    """Return in words what other machines are served at a public address."""
    if web.password_hash or web.trusted_user_header:
        return (
            "other machines have to log in; http shows the password to the network, so put a proxy with TLS before it"
        )
    return "only /healthz and /metrics are served, as other machines can reach it and [web] has no password_hash"


@dataclass(slots=True)
class Login:
    """A login: when it was begun and last used, in seconds of the monotonic clock."""

    begun: float
    used: float


class Access:
    """Knows the visitors: by session, password or a trusted proxy's word, and on loopback without any of these."""

    def __init__(self, web: WebSettings, *, clock: Clock, is_public: bool) -> None:
        self._header = web.trusted_user_header
        self._proxies = [ipaddress.ip_network(each) for each in web.trusted_proxies]
        self._clock = clock
        self._check = PasswordCheck(web.password_hash, clock=clock) if web.password_hash else None
        self._sessions: dict[str, Login] = {}
        self.has_password = self._check is not None
        self.needs_login = is_public or self.has_password or bool(self._header)
        self.is_closed = is_public and not (self.has_password or self._header)

    async def visitor(self, request: Request) -> str | None:
        """Return what identifies a visitor, None for one who has to log in; raises HTTPException."""
        if not self.needs_login:
            return ""
        if user := self._proxy_user(request):
            return f"user {user}"
        key = _digest(request.cookies.get(_COOKIE, ""))
        if session := self._session(key):
            session.used = self._clock.monotonic()
            return f"session {key}"
        return await self._basic_visitor(request)

    def _proxy_user(self, request: Request) -> str:
        """Return the user whom a trusted proxy names; the header of any other client is not read."""
        if not self._header or not self._is_proxy(_peer(request)):
            return ""
        named = request.headers.getlist(self._header)
        return named[0].strip() if len(named) == 1 else ""

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies)

    def is_proxied(self, request: Request) -> bool:
        """Whether a request came through a proxy that the configuration does not name."""
        return any(name in request.headers for name in _FORWARDED) and not self._is_proxy(_peer(request))

    def _session(self, key: str) -> Login | None:
        now = self._clock.monotonic()
        session = self._sessions.get(key)
        if session and now - session.used < _IDLE.total_seconds() and now - session.begun < _LONGEST.total_seconds():
            return session
        self._sessions.pop(key, None)
        return None

    async def _basic_visitor(self, request: Request) -> str | None:
        """Return the visitor whom the password names in the header of a request that only reads data."""
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        may_use_it = request.scope["path"].startswith(DATA) and request.method in ("GET", "HEAD")
        if scheme.lower() != "basic" or not may_use_it or self._check is None:
            return None
        try:
            _, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return "basic" if await self._check.accepts(password, address=self.address(request)) else None

    def address(self, request: Request) -> str:
        """Return where a request comes from: the client, or whom a trusted proxy names; of IPv6 the network."""
        address = _peer(request)
        for named in reversed(",".join(request.headers.getlist("x-forwarded-for")).split(",")):
            if not self._is_proxy(address) or not named.strip():
                break
            address = named.strip()
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return address[:100]
        return str(found if found.version == 4 else ipaddress.ip_network((found, 64), strict=False))

    async def log_in(self, request: Request, password: str) -> bool:
        """Begin a session if the password is right; raises HTTPException after too many wrong ones."""
        address = self.address(request)
        if self._check is None or not await self._check.accepts(password, address=address):
            return False
        self.log_out(request)
        if len(self._sessions) >= _MAX_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].used)]
        session, now = secrets.token_urlsafe(32), self._clock.monotonic()
        self._sessions[_digest(session)] = Login(begun=now, used=now)
        request.state.new_session = session
        log.info("web.logged_in", address=address)
        return True

    def asks(self, request: Request) -> bool:
        """Whether the visitor of a request has to log in first."""
        return str(request.scope["visitor"]).startswith("login ")

    def has_session(self, request: Request) -> bool:
        """Whether the visitor of a request has logged in here, and so can log out."""
        return str(request.scope.get("visitor", "")).startswith("session ")

    def log_out(self, request: Request) -> None:
        """End the session of a request, if it has one."""
        self._sessions.pop(_digest(request.cookies.get(_COOKIE, "")), None)

    def set_cookies(self, request: Request, response: Response) -> None:
        """Give the browser the id of a new session, or take back that of one that was ended."""
        session = getattr(request.state, "new_session", "")
        _set_cookie(response, _COOKIE, session, is_secure=self.is_https(request))

    def set_login_cookie(self, request: Request, response: Response) -> None:
        """Give the browser the secret to which the token of the login form is bound."""
        secret = request.scope["visitor"].removeprefix("login ")
        _set_cookie(response, _LOGIN_COOKIE, secret, is_secure=self.is_https(request))

    def is_https(self, request: Request) -> bool:
        """Whether the browser uses https: it says so with a form, and a trusted proxy with each request."""
        told = request.headers.get("x-forwarded-proto", "") if self._is_proxy(_peer(request)) else ""
        return "https" in (request.url.scheme, told.lower(), request.headers.get("origin", "").partition(":")[0])


def _set_cookie(response: Response, name: str, value: str, *, is_secure: bool) -> None:
    lasts = None if value else 0
    response.set_cookie(name, value, max_age=lasts, path="/", secure=is_secure, httponly=True, samesite="strict")


def _digest(session: str) -> str:
    """Return the key under which a session is kept; how long a look-up takes says nothing about another's id."""
    return hashlib.sha256(session.encode()).hexdigest()


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


class RequireVisitor:
    """ASGI middleware that passes on the requests of known visitors; others get the login page, or a refusal."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or answer it."""
        if scope["path"] in _UNGUARDED:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except HTTPException as exc:
            answer = PlainTextResponse(exc.detail + "\n", status_code=exc.status_code, headers=exc.headers)
        await (answer or self._app)(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        """Return the answer to a request that is not passed on."""
        path = request.scope["path"]
        if self._access.is_closed:
            return PlainTextResponse(_CLOSED, status_code=403)
        if not self._access.needs_login and self._access.is_proxied(request):
            return PlainTextResponse(_PROXIED, status_code=403)
        visitor = await self._access.visitor(request)
        if visitor is None and path == "/login" and self._access.has_password:
            visitor = f"login {request.cookies.get(_LOGIN_COOKIE) or secrets.token_urlsafe(32)}"
        if visitor is None and not path.startswith(STATIC):
            return _refusal(request) if self._access.has_password else PlainTextResponse(_UNNAMED, status_code=403)
        request.scope["visitor"] = visitor or ""
        return None


def _refusal(request: Request) -> Response:
    """Return the way to the login page, and for programs a status."""
    if request.scope["path"].startswith(DATA):
        headers = {"WWW-Authenticate": 'Basic realm="corpus-worker", charset="UTF-8"'}
        return PlainTextResponse("log in, or send the password by HTTP Basic\n", status_code=401, headers=headers)
    if request.method not in ("GET", "HEAD"):
        return PlainTextResponse("log in first: the session has ended\n", status_code=403)
    return RedirectResponse(f"/login?back={quote(address_of(request), safe='')}", status_code=303)


def address_of(request: Request) -> str:
    """Return path and query of a request, as it was sent."""
    path, query = (str(request.scope[part], "ascii", "replace") for part in ("raw_path", "query_string"))
    return f"{path}?{query}" if query else path


# Forms.

TOKEN: Final = "csrf"  # noqa: S105 - a name, no password
"""The name of the field with the token."""
MAX_FORM: Final = 65_536
"""The size in bytes up to which a form is read. Chosen: the largest field of a form is an address, or a sentence."""
_MAX_FIELDS: Final = 1_000  # in a form; chosen: more than any page has
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Form = dict[str, list[str]]


class FormGuard:
    """Makes the tokens of forms, and reads only forms that carry one."""

    def __init__(self, *, is_read_only: bool = False) -> None:
        self.is_read_only = is_read_only
        self._key = secrets.token_bytes(32)  # bytes: as long as the digest of SHA-256

    def token(self, request: Request) -> str:
        """Return the token for the forms of a page."""
        visitor = str(request.scope.get("visitor", ""))
        return hmac.new(self._key, visitor.encode(), hashlib.sha256).hexdigest()

    async def form(self, request: Request, *, changes: bool = True) -> Form:
        """Return the fields of a form; raises HTTPException for one that may not be sent, or may not change this."""
        if changes and self.is_read_only:
            raise HTTPException(403, "these pages are read-only: nothing can be changed here ([web] read_only)")
        require_own_origin(request)
        form = await read_form(request)
        if not hmac.compare_digest("".join(form.get(TOKEN, [])).encode(), self.token(request).encode()):
            raise HTTPException(403, "the page with this form is too old: go back, load it again, and repeat")
        return form


def require_own_origin(request: Request) -> None:
    """Raise HTTPException for a request that a page of another site has sent, as far as the browser says so."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if site not in ("same-origin", "none") or (origin is not None and not _is_own(origin, request)):
        raise HTTPException(403, "the form was sent by a page of another site")


def _is_own(origin: str, request: Request) -> bool:
    """Return whether an origin has the host of the request; a proxy may have changed https to http."""
    try:
        sent, own = urlsplit(origin), urlsplit(f"//{request.headers.get('host', '')}")
        port = _DEFAULT_PORTS[sent.scheme]
        places = {(sent.hostname, sent.port or port), (own.hostname, own.port or port)}
    except (ValueError, KeyError):
        return False
    return len(places) == 1 and sent.hostname is not None


async def read_form(request: Request) -> Form:
    """Return the fields of an urlencoded form of limited size; raises HTTPException for any other body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "only a form can be sent here (application/x-www-form-urlencoded)")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            raise HTTPException(413, f"the form is larger than {MAX_FORM:,} bytes", {"Connection": "close"})
    try:
        return parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None

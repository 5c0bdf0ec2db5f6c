"""Who may change something: forms carry a token, come from a page of this server, and are small.

A token is a keyed hash of the visitor; the key is made anew whenever the server starts. A page of another site can send
a form here, but it can neither read a token nor hide where the form comes from (`Sec-Fetch-Site`, `Origin`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

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

    async def form(self, request: Request) -> Form:
        """Return the fields of a form; raises HTTPException for one that must not change anything."""
        if self.is_read_only:
            raise HTTPException(403, "these pages are read-only: nothing can be changed here ([web] read_only)")
        require_own_origin(request)
        form = await read_form(request)
        if not hmac.compare_digest("".join(form.get(TOKEN, [])).encode(), self.token(request).encode()):
            raise HTTPException(403, "the page was opened before the server started: go back, load it again, repeat")
        return form


def require_own_origin(request: Request) -> None:
    """Raise HTTPException for a request that a page of another site has sent, as far as the browser says so."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if site not in ("same-origin", "none") or (origin is not None and not _is_own(origin, request)):
        raise HTTPException(403, "the form was sent by a page of another site")


def _is_own(origin: str, request: Request) -> bool:
    """Return whether an origin has the host of the request; a proxy may have changed http to https."""
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

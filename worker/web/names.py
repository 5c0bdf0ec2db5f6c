"""Refuses requests under a name that is not ours: a page in somebody's browser cannot reach us by rebinding its name.

A plain address cannot be rebound, so it always passes; so does `localhost`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/@]+)(?::[0-9]{1,5})?")
_REFUSAL: Final = "nothing is served under this name; ask for the address, or add the name to [web] hosts\n"


class KnownNames:
    """Lets requests through whose Host header names an address, `localhost`, or one of `names` (RFC 9110, 7.4)."""

    def __init__(self, app: ASGIApp, *, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        known = is_known(Headers(scope=scope).getlist("host"), names=self._names)
        answer = self._app if known else PlainTextResponse(_REFUSAL, status_code=421)
        await answer(scope, receive, send)


def is_known(hosts: list[str], *, names: Collection[str]) -> bool:
    """Tell whether the one Host header is an address, `localhost`, or one of `names` (in lower case)."""
    match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if match is None:
        return False
    host = match[1].lower().rstrip(".")
    return host == "localhost" or host in names or _is_address(host.strip("[]"))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

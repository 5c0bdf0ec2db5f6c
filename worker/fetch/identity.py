"""How requests identify the operator: the headers, cookies, login and proxy of a source, and Web Bot Auth signatures.

`read_access` resolves these settings of all sources, once for each fetcher. What identifies the operator is sent to the
origins that the source names, and to no other, redirects included; it is in no message and no `repr`. `RequestSigner`
signs requests (RFC 9421) by draft-ietf-webbotauth-httpsig-protocol, and `key_directory` is what sites look up.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import httpx

from worker.config.schema import FetchSettings, Settings
from worker.config.sources import SourceSettings
from worker.errors import ConfigurationError
from worker.fetch.http.connections import TlsContext
from worker.fetch.http.network_backend import parse_connect_to
from worker.fetch.http.proxy import HttpProxy, parse_proxy
from worker.fetch.http.ssrf import (
    configured_networks,
    parse_url,
    url_host,
    url_origin,
)
from worker.models.base import dataclass

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from http_message_signatures import HTTPMessageSigner

_ENVIRONMENT: Final = "env:"
_MAX_COOKIES: Final = 200  # of one source: browsers keep at most 180 for a site, and a header must stay short (chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCookie:
    """One cookie of a cookies file (the format of Netscape, curl and browser extensions); it is never changed."""

    domain: str
    subdomains: bool
    path: str
    secure: bool
    expires: float
    pair: str = field(repr=False)

    def is_for(self, url: httpx.URL, *, now: datetime) -> bool:
        """Return whether the cookie is sent with a request (RFC 6265, 5.4)."""
        host, path = url_host(url), url.path or "/"
        in_domain = host == self.domain or (self.subdomains and host.endswith(f".{self.domain}"))
        in_path = path == self.path or path.startswith(self.path if self.path.endswith("/") else f"{self.path}/")
        is_fresh = not self.expires or self.expires > now.timestamp()
        return in_domain and in_path and is_fresh and (url.scheme == "https" or not self.secure)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAccess:
    """What the requests of one source carry to its own `origins` alone, and the proxy that all of them go through."""

    origins: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cookies: tuple[FileCookie, ...] = field(default=(), repr=False)
    proxy: HttpProxy | None = None

    def headers_for(self, url: httpx.URL, *, now: datetime) -> dict[str, str]:
        """Return the headers for one request, names in lower case; none for another origin."""
        if url_origin(url) not in self.origins:
            return {}
        cookies = [cookie.pair for cookie in self.cookies if cookie.is_for(url, now=now)]
        own = [self.headers["cookie"]] if "cookie" in self.headers else []
        return {**self.headers, **({"cookie": "; ".join((*own, *cookies))} if own or cookies else {})}


NO_ACCESS: Final = SourceAccess()


def read_access(sources: Iterable[SourceSettings], environment: Mapping[str, str]) -> Mapping[str, SourceAccess]:
    """Return the access of every source by its name, that of paused ones as well: their articles may be in the queue.

    Raises ConfigurationError, without the value, for a variable that is not set and a file that cannot be read.
    """
    return MappingProxyType({source.name: _access(source, environment) for source in sources})


def _access(source: SourceSettings, environment: Mapping[str, str]) -> SourceAccess:
    origins = _origins(source)
    place = f'source "{source.name}"'
    headers = {
        name.lower(): _resolved(value, environment, f"{place}: headers.{name}")
        for name, value in source.headers.items()
    }
    if source.login:
        login = _resolved(source.login, environment, f"{place}: login")
        if ":" not in login:
            raise ConfigurationError(f'{place}: login: {source.login} does not hold "user:password"; set it to that')
        headers["authorization"] = f"Basic {base64.b64encode(login.encode()).decode('ascii')}"
    proxy = _resolved(source.proxy, environment, f"{place}: proxy") if source.proxy else ""
    if not (headers or source.cookies_file or proxy):
        return NO_ACCESS
    return SourceAccess(
        origins=origins,
        headers=MappingProxyType(headers),
        cookies=_read_cookies(source.cookies_file, origins, place) if source.cookies_file else (),
        proxy=parse_proxy(proxy, place=f"{place}: proxy") if proxy else None,
    )


def _origins(source: SourceSettings) -> frozenset[str]:
    """Return the origins that headers, cookies and login are sent to: that of `url`, and those of `login_hosts`."""
    own = parse_url(source.url) if source.url.startswith(("http://", "https://")) else None
    scheme = own.scheme if own is not None else "https"
    others = (parse_url(f"{scheme}://{host}") for host in source.login_hosts)
    return frozenset(url_origin(url) for url in (own, *others) if url is not None)


def _resolved(value: str, environment: Mapping[str, str], place: str) -> str:
    """Return a value, read from the environment if it is `env:NAME`; raises ConfigurationError without showing it."""
    if not value.startswith(_ENVIRONMENT):
        return value
    name = value.removeprefix(_ENVIRONMENT)
    read = environment.get(name, "").rstrip("\r\n")
    if not read:
        raise ConfigurationError(f"{place}: the environment variable {name} is not set")
    if not (read.isascii() and read.isprintable()):
        raise ConfigurationError(f"{place}: {name} holds characters other than printable ASCII")
    return read


def _read_cookies(file: str, origins: Iterable[str], place: str) -> tuple[FileCookie, ...]:
    """Read the cookies of a file that are for the source's own hosts; raises ConfigurationError if it is unreadable."""
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise ConfigurationError(f"{place}: cookies_file: {file} cannot be read: {reason}") from exc
    hosts = {url_host(httpx.URL(origin)) for origin in origins}
    read = [
        _cookie(line) for line in lines if line.strip() and (not line.startswith("#") or line.startswith("#HttpOnly_"))
    ]
    if read and not any(read):
        raise ConfigurationError(
            f"{place}: cookies_file: {file} is no cookies file (Netscape): seven fields with tabs between them"
        )
    ours = [cookie for cookie in read if cookie and any(f".{host}".endswith(f".{cookie.domain}") for host in hosts)]
    return tuple(ours[:_MAX_COOKIES])


def _cookie(line: str) -> FileCookie | None:
    """Return the cookie of one line, None if it is damaged."""
    fields = line.removeprefix("#HttpOnly_").split("\t")
    if (
        len(fields) != 7
        or not fields[5]
        or not (pair := f"{fields[5]}={fields[6]}").isascii()
        or not pair.isprintable()
    ):
        return None
    domain, subdomains, path, secure, expires = fields[:5]
    try:
        ends = float(expires or 0)
    except ValueError:
        return None
    return FileCookie(
        domain=domain.lower().lstrip("."),
        subdomains=subdomains.upper() == "TRUE" or domain.startswith("."),
        path=path or "/",
        secure=secure.upper() == "TRUE",
        expires=ends,
        pair=pair,
    )


# Web Bot Auth: requests signed with a key that sites find under the address in `Signature-Agent`.

DIRECTORY_PATH: Final = "/.well-known/http-message-signatures-directory"
DIRECTORY_TYPE: Final = "application/http-message-signatures-directory+json"
_LABEL: Final = "sig1"
_COMPONENTS: Final = ("@authority", "@method", "@path", f'"signature-agent";key="{_LABEL}"')
_VALID_FOR: Final = timedelta(minutes=5)
"""How long a signature may be used: longer than a request takes and clocks differ, shorter than a replay is useful."""
_NONCE_BYTES: Final = 32  # 256 random bits: none occurs twice


def key_directory(keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """Return the JSON Web Key Set (RFC 7517) that is served as the key directory."""
    shown = {"keys": [{**_jwk(key), "kid": thumbprint(key), "use": "sig"} for key in keys]}
    return json.dumps(shown, indent=2).encode() + b"\n"


def directory_headers(
    keys: Sequence[Ed25519PrivateKey], body: bytes, *, url: str, now: datetime, valid_for: timedelta
) -> dict[str, str]:
    """Return the headers of the directory's response; each key signs for the host, so that nobody else can serve them.

    That is the proof of possession of draft-ietf-webbotauth-httpsig-protocol, appendix B.1.
    """
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")
    request = _Message("GET", url, {})
    response = _Response(200, request, {"Content-Digest": f"sha-256=:{digest}:"})
    for number, key in enumerate(keys, start=1):
        _message_signer(key).sign(
            response,
            key_id=thumbprint(key),
            created=now,
            expires=now + valid_for,
            include_alg=False,
            label=f"binding{number}",
            tag=DIRECTORY_PATH.rpartition("/")[2],
            covered_component_ids=('"@authority";req', "content-digest"),
            append_if_signature_exists=True,
        )
    return {"Content-Type": DIRECTORY_TYPE, "Cache-Control": "max-age=86400", **response.headers}


def thumbprint(key: Ed25519PrivateKey) -> str:
    """Return the SHA-256 thumbprint of a key, which is its id (RFC 7638; RFC 8037, A.3)."""
    canonical = json.dumps(_jwk(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(key.public_key().public_bytes_raw())}


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def read_key(file: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 key of a PEM file; raises ConfigurationError if there is none."""
    _require_library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except OSError as exc:
        raise ConfigurationError(f"{file}: cannot be read: {exc.strerror}") from exc
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ConfigurationError(f"{file}: no private key in PEM form without a password") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(
            f"{file}: another kind of key than Ed25519; write one with `corpus-worker config signing-key`"
        )
    return key


def new_key() -> bytes:
    """Return a new Ed25519 key in PEM form (PKCS #8, RFC 8410)."""
    _require_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _require_library() -> None:
    try:
        import http_message_signatures  # noqa: F401
    except ImportError:
        message = 'signed requests need http-message-signatures: run `pip install "corpus-worker[signatures]"`'
        raise ConfigurationError(message) from None


@dataclass(slots=True)
class _Message:
    """A request as the library for signatures sees one."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass(slots=True)
class _Response:
    """A response as the library for signatures sees one."""

    status_code: int
    request: _Message
    headers: dict[str, str]


def _message_signer(key: Ed25519PrivateKey) -> HTTPMessageSigner:
    from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver
    from http_message_signatures.algorithms import ED25519

    class Keys(HTTPSignatureKeyResolver):
        def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:  # noqa: ARG002 - the library's signature
            return key

    return HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=Keys())


class RequestSigner:
    """Signs GET requests with one key; `agent` is the URL of the key directory."""

    def __init__(self, key: Ed25519PrivateKey, *, agent: str) -> None:
        self._id = thumbprint(key)
        self._agent = agent
        self._signer = _message_signer(key)

    def headers(self, url: httpx.URL, *, now: datetime) -> dict[str, str]:
        """Return the three headers that sign a request sent now; no two are the same."""
        from http_message_signatures import HTTPMessageSignaturesException

        try:
            return self._signed(str(url), _COMPONENTS, now)
        except HTTPMessageSignaturesException:
            # The library is stricter than sites are: a path such as /100%-free is left out of what is signed.
            return self._signed(url_origin(url), (*_COMPONENTS[:2], _COMPONENTS[3]), now)

    def _signed(self, url: str, components: Sequence[str], now: datetime) -> dict[str, str]:
        message = _Message("GET", url, {"Signature-Agent": f'{_LABEL}="{self._agent}"'})
        self._signer.sign(
            message,
            key_id=self._id,
            created=now,
            expires=now + _VALID_FOR,
            nonce=base64.b64encode(secrets.token_bytes(_NONCE_BYTES)).decode("ascii"),
            label=_LABEL,
            tag="web-bot-auth",
            covered_component_ids=components,
        )
        return message.headers


def make_signer(settings: FetchSettings) -> RequestSigner | None:
    """Return the signer of all requests, None if no key is configured."""
    if not settings.signature_key:
        return None
    return RequestSigner(read_key(Path(settings.signature_key)), agent=settings.signature_agent)


def require_identity(settings: Settings) -> None:
    """Raise ConfigurationError if a key, a variable or a file that identifies the operator cannot be used."""
    make_signer(settings.fetch)
    read_access(settings.sources, os.environ)


def require_usable(settings: Settings) -> None:
    """Raise ConfigurationError if no fetcher could be made under these settings."""
    configured_networks(settings.fetch.allow_networks)
    parse_connect_to(settings.fetch.connect_to)
    TlsContext(settings.fetch.ca_file)
    require_identity(settings)

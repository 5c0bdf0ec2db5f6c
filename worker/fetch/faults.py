"""Turn what libraries raise into the worker's own error, with one short word for its class."""

from __future__ import annotations

import ssl

import h11
import httpcore

from worker.errors import FetchError

TRANSLATED = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ConnectionNotAvailable,
    h11.ProtocolError,
    ssl.SSLError,
    OSError,
)
"""Everything that comes out of a fetch; the tests with damaged answers hold that nothing else does."""


def translate(exc: BaseException, *, host: str) -> FetchError:
    """Return the FetchError for what a library raised while talking to a host."""
    if isinstance(exc, FetchError):
        return exc
    tls = tls_error(exc)
    if tls is not None:
        return FetchError(f"TLS with {host} failed: {_tls_words(tls)}", reason="tls", retry=True)
    if isinstance(exc, httpcore.TimeoutException):
        return FetchError(f"{host} is too slow: {exc}", reason="timeout", retry=True)
    if isinstance(exc, httpcore.ConnectError):
        return FetchError(f"cannot connect to {host}: {exc}", reason="connect", retry=True)
    if isinstance(exc, httpcore.NetworkError | OSError):
        return FetchError(f"the connection to {host} broke: {exc}", reason="reset", retry=True)
    return _protocol_error(exc, host)


def _protocol_error(exc: BaseException, host: str) -> FetchError:
    words = str(exc) or type(exc).__name__
    if "incomplete" in words or "without sending complete" in words:
        return FetchError(f"{host} sent only a part of the body", reason="truncated", retry=True)
    if "disconnected without" in words:
        return FetchError(f"{host} closed the connection without an answer", reason="reset", retry=True)
    return FetchError(f"{host} does not speak HTTP properly: {words[:200]}", reason="protocol", retry=True)


def tls_error(exc: BaseException | None) -> ssl.SSLError | None:
    """Return the ssl module's error among the causes, if there is one."""
    while exc is not None:
        if isinstance(exc, ssl.SSLError):
            return exc
        exc = exc.__cause__ or exc.__context__
    return None


def _tls_words(exc: ssl.SSLError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message or str(exc)
    return str(exc.reason or exc)

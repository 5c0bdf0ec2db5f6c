"""Which certificates are believed; one TLS context for everything, made when the first https URL comes."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

from worker.errors import ConfigurationError


class Trust:
    """The usual authorities, and those of `ca_file`; raises ConfigurationError at once where that cannot be read."""

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None
        if ca_file:
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file)

    def context(self) -> ssl.SSLContext:
        """Return the context; making it takes a tenth of a second, so it is made once and only where it is needed."""
        if self._context is None:
            self._context = httpx.create_ssl_context(trust_env=False)
            if self._ca_file:
                _load(self._context, self._ca_file)
        return self._context


def _load(context: ssl.SSLContext, ca_file: str) -> None:
    try:
        context.load_verify_locations(cafile=Path(ca_file))
    except (OSError, ssl.SSLError) as exc:
        message = f"fetch.ca_file: {ca_file} cannot be read as certificates in PEM form ({exc})"
        raise ConfigurationError(message) from exc

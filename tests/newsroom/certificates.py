"""A certificate authority made on the spot, and the certificates of the sites."""

import ssl
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import trustme


class Certificate(Enum):
    """What certificate a site shows."""

    GOOD = "its own, signed by the newsroom's authority"
    OTHER_NAME = "that of another host"
    EXPIRED = "its own, but expired"
    UNTRUSTED = "its own, signed by an authority nobody knows"


class Authority:
    """Signs certificates; `ca_file` is what a client has to trust."""

    def __init__(self, folder: Path) -> None:
        self.ca_file = folder / "ca.pem"
        self._ca = trustme.CA(organization_name="Newsroom")
        self._ca.cert_pem.write_to_path(self.ca_file)

    def context(self, host: str, kind: Certificate) -> ssl.SSLContext:
        """Return the server's side of TLS for the host."""
        ca = trustme.CA() if kind is Certificate.UNTRUSTED else self._ca
        name = "somewhere-else.example" if kind is Certificate.OTHER_NAME else host
        expiry = datetime(2001, 1, 1, tzinfo=UTC) if kind is Certificate.EXPIRED else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(name, not_after=expiry).configure_cert(context)
        return context

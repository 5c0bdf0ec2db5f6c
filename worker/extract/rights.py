"""Reads what a page says about what may be done with it; recording it is always, refusing is configured.

Sources: robots meta and `X-Robots-Tag` (RFC 9309's neighbours), the TDM Reservation Protocol (W3C community report),
`rel=license`, schema.org `license` and `copyrightHolder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from worker.extract.document import Document
from worker.extract.text import clean_line
from worker.models import Rights

_DIRECTIVE = re.compile(r"[a-z][a-z0-9-]*")
_ROBOTS_META = ("robots", "googlebot", "googlebot-news", "bingbot", "corpus-worker")


def find_rights(document: Document) -> Rights:
    """Return the page's signals, in its own words."""
    structured = document.structured
    return Rights(
        robots=tuple(sorted(_robots(document))),
        tdm_reservation=_reservation(document),
        licence=clean_line(structured.licence or next(iter(document.links.get("license", ())), "")),
        copyright_holder=clean_line(structured.copyright_holder),
    )


def _reservation(document: Document) -> str:
    """Return what the page says of itself, else what its site says of it in `/.well-known/tdmrep.json`."""
    headers = document.headers
    own = headers.get("tdm-reservation", "") or document.said("tdm-reservation")
    return own or headers.get("well-known-tdm-reservation", "")


def _robots(document: Document) -> set[str]:
    said: list[str] = [document.headers.get("x-robots-tag", "")]
    for name in _ROBOTS_META:
        said.extend(document.meta.get(name, ()))
    return set(_directives(said))


def _directives(values: Iterable[str]) -> Iterable[str]:
    for value in values:
        for part in value.lower().split(","):
            # `googlebot: noindex` names whom it is for; `max-snippet:-1` carries a figure and forbids nothing.
            name = part.rpartition(":")[2].strip() if part.count(":") == 1 and "no" in part else part.strip()
            if _DIRECTIVE.fullmatch(name) and name not in {"index", "follow", "all"}:
                yield name


def refused_signal(rights: Rights, refuse: Iterable[str]) -> str:
    """Return the first signal of the page that the rules refuse, an empty string if there is none."""
    present = set(rights.robots)
    if rights.tdm_reservation == "1":
        present |= {"tdm", "tdm-reservation"}
    if "none" in present:
        present |= {"noindex", "nofollow"}
    return next((signal for signal in refuse if signal.lower() in present), "")

"""The checks of the network and the sources, derived from one test poll of each source. Pure, but for `check_tls`."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from statistics import median
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from worker.config.types import format_duration
from worker.errors import ConfigurationError
from worker.fetch.http.connections import TlsContext
from worker.models import Page
from worker.models.base import counted, format_utc
from worker.runs.doctor.findings import Finding, Level, make_finding
from worker.runs.preview import ProbeResult

_STALE: Final = timedelta(days=30)
"""A source without a newer entry is probably abandoned; a monthly magazine may cause a false warning."""
_ACCURATE: Final = timedelta(minutes=2)
"""Clock difference that is tolerated: larger than any network delay, small against poll intervals."""
# Faults after which a host counts as unreachable.
_UNREACHED: Final = frozenset({"dns", "connect", "timeout", "reset"})
# What to do about a failed poll, by `ProbeResult.fault`.
_REMEDIES: Final = MappingProxyType(
    {
        "dns": "check the host name and the network",
        "connect": "check the address; the site may be down for now",
        "timeout": "try later, or raise [fetch] timeout and deadline",
        "reset": "the site may be down for now, or refuse connections from this address",
        "tls": "the site's certificate is invalid; for a private authority set [fetch] ca_file",
        "robots": "robots.txt forbids fetching this: remove the source, or ask the site's owner",
        "robots-silent": "its robots.txt cannot be fetched, and nothing is fetched without it: try later",
        "gone": "the page is gone: find a new URL with corpus-worker sources add",
        "http": "the site has an error, or refuses this worker: see the steps, try later",
        "content": "check the URL and the kind: corpus-worker sources add finds sources of the site",
        "path": "check the path",
        "content-type": "the URL serves no feed: corpus-worker sources add finds one",
        "network": "private addresses need [fetch] allow_networks",
        "size": "raise [fetch] max_bytes",
        "redirects": "set the final URL, without redirects",
    }
)


def check_tls(ca_file: str) -> Finding:
    """Check that certificate authorities can be loaded, with those of `ca_file` if given."""
    try:
        count = TlsContext(ca_file).context().cert_store_stats()["x509_ca"]
    except (ConfigurationError, ssl.SSLError, OSError) as exc:
        return make_finding("network", "tls", str(exc), fail=True, remedy="correct [fetch] ca_file")
    found = f"{count:,} certificate authorities" + (f", those of {ca_file} included" if ca_file else "")
    remedy = "install the system's or certifi's certificates again"
    return make_finding("network", "tls", found, fail=not count, remedy=remedy)


def check_hosts(results: Sequence[ProbeResult]) -> Finding:
    """Check the network by the number of hosts that answered at all; if none did, the fault is most likely local."""
    # A host that serves several sources is counted once.
    faults = {urlsplit(each.source.url).netloc.lower(): each.fault for each in results}
    hosts = {host for host in faults if host}
    unknown = {host for host in hosts if faults[host] == "dns"}
    silent = {host for host in hosts if faults[host] in _UNREACHED} - unknown
    found = f"{counted(len(hosts), 'host')} asked, {len(hosts - unknown - silent)} answered"
    not_found = f"{counted(len(unknown), 'name')} {'is' if len(unknown) == 1 else 'are'} not found"
    found += f", {not_found}" if unknown else ""
    none_answers = bool(hosts) and hosts == unknown | silent
    names = "no name server answers: check the network and the resolver"
    remedy = names if unknown == hosts else "check the network" if none_answers else "see the sources below"
    return make_finding("network", "hosts", found, warn=bool(unknown or silent), fail=none_answers, remedy=remedy)


def check_clock(results: Sequence[ProbeResult]) -> Finding | None:
    """Compare the clock with the `Date` headers of the servers, by their median; None if no server sent one."""
    ahead = [skew for each in results if each.page and (skew := _ahead(each.page)) is not None]
    if not ahead:
        return None
    off = timedelta(seconds=round(median(skew.total_seconds() for skew in ahead)))
    right = abs(off) <= _ACCURATE
    found = f"{format_duration(abs(off))} {'ahead of' if off > timedelta(0) else 'behind'} the servers"
    remedy = "set the clock, or let NTP keep it"
    return make_finding("network", "time", "agrees with the servers" if right else found, warn=not right, remedy=remedy)


def _ahead(page: Page) -> timedelta | None:
    """Return how far the clock is ahead of a server's `Date`, corrected by `Age` for caches (RFC 9111, 5.1)."""
    try:
        written = parsedate_to_datetime(page.headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    if written.tzinfo is None:
        return None
    # Nine digits are 31 years: longer values are invalid and would overflow a timedelta.
    age = page.headers.get("age", "")
    return page.fetched_at - written - timedelta(seconds=int(age[:9]) if age.isascii() and age.isdecimal() else 0)


def check_source(result: ProbeResult, *, now: datetime) -> Finding:
    """Check the result of one test poll of a source."""
    steps = tuple((step.what, f"{step.detail}  ({step.url})" if step.url else step.detail) for step in result.steps)
    level, detail, remedy = _assess(result, now=now)
    return Finding(area="source", name=result.source.name, level=level, detail=detail, remedy=remedy, steps=steps)


def _assess(result: ProbeResult, *, now: datetime) -> tuple[Level, str, str]:
    """Return level, detail and remedy."""
    if result.error:
        return (
            Level.FAIL,
            result.error,
            _REMEDIES.get(result.fault, "see the steps, which `corpus-worker doctor` shows"),
        )
    summary = _summary(result)
    if not result.candidates and not result.further:
        why = f": {result.notes[0]}" if result.notes else ""
        return Level.WARN, f"no entries{why}", "check the URL: corpus-worker sources add finds sources of the site"
    if result.newest and now - result.newest > _STALE:
        return Level.WARN, summary, "this source seems to be abandoned: look for another URL"
    if result.page and result.page.permanent_url:
        return Level.WARN, summary, f'it has moved permanently: set url = "{result.page.permanent_url}"'
    return Level.OK, summary, ""


def _summary(result: ProbeResult) -> str:
    """Return the number of entries, the newest date, the size and the response time in one line."""
    parts = [counted(result.entries, "entry") + (", and more pages" if result.further else "")]
    if result.offsite:
        parts.append(f"{counted(result.offsite, 'link')} to other sites left out")
    if result.newest:
        parts.append(f"newest {format_utc(result.newest)}")
    if page := result.page:
        parts.append(f"{page.status}, {len(page.body):,} bytes in {page.elapsed.total_seconds():.2f} s")
    return "; ".join(parts)

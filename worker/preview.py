"""Reads pages and input files as a run would, and tells what would be stored; nothing is: for `extract`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from worker.clock import SystemClock
from worker.errors import ExtractError, UsageError
from worker.extract import ProcessExtractor, extract_rules
from worker.extract.explain import Explanation
from worker.fetch import Step
from worker.inputs import aside
from worker.models import Candidate, Request, Source
from worker.ports import Hints
from worker.settings import DEFAULT_TIMEZONE, Settings
from worker.sounding import sounding
from worker.sources import read_inputs
from worker.urls import host_of, key_of_page


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would become of one page or text: where it lies, how it was fetched, how its article came about."""

    place: str
    explanation: Explanation
    steps: tuple[Step, ...] = ()


async def preview(settings: Settings, target: str) -> AsyncIterator[Preview]:
    """Yield one preview for a URL, and one for each article of a file or folder.

    Raises UsageError for what is neither, SourceError where a file cannot be read.
    """
    parts = urlsplit(target)
    is_web = parts.scheme in {"http", "https"} and bool(parts.netloc)
    path = Path(unquote(parts.path)) if parts.scheme == "file" else Path(target)
    if not is_web and not path.exists():
        raise UsageError(f"{target}: neither a web address nor a file or folder that exists")
    extractor = ProcessExtractor(extract_rules(settings))
    try:
        if is_web:
            yield await _of_page(settings, target, extractor)
            return
        async for each in _of_files(settings, path, extractor):
            yield each
    finally:
        await extractor.aclose()


async def _of_page(settings: Settings, url: str, extractor: ProcessExtractor) -> Preview:
    async with sounding(settings) as sounder:
        told = await sounder.fetcher.explain(Request(url=url))
    if told.page is None:
        reason = told.error.reason if told.error else ""
        return Preview(place=url, steps=told.steps, explanation=Explanation(reason=reason, message=str(told.error)))
    page = told.page
    candidate = Candidate(
        url=page.url, canonical_url=key_of_page(page.final_url), source=host_of(url), reference=url, payload=page
    )
    return Preview(place=url, steps=told.steps, explanation=await _explain(candidate, extractor))


async def _of_files(settings: Settings, path: Path, extractor: ProcessExtractor) -> AsyncIterator[Preview]:
    inputs = _inputs(settings, path)
    while (found := await aside(next, inputs, None)) is not None:
        if isinstance(found, str):
            yield Preview(place=str(path), explanation=Explanation(message=found))
        else:
            yield Preview(place=found.reference, explanation=await _explain(found, extractor))


def _inputs(settings: Settings, path: Path) -> Iterator[Candidate | str]:
    """Yield what files hold, and a sentence for each part that cannot be read."""
    now, most = SystemClock().now(), settings.fetch.max_bytes
    for discovery in read_inputs(path, _source(path), now=now, max_bytes=most):
        yield from (candidate for candidate in discovery.candidates if candidate.payload)
        yield from discovery.notes
        if any(candidate.payload is None for candidate in discovery.candidates):
            yield f"{path}: a list of addresses, no article"


def _source(path: Path) -> Source:
    return Source(name="files", kind="files", url=str(path), timezone=DEFAULT_TIMEZONE)


async def _explain(candidate: Candidate, extractor: ProcessExtractor) -> Explanation:
    assert candidate.payload is not None
    hints = Hints(
        url=candidate.url,
        canonical_url=candidate.canonical_url,
        source=candidate.source,
        title=candidate.title,
        published_at=candidate.published_at,
        modified_at=candidate.modified_at,
        external_id=candidate.external_id,
        timezone=DEFAULT_TIMEZONE,
    )
    try:
        return await extractor.explain(candidate.payload, hints, fetched_at=SystemClock().now())
    except ExtractError as exc:
        return Explanation(reason=exc.reason, message=str(exc))

"""Reads pages and input files as a run would, and tells what would be stored; nothing is: for `extract`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from worker.clock import SystemClock
from worker.config.schema import DEFAULT_TIMEZONE, Settings
from worker.errors import ExtractError, UsageError
from worker.extract import ProcessExtractor, extract_rules
from worker.extract.explain import ExtractionExplanation
from worker.fetch import Step
from worker.files.reading import read_in_thread
from worker.models import Candidate, Request, Source
from worker.ports import Hints
from worker.runs.probe import open_probe
from worker.sources import read_inputs
from worker.urls import host_of, page_key


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractPreview:
    """What would become of one page or text: where it lies, how it was fetched, how its article came about."""

    place: str
    explanation: ExtractionExplanation
    steps: tuple[Step, ...] = ()


async def preview(settings: Settings, target: str) -> AsyncIterator[ExtractPreview]:
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
            yield await _preview_page(settings, target, extractor)
            return
        async for each in _preview_files(settings, path, extractor):
            yield each
    finally:
        await extractor.aclose()


async def _preview_page(settings: Settings, url: str, extractor: ProcessExtractor) -> ExtractPreview:
    async with open_probe(settings) as sounder:
        told = await sounder.fetcher.explain(Request(url=url))
    if told.page is None:
        reason = told.error.reason if told.error else ""
        return ExtractPreview(
            place=url, steps=told.steps, explanation=ExtractionExplanation(reason=reason, message=str(told.error))
        )
    page = told.page
    candidate = Candidate(
        url=page.url, canonical_url=page_key(page.final_url), source=host_of(url), reference=url, payload=page
    )
    return ExtractPreview(place=url, steps=told.steps, explanation=await _explain(candidate, extractor))


async def _preview_files(settings: Settings, path: Path, extractor: ProcessExtractor) -> AsyncIterator[ExtractPreview]:
    inputs = _inputs(settings, path)
    while (found := await read_in_thread(next, inputs, None)) is not None:
        if isinstance(found, str):
            yield ExtractPreview(place=str(path), explanation=ExtractionExplanation(message=found))
        else:
            yield ExtractPreview(place=found.reference, explanation=await _explain(found, extractor))


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


async def _explain(candidate: Candidate, extractor: ProcessExtractor) -> ExtractionExplanation:
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
        return ExtractionExplanation(reason=exc.reason, message=str(exc))

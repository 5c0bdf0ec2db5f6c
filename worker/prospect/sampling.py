"""Looks at a few articles of a source as a run would: fetched, extracted, and never stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.clock import SystemClock
from worker.errors import ExtractError, FetchBlocked, FetchError
from worker.fetch import HttpFetcher
from worker.models import Candidate, Request
from worker.ports import Extractor, Hints
from worker.settings import DEFAULT_TIMEZONE

_SIZE: Final = 3
ARTICLE: Final = "article"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a few articles of a source came to: the share that would be stored, in 0..1, and that in words."""

    share: float = 0.0
    told: str = ""
    error: str = ""


class Sampler:
    """Takes samples; a page that several sources name is fetched once."""

    def __init__(self, fetcher: HttpFetcher, extractor: Extractor, *, tell: Callable[[str], None]) -> None:
        self._fetcher = fetcher
        self._extractor = extractor
        self._tell = tell
        self._seen: dict[str, str] = {}

    async def sample(self, candidates: Sequence[Candidate]) -> Sample:
        """Fetch and extract up to three articles from the beginning, the middle and the end."""
        places = dict.fromkeys((0, len(candidates) // 2, len(candidates) - 1))
        chosen = [candidates[place] for place in places][:_SIZE] if candidates else []
        return summed([await self._look(each) for each in chosen])

    async def _look(self, candidate: Candidate) -> str:
        """Return `article`, or the reason why a page is none."""
        if candidate.canonical_url not in self._seen:
            self._tell(f"sampling {candidate.url}")
            self._seen[candidate.canonical_url] = await self._judge(candidate)
        return self._seen[candidate.canonical_url]

    async def _judge(self, candidate: Candidate) -> str:
        hints = Hints(
            url=candidate.url,
            canonical_url=candidate.canonical_url,
            source=candidate.source,
            title=candidate.title,
            published_at=candidate.published_at,
            timezone=DEFAULT_TIMEZONE,
        )
        try:
            page = await self._fetcher.fetch(Request(url=candidate.url))
            await self._extractor.extract(page, hints, fetched_at=SystemClock().now())
        except (ExtractError, FetchBlocked, FetchError) as exc:
            return exc.reason
        return ARTICLE


def summed(verdicts: Sequence[str]) -> Sample:
    """Return what verdicts come to; where none is an article, the reasons are the error."""
    counts = Counter(verdicts)
    good = counts.pop(ARTICLE, 0)
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    told = f"{good} of {len(verdicts)}" + (f" ({reasons})" if reasons else "")
    error = "" if good or not verdicts else f"none of {len(verdicts)} articles would be stored: {reasons}"
    return Sample(share=good / len(verdicts) if verdicts else 0.0, told=told, error=error)

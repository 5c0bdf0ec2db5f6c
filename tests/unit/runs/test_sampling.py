"""The sample of a few articles of a source."""

from __future__ import annotations

import pytest

from worker.runs.discover_sources import ARTICLE, SampleResult, summarise


@pytest.mark.parametrize(
    ("verdicts", "sample"),
    [
        ([ARTICLE, ARTICLE, ARTICLE], SampleResult(share=1.0, summary="3 of 3")),
        ([ARTICLE, "short"], SampleResult(share=0.5, summary="1 of 2 (1 short)")),
        ([], SampleResult(summary="0 of 0")),
        (
            ["language", "short", "language"],
            SampleResult(
                summary="0 of 3 (2 language, 1 short)",
                error="none of 3 articles would be stored: 2 language, 1 short",
            ),
        ),
    ],
)
def test_verdicts_are_summarised_as_a_share_and_a_sentence(verdicts: list[str], sample: SampleResult) -> None:
    assert summarise(verdicts) == sample

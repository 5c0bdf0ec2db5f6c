"""The sample of a few articles of a source."""

from __future__ import annotations

import pytest

from worker.runs.discover_sources import ARTICLE, SampleResult, summarise


@pytest.mark.parametrize(
    ("verdicts", "sample"),
    [
        ([(ARTICLE, "")] * 3, SampleResult(share=1.0, summary="3 of 3")),
        ([(ARTICLE, ""), ("short", "12 words")], SampleResult(share=0.5, summary="1 of 2 (1 short)")),
        ([], SampleResult(summary="0 of 0")),
        (
            [("language", "in en, and [extract] languages is vi"), ("short", "12 words"), ("language", "in fr, and …")],
            SampleResult(
                summary="0 of 3 (2 language, 1 short)",
                error="none of 3 articles would be stored: 2 language (in en, and [extract] languages is vi); "
                "1 short (12 words)",
            ),
        ),
    ],
)
def test_verdicts_are_summarised_as_a_share_and_a_sentence(
    verdicts: list[tuple[str, str]], sample: SampleResult
) -> None:
    assert summarise(verdicts) == sample

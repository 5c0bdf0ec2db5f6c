"""Settings of the configuration reach the stages."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from pydantic import ValidationError

from worker.config.schema import ExtractSettings, RightsSettings, Settings
from worker.config.sources import SourceSettings
from worker.extract.ipc import extract_rules
from worker.models import SourceOptions

SOURCE = {"name": "bao", "kind": "listing", "url": "https://bao.example/"}


def test_extraction_gets_all_its_settings_and_the_signals_to_refuse() -> None:
    settings = Settings(
        extract=ExtractSettings(processes=3, timeout=timedelta(seconds=7), min_words=9, languages=("en",)),
        rights=RightsSettings(refuse=("noai",)),
    )

    rules = extract_rules(settings)

    assert (rules.processes, rules.timeout, rules.min_words) == (3, timedelta(seconds=7), 9)
    assert (rules.languages, rules.refuse) == (("en",), ("noai",))


def test_the_options_of_a_source_reach_its_reader() -> None:
    written = SOURCE | {
        "sites": ["bao.vn", "bao.com"],
        "drop_params": ["ref"],
        "fold_case": True,
        "pages": 3,
        "article_pattern": r"-\d+\.htm$",
        "max_age": "36h",
    }

    options = SourceSettings.model_validate(written).source().options

    assert options == SourceOptions(
        sites=frozenset({"bao.vn", "bao.com"}),
        drop_params=frozenset({"ref"}),
        fold_case=True,
        pages=3,
        article_pattern=re.compile(r"-\d+\.htm$"),
        max_age=timedelta(hours=36),
    )


def test_a_source_without_rules_learns_what_an_article_is() -> None:
    assert SourceSettings.model_validate(SOURCE).source().options.article_pattern is None


@pytest.mark.parametrize(
    ("key", "value"), [("article_pattern", "("), ("sites", ["a,b"]), ("pages", 0), ("keep_params", ["a b"])]
)
def test_an_impossible_option_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        SourceSettings.model_validate(SOURCE | {key: value})

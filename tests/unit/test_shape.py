"""The shape of the code: modules and functions stay small, and no measure that is met gets worse."""

from __future__ import annotations

import ast

import pytest

from tests import code_metrics
from tests.code_metrics import MEASURES, SOURCES, Measure, Source, function_length

LONGEST_MODULE = 400
LONGEST_FUNCTION = 40


def name(source: Source) -> str:
    return source.name


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_a_module_says_what_it_is_for_and_stays_short(source: Source) -> None:
    assert len(source.lines) <= LONGEST_MODULE
    assert ast.get_docstring(source.tree)


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_no_function_is_longer_than_a_screen(source: Source) -> None:
    lengths = {function.name: function_length(function) for function in source.functions}

    assert not {each: length for each, length in lengths.items() if length > LONGEST_FUNCTION}


@pytest.mark.parametrize("measure", MEASURES, ids=lambda each: each.name)
def test_every_limit_is_kept(measure: Measure) -> None:
    assert measure.is_met(measure.figure())


CONSTANTS = '''
BARE = 3
ON_THE_LINE = 3  # measured
NEXT = 4

# The sizes of two sheets.
FIRST = 2 * 3
SECOND = -1

ALONE: Final = timedelta(seconds=3)
"""The clock of the sheet ticks so slowly."""
AFTER = 1 << 20
FOR_A_TOOL = 2  # noqa: PLR2004
NO_NUMBER = "3"
FLAG = True
'''


def test_constants_without_a_reason_are_found() -> None:
    found = [
        CONSTANTS.splitlines()[statement.lineno - 1].split()[0]
        for statement, has_reason in code_metrics.numeric_constants(Source.of(CONSTANTS))
        if not has_reason
    ]

    assert found == ["BARE", "NEXT", "AFTER", "FOR_A_TOOL"]


def test_an_import_counts_for_the_module_that_it_names() -> None:
    text = (
        "from worker.fetch import robots\n"
        "from worker.extract import Nothing\n"
        "import os, worker.errors\n"
        "def late():\n    from worker.models import articles as them\n"
    )
    names = {
        "worker.fetch",
        "worker.fetch.robots",
        "worker.extract",
        "worker.errors",
        "worker.models",
        "worker.models.articles",
    }

    found = code_metrics.imported(Source.of(text).tree, names)

    assert found == {"worker.fetch.robots", "worker.extract", "worker.errors", "worker.models.articles"}


def test_comments_for_tools_are_no_documentation() -> None:
    source = Source.of('"""One."""\n\na = 1  # why\nb = 2  # noqa: E741\n"""Two\nlines."""\n# three\n')

    assert source.docstrings | source.comments == {1, 3, 5, 6, 7}


def test_the_way_of_an_article_is_followed_into_every_process() -> None:
    found = code_metrics.files_one_article_passes()

    rooms = {each.split(".")[1] for each in found}
    assert {"cli", "pipeline", "sources", "fetch", "extract", "dedupe", "storage"} <= rooms
    assert not {"daemon", "export"} & rooms

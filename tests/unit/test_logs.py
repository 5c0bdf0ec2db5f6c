"""Logs: one line an event, which nothing from outside can forge."""

from __future__ import annotations

import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from worker import logs


@given(st.text())
def test_escaped_text_has_no_control_character_left(text: str) -> None:
    assert not any(
        ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029\u202e" for char in logs.escape(text)
    )


def test_vietnamese_text_is_left_as_it_is() -> None:
    assert logs.escape("Hà Nội: “mưa lớn” – 30%") == "Hà Nội: “mưa lớn” – 30%"


def test_an_event_is_one_line_whatever_its_fields_hold(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level=logging.INFO)

    structlog.get_logger().info("fetch.done", url="https://x.example/\n2026 ERROR forged", status=200, none=None)

    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert 'INFO    fetch.done url="https://x.example/\\n2026 ERROR forged" status=200\n' in line


def test_events_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level=logging.WARNING)

    structlog.get_logger().info("fetch.done")

    assert capsys.readouterr().err == ""


def test_json_lines_hold_the_same_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level=logging.INFO, as_json=True)

    structlog.get_logger().warning("discover.failed", source="báo")

    record = json.loads(capsys.readouterr().err)
    assert record["event"] == "discover.failed"
    assert record["source"] == "báo"
    assert record["level"] == "warning"


def test_a_traceback_follows_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level=logging.INFO)

    try:
        int("odd")
    except ValueError:
        structlog.get_logger().exception("ingest.bug")

    assert capsys.readouterr().err.rstrip().endswith("invalid literal for int() with base 10: 'odd'")


def test_warnings_of_libraries_become_events_and_their_chatter_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level=logging.INFO)

    logging.getLogger("httpx").info("HTTP Request: GET https://x.example/?secret=1")
    logging.getLogger("some.library").warning("went\nwrong")

    written = capsys.readouterr().err
    assert "secret" not in written
    assert "library.log library=some.library message=went\\nwrong" in written

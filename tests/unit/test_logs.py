"""Logs: one line for each event, which text from the web cannot forge."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from pathlib import Path

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


def test_vietnamese_text_is_not_escaped() -> None:
    assert logs.escape("Hà Nội: “mưa lớn” – 30%") == "Hà Nội: “mưa lớn” – 30%"


def test_an_event_is_one_line_for_any_field_values(capsys: pytest.CaptureFixture[str]) -> None:
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
    logs.configure(level=logging.INFO, form="json")

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


@pytest.mark.parametrize("form", ["console", "json"])
def test_the_message_of_a_bug_cannot_forge_a_line(capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.configure(level=logging.INFO, form=form)

    try:
        raised("oops\n2026-03-01T00:00:00Z INFO    ingest.outcome state=stored\u2028\x1b[31m")
    except RuntimeError:
        structlog.get_logger().exception("ingest.bug")

    first, *rest = capsys.readouterr().err.rstrip("\n").split("\n")
    assert "ingest.bug" in first
    assert not [line for line in rest if not line.startswith("    ")]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u2028]", first + "".join(rest))


def test_a_field_cannot_forge_another_field(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level=logging.INFO)

    structlog.get_logger().info("x.y", error='oops" state="stored')

    assert capsys.readouterr().err.endswith('x.y error="oops\\" state=\\"stored"\n')


def test_passwords_in_addresses_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level=logging.INFO)

    structlog.get_logger().info("x.y", url="https://me:s3cret@host/a@b:c", store="postgresql://u:s3cret@db/x")

    written = capsys.readouterr().err
    assert "s3cret" not in written
    assert "https://me:***@host/a@b:c" in written


def test_the_journal_gets_priorities_and_no_timestamps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as journal:
        monkeypatch.setattr(sys, "stderr", journal)
        found = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        logs.configure(level=logging.INFO)

        structlog.get_logger().warning("discover.failed", source="bao", error="a\n<0>b")
        try:
            int("odd")
        except ValueError:
            structlog.get_logger().exception("ingest.bug")

        journal.seek(0)
        lines = journal.read().splitlines()

    assert lines[0] == "<4>discover.failed source=bao error=a\\n<0>b"
    assert lines[1] == "<3>ingest.bug"
    assert all(line.startswith("<3>    ") for line in lines[2:])


def test_a_log_piped_elsewhere_has_timestamps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    logs.configure(level=logging.INFO)

    structlog.get_logger().info("x.y")

    assert re.match(r"\d{4}-\d\d-\d\dT.* INFO    x\.y\n", capsys.readouterr().err)


def test_warnings_of_libraries_become_events_and_noisy_libraries_are_muted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level=logging.INFO)

    logging.getLogger("httpx").info("HTTP Request: GET https://x.example/?secret=1")
    logging.getLogger("some.library").warning("went\nwrong")

    written = capsys.readouterr().err
    assert "secret" not in written
    assert "library.log library=some.library message=went\\nwrong" in written


def test_an_error_of_a_library_is_logged_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level=logging.INFO)

    try:
        raised("no such thing")
    except RuntimeError:
        logging.getLogger("some.library").exception("a job failed")

    written = capsys.readouterr().err
    assert 'message="a job failed"' in written
    assert "    RuntimeError: no such thing" in written


def raised(message: str) -> None:
    raise RuntimeError(message)


def test_a_log_that_cannot_be_written_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 - closing it fails, which is the point
    monkeypatch.setattr(sys, "stderr", full)
    logs.configure(level=logging.INFO)

    structlog.get_logger().info("run.started")

    with pytest.raises(OSError, match="No space left"):
        full.close()


HIDDEN = (
    "\u200e\u200f\u061c\u202a\u202e\u2066\u2069\u200b\u2060\ufeff"
    "\u00ad\u034f\u115f\u3164\U000e0041\x00\x1b\x9b\u2028\ud800"
)
"""Characters that are invisible or change the direction of text."""


@pytest.mark.parametrize("sign", HIDDEN, ids=lambda sign: f"{ord(sign):04x}")
def test_invisible_characters_are_escaped(sign: str) -> None:
    shown = logs.escape(f"Tiêu đề{sign} bài")
    written = logs.escape_json(json.dumps(f"Tiêu đề{sign}", ensure_ascii=False))

    assert sign not in shown
    assert f"{ord(sign):x}" in shown.lower()
    assert sign not in written
    assert json.loads(written) == f"Tiêu đề{sign}"


@pytest.mark.parametrize(
    "text",
    ["👨\u200d👩\u200d👧", "❤\ufe0f\u200d🔥", "می\u200cخواهم", "क्\u200dष", ":bomb:", "🇻🇳", "50\u00a0%", "a\u202fb"],
)
def test_joiners_that_belong_to_a_script_or_an_emoji_are_kept(text: str) -> None:
    assert logs.escape(text) == text


@pytest.mark.parametrize("text", ["pay\u200dpal", "pay\u200cpal", "\u200dabc", "tên\u200d"])
def test_joiners_between_other_letters_are_escaped(text: str) -> None:
    assert not set("\u200c\u200d") & set(logs.escape(text))


@given(st.text(alphabet=st.sampled_from('a ="\\\n\t\u202e\u00a0,')))
def test_a_log_line_parses_back_into_its_fields(text: str) -> None:
    line = logs._format_event({"event": "x.y", "error": text, "state": "stored"})

    quoted = r'"((?:[^"\\]|\\.)*)"|(\S*)'
    found = re.fullmatch(rf"x\.y error=(?:{quoted}) state=stored", line)
    assert found
    if found[1] is not None and "\u202e" not in text:
        assert json.loads(f'"{found[1]}"'.replace("\\xa0", "\xa0")) == text


@pytest.mark.parametrize("value", ['\\" state="stored', "\\", 'a\\" b="', '\\\\" x=1 y="', "a=b", 'x" "y'])
def test_no_quotation_mark_in_a_value_ends_its_field(value: str) -> None:
    line = logs._format_event({"event": "x.y", "error": value})

    assert re.fullmatch(r'x\.y error="(?:[^"\\]|\\.)*"', line)

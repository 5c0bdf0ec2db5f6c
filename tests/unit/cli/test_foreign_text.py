"""Foreign text is printed unchanged at every position of a line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.markup import render

from worker.cli.base import print_json
from worker.cli.render.tables import escape_markup
from worker.logs import escape as visible


@pytest.mark.parametrize("after", ["", "\n", " more", "[b]more[/b]", "[/b]"])
@given(text=st.text(alphabet="a\\[]/ b:#é\u202e\n", max_size=12))
def test_foreign_text_is_shown_unchanged_before_any_other_text(text: str, after: str) -> None:
    plain = {"[b]more[/b]": "more", "[/b]": ""}.get(after, after)

    shown = render(f"[b]{escape_markup(text)}{after}" + ("[/b]" if after != "[/b]" else ""), emoji=False)

    assert shown.plain == visible(text) + plain


@pytest.mark.parametrize("text", ["ends so \\", "ends so \\\\", "\\", "[b]\\", "\\[b]", "[/]", "[none]", ":bomb: \\"])
def test_every_backslash_and_bracket_is_shown_once(text: str) -> None:
    assert render(escape_markup(text), emoji=False).plain == text


def test_a_file_name_that_is_not_utf8_is_valid_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"place": "a\udcff.html"})

    printed = capsys.readouterr().out
    assert json.loads(printed.encode("utf-8")) == {"place": "a\\xff.html"}

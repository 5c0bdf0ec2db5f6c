"""`search`, run as users run it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.commands import Desk
from tests.contract.storage.factories import PARAMETERS, add_seeds, article, fingerprint, seed
from tests.run_cli import run_inside
from worker.models import PreparedSeed
from worker.storage.store import open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with two texts about a railway, one of another source and language."""
    Desk(folder=tmp_path).configure()
    with open_store(f"sqlite:///{tmp_path / 'corpus.db'}", parameters=PARAMETERS) as store:
        for number, source, language in ((1, "bao", "vi"), (2, "tin", "en")):
            body = f"Tuyến đường sắt \x1b[31mthứ {number}"
            made = replace(article(f"https://bao.example/{number}", body), source=source, language=language)
            raw = seed(f"{number}.txt", body)
            add_seeds(store, PreparedSeed(seed=raw, article=made, fingerprint=fingerprint(body)))
    return tmp_path


def test_search_prints_one_object_a_line(folder: Path) -> None:
    ended = run_inside(folder, "search", "duong", "sat", "--source", "bao", "--from", "2026-05", "--json")

    assert ended.status == 0, ended.err
    assert ended.records() == [
        {
            "id": 1,
            "url": "https://bao.example/1",
            "title": "Tiêu đề",
            "snippet": "Tuyến **đường sắt** \x1b[31mthứ 1",
            "source": "bao",
            "published_at": "2026-05-03T20:02:01.987654+00:00",
        }
    ]


def test_people_see_results_and_what_was_ignored(folder: Path) -> None:
    found = run_inside(folder, "search", "đường from:once", "--limit", "1")
    nothing = run_inside(folder, "search", "đường", "--language", "th")
    wrong = run_inside(folder, "search", "x", "--to", "soon")

    assert "Tuyến đường sắt" in found.out
    assert "\x1b[31m" not in found.out
    assert "from:once is no date" in found.err
    assert "see --limit" in found.err
    assert (nothing.status, nothing.out) == (0, "")
    assert "no text has all of this" in nothing.err
    assert (wrong.status, wrong.out) == (2, "")
    assert "--to soon: is no date" in wrong.err

"""Tables in narrow terminals: one line a row, dates whole, and everything where nobody looks at a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from worker.cli.render.tables import FittingTable
from worker.cli.render.why import print_changes
from worker.models import Relation
from worker.storage.maintenance.rejudge import VerdictChange

DATE = "2026-11-30 08:49:55"
ADDRESS = "https://bao.example/rss/tin-moi-nhat-trong-ngay/chuyen-muc-thoi-su.rss"


def drawn(table: FittingTable, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40])
def test_a_row_is_one_line_and_a_date_is_whole_or_left_out(width: int) -> None:
    table = FittingTable(
        names=("name", "kind", "last poll", "next poll", "error", "url"),
        rows=[
            ("tuoitre-the-gioi-va-khoa-hoc", "feed", DATE, DATE, "timeout after 30 s", ADDRESS),
            ("báo [mới]", "sitemap", "-", DATE, "-", ADDRESS),
        ],
        dropped=("next poll", "kind", "last poll"),
        least={"name": 16, "error": 12, "url": 30},
    )
    lines = drawn(table, width)

    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    assert ("2026" in lines[1]) == (DATE in lines[1])
    assert all("https://bao" in line and "tuoi" in lines[1] for line in lines[1:])
    assert (ADDRESS in lines[1]) == (width >= table.width())
    assert "báo [" in lines[2]


def test_changed_verdicts_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    change = VerdictChange(
        id=2094, url=ADDRESS, title="Giá vàng hôm nay tăng mạnh", relation=Relation.CONTAINED, cluster=1871, head=False,
        new_relation=Relation.FOLLOWUP, new_cluster=2094, new_head=True, against=1871, jaccard=0.4, containment=0.9,
    )  # fmt: skip
    lines = {}
    for width in (300, 80):
        out = io.StringIO()
        monkeypatch.setattr(
            "worker.cli.render.tables.console", lambda out=out, width=width: Console(file=out, width=width)
        )
        print_changes((change,))
        lines[width] = out.getvalue().splitlines()

    assert [len(each) for each in lines.values()] == [2, 2]
    assert max(map(len, lines[80])) <= 80
    assert "contained in 1871, not exported  followup in 2094, exported  Giá" in lines[80][1]
    assert ADDRESS in lines[300][1]


def test_a_file_is_cut_at_its_beginning_and_a_row_of_counts_is_turned() -> None:
    files = FittingTable(
        names=("rows", "file"), rows=[("1,000", "seeds/one/two/three/four.jsonl")], least={"file": 9}, right=["rows"]
    )
    counts = FittingTable(names=("discovered", "stored"), rows=[["12", "3"]], turned=True)

    assert drawn(files, 20) == [" rows  file", "1,000  …e/four.jsonl"]
    assert drawn(counts, 20) == ["discovered  stored", "12          3"]
    assert drawn(counts, 15) == ["discovered  12", "stored       3"]

"""The preview of a folder's pages."""

from __future__ import annotations

import asyncio
from pathlib import Path

from worker.config.schema import Settings
from worker.extract.explain import ExtractionExplanation
from worker.extract.ipc import ExtractRules
from worker.extract.pool import ProcessExtractor
from worker.models import Page, Text
from worker.runs.preview import preview


class _PairedExtractor(ProcessExtractor):
    """Extracts no page before a second one has come."""

    def __init__(self) -> None:
        super().__init__(ExtractRules())
        self._waiting: list[asyncio.Event] = []

    async def explain(self, content: Page | Text, *_: object, **__: object) -> ExtractionExplanation:
        mine = asyncio.Event()
        self._waiting.append(mine)
        if len(self._waiting) % 2 == 0:
            for each in self._waiting:
                each.set()
        async with asyncio.timeout(60):
            await mine.wait()
        return ExtractionExplanation(message="read")


async def test_a_problem_with_a_file_is_shown_under_its_name_and_in_its_place(tmp_path: Path) -> None:
    for name in ("0.html", "2.html", "4.html", "5.html"):
        (tmp_path / name).write_text("<html><body><p>Tin</p></body></html>", "utf-8")
    (tmp_path / "1.html").symlink_to("gone.html")
    (tmp_path / "3.txt").write_bytes(b"\x00\x01" * 100)

    shown = [each async for each in preview(Settings(), str(tmp_path), _PairedExtractor())]

    assert [Path(each.place).name for each in shown] == ["0.html", "1.html", "2.html", "3.txt", "4.html", "5.html"]
    assert shown[1].explanation.message.startswith("is a link to gone.html")
    assert shown[3].explanation.message.startswith("is not text")


async def test_pages_are_extracted_together_and_shown_in_order(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.html").write_text(f"<html><body><p>{number}</p></body></html>", "utf-8")

    shown = [each async for each in preview(Settings(), str(tmp_path), _PairedExtractor())]

    assert [Path(each.place).name for each in shown] == [f"{number}.html" for number in range(6)]

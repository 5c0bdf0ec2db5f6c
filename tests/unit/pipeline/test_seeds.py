"""The import of seeds: it continues behind the last batch, reads no file again, and loses a process without harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.waiting import eventually
from worker.clock import SystemClock
from worker.dedupe.judge import Deduper
from worker.errors import StoreError
from worker.models import PreparedSeed, Seed
from worker.pipeline import prepare_seeds, seeds
from worker.pipeline.prepare_seeds import Preparer, SeedOptions
from worker.pipeline.seeds import SeedImporter, SeedProgress, SeedReport
from worker.sources.files.article_files import InputProblem
from worker.sources.files.seed_rows import SeedFile, SeedReader
from worker.sources.files.seeds import find_seed_files, read_seed_file
from worker.storage.seeds import importing
from worker.storage.store import Store, open_store

ROWS = 9


class Extractor:
    """No seed here is a page."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'corpus.db'}", parameters=Deduper().parameters) as opened:
        yield opened


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and batches of two rows."""
    for module, name in ((prepare_seeds, "CHUNK_ROWS"), (seeds, "CHUNK_ROWS"), (importing, "_ROWS_ON_SQLITE")):
        monkeypatch.setattr(module, name, 2)
    monkeypatch.setattr(seeds, "_CHUNKS_AHEAD", 1)


def write(folder: Path, *, name: str = "x.jsonl", end: str = "") -> str:
    """Write rows with a text of its own each, and one without a text."""
    texts = [f"Bài {number}. {' '.join(f'{number}{word}' for word in range(40))}.{end}" for number in range(ROWS)]
    path = folder / name
    path.write_text("\n".join(json.dumps({"text": text}) for text in ["", *texts]), encoding="utf-8")
    return str(path)


def add(store: Store, path: str, *, fail_at: int = 0, options: SeedOptions | None = None) -> SeedReport:
    """Import a file; `fail_at` is the batch at which the store fails."""
    written = 0

    async def offload(call: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal written
        written += call == store.seeds.add_seeds
        if fail_at and written == fail_at:
            raise StoreError("full")
        return call(*args, **kwargs)

    async def run() -> SeedReport:
        importer = SeedImporter(
            clock=SystemClock(),
            offload=offload,  # type: ignore[arg-type]
            deduper=Deduper(),
            seed_store=store.seeds,
            extractor=Extractor(),  # type: ignore[arg-type]
            options=options or SeedOptions(),
        )
        files = [each for each in find_seed_files([path]) if isinstance(each, SeedFile)]
        return await importer.add(files, seen.append)

    seen: list[SeedProgress] = []
    return anyio.run(run)


def test_a_name_that_is_not_utf8_is_stored_escaped(store: Store, tmp_path: Path) -> None:
    write(tmp_path, name=os.fsdecode(b"x\xff.jsonl"))
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / os.fsdecode(b"\xfe.txt")).write_text("Bài một.\n\n" + "chữ " * 40, encoding="utf-8")

    report, again = add(store, str(tmp_path)), add(store, str(tmp_path))

    assert (report.imported, again.imported, again.unchanged) == (ROWS + 1, 0, 2)
    assert any(file.name.endswith(r"x\xff.jsonl") for file in store.seeds.files())


def test_rows_without_a_usable_address_are_imported_and_named(store: Store, tmp_path: Path) -> None:
    texts = [f"Bài {number}. {' '.join(f'{number}{word}' for word in range(40))}." for number in range(12)]
    rows = [
        {"text": text, "url": f"http://bad {text[:6]}/" if at else "https://a.vn/1"} for at, text in enumerate(texts)
    ]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    first, again = add(store, str(path)), add(store, str(path))

    assert (first.found, first.imported, first.refused, again.unchanged) == (12, 12, 0, 1)
    assert [problem.rpartition("/")[2].partition(":")[0] for problem in first.problems[:5]] == [
        f"x.jsonl, line {row}" for row in range(2, 7)
    ]
    assert "the seed is without its address: not a usable host: 'bad Bài 1.'" in first.problems[0]
    assert first.problems[5:] == (f"{path}: 6 more rows with a problem",)


@pytest.mark.usefixtures("small")
def test_an_import_that_ended_early_continues_behind_its_last_batch(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[int] = []

    def read(reader: SeedReader, file: SeedFile, *, start: int) -> Iterator[Seed | InputProblem]:
        starts.append(start)
        return read_seed_file(reader, file, start=start)

    monkeypatch.setattr(seeds, "read_seed_file", read)
    path = write(tmp_path)

    with pytest.raises(StoreError):
        add(store, path, fail_at=3)
    (file,) = store.seeds.count_files()
    report = add(store, path)

    assert 0 < file.rows < ROWS
    assert not file.finished
    assert starts == [0, file.rows]
    assert (report.found, report.imported, report.refused) == (ROWS + 1, ROWS - file.imported, 1)
    assert (store.reader.audit().seeds, store.reader.audit().problems) == (ROWS, ())


def test_a_file_is_read_again_only_if_it_or_the_settings_changed(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path)
    add(store, path)

    same, other = add(store, path), add(store, path, options=SeedOptions(clean=False))
    moved = Path(path).rename(tmp_path / "y.jsonl")
    renamed = add(store, str(moved))

    assert (same.files, same.unchanged, same.known) == (0, 1, ROWS)
    assert (other.files, other.imported, other.known) == (1, 0, ROWS)
    assert (renamed.imported, renamed.known) == (0, ROWS)
    assert [(file.name, file.imported) for file in store.seeds.count_files()] == [(str(moved), ROWS)]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("is_gone", [False, True])
def test_texts_that_are_stored_are_known_by_other_bytes_also_after_a_kill(
    store: Store, tmp_path: Path, is_gone: bool
) -> None:
    path, trimmed = write(tmp_path, end=" \n"), write(tmp_path, name="e.jsonl")
    add(store, path)
    if is_gone:
        Path(path).unlink()

    with pytest.raises(StoreError):
        add(store, trimmed, fail_at=3)
    resumed = add(store, trimmed)
    write(tmp_path, name="e.jsonl", end="\n")
    changed = add(store, trimmed)
    write(tmp_path, name="e.jsonl", end=" \n")
    back = add(store, trimmed)
    add(store, write(tmp_path, end=" \n"), options=SeedOptions(clean=False))

    assert [(each.imported, each.known, each.refused) for each in (resumed, changed, back)] == [(0, ROWS, 1)] * 3
    assert (store.reader.audit().seeds, store.reader.audit().problems) == (ROWS, ())
    assert {file.name: file.imported for file in store.seeds.count_files()} == {path: ROWS, trimmed: ROWS}


def test_a_seed_on_which_a_process_dies_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def in_process(_self: Preparer, chunk: list[Seed], _now: object) -> list[PreparedSeed | str]:
        if any(seed.raw == "boom" for seed in chunk):
            raise BrokenProcessPool
        return [seed.raw for seed in chunk]

    monkeypatch.setattr(Preparer, "_in_process", in_process)
    preparer = Preparer(SeedOptions(), Extractor())  # type: ignore[arg-type]
    preparer.expect(1_000_000)
    chunk = [Seed(name=raw, raw=raw, sha256=raw) for raw in ("a", "boom", "b")]

    made = anyio.run(preparer.prepare, chunk, SystemClock().now())

    assert [made[0], made[2]] == ["a", "b"]
    assert str(made[1]).startswith("the process that prepared boom died")


POOL = """
import multiprocessing, signal
from concurrent.futures import ProcessPoolExecutor
from worker.pipeline.prepare_seeds import begin_process
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("forkserver"), begin_process)
    print(pool.submit(int).result(), *pool._processes, flush=True)
    signal.pause()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc shows whether a process is there")
def test_a_process_of_an_import_that_was_killed_ends_as_well(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(POOL, encoding="utf-8")
    with subprocess.Popen([sys.executable, "pool.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        _, process = program.stdout.readline().split()

        program.kill()

        eventually(lambda: not Path("/proc", process).exists(), within=60)

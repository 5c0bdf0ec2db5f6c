"""`duplicates mark` and `reprocess`, run as users run them, on files."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.commands import CONFIG, Desk
from worker.cli.main import cli
from worker.config.load import load_settings
from worker.errors import StoreBusy, UsageError
from worker.models import DuplicateLink
from worker.runs.reprocess import ReprocessRun
from worker.storage.store import Store, open_store

SYLLABLES = ("an", "bình", "cao", "dũng", "giang", "hà", "khê", "lâm", "minh", "nam", "phú", "quang", "sơn", "tâm")


def lines(topic: str, count: int = 12) -> list[str]:
    chance = random.Random(topic)
    return [f"{topic.capitalize()} {' '.join(chance.choices(SYLLABLES, k=18))}." for _ in range(count)]


BRIDGE, SCHOOL = lines("cầu"), lines("trường")


def page(title: str, body: list[str]) -> str:
    paragraphs = "".join(f"<p>{line}</p>" for line in body)
    section = '<meta property="article:section" content="Xã hội">'
    return f"<html lang=vi><head><title>{title}</title>{section}</head><body><h1>{title}</h1>{paragraphs}</body></html>"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose store has a story, a copy of it, a shortened one and another story."""
    folder = tmp_path_factory.mktemp("filled")
    desk = Desk(folder=folder)
    desk.configure()
    texts = {"mot": BRIDGE, "hai": BRIDGE, "ba": BRIDGE[:7], "bon": SCHOOL}
    items = [
        {"url": f"https://{name}.example/1", "html": page("Khánh thành cầu mới", body)} for name, body in texts.items()
    ]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    ended = desk.run("ingest", "items.jsonl", "--json")
    assert ended.record()["discovered"] == 4, ended.err
    return folder


@pytest.fixture
def desk(filled: Path, tmp_path: Path) -> Desk:
    """A desk of one's own with that store."""
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    return Desk(folder=tmp_path)


@contextmanager
def reading(desk: Desk) -> Iterator[Store]:
    with open_store(f"sqlite:///{desk.folder / 'corpus.db'}", parameters=None, create=False) as store:
        yield store


def exported(desk: Desk) -> dict[str, str]:
    """Return the texts of the corpus by their URL."""
    with reading(desk) as store:
        return {head.article.url: head.article.text for head in store.reader.heads()}


def copies(desk: Desk) -> dict[str, DuplicateLink]:
    with reading(desk) as store:
        return {link.url: link for link in store.reader.duplicates()}


def audit(desk: Desk) -> dict[str, int]:
    """Return the counts of books that balance."""
    with reading(desk) as store:
        books = store.reader.audit()
    assert books.balanced, books.problems
    return {state.value: count for state, count in books.counts.items() if count}


def id_of(desk: Desk, url: str) -> str:
    with reading(desk) as store:
        record = store.reader.candidate(url)
    assert record is not None
    return str(record.articles[-1])


def execute(desk: Desk, statement: str) -> None:
    with closing(sqlite3.connect(desk.folder / "corpus.db")) as database, database:
        database.execute(statement)


def test_a_mark_as_different_separates_two_texts_permanently(desk: Desk) -> None:
    before = copies(desk)
    first, copy = id_of(desk, "https://mot.example/1"), id_of(desk, "https://hai.example/1")

    told = desk.run("duplicates", "mark", copy, first, "--different")

    assert told.status == 0, told.err
    assert f"articles {copy} and {first} are different items" in told.out
    assert set(copies(desk)) == set(before) - {"https://hai.example/1"}
    assert "https://hai.example/1" in exported(desk)
    again = desk.run("reprocess", "--dedupe", "--json").record()
    assert (again["applied"], again["changes"]) == (True, [])
    assert "https://hai.example/1" in exported(desk)
    why = desk.run("why", "https://hai.example/1")
    assert f"a person said: article {copy} is another item than article {first}" in why.out
    assert f"a person said that it is another item than {first}" in why.out
    assert audit(desk)


def test_a_mark_as_same_joins_two_texts(desk: Desk) -> None:
    first, other = id_of(desk, "https://mot.example/1"), id_of(desk, "https://bon.example/1")

    record = desk.run("duplicates", "--json", "mark", first, other, "--same").record()

    assert record["articles"] == [int(first), int(other)]
    assert record["judged_again"][0]["from"]["exported"] is True
    assert record["judged_again"][0]["to"]["cluster"] == int(first)
    assert len(exported(desk)) == 1
    assert audit(desk)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("1", "1", "--same"), "article 1 is given twice"),
        (("1", "2"), "one of --same, --different and --undo"),
        (("1", "2", "--same", "--different"), "one of --same, --different and --undo"),
    ],
)
def test_an_unclear_mark_is_refused(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        cli.main(["duplicates", "mark", *words], standalone_mode=False)


def test_a_mark_of_an_unknown_article_is_one_clear_line(desk: Desk) -> None:
    unknown = desk.run("duplicates", "mark", "1", "99", "--same")
    unclear = desk.run("duplicates", "mark", "1", "1", "--same")

    assert (unknown.status, unclear.status) == (1, 2)
    assert unknown.err.splitlines()[-1].startswith("corpus-worker: there is no article 99 in the store")
    assert len(unclear.err.splitlines()) == 1


def test_changed_settings_are_previewed_applied_and_reverted(desk: Desk) -> None:
    before, links = exported(desk), copies(desk)

    desk.environment = {"CORPUS_WORKER_DEDUPE__KEEP": "longest", "CORPUS_WORKER_DEDUPE__CONTAINMENT": "1.0"}
    shown = desk.run("reprocess", "--dedupe", "--dry-run", "--json").record()
    untouched = exported(desk)
    done = desk.run("reprocess", "--dedupe", "--json").record()
    now = exported(desk)
    desk.environment = {}
    back = desk.run("reprocess", "--dedupe", "--json").record()

    assert shown["applied"] is False
    assert (shown["judged"], done["judged"]) == (4, 0)
    assert untouched == before
    assert done["changes"] == shown["changes"]
    assert len(now) == done["texts_after"] == shown["texts_after"]
    assert (back["texts_before"], back["texts_after"]) == (len(now), len(before))
    assert exported(desk) == before
    assert copies(desk) == links
    assert audit(desk)


def test_stored_pages_are_extracted_again(desk: Desk) -> None:
    before = exported(desk)
    execute(desk, "UPDATE articles SET text = 'Menu', sha256 = 'x' WHERE url = 'https://mot.example/1'")
    execute(desk, "UPDATE articles SET section = NULL, fields_from = NULL WHERE url = 'https://hai.example/1'")

    shown = desk.run("reprocess", "--dry-run")
    done = desk.run("reprocess", "--json")
    again = desk.run("reprocess", "--json").record()

    assert "a different text: https://mot.example/1" in shown.out
    assert "1 text changed, 1 article given fields that were missing" in " ".join(shown.out.split())
    record = done.record()
    assert (record["extracted"]["other"], record["extracted"]["same"], record["extracted"]["none"]) == (1, 3, 0)
    assert (record["extracted"]["filled"], again["extracted"]["filled"]) == (1, 0)
    assert (again["extracted"]["other"], again["changes"]) == (0, [])
    assert exported(desk) == before
    with reading(desk) as store:
        assert {head.article.section for head in store.reader.heads()} == {"Xã hội"}
    assert audit(desk) == {"stored": 2, "duplicate": 2}


def test_a_page_that_no_longer_gives_an_article_keeps_its_text(desk: Desk) -> None:
    before = exported(desk)
    desk.environment = {"CORPUS_WORKER_EXTRACT__MIN_WORDS": "100000"}

    record = desk.run("reprocess", "--json").record()

    assert record["extracted"]["none"] == 4
    assert exported(desk) == before
    assert audit(desk) == {"stored": 2, "duplicate": 2}


def test_reprocess_rebuilds_an_outdated_index(desk: Desk) -> None:
    before = copies(desk)
    execute(desk, "UPDATE index_parameters SET parameters = replace(parameters, '\"seed\": 1', '\"seed\": 7')")
    execute(desk, "DELETE FROM index_keys")

    refused = desk.run("ingest")
    unknown = desk.run("reprocess", "--dedupe", "--dry-run")
    done = desk.run("reprocess", "--dedupe", "--json").record()

    assert (refused.status, unknown.status) == (1, 1)
    assert "corpus-worker reprocess --dedupe" in refused.err
    assert "without --dry-run" in unknown.err
    assert done["indexed"] == 4
    assert copies(desk) == before
    assert audit(desk)


def test_a_missing_store_is_one_clear_line(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path)
    desk.configure()

    ended = desk.run("reprocess")

    assert ended.status == 1
    assert "does not exist yet" in ended.err.splitlines()[-1]


def reprocessing(folder: Path, monkeypatch: pytest.MonkeyPatch, watcher: Any = lambda what, done: None) -> ReprocessRun:
    monkeypatch.chdir(folder)
    return ReprocessRun(load_settings(folder / "worker.toml", {}), extract=False, watcher=watcher)


def test_one_reprocess_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    second = reprocessing(desk.folder, monkeypatch)

    with (
        open_store(f"sqlite:///{desk.folder / 'corpus.db'}", parameters=None) as store,
        store.review.exclusive(),
        pytest.raises(StoreBusy, match="another reprocess is at work on this store"),
    ):
        asyncio.run(second.run())


def test_an_interrupted_reprocess_resumes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.storage.maintenance.rejudge.BATCH", 1)
    reached: list[int] = []

    async def stopped_after_two() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def watch(what: str, done: int) -> None:
            reached.append(done)
            if done == 2:
                loop.call_soon_threadsafe(task.cancel)
                while not work._stopping.is_set():
                    pass

        work = reprocessing(desk.folder, monkeypatch, watch)
        await work.run()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stopped_after_two())

    report = asyncio.run(reprocessing(desk.folder, monkeypatch).run())
    assert reached == [1, 2]
    assert report.judged == 2
    assert report.applied
    assert audit(desk)


def test_only_rejected_pages_are_extracted_again(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path)
    desk.configure(base=CONFIG.replace("languages", "min_words = 400\nlanguages"))
    texts = {"mot": BRIDGE, "hai": lines("trường", 30)}
    items = [{"url": f"https://{name}.example/1", "html": page(name, body)} for name, body in texts.items()]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    assert desk.run("ingest", "items.jsonl", "--json").record()["rejected"] == 1
    desk.configure()

    told = desk.run("status", "--json").record()["rejected_by_reason"]
    shown = desk.run("status").out
    foreseen = desk.run("reprocess", "--rejected", "--dry-run", "--json").record()
    done = desk.run("reprocess", "--rejected", "--json").record()

    assert told == {"short": {"pages": 1, "kept": 1}}
    assert "rejected: short 1; 1 page kept" in " ".join(shown.split())
    assert (foreseen["extracted"]["urls"], foreseen["judged"]) == (["https://mot.example/1"], 0)
    assert (done["extracted"]["other"], done["texts_before"], done["texts_after"]) == (1, 1, 2)
    assert "https://mot.example/1" in exported(desk)
    assert audit(desk) == {"stored": 2}


def test_what_a_filter_kept_out_is_counted_explained_and_taken_in_by_other_rules(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path)
    rules = '[filter.block]\naddresses = ["ba.example/*"]\nwords = ["Hai"]\nsections = ["xã hội"]\n'
    desk.configure(rules)
    pages = {"mot": page("mot", BRIDGE), "hai": page("hai", BRIDGE).replace("Xã hội", "Thể thao")}
    items = [{"url": f"https://{name}.example/1", "html": html} for name, html in pages.items()]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    (tmp_path / "list.txt").write_text("https://ba.example/1\nhttps://ba.example/2", encoding="utf-8")
    listed = '[[sources]]\nname = "list"\nkind = "urls"\npath = "list.txt"\n'
    desk.configure(rules + listed)

    foreseen = desk.run("ingest", "items.jsonl", "--dry-run", "--json")
    added = desk.run("ingest", "items.jsonl", "--json").record()
    read = desk.run("ingest", "--json").record()

    assert foreseen.record()["rejected"] == 2, foreseen.err
    assert (added["rejected"], read["rejected"], read["failed"]) == (2, 2, 0)
    assert desk.run("status", "--json").record()["rejected_by_reason"] == {"filtered": {"pages": 4, "kept": 2}}
    assert 'filtered: blocked by filter.block.sections: "xã hội"' in desk.run("why", "https://mot.example/1").out
    assert 'filtered: blocked by filter.block.words: "Hai" in the title' in desk.run("why", "https://hai.example/1").out
    assert 'filtered: blocked by filter.block.addresses: "ba.example/*"' in desk.run("why", "https://ba.example/2").out

    desk.configure('[filter]\nblock = {words = ["hai"], addresses = ["ba.example/2"]}\n' + listed)
    foreseen = desk.run("reprocess", "--rejected", "--dry-run", "--json")
    done = desk.run("reprocess", "--rejected", "--json").record()

    assert (foreseen.record()["extracted"]["urls"], foreseen.record()["to_fetch"]) == (["https://mot.example/1"], 1)
    assert (done["extracted"]["other"], done["extracted"]["none"], done["to_fetch"]) == (1, 1, 1)
    assert audit(desk) == {"pending": 1, "stored": 1, "rejected": 2}
    desk.configure('[filter]\nblock = {hosts = ["example"]}\n' + listed)
    assert desk.run("reprocess").status == 0
    assert audit(desk) == {"pending": 1, "stored": 1, "rejected": 2}


def test_reprocess_of_rejected_pages_extracts(desk: Desk) -> None:
    with pytest.raises(UsageError, match="either --dedupe"):
        cli.main(["reprocess", "--dedupe", "--rejected"], standalone_mode=False)

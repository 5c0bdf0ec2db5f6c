"""`export` and `release`, run as users run them, on a store with copies, two papers and a seed."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.commands import Desk
from tests.contract.storage.factories import (
    NOW,
    PARAMETERS,
    add_seed,
    article,
    candidate,
    claim_one,
    fingerprint,
    judge_of,
)
from tests.texts import page as html_page
from tests.texts import story
from worker.charset.characters import sha256_of
from worker.export.warc import write_warc
from worker.models import Page, Rights
from worker.storage.store import Store, open_store

JANUARY, MARCH = datetime(2026, 1, 31, 17, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


def come(store: Store, url: str, text: str, *, source: str, published_at: datetime, rights: Rights) -> None:
    made = replace(article(url, text), source=source, published_at=published_at, rights=rights)
    store.ledger.enqueue([candidate(url, source=source)], now=NOW, again=True)
    store.ledger.settle(claim_one(store), made, fingerprint=fingerprint(text), judge=judge_of(made), now=NOW)


def web_page(name: str) -> Page:
    url = f"https://bao.example/{len(name)}-{name.encode().hex()}"
    body = html_page(name, story(name)).body
    return Page(url=url, final_url=url, status=200, body=body, fetched_at=NOW, content_type="text/html; charset=utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with open_store(f"sqlite:///{folder / 'corpus.db'}", parameters=PARAMETERS) as store:
        none, noai = Rights(), Rights(robots=("noai",), licence="CC-BY-4.0")
        come(store, "https://mot.example/1", "một hai ba", source="mot", published_at=JANUARY, rights=none)
        come(store, "https://hai.example/1", "một hai ba", source="hai", published_at=MARCH, rights=noai)
        come(store, "https://hai.example/2", "bốn năm sáu bảy", source="hai", published_at=MARCH, rights=noai)
        add_seed(store, "001_0123456789abcdef.txt", "tám chín")
    return folder


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Desk:
    shutil.copy(made / "corpus.db", tmp_path)
    desk = Desk(folder=tmp_path)
    desk.configure()
    return desk


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("", [1, 3, 4]),
        ("--copies", [1, 2, 3, 4]),
        ("--copies --source hai", [2, 3]),
        ("--source mot --source hai", [1, 3]),
        ("--since 2026-02-01 --kind article", [3]),
        ("--to 2026-01-31", [1]),
        ("--to 2026-01-31T23:00+07:00", []),
        ("--min-words 4", [3]),
        ("--language en", []),
        ("--where copies>=1", [1]),
        ("--where first_host=mot.example", [1]),
        ("--where rights=noai --copies --where copy_of=", [3]),
        ("--where rights!=noai --kind article", [1]),
        ("--where licence=CC-BY-4.0", [3]),
        ("--copies --where relation=copy", [2]),
        ("--filter fineweb2-vi", []),
        ("--where short_lines>=0.9 --where stop_words=1", [1, 3]),
    ],
)
def test_texts_are_filtered(desk: Desk, words: str, ids: list[int]) -> None:
    ended = desk.run("export", *words.split())

    assert [record["id"] for record in ended.records()] == ids
    assert ("nothing was exported" in ended.err) is (not ids)


def test_a_source_that_does_not_exist_is_named(desk: Desk) -> None:
    assert "so nothing was exported; no source is called nix" in desk.run("export", "--source", "nix").err


def test_quality_signals_are_columns_and_personal_data_is_masked(desk: Desk) -> None:
    execute = "UPDATE articles SET text = 'gọi 0912 345 678' WHERE id = 1"
    with closing(sqlite3.connect(desk.folder / "corpus.db")) as database, database:
        database.execute(execute)

    first, *_ = desk.run("export", "--quality", "--mask-pii").records()
    refused = desk.run("export", "--format", "warc", "--output", "a.warc.gz", "--mask-pii")

    assert (first["text"], first["words"], first["sha256"]) == ("gọi [phone]", 2, sha256_of("gọi [phone]"))
    assert 0 <= first["language_score"] <= 1
    assert (first["doubled_lines"], first["short_lines"], first["stop_words"]) == (0, 1, 0)
    assert (refused.status, "leave out --mask-pii" in refused.err) == (2, True)


def test_an_export_goes_where_its_output_says(desk: Desk) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    remote = desk.run("export", "--output", "memory://out/corpus.jsonl.gz", "--json")
    local = desk.run("export", "--format", "csv", "--output", f"file://{desk.folder}/corpus%20a.csv", "--copies")
    refused = desk.run("export", "--output", "ftp://me:hush@127.0.0.1:9/corpus.jsonl")

    assert remote.record() == {"exported": 3, "format": "jsonl", "output": "memory://out/corpus.jsonl.gz"}
    lines = gzip.decompress(MemoryFileSystem().cat("/out/corpus.jsonl.gz")).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 3, 4]
    assert local.err.endswith(f"4 texts written to file://{desk.folder}/corpus%20a.csv\n")
    header, first = (desk.folder / "corpus a.csv").read_text(encoding="utf-8").splitlines()[:2]
    assert header.startswith("id,url,canonical_url,source,host,title,authors")
    assert header.endswith(",first_host,copy_of,relation")
    assert first.startswith("1,https://mot.example/1,")
    assert (refused.status, refused.err.count("\n"), "hush" in refused.err) == (2, 1, False)
    assert refused.err.startswith("corpus-worker: ftp://me:***@127.0.0.1:9/corpus.jsonl: cannot be written: ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("export --where wort=5", "there is no column 'wort'"),
        ("export --source \udcff", "is not UTF-8 text"),
        ("release made --title \udcff", "is not UTF-8 text"),
        ("export --from gestern", "--from gestern: no day or time; write 2026-01-31"),
        ("export --format parquet", "parquet goes into a file; name one with --output FILE"),
        ("export --output corpus.db", "is a part of the store itself"),
        ("export --output nope/dir/a.jsonl", "nope/dir/a.jsonl: there is no folder nope/dir; make it first"),
        ("export --output nope/dir --format text", "nope/dir: there is no folder nope; make it first"),
        ("release corpus.db", "is a part of the store itself"),
        ("release seeds", "seeds: is in the seed corpus ([seeds] path), which is imported; name another place"),
        ("release seeds/ours", "seeds/ours: is in the seed corpus ([seeds] path)"),
        ("export -o seeds/ours.jsonl", "seeds/ours.jsonl: is in the seed corpus ([seeds] path)"),
        ("release made --split a-b", "--split a-b: use letters, digits and _ only"),
        ("release made --shard-size big", "--shard-size big: not a size such as"),
        ("release made --since corpus.db", "corpus.db/manifest.json: cannot be read: Not a directory"),
        ("release s3://bucket/made", "a release is written to a folder of this machine"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(desk: Desk, words: str, told: str) -> None:
    before = sorted(desk.folder.iterdir())

    ended = desk.run(*words.split())

    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert told in ended.err
    assert sorted(desk.folder.iterdir()) == before


def test_a_release_and_the_next_one(desk: Desk) -> None:
    first = desk.run("release", "one", "--kind", "article", "--json")
    with open_store(f"sqlite:///{desk.folder / 'corpus.db'}", parameters=PARAMETERS) as store:
        later = article("https://hai.example/2", "bốn năm sáu bảy tám", fetched_at=NOW + timedelta(days=1))
        store.ledger.enqueue([candidate(later.url, source="hai")], now=NOW, again=True)
        claim = claim_one(store)
        store.ledger.settle(claim, later, fingerprint=fingerprint(later.text), judge=judge_of(later), now=NOW)

    second = desk.run("release", "two", "--since", "one")

    assert first.record() == {"released": 2, "output": "one", "files": 1}
    assert second.err.splitlines()[-2:] == [
        "3 texts written to two in 1 file",
        "since the earlier release: 2 new, 0 changed, 1 removed",
    ]
    manifest = json.loads((desk.folder / "two" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["delta"]["removed_by_reason"] == {"revision": 1}
    assert manifest["configuration"]["dedupe.keep"] == "earliest"
    assert json.loads((desk.folder / "one" / "manifest.json").read_text(encoding="utf-8"))["filters"] == {
        "kinds": ["article"]
    }
    assert manifest["store"] is not None
    assert desk.run("release", "two").err == (
        "corpus-worker: two: cannot be written: it is not empty; name another folder\n"
    )


def test_exported_pages_are_taken_back_as_the_same_articles(tmp_path: Path) -> None:
    first, second = Desk(folder=tmp_path / "first"), Desk(folder=tmp_path / "second")
    for desk in (first, second):
        desk.folder.mkdir()
        desk.configure()
    with (first.folder / "in.warc.gz").open("wb") as file:
        write_warc([web_page(name) for name in ("một", "hai", "ba")], file)
    first.run("ingest", "in.warc.gz")

    ended = first.run("export", "--format", "warc", "--output", "../second/out.warc.gz", "--where", "title!=ba")
    refused = first.run("export", "--format", "warc", "--output", "out.warc")
    second.run("ingest", "out.warc.gz")

    wanted = [line for line in first.run("export").records() if line["title"] != "ba"]
    assert "2 pages written" in ended.err
    assert "name a file that ends in .warc.gz" in refused.err
    assert len(wanted) == 2
    assert second.run("export").records() == wanted

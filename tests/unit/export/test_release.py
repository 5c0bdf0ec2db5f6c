"""Releases: what people publish, what `datasets` and DuckDB read, and the difference to an earlier release."""

from __future__ import annotations

import hashlib
import json
import random
import re
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.fakes import MINUTE, START, article
from worker.errors import UsageError, install_hint
from worker.export.columns import COLUMNS
from worker.export.parquet import ShardedWriter, arrow_schema
from worker.export.release import PreviousRelease, ReleaseOptions, write_release
from worker.models import Relation, Removal, Rights, Selection, State, StoredArticle

SMALL_SHARDS = ReleaseOptions(columns=COLUMNS, shard_bytes=9_000)
READ_AGAIN = ("layout", "store", "split", "texts", "bytes", "files")
"""The entries of a manifest that a later release reads."""


def stored(number: int, *, title: str = "Tiêu đề", source: str = "bao") -> StoredArticle:
    made = replace(
        article(f"Đoạn một số {number}.\nĐoạn hai.", url=f"https://báo.example/{number}"),
        source=source,
        title=title,
        published_at=START + number * 20 * 24 * 60 * MINUTE,
        published_at_from="json-ld",
        rights=Rights(robots=("noai",)) if number % 2 else Rights(),
    )
    return StoredArticle(id=number, article=made, cluster=number, revision=1, head=True, relation=Relation.UNIQUE)


@dataclass
class ListedCorpus:
    """A corpus in a list; every text that leaves it was forgotten."""

    listed: list[StoredArticle] = field(default_factory=list)
    name: str | None = "one"

    def texts(self, selection: Selection) -> Iterable[StoredArticle]:
        return self.listed

    def removals(self, ids: Sequence[int]) -> Mapping[int, Removal]:
        return {each: Removal(reason="forgotten") for each in ids}

    def refusals(self) -> Mapping[tuple[State, str], int]:
        return {(State.REJECTED, "listing"): 3, (State.BLOCKED, "robots"): 2}

    def unexported(self) -> int:
        return 7

    def identity(self) -> str | None:
        return self.name


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.export.parquet.ROWS_AT_ONCE", 5)
    monkeypatch.setattr("worker.export.parquet._TABLE_ROWS", 3)


def write(
    folder: Path, texts: Iterable[StoredArticle], options: ReleaseOptions = SMALL_SHARDS, name: str | None = "one"
) -> dict[str, Any]:
    return write_release(folder, ListedCorpus(name=name), texts, options)


def files(folder: Path, under: str = "") -> dict[str, bytes]:
    paths = [path for path in (folder / under).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


def rows(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob(pattern)) for row in parquet.read_table(path).to_pylist()]


def apply_delta(previous: Path, later: Path, target: Path) -> None:
    """Write the data of the later release out of the earlier one and the delta alone."""
    delta = {row["id"]: row for name in ("new", "changed") for row in rows(later, f"delta/{name}-*.parquet")}
    gone = {row["id"] for row in rows(later, "delta/removed.parquet")} | delta.keys()
    kept = [row for row in rows(previous, "data/*.parquet") if row["id"] not in gone]
    schema = arrow_schema(COLUMNS)
    with ExitStack() as opened:
        writer = ShardedWriter(target, "data/train", schema, SMALL_SHARDS.shard_bytes, opened)
        writer.write(pa.Table.from_pylist(sorted([*kept, *delta.values()], key=lambda row: row["id"]), schema=schema))
        writer.finish()


def month(chance: random.Random, size: int) -> list[StoredArticle]:
    """Return a corpus of some of the texts up to a size, some of them changed."""
    ids = sorted(chance.sample(range(1, size + 1), chance.randint(0, size)))
    return [stored(number, title=chance.choice(["Tiêu đề", "Tiêu đề", "Khác"])) for number in ids]


def test_an_earlier_release_and_the_delta_give_the_later_one_to_the_byte(tmp_path: Path) -> None:
    chance = random.Random(1)
    everything = [stored(number) for number in range(1, 41)]
    months = [[], everything, everything[::2], [], *(month(chance, 40) for _ in range(3)), everything]
    for number, texts in enumerate(months):
        since = tmp_path / str(number - 1) if number else None
        later, applied = tmp_path / str(number), tmp_path / f"applied-{number}"
        manifest = write(later, texts, replace(SMALL_SHARDS, since=since))
        if since is None:
            continue
        applied.mkdir()
        apply_delta(since, later, applied)

        assert files(applied) == files(later, "data")
        earlier = {text.id: text for text in months[number - 1]}
        wanted = {text.id: text for text in texts}
        assert [row["id"] for row in rows(later, "delta/new-*.parquet")] == sorted(wanted.keys() - earlier.keys())
        assert [row["id"] for row in rows(later, "delta/removed.parquet")] == sorted(earlier.keys() - wanted.keys())
        assert [row["id"] for row in rows(later, "delta/changed-*.parquet")] == [
            each for each in wanted if each in earlier and wanted[each] != earlier[each]
        ]
        assert manifest["delta"]["removed_by_reason"] in ({}, {"forgotten": len(earlier.keys() - wanted.keys())})
    assert len(files(tmp_path / "1", "data")) > 1


def test_the_same_texts_and_options_give_the_same_bytes_and_the_manifest_names_them(tmp_path: Path) -> None:
    texts = [stored(number, source=f"s{number % 3}|") for number in range(1, 20)]

    write(tmp_path / "one", texts)
    manifest = write(tmp_path / "two", iter(texts))

    found = files(tmp_path / "one")
    assert found == files(tmp_path / "two")
    listed = json.loads(found.pop("manifest.json"))
    assert listed == manifest
    assert {name: record["sha256"] for name, record in listed["files"].items()} == {
        name: hashlib.sha256(body).hexdigest() for name, body in found.items()
    }
    assert {name: record["bytes"] for name, record in listed["files"].items()} == {
        name: len(body) for name, body in found.items()
    }
    assert sum(record.get("rows", 0) for record in listed["files"].values()) == listed["texts"] == 19
    assert listed["text_bytes"] == sum(len(text.article.text.encode()) for text in texts)
    assert "delta" not in {path.name for path in (tmp_path / "one").iterdir()}


def test_the_card_says_what_is_in_it_and_how_it_was_made(tmp_path: Path) -> None:
    options = ReleaseOptions(columns=COLUMNS, title="Báo | <b>", configuration={"dedupe.keep": "earliest"})

    write(tmp_path / "one", [stored(number, source=f"s{number % 25:02}") for number in range(1, 80)], options)

    card = (tmp_path / "one" / "README.md").read_text(encoding="utf-8")
    assert card.startswith('---\npretty_name: "Báo | <b>"\nlanguage:\n- "vi"\n')
    for line in (
        "# Báo &#124; &#60;b&#62;",
        "- n<1K",
        '    path: "data/train-*.parquet"',
        "2026-04 2 ████████████████████████████████████████",
        "| s01 | 4 | 3 |  |  |  |  |  |  |  |  |  | 1 |  |  |",
        "5 further sources have 15 texts; see `manifest.json`.",
        "| `dedupe.keep` | earliest |",
        "| rejected | listing | 3 |",
        "| `robots` | noai | 40 |",
        "7 stored texts are left out as copies or earlier versions.",
        *(f"| `{column.name}` | {column.type} | {column.meaning} |" for column in COLUMNS),
    ):
        assert line in card.splitlines()


def test_datasets_and_duckdb_read_it_and_duckdb_applies_the_delta_as_the_card_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    write(tmp_path / "old", [stored(number) for number in range(1, 21)])
    later = [stored(number, title="Khác" if number == 9 else "Tiêu đề") for number in range(3, 31)]
    write(tmp_path / "new", later, replace(SMALL_SHARDS, since=tmp_path / "old"))
    card = (tmp_path / "new" / "README.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```sql\n-- DuckDB, with the previous release in OLD\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path / "new")

    duckdb.sql(recipe.replace("OLD", str(tmp_path / "old")).replace("texts.parquet", str(tmp_path / "texts.parquet")))

    expected = rows(tmp_path / "new", "data/*.parquet")
    assert parquet.read_table(tmp_path / "texts.parquet").to_pylist() == expected
    assert load_dataset(tmp_path, tmp_path / "new") == [row["id"] for row in expected]


def load_dataset(cache: Path, folder: Path) -> list[int]:
    """Return the ids that `datasets` reads in a folder, without a network."""
    program = (
        "import sys, datasets; found = datasets.load_dataset(sys.argv[1]);"
        "print(list(found), found['train'].features['authors'], found['train']['id'][:])"
    )
    environment = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(cache / "hf"),
        "PATH": "/usr/bin",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    splits, _, ids = done.stdout.strip().partition(" List(Value('string')) ")
    assert splits == "['train']"
    numbers: list[int] = json.loads(ids)
    return numbers


def test_a_release_with_other_columns_changes_every_text(tmp_path: Path) -> None:
    texts = [stored(number) for number in range(1, 10)]
    write(tmp_path / "old", texts, replace(SMALL_SHARDS, columns=COLUMNS[:-1]))

    manifest = write(tmp_path / "new", texts, replace(SMALL_SHARDS, since=tmp_path / "old"))

    assert [manifest["delta"][name] for name in ("new", "changed", "removed")] == [0, 9, 0]


def test_nothing_is_left_of_a_release_that_fails(tmp_path: Path) -> None:
    write(tmp_path / "old", [stored(1)])
    since = replace(SMALL_SHARDS, since=tmp_path / "old")

    def interrupted() -> Iterator[StoredArticle]:
        yield from (stored(number) for number in range(2, 30))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "new", interrupted(), since)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limits[1]))  # as a full disk: no file may be larger
    try:
        with pytest.raises(UsageError, match=r"new: cannot be written: File too large; name another folder"):
            write(tmp_path / "new", [stored(2)], since)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_what_cannot_be_written_or_compared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "old", [stored(number) for number in range(1, 20)])
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text("[1, 2]")
    (tmp_path / "file").write_text("mine")

    def refusal(folder: Path, *, since: str | None = None, name: str | None = "one") -> str:
        options = replace(SMALL_SHARDS, since=tmp_path / since if since else None)
        with pytest.raises(UsageError) as raised:
            write(folder, [stored(1)], options, name)
        return str(raised.value).replace(str(tmp_path), "")

    new = tmp_path / "new"
    assert refusal(tmp_path / "old") == "/old: cannot be written: it is not empty; name another folder"
    assert refusal(tmp_path / "file").startswith("/file: cannot be written: it is a file")
    assert refusal(tmp_path / "file" / "new").startswith("/file/new: cannot be written: ")
    assert refusal(new, since="empty").startswith("/empty/manifest.json: cannot be read: No such file")
    assert refusal(new, since="odd").startswith("/odd/manifest.json: is no manifest of a release")
    assert refusal(new, since="old", name="two").startswith("/old: is a release of another store")
    shard, manifest = min((tmp_path / "old" / "data").iterdir()), tmp_path / "old" / "manifest.json"
    intact, written = shard.read_bytes(), json.loads(manifest.read_text(encoding="utf-8"))
    name = f"data/{shard.name}"
    record = written["files"][name]
    other = shard.with_name("train-00007-of-00008.parquet")

    def edited(**changes: object) -> dict[str, object]:
        return {**written, "files": {**written["files"], name: {**record, **changes}}}

    for changed, fault in (
        (edited(rows=record["rows"] + 1), f"{name}: other number of rows"),
        (edited(bytes=1), f"{name}: other size"),
        (edited(sha256="0" * 64), f"{name}: other SHA-256"),
        ({**written, "texts": 18}, '"texts" is not the sum of its files'),
        ({**written, "bytes": 18}, '"bytes" is not the sum of its files'),
        ({**written, "split": "test"}, f"{name} does not go with the other names and the split in manifest.json"),
        (
            {**written, "files": {each: one for each, one in written["files"].items() if each != name}},
            f"{name} is not named by manifest.json",
        ),
        ({**written, "files": {**written["files"], f"data/{other.name}": record}}, f"data/{other.name} is missing"),
        ({**written, "files": {}}, f"{name} is not named by manifest.json"),
    ):
        manifest.write_text(json.dumps(changed), encoding="utf-8")
        said = refusal(new, since="old")
        assert said.startswith("/old/manifest.json: does not describe the files of that release (")
        assert f"{fault}); get it again" in said
    manifest.write_text(json.dumps(written), encoding="utf-8")
    other.write_bytes(intact)
    assert f"(data/{other.name} is not named by manifest.json)" in refusal(new, since="old")
    other.unlink()
    shard.write_bytes(intact[:-1] + b"?")
    assert f"({name}: other SHA-256)" in refusal(new, since="old")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert install_hint("parquet") in refusal(new)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "odd", "old"]


def test_a_damaged_manifest_is_refused_in_one_line_whatever_is_missing_or_of_another_type(tmp_path: Path) -> None:
    write(tmp_path / "old", [stored(number) for number in range(1, 20)])
    manifest = tmp_path / "old" / "manifest.json"
    written = json.loads(manifest.read_text(encoding="utf-8"))
    name = min(each for each in written["files"] if each.startswith("data/"))
    record = written["files"][name]

    def edited(changed: dict[str, object]) -> dict[str, object]:
        return {**written, "files": {**written["files"], name: changed}}

    values: tuple[object, ...] = (None, True, 1.5, "x", [1], {"x": 1}, {name: {}}, {name: None})
    damaged = [{**written, key: value} for key in ("split", "texts", "bytes", "files") for value in values]
    damaged += [{**written, "layout": value} for value in values if value is not True]
    damaged += [{**written, "store": value} for value in values if value is not None]
    damaged += [{each: one for each, one in written.items() if each != key} for key in READ_AGAIN]
    damaged += [edited({**record, key: value}) for key in record for value in values]
    damaged += [edited({each: one for each, one in record.items() if each != key}) for key in record]
    for changed in damaged:
        manifest.write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(UsageError) as raised:
            PreviousRelease.read(tmp_path / "old", "one")
        assert str(raised.value).startswith(f"{tmp_path / 'old'}"), changed
        assert "\n" not in str(raised.value)

    for changed, fault in (
        ({key: value for key, value in written.items() if key != "store"}, '"store" is missing'),
        ({**written, "texts": True}, '"texts" has to be a whole number'),
        ({**written, "store": 5}, '"store" has to be a text or null'),
        (edited({**record, "rows": None}), f'the record of {name} in "files" has no number of rows'),
    ):
        manifest.write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(UsageError) as raised:
            PreviousRelease.read(tmp_path / "old", "one")
        assert str(raised.value) == f"{manifest}: is damaged: {fault}; get that release again"
    manifest.write_text(json.dumps({key: written[key] for key in READ_AGAIN}), encoding="utf-8")
    assert PreviousRelease.read(tmp_path / "old", "one").manifest["texts"] == 19

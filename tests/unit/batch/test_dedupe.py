"""A whole corpus on the engine: the clusters are those of the online worker, and what is wrong is said in one line."""

from __future__ import annotations

import errno
import gzip
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import daft
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.online_clusters import heads_online
from tests.texts import as_text
from tests.waiting import eventually
from worker.batch import groups
from worker.batch.components import connected_components
from worker.batch.dedupe import DedupeJob, dedupe
from worker.batch.files import engine_errors
from worker.batch.functions import read_article
from worker.batch.groups import CorpusRow, JoiningPair, judge_row, membership_of, settle_group
from worker.batch.intermediate import keep_in_files
from worker.cli.main import cli
from worker.config.schema import DedupeSettings
from worker.dedupe.fingerprint import fingerprint
from worker.dedupe.judge import Deduper
from worker.errors import SourceError, UsageError, WorkerError
from worker.models import Neighbour, Verdict
from worker.sources.files.columns import USUAL_NAMES, find_columns

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = datetime(2025, 5, 5, tzinfo=UTC)


def corpus() -> list[dict[str, Any]]:
    """Return articles with copies, cut and longer ones, versions of pages, and a form that 66 fill in."""
    rows: list[dict[str, Any]] = []

    def add(text: str, *, url: str = "", days: int = 0) -> None:
        address = url or f"https://bao{len(rows) % 7}.example/{len(rows)}"
        rows.append({"url": address, "title": "", "text": text, "published_at": DAY + timedelta(days=days)})

    whole = [as_text(f"tin {number}") for number in range(10)]
    for text in whole:
        add(text)
    for number, text in enumerate(whole[:8]):
        lines = text.split("\n")
        add("\n".join([*lines[:4], *lines[5:]]), days=-number)
        if number < 4:
            add(text.replace("an", "ân", 1), days=number)
            add(text + as_text(f"thêm {number}"), days=1)
    add(whole[9] + "\nBổ sung.", url=rows[9]["url"])
    add(rows[-1]["text"], url=rows[9]["url"])
    form = "\n".join(as_text("biểu mẫu").split("\n")[:3])
    for number in range(66):
        add("\n".join([form, *as_text(f"mục {number}").split("\n")[:2]]))
    add("")
    random.Random(1).shuffle(rows)
    prices = ("Giá vàng {} triệu, giá bạc {} triệu, giá dầu {} đô " + as_text("giá")).format
    for numbers in ((61, 22, 33), (71, 32, 34)):
        add(prices(*numbers), url="https://bao.example/revised")
    add(prices(61, 22, 33))
    return rows


def as_read(row: dict[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys([*USUAL_NAMES, "published_at_text", "fetched_at_text"]), **row}


def test_the_clusters_are_those_of_the_online_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = corpus()
    first = [{"Content": row["text"], "link": row["url"], "date": row["published_at"]} for row in rows[:60]]
    pq.write_table(pa.Table.from_pylist(first), tmp_path / "1.parquet", row_group_size=7)
    lines = [json.dumps({**row, "published_at": row["published_at"].isoformat()}) for row in rows[60:]]
    (tmp_path / "2.jsonl").write_text("\n".join(lines), encoding="utf-8")

    result = CliRunner().invoke(cli, ["dedupe", str(tmp_path / "*"), "--out", str(tmp_path / "out"), "--json"])

    assert result.exit_code == 0, result.output
    articles = [
        read_article(as_read(row), place=str(at), now=NOW + timedelta(microseconds=at)) for at, row in enumerate(rows)
    ]
    online = heads_online(articles, tmp_path / "corpus.db")
    members = pq.read_table(tmp_path / "out" / "clusters.parquet").to_pylist()
    heads = {number: number for number in online} | {each["member"]: each["head"] for each in members}
    assert heads == online
    assert len(set(heads.values())) < len(rows) - 10
    assert online[len(rows) - 1] == len(rows) - 2

    monkeypatch.setattr("worker.batch.intermediate._ROWS_A_PART", 20)
    for module in ("dedupe", "intermediate"):
        monkeypatch.setattr(f"worker.batch.{module}.ROWS_A_FILE", 16)
    dedupe(DedupeJob(inputs=[str(tmp_path / "*.*")], out=tmp_path / "parts", settings=DedupeSettings(), now=NOW))
    assert pq.read_table(tmp_path / "parts" / "clusters.parquet").to_pylist() == members

    monkeypatch.setattr("worker.batch.dedupe.MOST_IN_GROUP", 3)
    dedupe(DedupeJob(inputs=[str(tmp_path / "*.*")], out=tmp_path / "divided", settings=DedupeSettings(), now=NOW))
    divided = pq.read_table(tmp_path / "divided" / "clusters.parquet").to_pylist()
    assert divided == members

    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert (report["rows"], report["empty"]) == (len(rows), 1)
    assert report["texts"] + report["copies"] + report["empty"] == report["rows"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "clusters.parquet", "report.json", "texts-000000000000.parquet",
    ]  # fmt: skip
    kept = pq.read_table(tmp_path / "out" / "texts-000000000000.parquet")
    assert json.loads(kept.schema.metadata[b"corpus_worker.index"]) == asdict(Deduper().parameters)
    assert kept["row"].to_pylist() == sorted(set(heads.values()))
    one = kept.slice(3, 1).to_pylist()[0]
    made, article = fingerprint(one["text"]), articles[one["row"]]
    assert (one["text"], one["sha256"], one["host"]) == (article.text, article.sha256, article.host)
    assert (one["signature"], tuple(one["bands"]), tuple(one["anchors"]), one["shingles"]) == (
        made.signature, made.bands, made.anchors, made.shingles,
    )  # fmt: skip


def test_a_verdict_on_a_pair_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [as_text(f"tin {at % 4}").replace("an", "ân", at // 4) for at in range(12)] + [as_text("tin 0") + " và"]
    deduper, seen = Deduper(), dict[int, CorpusRow]()
    for at, text in enumerate(texts):
        article = read_article(as_read({"url": "", "title": "", "text": text}), place=str(at), now=NOW)
        plain, pairs = CorpusRow(row=at, group=0, article=article, shingles=100), dict[int, JoiningPair]()
        for other in seen:
            alone = Neighbour.of(seen[other].article, other, cluster=other, head=True)
            verdict = judge_row(plain, [alone], deduper)
            membership = membership_of(at, verdict)
            if membership.against is not None:
                pairs[other] = JoiningPair(membership=membership, is_head=verdict.head)
        seen[at] = replace(plain, hits=tuple(pairs), may_join=bool(pairs), judged=pairs)
    asked = list[int]()

    def counted(row: CorpusRow, *rest: Any) -> Verdict:
        asked.append(row.row)
        return judge_row(row, *rest)

    monkeypatch.setattr(groups, "judge_row", counted)

    found = settle_group(list(seen.values()), 0, deduper)

    assert asked == [0, 1, 2, 3]
    assert found == settle_group([replace(row, judged={}) for row in seen.values()], 0, deduper)
    assert len(found) == len(texts)


def lines(*rows: dict[str, Any] | bytes) -> bytes:
    """Return a file of JSON lines; bytes are a line as it is."""
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in rows)


def run(*inputs: Path, out: Path) -> dict[str, Any]:
    return dedupe(DedupeJob(inputs=[str(each) for each in inputs], out=out, settings=DedupeSettings(), now=NOW))


def body(topic: str) -> str:
    return as_text(topic).strip()


def rows_in(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("texts-*")) for row in pq.read_table(path).to_pylist()]


def texts_in(folder: Path) -> list[str]:
    return [row["text"] for row in rows_in(folder)]


def test_damaged_rows_are_named_and_counted_and_the_others_are_read(tmp_path: Path) -> None:
    damaged: list[tuple[dict[str, Any] | bytes, str]] = [
        (b'{"text": "x', "the line is not valid JSON (Unterminated string starting at: character 10)"),
        (b'["x"]', "the line holds an array, not an object"),
        (b"\0\0", "the line is not valid JSON"),
        (b"[" * 100_000, "the line is not valid JSON (nested too deeply)"),
        (b'{"text": "\xff\x80\x81"}', "the line is not UTF-8, nor in another recognisable encoding"),
        ({"text": 12345}, "no text in this row but a number"),
        ({"text": {"p": "x"}}, "no text in this row but an object"),
        ({"id": 1, "x": ""}, "no column holds the text (text, content, body, maintext); found id, x"),
        ({"text": "a" * 10_000_001}, "the text is larger than 10,000,000 bytes; split it"),
        (b'{"text": "' + b"a" * 20_000_000 + b'"}', "the row is longer than 20,000,000 bytes; split it"),
    ]
    for number, (row, _) in enumerate(damaged):
        (tmp_path / f"{number}.jsonl").write_bytes(lines({"text": body(f"tin {number}")}, b"", row))
    named = {"text": body("địa chỉ"), "url": "bao.example/1"}
    (tmp_path / "a.jsonl").write_bytes(lines(named, {"text": [body("đầu"), body("cuối")]}, {"text": None})[:-1])
    (tmp_path / "b.jsonl").write_bytes(b"\xef\xbb\xbf" + lines({"text": body("bom")}).replace(b"\n", b"\r\n"))
    (tmp_path / "c.jsonl").write_bytes(lines({"text": body("hai byte")}).decode().encode("utf-16"))

    report = run(tmp_path, out=tmp_path / "out")

    texts = texts_in(tmp_path / "out")
    assert texts[-4:] == [named["text"], f"{body('đầu')}\n{body('cuối')}", body("bom"), body("hai byte")]
    counts = {name: report[name] for name in ("rows", "left_out", "empty", "texts")}
    assert counts == {"rows": 25, "left_out": len(damaged), "empty": 1, "texts": len(texts)}
    wrong = [f"{tmp_path}/{number}.jsonl, line 3: {why}" for number, (_, why) in enumerate(damaged)]
    wrong.append(f"{tmp_path}/a.jsonl, line 1: it is kept without its address: 'bao.example/1' is no web address")
    assert not any(row["url"].endswith("example/1") for row in rows_in(tmp_path / "out"))
    assert isinstance(report["problems"], list)
    assert [found[: len(why)] for found, why in zip(report["problems"], wrong, strict=True)] == wrong


def test_damaged_files_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    def write(name: str, **columns: Any) -> Path:
        pq.write_table(pa.table(columns), tmp_path / name, row_group_size=10, compression="zstd")
        return tmp_path / name

    cut = lines(*({"text": body(f"cắt {number}")} for number in range(30)))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(cut)[:-500])
    (tmp_path / "b.jsonl").write_bytes(lines(*({"n": number} for number in range(120)), {"text": body("muộn")}))
    (tmp_path / "c.jsonl").touch()
    (tmp_path / "d.jsonl").symlink_to("nowhere")
    (tmp_path / "e.parquet").write_text("no parquet", encoding="utf-8")
    half = write("f.parquet", text=[body(f"nhóm {number}") for number in range(30)])
    content = bytearray(half.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    half.write_bytes(content)
    write("g.parquet", text=[1])
    write("h.parquet", text=[[body("một"), body("hai")]], title=[{"a": 1}], link=["bao.example"])
    write("i[1]*.parquet", body=[body("byte").encode(), None], date=pa.array([10**18, 0], pa.timestamp("us")))
    (tmp_path / "j.parquet").mkdir()
    (tmp_path / "j.parquet" / "loop").symlink_to(tmp_path)
    (tmp_path / os.fsdecode(b"k\xff.jsonl")).write_bytes(lines({"text": body("tên")}))

    report = run(tmp_path, out=tmp_path / "out")

    texts = texts_in(tmp_path / "out")
    assert [text for text in texts if not text.startswith(body("cắt")[:3])][-3:] == [
        f"{body('một')}\n{body('hai')}", body("byte"), body("tên"),
    ]  # fmt: skip
    assert sum(text.startswith("Nhóm") for text in texts) == 20
    assert (report["left_out"], report["empty"]) == (100 + 10, 1)
    found = [each.removeprefix(f"{tmp_path}/") for each in map(str, report["problems"])]
    assert [each.partition(" (")[0] for each in found] == [
        "d.jsonl: is a link to a file that is not there",
        "e.parquet: is no readable Parquet file",
        "g.parquet: the column 'text' holds int64, no text",
        "h.parquet: the column 'title' holds struct<a: int64>, no text and is ignored",
        "f.parquet: damaged; 10 rows in it could not be read",
        "a.jsonl.gz: damaged or cut off",
        *(f"b.jsonl, line {number}: no column holds the text" for number in range(1, 6)),
        "b.jsonl: no text in the first 100 rows, so the rest was not read",
        "c.jsonl: no rows in it; remove it",
        "h.parquet, row 1: it is kept without its address: 'bao.example' is no web address",
        "95 more rows with a problem",
    ]


def test_what_cannot_be_deduplicated_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "columns.jsonl").write_text('{"a": 1, "b": "x"}\n', encoding="utf-8")
    (tmp_path / "broken.parquet").write_text("no parquet\n", encoding="utf-8")
    (tmp_path / "blank.jsonl").write_text('{"text": ""}\n', encoding="utf-8")
    (tmp_path / "nothing.jsonl").touch()
    (tmp_path / "other.csv").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    before = sorted(tmp_path.iterdir())
    wrong: list[tuple[str, str, type[WorkerError], str]] = [
        ("columns.jsonl", "out", SourceError, "no column holds the text (text, content, body, maintext); found a, b"),
        ("broken.parquet", "out", SourceError, "broken.parquet: is no readable Parquet file"),
        ("blank.jsonl", "out", SourceError, "the input has no text: every row is empty"),
        ("nothing.jsonl", "out", SourceError, "nothing.jsonl: no rows in it; remove it"),
        ("other.csv", "out", UsageError, "is neither Parquet nor JSON lines"),
        ("missing", "out", UsageError, "no such file or folder"),
        ("full", "out", UsageError, "no file there ends in .parquet"),
        ("blank.jsonl", "none/out", UsageError, "none; make it first"),
        ("blank.jsonl", "full", UsageError, "is not empty; name another folder"),
    ]
    for name, out, error, message in wrong:
        with pytest.raises(error) as raised:
            run(tmp_path / name, out=tmp_path / out)
        assert message in str(raised.value), name
        assert "\n" not in str(raised.value), name

    assert sorted(tmp_path.iterdir()) == before


def test_local_is_a_new_ray_whatever_cluster_was_started_here_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = dict[str, object]()

    def init(**given: object) -> None:
        asked.update(given)
        raise ConnectionError("none answers")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))

    with pytest.raises(UsageError, match=r"--ray local: no Ray cluster can be used there \(none answers\)"):
        dedupe(DedupeJob(inputs=["x"], out=tmp_path / "out", settings=DedupeSettings(), now=NOW, ray="local"))
    assert asked["address"] == "local"


@pytest.mark.parametrize(("ended", "status"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_a_signal_ends_the_process_before_threads_of_the_engine_can_abort_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: BaseException, status: int
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise ended

    def end(status: int) -> None:
        raise RuntimeError(f"ended with {status}")

    monkeypatch.setattr("worker.batch.dedupe.dedupe", interrupted)
    monkeypatch.setattr(os, "_exit", end)

    found = CliRunner().invoke(cli, ["-q", "dedupe", "x.jsonl", "--out", str(tmp_path / "out")])
    assert str(found.exception) == f"ended with {status}"


def test_an_interrupt_while_the_engine_is_imported_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "daft.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
        "raise ModuleNotFoundError(name='daft')\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "worker", "dedupe", "x.jsonl", "--out", "out"]
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])

    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (130, b"corpus-worker: interrupted; nothing was written\n")


def test_an_interrupt_is_said_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(lines(*({"text": body(f"tin {number}")} for number in range(3000))))
    command = [sys.executable, "-m", "worker", "dedupe", "x.jsonl", "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}

    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "reading …\n"
        eventually(lambda: len(list(tmp_path.iterdir())) > 1, within=60)
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()

    assert (running.returncode, said) == (130, "corpus-worker: interrupted; nothing was written\n")
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_an_interrupt_that_a_job_in_the_background_ignores_does_not_stop_the_engine() -> None:
    code = """
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # it takes the signal if the others block it
from worker.batch import dedupe
dedupe._start_engine(None)
import daft

@daft.func
def interrupted(number: int) -> int:
    if number == 500:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
    return number

rows = daft.from_pydict({"number": list(range(1000))}).select(interrupted(daft.col("number")))
print(rows.collect().count_rows(), flush=True)
os._exit(0)
"""

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "1000\n"


def test_a_full_disk_is_no_fault_of_the_input() -> None:
    with pytest.raises(OSError, match="No space"), engine_errors("corpus.parquet"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(SourceError, match=r"corpus\.parquet: cannot be read"), engine_errors("corpus.parquet"):
        raise OSError(errno.EIO, "Input/output error")


def test_columns_are_found_under_their_usual_names_or_given_ones() -> None:
    assert find_columns(["Body", "LINK", "date", "published", "x"], where="f") == {
        "text": "Body", "url": "LINK", "published_at": "published",
    }  # fmt: skip
    assert find_columns(["text", "x"], where="f", given={"text": "x"}) == {"text": "x"}
    with pytest.raises(UsageError, match=r"f: there is no column 'y' \(title\); found text"):
        find_columns(["text"], where="f", given={"title": "y"})


def test_components_of_chains_and_rings_are_named_by_their_least_node() -> None:
    chain = [(number, number + 1) for number in range(10, 30)]
    edges = [*chain, (50, 41), (41, 45), (45, 50), (7, 7), (99, 3)]
    frame = daft.from_pydict({"one": [one for one, _ in edges], "other": [other for _, other in edges]})

    found = connected_components(frame).to_pydict()

    assert dict(zip(found["row"], found["group"], strict=True)) == {
        **dict.fromkeys(range(10, 31), 10), 50: 41, 41: 41, 45: 41, 99: 3, 3: 3,
    }  # fmt: skip


def test_rows_kept_in_files_are_all_found_by_a_condition_on_two_columns(tmp_path: Path) -> None:
    rows = daft.from_pydict({"one": [4, 5], "other": [5, 4]})

    kept = keep_in_files(rows, tmp_path / "some")
    none = keep_in_files(rows.where("one > 9"), tmp_path / "none")

    assert sorted(kept.where("one != other").to_pydict()["one"]) == [4, 5]
    assert (none.count_rows(), none.column_names) == (0, ["one", "other"])


def test_engine_and_cluster_report_nothing_to_their_makers() -> None:
    from daft.scarf_telemetry import opted_out

    assert opted_out()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"

"""Measures `dedupe`: its clusters against the online worker's, its time against a bare job, Ray, and other tools.

    python -m tests.bench.bench_batch [--only equal|time|ray|peers] [--sizes 10000 100000] [--peers PYTHON] [--keep DIR]

The articles are the real Vietnamese ones beside the repository, and made ones with the copies, cuts, versions and forms
of a news corpus. `time` compares with a bare job of the same engine in the same run: fingerprints, and a join of the
texts that share a key. `peers` needs a Python with datatrove (and spacy, pyvi) and text-dedup.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.articles import NEARDUP, SHARED, read_folder, read_labelled
from tests.bench.big_store import text_of
from tests.online_clusters import heads_online
from worker.batch.functions import read_article
from worker.sources.files.columns import USUAL_NAMES

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_COMMAND = (sys.executable, "-m", "worker", "-q", "--json", "dedupe")
_FORMS, _PAPERS = 60, 25
_THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_RAY_PORT, _RAY_CPUS = 6391, 4
# Without the second, Ray replaces 127.0.0.1 by the address of a network card on Linux.
_LOOPBACK = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurements asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("equal", "time", "ray", "peers"))
    parser.add_argument("--sizes", type=int, nargs="+", default=(10_000, 100_000))
    parser.add_argument("--peers", type=Path, help="a Python with datatrove and text-dedup")
    parser.add_argument("--keep", type=Path, help="a folder for the made articles")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.bare:
        return bare(asked.bare)
    with tempfile.TemporaryDirectory() as place:
        folder = asked.keep or Path(place)
        parts: dict[str, Callable[[], Iterable[str]]] = {
            "equal": lambda: equal(min(asked.sizes), folder),
            "time": lambda: times(asked.sizes, folder),
            "ray": lambda: on_ray(min(asked.sizes), folder),
            "peers": lambda: peers(asked.peers, Path(place)),
        }
        for name, part in parts.items():
            if asked.only in (None, name):
                for line in part():
                    print(line, flush=True)
    return 0


# Articles.


def real_articles() -> list[dict[str, Any]]:
    """Return the real articles beside the repository, each once."""
    pieces = {each.text: each for at in (NEARDUP, SHARED / "data" / "vi" / "vfnd") for each in read_folder(at)}
    for pair in read_labelled(NEARDUP / "labelled_pairs.jsonl"):
        pieces |= {pair.one.text: pair.one, pair.two.text: pair.two}
    return [
        _article(number, each.text, title=each.title, at=each.published_at)
        for number, each in enumerate(pieces.values())
    ]


def made_articles(size: int) -> Iterator[dict[str, Any]]:
    """Yield articles: seven in ten new, two copies of an earlier one, half of one a version, half of one a form."""
    rng = random.Random(size)
    earlier: list[dict[str, Any]] = []
    for number in range(size):
        chance = rng.random()
        old = rng.choice(earlier) if earlier and chance < 0.25 else None
        if old is None:
            lines = text_of(number).split("\n")
            if chance > 0.95:
                lines[:12] = text_of(-1 - rng.randrange(_FORMS) + 10**9).split("\n")[:12]
            made = _article(number, "\n".join(lines), at=_NOW - timedelta(hours=rng.randrange(9000)))
        else:
            made = _article(
                number, _edited(old["text"], rng), at=old["published_at"] + timedelta(hours=rng.randrange(30))
            )
            made |= {"url": old["url"]} if chance > 0.2 else {}
        if rng.random() < 2000 / size:
            earlier.append(made)
            earlier[:] = earlier[-4000:]
        yield made


def _edited(text: str, rng: random.Random) -> str:
    """Return a copy as newspapers make them: whole, with other words, cut, or with more."""
    lines = text.split("\n")
    kind = rng.random()
    if kind < 0.4:
        return text
    if kind < 0.7:
        return "\n".join(" ".join(w if rng.random() > 0.05 else "khác" for w in line.split()) for line in lines)
    if kind < 0.85:
        return "\n".join(lines[: max(3, len(lines) - 4)])
    return "\n".join([*lines, *text_of(rng.randrange(10**9)).split("\n")[:3]])


def _article(number: int, text: str, *, title: str = "", at: datetime | None = None) -> dict[str, Any]:
    return {
        "id": str(number),
        "url": f"https://bao{number % _PAPERS}.example/{number}",
        "title": title,
        "text": text,
        "published_at": at,
    }


def _write(articles: Iterable[Mapping[str, Any]], path: Path) -> None:
    fields = [("id", pa.string()), ("url", pa.string()), ("title", pa.string()), ("text", pa.string())]
    schema = pa.schema([*fields, ("published_at", pa.timestamp("us", tz="UTC"))])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        batch: list[Mapping[str, Any]] = []
        for each in articles:
            batch.append(each)
            if len(batch) == 5000:
                file.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch = []
        file.write_table(pa.Table.from_pylist(batch, schema=schema))


def _made(size: int, folder: Path) -> Path:
    path = folder / f"made-{size}.parquet"
    if not path.exists():
        _write(made_articles(size), path)
    return path


# The same clusters as online.


def equal(size: int, folder: Path) -> Iterator[str]:
    """Compare the clusters with those of a store that got the same articles one after another."""
    real = folder / "real.parquet"
    _write(real_articles(), real)
    for path in (real, _made(size, folder)):
        found, _ = _run(path, folder / f"out-{path.stem}")
        rows = pq.read_table(path).to_pylist()
        with tempfile.TemporaryDirectory() as place:
            began = time.process_time()
            online = heads_online(map(_as_article, range(len(rows)), rows), Path(place) / "corpus.db")
            spent = time.process_time() - began
        batch = {number: number for number in online} | found
        ours, theirs = _clusters(batch), _clusters(online)
        same = sum(ours[number] == theirs[number] for number in online)
        heads = sum(batch[number] == online[number] for number in online)
        yield (
            f"{path.stem}: {len(rows):,} articles, {len(rows) - len(set(online.values())):,} copies online; in one "
            f"cluster {same / len(rows):.4f}, under the same head {heads / len(rows):.4f}; online {spent:.0f} s of CPU"
        )


def _as_article(number: int, row: Mapping[str, Any]) -> Any:
    missing = dict.fromkeys([*USUAL_NAMES, "published_at_text", "fetched_at_text"])
    return read_article({**missing, **row}, place=str(number), now=_NOW + timedelta(microseconds=number))


def _clusters(heads: Mapping[int, int]) -> dict[int, frozenset[int]]:
    members = defaultdict(set)
    for number, head in heads.items():
        members[head].add(number)
    return {number: frozenset(each) for each in members.values() for number in each}


def _run(path: Path, out: Path, *options: str) -> tuple[dict[int, int], dict[str, float]]:
    """Run the command; return the head of each member of a cluster, and what the run took."""
    taken = _timed([*_COMMAND, str(path), "--out", str(out), *options])
    members = pq.read_table(out / "clusters.parquet").to_pylist()
    return {each["member"]: each["head"] for each in members}, taken


def _timed(command: Sequence[str]) -> dict[str, float]:
    """Run a command; return its seconds, seconds of CPU and peak memory in megabytes."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: exit status {os.waitstatus_to_exitcode(status)}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = max(used.ru_utime + used.ru_stime, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"seconds": time.monotonic() - began, "cpu": cpu, "megabytes": used.ru_maxrss / 1024}


# Time and memory.


def times(sizes: Sequence[int], folder: Path) -> Iterator[str]:
    """Time the command against a bare job of the same engine."""
    for size in sizes:
        path = _made(size, folder)
        plain = _timed([sys.executable, "-m", "tests.bench.bench_batch", "--bare", str(path)])
        _, taken = _run(path, folder / f"timed-{size}")
        yield (
            f"{size:,} articles: {size / taken['seconds']:,.0f} a second, {taken['cpu']:.0f} s of CPU, "
            f"{taken['megabytes']:,.0f} MB; bare job {size / plain['seconds']:,.0f} a second, {plain['cpu']:.0f} s, "
            f"{plain['megabytes']:,.0f} MB; {taken['seconds'] / plain['seconds']:.2f} times the time, "
            f"{taken['cpu'] / plain['cpu']:.2f} times the CPU"
        )


def bare(path: Path) -> int:
    """Fingerprint all texts and join those that share an index key, and do nothing else."""
    import worker.batch  # noqa: F401, I001 - nothing is reported to the makers of the engine

    import daft
    import daft.functions as fn
    from daft import DataType, Series, col

    from worker.dedupe.fingerprint import fingerprint

    keys = DataType.list(DataType.int64())

    @daft.func.batch(return_dtype=keys, batch_size=256)
    def keys_of(texts: Series) -> pa.Array:
        made = [fingerprint(text) for text in texts.to_pylist()]
        return pa.array([sorted({*each.bands, *each.anchors}) for each in made], pa.list_(pa.int64()))

    texts = daft.read_parquet(str(path)).with_column("row", fn.monotonically_increasing_id())
    index = texts.select(col("row"), keys_of(col("text")).alias("key")).collect().explode("key")
    counts = index.groupby("key").agg(fn.count(col("row")).alias("n")).where("n > 1 AND n <= 64")
    shared = index.join(counts, on="key").collect()
    other = shared.select("key", col("row").alias("other"))
    print(shared.join(other, on="key").where("other < row").select("row", "other").distinct().count_rows())
    return 0


# On a cluster.


def on_ray(size: int, folder: Path) -> Iterator[str]:
    """Start a Ray of several workers on this machine, and compare what it writes with the native runner's files."""
    _write(real_articles()[:size], folder / "part.parquet")
    inputs = (folder / "part.parquet", _made(size, folder))
    os.environ.update(_LOOPBACK)
    ray = str(Path(sys.executable).with_name("ray"))
    start = [ray, "start", "--head", "--node-ip-address=127.0.0.1", f"--port={_RAY_PORT}", f"--num-cpus={_RAY_CPUS}"]
    start += ["--include-dashboard=false", "--disable-usage-stats", "--object-store-memory=500000000", "--block"]
    server = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        status = [ray, "status", "--address", f"127.0.0.1:{_RAY_PORT}"]
        while subprocess.run(status, capture_output=True, check=False).returncode:
            if server.poll() is not None:
                raise SystemExit("Ray did not start; `ray start --head` shows why")
            time.sleep(1)
        for path in inputs:
            native, alone = _run(path, folder / f"native-{path.stem}")
            if server.poll() is not None:  # it does so if its agents need more than a quarter of a minute to start
                raise SystemExit("Ray has ended; /tmp/ray/session_latest/logs/raylet.err shows why")
            clustered, taken = _run(path, folder / f"ray-{path.stem}", "--ray", f"127.0.0.1:{_RAY_PORT}")
            one, two = (folder / f"{name}-{path.stem}" / "clusters.parquet" for name in ("native", "ray"))
            same = pq.read_table(one).equals(pq.read_table(two))
            yield (
                f"{path.stem}: {pq.read_metadata(path).num_rows:,} articles, {len(native):,} in clusters: those of Ray "
                f"with {_RAY_CPUS} processors are {'identical' if same and native == clustered else 'DIFFERENT'}; "
                f"{taken['seconds']:.0f} s, native {alone['seconds']:.0f} s"
            )
    finally:
        server.terminate()
        server.wait()


# Other tools on the labelled pairs.


def peers(python: Path | None, folder: Path) -> Iterator[str]:
    """Compare copies found and look-alikes merged on the labelled pairs as one corpus."""
    pairs = [each for each in read_labelled(NEARDUP / "labelled_pairs.jsonl") if each.label in {"yes", "no"}]
    number_of: dict[str, int] = {}
    articles: list[dict[str, Any]] = []
    for piece in (side for pair in pairs for side in (pair.one, pair.two)):
        if piece.text not in number_of:
            number_of[piece.text] = len(articles)
            articles.append(_article(len(articles), piece.text, title=piece.title, at=piece.published_at))
    judged = [(number_of[pair.one.text], number_of[pair.two.text], pair.label == "yes") for pair in pairs]
    path = folder / "pairs.parquet"
    _write(articles, path)
    found, _ = _run(path, folder / "pairs-out")
    yield f"corpus-worker: {_scores([found.get(number, number) for number in range(len(articles))], judged)}"
    if python is None:
        yield "datatrove, text-dedup: left out; give a Python that has them with --peers"
        return
    lines = folder / "pairs.jsonl"
    texts = (json.dumps({"text": each["text"], "id": each["id"]}, ensure_ascii=False) for each in articles)
    lines.write_text("\n".join(texts) + "\n", encoding="utf-8")
    script = str(Path(__file__).with_name("minhash_peers.py"))
    for tool in ("datatrove", "text-dedup"):
        for threshold in _THRESHOLDS:
            place = folder / f"{tool}-{threshold}"
            place.mkdir()
            command = [str(python), script, tool, str(lines), str(place), str(threshold)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said = (
                _scores(json.loads(done.stdout.splitlines()[-1]), judged) if not done.returncode else done.stderr[-300:]
            )
            yield f"{tool}, {f'threshold {threshold}' if threshold else 'as it comes'}: {said}"


def _scores(clusters: Sequence[int], judged: Sequence[tuple[int, int, bool]]) -> str:
    merged = [(clusters[one] == clusters[other], same) for one, other, same in judged]
    copies, alike = ([is_one for is_one, same in merged if same is wanted] for wanted in (True, False))
    return (
        f"copies found {sum(copies)} of {len(copies)} ({sum(copies) / len(copies):.3f}), "
        f"look-alikes merged {sum(alike)} of {len(alike)} ({sum(alike) / len(alike):.3f})"
    )


if __name__ == "__main__":
    sys.exit(main())

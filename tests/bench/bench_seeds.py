"""Import of a large seed corpus, and the decision about what was scraped: `python -m tests.bench.bench_seeds`.

`--only import` writes a Parquet file of made-up Vietnamese-like articles of 300 words, imports it into a SQLite store
in a process of its own, and prints rows a second, processor time and memory; then the time of a newcomer's decision.
`--rows 100000,1000000` measures both sizes in one run, and `--keep FOLDER` keeps the files of made-up articles.
`--only clean` measures on the texts of a data folder how often clean texts are taken for scraped ones, and the reverse,
by halves.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.articles import MadeTexts
from worker.dedupe.judge import Deduper
from worker.extract.seed_article import find_scraped
from worker.models import Article
from worker.storage.store import open_store

SEED = 11
WORDS, PARAGRAPH, SENTENCE = 300, 60, 20
STOCK = re.findall(r"\w+", "theo thông tin từ cơ quan chức năng vụ việc đang được tiếp tục làm rõ")
STOCK_SHARE, COPIES = 0.2, 0.01
"""The share of articles with a stock sentence, and of those that are an edited copy of an earlier one."""
NEWCOMERS = 200
BATCH = 5000


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_seeds", description=__doc__)
    parser.add_argument("--only", choices=["import", "clean"])
    parser.add_argument("--rows", default="100000")
    parser.add_argument("--keep", type=Path, help="a folder for the made-up articles")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--raw", type=Path, default=Path("../shared/seeds"))
    options = parser.parse_args(arguments)
    if options.only != "clean":
        for rows in options.rows.split(","):
            measure_import(int(rows), options.keep)
    if options.only != "import":
        measure_clean(options.data, options.raw)


# Import.


def measure_import(rows: int, keep: Path | None = None) -> None:
    """Import a Parquet file of so many rows, and decide about copies of some of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = (keep or folder) / f"seeds-{rows}.parquet"
        if not seeds.exists():
            write_parquet(seeds, rows)
        (folder / "worker.toml").write_text(f'[store]\nurl = "sqlite:///{folder}/s.db"\n[seeds]\npath = ""\n')
        command = [sys.executable, "-m", "worker", "--config", str(folder / "worker.toml"), "-q", "seeds", "import"]
        seconds, usage, tree = run_measured([*command, "--json", str(seeds)])
        again, _, _ = run_measured([*command, "--json", str(seeds)])
        used = usage.ru_utime + usage.ru_stime
        say(f"{rows:,} rows: {rows / seconds:,.0f} a second, {used / rows * 1000:.2f} ms of processor time a row")
        say(f"  memory at the peak: {usage.ru_maxrss / 1000:,.0f} MB the largest process, {tree:,.0f} MB all together")
        size = (folder / "s.db").stat().st_size / rows
        say(f"  the store has {size:,.0f} bytes a row; a second import takes {again:.1f} s")
        taken = statistics.median(decide(folder, seeds)) * 1000
        say(f"  a newcomer's decision: {taken:.1f} ms, the median of {NEWCOMERS}")


def run_measured(command: Sequence[str]) -> tuple[float, resource.struct_rusage, float]:
    """Run a command; return its seconds, its resource usage, and the largest memory of it and its children, in MB."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    largest = 0.0
    while process.poll() is None:
        largest = max(largest, tree_memory(process.pid))
        time.sleep(0.5)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    usage = [*after]
    usage[0], usage[1] = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return seconds, resource.struct_rusage(usage), largest


def tree_memory(pid: int) -> float:
    """Return the memory of a process and its descendants in MB: shared pages count in part (PSS)."""
    total, left = 0, [pid]
    while left:
        each = left.pop()
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            for task in Path(f"/proc/{each}/task").iterdir():
                left += map(int, (task / "children").read_text().split())
        except (OSError, StopIteration):
            continue
    return total / 1000


def write_parquet(path: Path, rows: int) -> None:
    """Write made-up articles, a few of them edited copies of earlier ones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[str]] = {name: [] for name in ("title", "text", "url", "date")}
    schema = pa.schema([(name, pa.string()) for name in columns])
    with pq.ParquetWriter(path, schema) as writer:
        for number, (title, text) in enumerate(articles(rows), 1):
            values = (
                title,
                text,
                f"https://bao{number % 7}.example/tin-{number}.html",
                f"2024-03-{number % 28 + 1:02}",
            )
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
            if number % BATCH == 0 or number == rows:
                writer.write_table(pa.table(columns, schema))
                for column in columns.values():
                    column.clear()


def articles(rows: int) -> Iterator[tuple[str, str]]:
    """Yield titles and texts of made words."""
    chance, texts = random.Random(SEED), MadeTexts(SEED)
    recent: list[list[str]] = []
    for _ in range(rows):
        words = texts.words(WORDS)
        if recent and chance.random() < COPIES:
            words = [*chance.choice(recent)]
            words[chance.randrange(WORDS)] = "khác"
        elif chance.random() < STOCK_SHARE:
            words[-len(STOCK) :] = STOCK
        recent = [*recent[-50:], words]
        yield " ".join(words[:10]).capitalize(), "\n".join(paragraphs(words))


def paragraphs(words: Sequence[str]) -> Iterator[str]:
    """Yield words as paragraphs of sentences."""
    for start in range(0, len(words), PARAGRAPH):
        part = words[start : start + PARAGRAPH]
        yield " ".join(" ".join(part[at : at + SENTENCE]).capitalize() + "." for at in range(0, len(part), SENTENCE))


def decide(folder: Path, seeds: Path) -> list[float]:
    """Return the seconds that the decisions about newcomers take, each a copy of one seed."""
    deduper = Deduper()
    taken = []
    with open_store(f"sqlite:///{folder}/s.db", parameters=deduper.parameters) as store:
        head = next(store.reader.heads()).article
        for number, (title, text) in enumerate(newcomers(seeds)):
            newcomer = changed(head, f"https://moi.example/{number}", title, text)
            began = time.perf_counter()
            fingerprint = deduper.fingerprint(newcomer)
            verdict = deduper.judge(newcomer, fingerprint, store.reader.neighbours(newcomer, fingerprint))
            taken.append(time.perf_counter() - began)
            if verdict.best is None:
                raise SystemExit(f"newcomer {number} was not recognised")
    return taken


def newcomers(seeds: Path) -> Iterator[tuple[str, str]]:
    """Yield titles and texts of rows all over the file."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(seeds) as file:
        every = max(1, file.metadata.num_rows // NEWCOMERS)
        for number, batch in enumerate(file.iter_batches(every, columns=["title", "text"])):
            if number < NEWCOMERS:
                first = batch.slice(0, 1).to_pylist()[0]
                yield first["title"], first["text"]


def changed(article: Article, url: str, title: str, text: str) -> Article:
    """Return an article of this text at an address of its own."""
    from dataclasses import replace

    from worker.models import Kind

    return replace(article, url=url, canonical_url=url, host="moi.example", title=title, text=text, kind=Kind.ARTICLE)


# Scraped or clean.


def measure_clean(data: Path, raw: Path) -> None:
    """Print how many texts of each kind are taken for scraped ones, by halves (even and odd places)."""
    if not data.is_dir():
        say(f"{data}: no such folder, so clean and scraped texts are not measured; name one with --data")
        return
    for kind, texts in (*clean_texts(data).items(), *scraped_texts(raw).items()):
        halves = [texts[half::2] for half in (0, 1)]
        together = [sum(find_scraped(half)) for half in halves]
        alone = [sum(find_scraped([text])[0] for text in half) for half in halves]
        say(f"{kind}: of {len(texts):,}, in two halves, scraped as one collection {together}, each by itself {alone}")


def clean_texts(data: Path) -> dict[str, list[str]]:
    """Return texts that hold nothing but an article, by collection."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted((data / "vi" / "vfnd").rglob("*.json")):
        members = json.loads(path.read_text(encoding="utf-8"))
        found["clean, vfnd"].append(
            f"{members.get('title') or ''}\n{members.get('maintext') or members.get('text') or ''}"
        )
    for folder in ("vi", "vi2"):
        for item in json.loads((data / folder / "gold.json").read_text(encoding="utf-8")).values():
            parts = (item.get("title"), item.get("lead"), *(item.get("paragraphs") or ()))
            found[f"clean, {folder}"].append("\n".join(filter(None, parts)))
    with (data / "neardup" / "labelled_pairs.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            found["clean, pairs"] += [f"{pair[side]['title']}\n{pair[side]['text']}" for side in ("a", "b")]
    return found


def scraped_texts(raw: Path) -> dict[str, list[str]]:
    """Return texts with furniture around the article, by collection."""
    places = {"scraped, raw": raw, "scraped, sample": Path("seeds/sample")}
    found = {
        kind: [each.read_text(encoding="utf-8") for each in sorted(place.glob("[0-9]*.txt"))]
        for kind, place in places.items()
    }
    return {kind: texts for kind, texts in found.items() if texts}


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

"""Many workers on one PostgreSQL store, killed and cut off while copies arrive together: one text of each must stay.

    python -m tests.bench.bench_crowd [--articles 20000] [--workers 8] [--runs 20]

Three articles in ten are near-copies and stand next to each other in the queue, so that different workers settle them
at the same moment. Every few seconds one worker is killed with SIGKILL and another takes its place; the server is
stopped the hard way and started again twice in each run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import pickle
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.bench.bench_store import Prepared, candidate_of, empty, prepare
from worker import logs
from worker.dedupe.judge import Deduper
from worker.errors import StoreError
from worker.models import Article, Claim, Fingerprint, Neighbour, Verdict
from worker.storage.store import Store, open_store

LEASE = timedelta(seconds=15)
KILL_EVERY = 3.0
RESTARTS = (0.33, 0.66)
_POSTGRESQL = str(Path(__file__).resolve().parents[2] / ".ci" / "postgresql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one run works on."""

    url: str
    articles: Path
    number: int
    workers: int
    folder: Path


def main(arguments: Sequence[str]) -> int:
    """Run, print a line a run, and return 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_crowd", description=__doc__)
    parser.add_argument("--articles", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args(arguments)
    logs.configure(level=50)
    with tempfile.TemporaryDirectory(prefix="crowd-") as scratch:
        Path(scratch).chmod(0o755)
        articles, server = Path(scratch) / "articles.pickle", Path(scratch) / "server"
        articles.write_bytes(pickle.dumps(prepare(options.articles)))
        started = subprocess.run([_POSTGRESQL, "start", str(server)], check=True, capture_output=True, text=True)
        url = started.stdout.strip().splitlines()[-1]
        print("run  seconds  kills  restarts  stories  twice  lost  doubled  balanced", flush=True)
        try:
            runs = [
                Order(url=url, articles=articles, number=number, workers=options.workers, folder=server)
                for number in range(1, options.runs + 1)
            ]
            return 1 if [order for order in runs if not once(order)] else 0
        finally:
            subprocess.run([_POSTGRESQL, "stop", str(server)], check=False, capture_output=True)


def once(order: Order) -> bool:
    """Make one run and print its line; tell whether everything was right."""
    empty(order.url)
    prepared = queue_of(order)
    began = time.monotonic()
    kills, restarts = _let_them_work(order, prepared)
    seconds = time.monotonic() - began
    with open_store(order.url, parameters=Deduper().parameters) as store:
        books = store.reader.audit()
        kept = Counter(stored.article.external_id for stored in store.reader.heads())
    stories = {each.article.external_id for each in prepared}
    twice = sum(count > 1 for count in kept.values())
    lost = len(stories - set(kept)) + (len(prepared) - books.discovered)
    doubled = books.articles - len(prepared)
    right = not (twice or lost or doubled) and books.balanced
    print(
        f"{order.number:3}  {seconds:7.0f}  {kills:5}  {restarts:8}  {len(stories):7}  {twice:5}  {lost:4}"
        f"  {doubled:7}  {'yes' if books.balanced else 'NO':>8}",
        *books.problems[:5],
        flush=True,
    )
    return right


def queue_of(order: Order) -> list[Prepared]:
    """Put everything into the queue, the stories in an order of this run's own, the copies of each side by side."""
    stories: dict[str | None, list[Prepared]] = defaultdict(list)
    for each in pickle.loads(order.articles.read_bytes()):
        stories[each.article.external_id].append(each)
    groups = list(stories.values())
    random.Random(order.number).shuffle(groups)
    for group in groups:
        random.Random(order.number).shuffle(group)
    prepared = [each for group in groups for each in group]
    with open_store(order.url, parameters=Deduper().parameters) as store:
        store.ledger.enqueue([candidate_of(each.article) for each in prepared], now=datetime.now(UTC))
    return prepared


def _let_them_work(order: Order, prepared: list[Prepared]) -> tuple[int, int]:
    """Keep the workers at work until nothing is pending, killing one every few seconds; return kills and restarts."""
    context = multiprocessing.get_context(
        "fork"
    )  # nothing is open here, and a worker that starts at once can be killed

    def start() -> BaseProcess:
        process = context.Process(target=work, args=(order.url, prepared))
        process.start()
        return process

    chance = random.Random(order.number)
    crew = [start() for _ in range(order.workers)]
    kills = restarts = 0
    while (left := _pending(order.url)) > 0:
        if restarts < len(RESTARTS) and left < len(prepared) * (1 - RESTARTS[restarts]):
            subprocess.run([_POSTGRESQL, "restart", str(order.folder)], check=True, capture_output=True)
            restarts += 1
        time.sleep(KILL_EVERY)
        victim = chance.randrange(len(crew))
        crew[victim].kill()
        crew[victim].join()
        kills += 1
        crew[victim] = start()
    for process in crew:
        process.kill()
        process.join()
    return kills, restarts


def _pending(url: str) -> int:
    with _opened(url) as store:
        pending, _ = store.ledger.pending(now=datetime.now(UTC))
    return pending


def _opened(url: str) -> Store:
    """Open a store whose server may just be starting."""
    while True:
        try:
            return open_store(url, parameters=Deduper().parameters)
        except StoreError:
            time.sleep(0.2)


def work(url: str, prepared: list[Prepared]) -> None:
    """Claim and settle, one at a time, until killed."""
    by_url = {each.article.canonical_url: each for each in prepared}
    deduper = Deduper()
    with _opened(url) as store:
        while True:
            claims = store.ledger.claim(now=datetime.now(UTC), lease=LEASE, limit=1, worker="crowd")
            if not claims:
                time.sleep(0.2)
            for claim in claims:
                each = by_url[claim.canonical_url]
                settle(store, claim, each, judge_of(deduper, each.article, each.fingerprint))


def judge_of(deduper: Deduper, article: Article, fingerprint: Fingerprint) -> Callable[[Sequence[Neighbour]], Verdict]:
    """Return the judge of one article."""
    return lambda neighbours: deduper.judge(article, fingerprint, neighbours)


def settle(store: Store, claim: Claim, each: Prepared, judge: Callable[[Sequence[Neighbour]], Verdict]) -> None:
    """Settle one article."""
    store.ledger.settle(claim, each.article, fingerprint=each.fingerprint, judge=judge, now=datetime.now(UTC))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How long commands take from their start to their end, by the clock and by the processor.

`python -m tests.bench.bench_start [--runs N]`: `ingest` of one page of a site on loopback into a new store; `--help`,
`status`, `search` and `why` on that store. Each command runs once before it is measured; the medians are printed.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.commands import Desk
from tests.newsroom import Newsroom, sites_of
from tests.texts import page, story

ADDRESS = "https://mot.example/mot.html"
COMMANDS = (("--help",), ("status",), ("search", "thành phố"), ("why", "1"))


def main(arguments: Sequence[str]) -> None:
    """Measure each command, and print a line for it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_start", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args(arguments).runs
    with (
        Newsroom(sites_of({ADDRESS: page("Một", story("một"))})) as room,
        tempfile.TemporaryDirectory() as folder,
    ):
        desk = Desk(folder=Path(folder), environment=room.environment)
        desk.configure("")
        measure(desk, ("ingest", "-qq", ADDRESS), runs=runs, anew=True)
        for words in COMMANDS:
            measure(desk, words, runs=runs)


def measure(desk: Desk, words: Sequence[str], *, runs: int, anew: bool = False) -> None:
    """Run a command once and then `runs` times, `anew` each time without a store, and print the medians."""
    taken = []
    for _ in range(runs + 1):
        if anew:
            for file in desk.folder.glob("*.db*"):
                file.unlink()
        began, used = time.perf_counter(), processor_time()
        process = desk.start(*words)
        process.communicate()
        taken.append((time.perf_counter() - began, processor_time() - used))
        if process.returncode:
            sys.exit(f"{' '.join(words)}: status {process.returncode}\n{desk.log()}")
    clock, processor = (statistics.median(figures) for figures in zip(*taken[1:], strict=True))
    print(f"{' '.join(words[:1]):<8} {clock:6.2f} s by the clock, {processor:6.2f} s of processor time")


def processor_time() -> float:
    """Return the processor time of all processes that this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(sys.argv[1:])

"""Measures whether many workers ask few hosts sooner than the delay of a host allows.

    python -m tests.bench.bench_polite [--url URL]

Workers that share one store work through articles of hosts they all know, each with a backlog, while others poll the
same hosts. What counts is the time at which a host's own server received each request.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

from tests.bench.bench_store import empty
from tests.newsroom import Newsroom, sites_of
from tests.texts import page, story

_CONFIGURATION = """
[store]
url = "{url}"
[seeds]
path = "seeds"
[fetch]
per_host_delay = "{delay_ms}ms"
max_connections = 4
[extract]
processes = 1
languages = []
"""
_SOURCE = '[[sources]]\nname = "{name}"\nkind = "feed"\nurl = "https://{name}.example/newsroom-feed.xml"\n'


def main(arguments: list[str]) -> int:
    """Measure and print; return 1 where a host was asked too soon."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_polite", description=__doc__)
    parser.add_argument("--url", default="sqlite:///corpus.db", help="store of all workers; emptied first on a server")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--hosts", type=int, default=5)
    parser.add_argument("--pages", type=int, default=40, help="of each host")
    parser.add_argument("--delay-ms", type=int, default=500)
    options = parser.parse_args(arguments)
    empty(options.url)
    pages = {
        f"https://h{host}.example/{number}.html": page(f"Bài {host} {number}", story(f"{host}-{number}"))
        for host in range(options.hosts)
        for number in range(options.pages)
    }
    with Newsroom(sites_of(pages)) as room, tempfile.TemporaryDirectory() as folder:
        configuration = _CONFIGURATION.format(url=options.url, delay_ms=options.delay_ms)
        sources = "".join(_SOURCE.format(name=f"h{host}") for host in range(options.hosts))
        (Path(folder) / "worker.toml").write_text(configuration + sources, encoding="utf-8")
        workers = [_start(folder, room.environment) for _ in range(options.workers)]
        failed = [worker for worker in workers if worker.wait()]
        asked: defaultdict[str, list[datetime]] = defaultdict(list)
        for request in room.requests:
            asked[request.host].append(request.at)
    return _tell(asked, pause=timedelta(milliseconds=options.delay_ms)) or bool(failed)


def _start(folder: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "worker", "ingest", "-qq", "--config", "worker.toml"]
    return subprocess.Popen(command, cwd=folder, env={**os.environ, **environment})


def _tell(asked: dict[str, list[datetime]], *, pause: timedelta) -> int:
    if not asked:
        print("nothing was asked: see above why")
        return 1
    gaps = [later - earlier for times in asked.values() for earlier, later in itertools.pairwise(sorted(times))]
    early = [gap for gap in gaps if gap < pause]
    print(f"{sum(map(len, asked.values()))} requests to {len(asked)} hosts, {pause.total_seconds():g} s apart at least")
    print(
        f"shortest pause {min(gaps).total_seconds():.3f} s, median {sorted(gaps)[len(gaps) // 2].total_seconds():.3f} s"
    )
    print(f"{len(early)} of {len(gaps)} pauses too short")
    return int(bool(early))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The demo: the ordinary commands, run against the newsroom from an empty store to an exported corpus."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.newsroom.press import THOI_MOI
from tests.newsroom.room import Newsroom

_ROOT = Path(__file__).parents[2]
_FOLDER = Path("data/demo")
_CORPUS = _FOLDER / "corpus.jsonl"
_SETTINGS = _FOLDER / "worker.toml"
_UPDATED = "tau-hang-ket-kenh"
_IN_THE_SEEDS = "hat-giong-000"


class Demo:
    """Runs commands one after another and remembers which of them failed."""

    def __init__(self, room: Newsroom) -> None:
        self._environment = {**os.environ, **room.environment}
        self.failed: list[str] = []

    def show(self, heading: str, *words: str) -> None:
        """Run a command under a heading, its output going where the demo's goes."""
        line = " ".join(words)
        say(f"\n== {heading}\n   corpus-worker {line} --config {_SETTINGS}\n")
        command = [sys.executable, "-m", "worker", *words, "--config", str(_SETTINGS)]
        done = subprocess.run(command, cwd=_ROOT, env=self._environment, check=False)
        if done.returncode:
            self.failed.append(f"{line} (exit status {done.returncode})")


def say(line: str) -> None:
    """Write a line at once, so that it stands before what the next command writes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(room: Newsroom) -> list[str]:
    """Go through the whole job; return what went wrong."""
    demo = Demo(room)
    demo.show("First run: the seeds, four papers, and what is wrong with some pages", "ingest")
    say(f"\n   meanwhile the papers go on: {room.update(THOI_MOI, _UPDATED)} has a new text")
    while happened := room.advance():
        say(f"   {happened}")
    demo.show("Second run: only what is new or changed", "ingest")
    demo.show("Copies that were recognised", "duplicates")
    demo.show("Why one of them was taken for a copy", "why", room.url(THOI_MOI, _IN_THE_SEEDS))
    demo.show("Where things stand", "status")
    demo.show("The corpus, one text a line", "export", "--format", "jsonl", "--output", str(_CORPUS))
    demo.show("Do the books balance?", "audit")
    return demo.failed


def main() -> int:
    """Run the demo on an empty store; return its exit status."""
    shutil.rmtree(_ROOT / _FOLDER, ignore_errors=True)
    (_ROOT / _FOLDER).mkdir(parents=True)
    shutil.copy(_ROOT / "config/demo.toml", _ROOT / _SETTINGS)  # what is changed on the pages is changed there
    begun = time.monotonic()
    with Newsroom() as room:
        failed = run(room)
    count = (_ROOT / _CORPUS).read_bytes().count(b"\n")
    say(f"\n{time.monotonic() - begun:.0f} seconds in all.")
    say(f"The store is {_FOLDER}/corpus.db; the corpus, {count} texts with the seeds, is {_CORPUS}.")
    say(f"Open it in a browser: .venv/bin/corpus-worker web --config {_SETTINGS}")
    for each in failed:
        say(f"failed: {each}")
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the newsroom closes in good order
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

"""What a new user does: the commands of README and tutorial, run by an installed program in an empty folder.

    python -m tests.newsroom.new_user PROGRAM

The commands are those that the documents show, against the newsroom in place of the papers they name. The daemon is
stopped by SIGINT, as Ctrl-C does, once it says that it runs.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.newsroom.demo import say
from tests.newsroom.press import BAO_SAI_GON
from tests.newsroom.room import Newsroom

_ROOT = Path(__file__).parents[2]
_MOST = 9  # commands of the README from nothing to a corpus
_PAPER = re.compile(r"(?:my)?paper\.example")
_ARTICLE = "https://example.org/some/article.html"
_ENDED_BY_SIGINT = 130
_SEED = "Một bài có sẵn\n\n" + "Đây là một câu của bài có sẵn trong kho ngữ liệu, viết cho phép thử này. " * 9
# What a person answers on the terminal, which there is none of.
_ASKS = {"init": ["--agent", "new-user", "--contact", "https://example.com/crawler"], "sources": ["--yes"]}
_NOT_READY = {"doctor"}  # it also reports what the machine at hand lacks


class NewUser:
    """Runs commands as they are written, in one folder, and remembers which of them failed."""

    def __init__(self, program: Path, room: Newsroom, folder: Path) -> None:
        quick = {"CORPUS_WORKER_FETCH__PER_HOST_DELAY": "50ms", "CORPUS_WORKER_WEB__LISTEN": ""}
        path = f"{program.parent}:{os.environ['PATH']}"
        # Nothing of the checkout may be found, and nothing may be asked.
        self._environment = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **room.environment, **quick}
        self._folder = folder
        self.failed: list[str] = []

    def type(self, words: list[str]) -> None:
        """Run the words of one line: a command of the program, or `cd`."""
        say(f"$ {shlex.join(words)}")
        if words[0] == "cd":
            self._folder /= words[1]
            return
        with subprocess.Popen(
            words, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            shown = []
            for written in process.stderr:
                shown.append(written)
                if words[1] == "run" and "run.started" in written:
                    process.send_signal(signal.SIGINT)
        expected = {_ENDED_BY_SIGINT} if words[1] == "run" else {0, 1} if words[1] in _NOT_READY else {0}
        if process.returncode not in expected:
            self.failed.append(f"{shlex.join(words)} (exit status {process.returncode}): {''.join(shown[-5:])}")


def commands_of(name: str, *, heading: str = "") -> list[str]:
    """Return the lines of a document's code blocks that call the program or change the folder, from a heading on."""
    text = (_ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text[text.index(heading) :], re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith(("corpus-worker ", "cd "))]


def walk(program: Path, lines: list[str]) -> list[str]:
    """Run the lines against the newsroom in a folder of their own; return what went wrong."""
    with Newsroom() as room, tempfile.TemporaryDirectory(prefix="new-user-") as folder:
        user = NewUser(program, room, Path(folder))
        newest = next(iter(room.paper(BAO_SAI_GON).stories()))
        # The papers of the newsroom have stopped long ago, and nobody would add one that has.
        fresh = room.publish(
            BAO_SAI_GON, replace(newest, slug="hom-nay-co-mua-lon", title="Hôm nay", published=datetime.now(UTC))
        )
        for line in lines:
            words = shlex.split(_PAPER.sub(BAO_SAI_GON, line.replace(_ARTICLE, fresh)), comments=True)
            if words[1] in _ASKS and not set(_ASKS[words[1]]) & set(words):
                words += _ASKS[words[1]]
            user.type(words)
            seeds = Path(folder) / "my-corpus" / "seeds"
            if seeds.is_dir():
                (seeds / "one.txt").write_text(_SEED, encoding="utf-8")
        corpus = Path(folder) / "my-corpus" / "corpus.jsonl"
        texts = corpus.read_bytes().count(b"\n") if corpus.exists() else 0
    return user.failed if texts > 1 else [*user.failed, f"the corpus has {texts} texts"]


def main(program: Path) -> int:
    """Do what README and tutorial say; return the exit status."""
    first = commands_of("README.md", heading="A corpus of your own")
    first = first[: next(i for i, line in enumerate(first) if " export " in line) + 1]
    failed = [] if len(first) <= _MOST else [f"README.md: {len(first)} commands before there is a corpus"]
    failed += walk(program, [*first, "corpus-worker status"])
    failed += walk(program, commands_of("docs/tutorial.md"))
    for each in failed:
        say(f"failed: {each}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))

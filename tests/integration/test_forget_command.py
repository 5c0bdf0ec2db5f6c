"""`forget`, run as users run it: nothing of the text is left in the store's files, and it does not come back."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.commands import CONFIG, Desk
from tests.run_cli import run_inside
from tests.texts import story
from worker.storage.maintenance.forget import ForgetReport, ForgetRequest
from worker.storage.maintenance.review import StoreReview

SEED = "001_0123456789abcdef.txt"
SLUG = "ong-nguyen-van-a"


def line(name: str, text: str) -> str:
    return json.dumps({"url": f"https://{name}.example/{SLUG}", "title": f"Chuyện của {name}", "text": text}) + "\n"


def everything_in(folder: Path) -> bytes:
    """Return the bytes of the store and of its log, with everything in them that can be decompressed."""
    raw = b"".join(path.read_bytes() for path in sorted(folder.glob("corpus.db*")) if not path.name.endswith(".lock"))
    frames = (match.start() for match in re.finditer(re.escape(b"\x28\xb5\x2f\xfd"), raw))
    return raw + b"".join(_unpacked(raw[start : start + 100_000]) for start in frames)


def _unpacked(frame: bytes) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(frame)
    except zstandard.ZstdError:
        return b""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store: a seed, two stories, a copy of the first of them, and an older version of it."""
    desk = Desk(folder=tmp_path_factory.mktemp("forgetful"))
    desk.configure(base=CONFIG.replace("[fetch]", '[fetch]\nuser_agent = "tests/1.0 (+https://tests.example)"'))
    seeds = desk.folder / "seeds"
    seeds.mkdir()
    (seeds / SEED).write_text(f"Bài mẫu\n{story('mẫu')}\n", encoding="utf-8")
    first, second = story("một"), story("hai")
    texts = [("a", f"{first}\nMột đoạn cũ."), ("b", second)]
    (desk.folder / "in.jsonl").write_text("".join(line(*each) for each in texts), encoding="utf-8")
    (desk.folder / "more.jsonl").write_text(line("a", first) + line("c", first), encoding="utf-8")
    for name in ("in.jsonl", "more.jsonl"):
        ended = desk.run("ingest", name, "--json")
        assert ended.status == 0, ended.err
    return desk.folder


def test_a_page_is_forgotten_with_its_versions_and_is_not_imported_again(folder: Path) -> None:
    url = f"https://a.example/{SLUG}"
    with closing(sqlite3.connect(folder / "corpus.db")) as reader:  # another program has the store open
        reader.execute("SELECT count(*) FROM articles").fetchone()
        assert "Chuyện của a".encode() in everything_in(folder)

        shown = run_inside(folder, "forget", url, "--reason", "số 12/2026", "--dry-run", "--json").record()
        assert run_inside(folder, "audit", "--json").record()["articles"] == 4
        done = run_inside(folder, "forget", url, "--reason", "số 12/2026", "--json").record()

    (forgotten,) = done["forgotten"]
    assert shown["forgotten"][0]["articles"] == forgotten["articles"]
    assert len(forgotten["articles"]) == 2
    assert [copy["url"] for copy in forgotten["copies_that_stay"]] == [f"https://c.example/{SLUG}"]
    assert any("in.jsonl" in each for each in done["to_do"])
    left = everything_in(folder)
    traces = ("Chuyện của a", "https://a.example", "Một đoạn cũ")
    assert not [word for word in traces if word.encode() in left]
    assert run_inside(folder, "audit", "--json").record()["balanced"] is True

    again = Desk(folder=folder).run("ingest", "in.jsonl", "more.jsonl", "--json")
    assert again.record()["stored"] == 0
    assert "Chuyện của a".encode() not in everything_in(folder)
    for words in (["--dry-run"], []):  # named by itself, it is not even asked for: there is no server of this name
        asked = Desk(folder=folder).run("ingest", url, "--json", *words)
        assert (asked.record()["discovered"], asked.record()["blocked"]) == (int(bool(words)), 1), asked.err
        assert "dns" not in asked.err
    why = run_inside(folder, "why", url)
    assert "forgotten on" in why.out
    assert "số 12/2026" in why.out


def test_a_forgotten_seed_stays_away(folder: Path) -> None:
    exported = [json.loads(each) for each in Desk(folder=folder).run("export").out.splitlines()]
    (number,) = [each["id"] for each in exported if each["kind"] == "seed"]

    ended = run_inside(folder, "forget", str(number), "--reason", "r")
    changed = folder / "seeds" / SEED
    changed.write_text(f"{changed.read_text(encoding='utf-8')}\n", encoding="utf-8")  # else it is not read again
    again = run_inside(folder, "seeds", "import")

    assert f"{SEED} still has it: delete it there" in ended.out
    assert "0 imported" in again.out
    assert "forgotten on" in again.out + again.err
    assert "Bài mẫu".encode() not in everything_in(folder)
    assert "forgotten on" in run_inside(folder, "why", str(number)).out


def test_nothing_is_forgotten_if_a_target_is_unknown_and_an_interrupted_command_can_be_repeated(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "two.jsonl").write_text(line("x", story("ba")) + line("y", story("bốn")), encoding="utf-8")
    assert Desk(folder=folder).run("ingest", "two.jsonl", "--json").record()["stored"] == 2
    (x, y) = (f"https://{name}.example/{SLUG}" for name in "xy")
    before = run_inside(folder, "audit", "--json").record()

    for words, stdin, message in (
        (["-"], f"{x}\n# no such one\n99998\n{y}\n", "standard input, line 3: there is no article 99998 in the store"),
        ([x, "99998"], "", "there is no article 99998 in the store"),
        ([x, "-"], f"{y}\n\n nonsense\n", "standard input, line 3: "),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        refused = run_inside(folder, "forget", *words, "--reason", "r")
        assert refused.status
        assert message in refused.err
        assert refused.err.rstrip().endswith("nothing was forgotten")
        assert refused.err.count("\n") == 1
    assert run_inside(folder, "audit", "--json").record() == before

    forget = StoreReview.forget

    def stop(review: StoreReview, request: ForgetRequest, **options: Any) -> ForgetReport:
        if request.target == y:
            raise KeyboardInterrupt
        return forget(review, request, **options)

    with monkeypatch.context() as patched:
        patched.setattr(StoreReview, "forget", stop)
        stopped = run_inside(folder, "forget", x, y, "--reason", "r")
    assert stopped.status == 130
    assert run_inside(folder, "audit", "--json").record()["problems"] == []
    assert "Chuyện của x".encode() not in everything_in(folder)
    assert run_inside(folder, "forget", x, y, "--reason", "r").status == 0
    assert "Chuyện của y".encode() not in everything_in(folder)
    assert run_inside(folder, "audit", "--json").record()["balanced"] is True


def test_requests_are_answered_in_one_line(folder: Path) -> None:
    requests: tuple[tuple[list[str], int, str], ...] = (
        (["https://x.example/1"], 2, "no reason: give --reason"),
        (["--reason", "r"], 2, "nothing to forget"),
        (["khong phai", "--reason", "r"], 2, "not a usable URL"),
        (["--host", "com.vn", "--reason", "r"], 2, "many publishers have their sites below this name"),
        (["999", "--reason", "r"], 1, "there is no article 999"),
        (["https://never.example/1", "--lift"], 1, "was not forgotten"),
        (["https://never.example/1", "--reason", "r"], 0, "will never fetch it"),
        (["https://never.example/1", "--lift"], 0, "may be found again"),
        (["--host", "d.example", "--reason", "r"], 0, "will never fetch it"),
    )
    for words, status, message in requests:  # in this order: the last ones change what the next are told
        ended = run_inside(folder, "forget", *words)

        assert ended.status == status, words
        assert message in ended.out + ended.err

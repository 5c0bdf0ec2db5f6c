"""`backup` (with restoring) and `prune`, run as users run them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.commands import CONFIG, Desk
from tests.run_cli import run_inside
from tests.texts import story


def line(name: str, text: str) -> str:
    return json.dumps({"url": f"https://{name}.example/1", "title": "Tiêu đề", "text": text}) + "\n"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of two texts and a copy."""
    folder = tmp_path_factory.mktemp("filled")
    desk = Desk(folder=folder)
    desk.configure()
    (folder / "seeds").mkdir()
    texts = {"a": story("một"), "b": story("hai"), "c": story("một")}
    (folder / "in.jsonl").write_text("".join(line(*each) for each in texts.items()), encoding="utf-8")
    ended = desk.run("ingest", "in.jsonl", "--json")
    assert (ended.record()["stored"], ended.record()["duplicate"]) == (2, 1), ended.err
    return folder


@pytest.fixture
def folder(tmp_path: Path, filled: Path) -> Path:
    """A copy of that folder, to spoil."""
    return shutil.copytree(filled, tmp_path / "desk")


def test_a_backup_restores_a_lost_store(folder: Path) -> None:
    before = run_inside(folder, "export").out

    made = run_inside(folder, "backup", "copy.db")
    for path in folder.glob("corpus.db*"):
        path.unlink()
    (folder / "copy.db").rename(folder / "corpus.db")

    again = Desk(folder=folder).run("ingest", "in.jsonl", "--json").record()
    assert made.status == 0
    assert "copy.db: " in made.out
    assert "2 texts, sound" in made.out
    assert run_inside(folder, "audit", "--json").record()["balanced"] is True
    assert run_inside(folder, "export").out == before
    assert (again["discovered"], again["stored"]) == (0, 0)


def test_a_backup_reports_its_content_and_overwrites_only_with_force(folder: Path) -> None:
    first = run_inside(folder, "backup", "copy.db", "--json").record()

    refused = run_inside(folder, "backup", "copy.db")
    forced = run_inside(folder, "backup", "copy.db", "--force")

    assert first["bytes"] == (folder / "copy.db").stat().st_size
    assert (first["discovered"], first["articles"], first["texts"], first["balanced"]) == (3, 3, 2, True)
    assert refused.status == 1
    assert "--force" in refused.err
    assert forced.status == 0


def test_prune_counts_first_and_then_deletes_only_pages(folder: Path) -> None:
    before = run_inside(folder, "export").out

    nothing = run_inside(folder, "prune", "--older-than", "90d", "--json").record()
    counted = run_inside(folder, "prune", "--older-than", "1ms", "--dry-run", "--json").record()
    pruned = run_inside(folder, "prune", "--older-than", "1ms", "--json").record()
    again = run_inside(folder, "prune", "--older-than", "1ms")

    assert (nothing["pages"], nothing["events"]) == (0, 0)
    assert counted["pages"] == pruned["pages"] == 3
    assert counted["page_bytes"] == pruned["page_bytes"] > 0
    assert "0 pages, 0 events, 0 robots.txt, 0 hosts, 0 moves, 0 places of backfills" in again.out
    assert (pruned["moves"], pruned["places"]) == (0, 0)
    assert run_inside(folder, "export").out == before
    assert run_inside(folder, "audit", "--json").record()["balanced"] is True


def test_pruned_articles_are_still_known_and_their_copies_recognised(folder: Path) -> None:
    run_inside(folder, "prune", "--older-than", "1ms")
    with (folder / "in.jsonl").open("a", encoding="utf-8") as file:
        file.write(line("d", story("hai")))

    run = Desk(folder=folder).run("ingest", "in.jsonl", "--json").record()

    assert (run["discovered"], run["duplicate"], run["stored"]) == (1, 1, 0)
    assert run_inside(folder, "audit", "--json").record()["balanced"] is True


def test_an_age_may_come_from_the_configuration_and_must_make_sense(folder: Path) -> None:
    missing = run_inside(folder, "prune")
    wrong = run_inside(folder, "prune", "--older-than", "soon")
    zero = run_inside(folder, "prune", "--older-than", "0s")
    (folder / "worker.toml").write_text(CONFIG.replace("[store]", '[store]\nkeep_pages = "1ms"'), encoding="utf-8")
    configured = run_inside(folder, "prune", "--json")

    assert [ended.status for ended in (missing, wrong, zero, configured)] == [2, 2, 2, 0]
    assert "give --older-than AGE, such as 90d, or set [store] keep_pages" in missing.err
    assert "a duration such as" in wrong.err
    assert configured.record()["pages"] == 3


@pytest.mark.parametrize("words", [("export", "--output"), ("sources", "export", "--output"), ("backup", "--force")])
@pytest.mark.parametrize(
    "name", ["corpus.db", "corpus.db-wal", "way/corpus.db", "worker.toml", "way/worker.toml", "hard"]
)
def test_no_result_is_written_over_the_store_or_the_configuration(
    folder: Path, words: tuple[str, ...], name: str
) -> None:
    (folder / "way").symlink_to(".")
    (folder / "hard").hardlink_to(folder / "worker.toml")
    before = (folder / "corpus.db").read_bytes(), (folder / "worker.toml").read_bytes()

    ended = run_inside(folder, *words, name)

    assert ended.status == 2
    assert "is a part of the store itself" in ended.err or "is the configuration" in ended.err
    assert ((folder / "corpus.db").read_bytes(), (folder / "worker.toml").read_bytes()) == before


def test_a_backup_is_not_written_to_standard_output(folder: Path) -> None:
    ended = run_inside(folder, "backup", "-")

    assert ended.status == 2
    assert "a backup goes into a file" in ended.err
    assert not (folder / "-").exists()

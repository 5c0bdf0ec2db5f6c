"""The doctor checks of configuration, store and seeds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.commands import Desk
from tests.contract.storage.factories import NOW, PARAMETERS, candidate, claim_one
from worker.config.schema import FetchSettings, SeedSettings, Settings, StoreSettings
from worker.config.sources import SourceSettings
from worker.models import Outcome, State
from worker.runs.doctor import Level
from worker.runs.doctor.local import check_configuration, check_seeds, check_store
from worker.storage.store import open_store

ROOT = Path(__file__).resolve().parents[4]


def store_at(path: Path) -> Settings:
    return Settings(store=StoreSettings(url=f"sqlite:///{path}"))


def test_the_default_user_agent_ignored_robots_and_missing_sources_are_warnings() -> None:
    bare = Settings(fetch=FetchSettings(obey_robots=False))
    source = SourceSettings(name="bao", kind="feed", url="https://bao.example/rss")
    named = Settings(fetch=FetchSettings(user_agent="mybot/1 (+https://me.example)"), sources=(source,))

    assert [finding.level for finding in check_configuration(bare)] == [Level.WARN] * 3
    assert next(check_configuration(Settings(sources=(source,)))).level is Level.FAIL
    assert [finding.level for finding in check_configuration(named)] == [Level.OK] * 3


def test_a_missing_store_is_no_problem_and_is_not_created(tmp_path: Path) -> None:
    findings = {finding.name: finding for finding in check_store(store_at(tmp_path / "new" / "corpus.db"))}

    assert findings["store"].level is Level.OK
    assert "the first run creates it" in findings["store"].detail
    assert not list(tmp_path.iterdir())


def test_schema_daemon_and_totals_of_a_store_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    with open_store(f"sqlite:///{path}", parameters=None) as store:
        store.lock_daemon("host:1, since noon")
        findings = {finding.name: finding for finding in check_store(store_at(path))}

    assert "schema" in findings["store"].detail
    assert findings["daemon"].detail == "host:1, since noon"
    assert findings["books"].detail == "0 discovered, 0 texts in the corpus"
    assert findings["books"].level is Level.OK


def test_a_source_in_another_language_is_a_warning(tmp_path: Path) -> None:
    settings = Settings(
        store=StoreSettings(url=f"sqlite:///{tmp_path / 'corpus.db'}"),
        sources=tuple(SourceSettings(name=name, kind="feed", url=f"https://{name}.example/") for name in ("en", "vi")),
    )
    with open_store(settings.store.url, parameters=PARAMETERS) as store:
        for number in range(10):
            for name, reasons in (("en", ["language"] * 9 + ["short"]), ("vi", ["language"] * 8 + ["short"] * 2)):
                store.ledger.enqueue([candidate(f"https://{name}.example/{number}", source=name)], now=NOW)
                outcome = Outcome(state=State.REJECTED, reason=reasons[number], detail="in en, and …")
                store.ledger.finish(claim_one(store), outcome, now=NOW)
    warnings = [finding.detail for finding in check_store(settings) if finding.name == "languages"]

    assert warnings == ["source en: 9 of 10 pages are rejected for their language, such as one in en, and …"]


def test_a_file_that_is_no_store_fails(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    path.write_bytes(b"this is no database" * 100)

    findings = {finding.name: finding for finding in check_store(store_at(path))}

    assert findings["store"].level is Level.FAIL
    assert "not a SQLite database" in findings["store"].detail


def test_a_database_of_another_program_fails(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "corpus.db") as database:
        database.execute("CREATE TABLE things (id)")
    database.close()

    findings = {finding.name: finding for finding in check_store(store_at(tmp_path / "corpus.db"))}

    assert findings["store"].level is Level.FAIL


def test_seeds_are_counted_and_invalid_files_are_named(tmp_path: Path) -> None:
    settings = Settings(seeds=SeedSettings(path=(str(tmp_path),)))
    empty = check_seeds(settings)
    (tmp_path / "bài.txt").write_text("Tựa\nBài", encoding="utf-8")
    good = check_seeds(settings)
    (tmp_path / "notes.csv").write_text("x")
    mixed = check_seeds(settings)

    assert (empty.level, good.level, mixed.level) == (Level.WARN, Level.OK, Level.WARN)
    assert good.detail.startswith("about 1 in 1 files and folders of ")
    assert "notes.csv: no column holds the text" in mixed.detail
    assert check_seeds(Settings(seeds=SeedSettings(path=()))).level is Level.OK


def test_seeds_of_the_demonstration_in_another_corpus_are_reported(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path)
    desk.configure()
    sample = desk.run("seeds", "import", str(ROOT / "seeds" / "sample"))
    settings = store_at(tmp_path / "corpus.db")
    demo = settings.model_copy(update={"seeds": SeedSettings(path=("seeds/sample",))})

    found = {finding.name: finding for finding in check_store(settings)}
    in_the_demo = {finding.name for finding in check_store(demo)}

    assert sample.status == 0, sample.err
    assert found["sample seeds"].level is Level.WARN
    assert found["sample seeds"].detail.startswith("12 of the invented texts")
    assert "sample seeds" not in in_the_demo


def test_seeds_left_out_as_a_sample_are_reported(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "000_0123456789abcdef.txt").write_text("Tựa\nBài", encoding="utf-8")

    assert (
        "the 1 of the demonstration in sample/ are left out"
        in check_seeds(Settings(seeds=SeedSettings(path=(str(tmp_path),)))).detail
    )

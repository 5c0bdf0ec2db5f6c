"""`ingest` and the read-only commands, run as users run them, against sites on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.commands import Desk, stop
from tests.newsroom import Drip, Newsroom, Page, Reply, plain, redirect, sites_of
from tests.texts import as_text, page, story
from tests.waiting import eventually

STATES = ("stored", "duplicate", "revised", "unchanged", "rejected", "blocked", "failed", "pending")


PAGES: dict[str, Page] = {
    "https://mot.example/cau-moi.html": page("Khánh thành cầu mới", story("cầu")),
    "https://mot.example/truong-hoc.html": page("Xây trường học", story("trường")),
    "https://hai.example/cau.html": page("Cầu mới thông xe", story("cầu")),
    "https://hai.example/ngan.html": page("Tin ngắn", "<p>Chỉ có vài chữ ở đây.</p>"),
}


@pytest.fixture(scope="module")
def room() -> Iterator[Newsroom]:
    with Newsroom(sites_of(PAGES)) as opened:
        yield opened


def desk_in(folder: Path, room: Newsroom) -> Desk:
    """Return a desk whose sources are the feeds of both sites."""
    made = Desk(folder=folder, environment=room.environment)
    made.configure(
        "".join(
            f'[[sources]]\nname = "{name}"\nkind = "feed"\nurl = "https://{name}.example/newsroom-feed.xml"\n'
            for name in ("mot", "hai")
        )
    )
    return made


@pytest.fixture
def desk(tmp_path: Path, room: Newsroom) -> Desk:
    return desk_in(tmp_path, room)


@pytest.fixture(scope="module")
def ingested(room: Newsroom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which everything was ingested once, to be copied; the copy is that of `hai`."""
    made = desk_in(tmp_path_factory.mktemp("ingested"), room)
    for words in (["--source", "mot"], []):
        assert made.run("ingest", *words).status == 0
    return made.folder


@pytest.fixture
def filled(ingested: Path, tmp_path: Path, room: Newsroom) -> Desk:
    """Return a desk of the test's own at which everything was ingested."""
    shutil.copytree(ingested, tmp_path, dirs_exist_ok=True)
    return Desk(folder=tmp_path, environment=room.environment)


def test_a_run_accounts_for_every_page_and_a_second_one_stores_nothing(desk: Desk) -> None:
    first = desk.run("ingest", "--json")
    second = desk.run("ingest", "--json")

    record = first.record()
    assert first.status == 0, first.err
    assert {key: record[key] for key in ("discovered", "stored", "duplicate", "rejected", "pending")} == {
        "discovered": 4,
        "stored": 2,
        "duplicate": 1,
        "rejected": 1,
        "pending": 0,
    }
    assert set(record) == {"discovered", *STATES, "seconds", "sources"}
    assert record["sources"]["mot"] == {"ok": True, "error": "", "found": 2, "other_sites": 0}
    assert len(first.out.splitlines()) == 1
    again = second.record()
    assert again["discovered"] == sum(again[state] for state in STATES) == 0


def test_audit_reports_balanced_books(filled: Desk) -> None:
    told, record = filled.run("audit"), filled.run("audit", "--json").record()

    assert told.status == 0
    assert "the books balance" in told.out
    assert record["balanced"] is True
    assert record["discovered"] == sum(record[state] for state in STATES) == 4


def test_unbalanced_books_are_explained_with_exit_status_1(filled: Desk) -> None:
    with sqlite3.connect(filled.folder / "corpus.db") as database:
        database.execute("DELETE FROM index_keys")
        database.execute("DELETE FROM fingerprints WHERE article_id = 1")
    database.close()

    ended = filled.run("audit", "--json")

    assert ended.status == 1
    assert ended.record()["balanced"] is False
    assert any("without index rows" in problem for problem in ended.record()["problems"])


def test_why_shows_source_decision_and_the_compared_article(filled: Desk) -> None:
    duplicate = filled.run("duplicates", "--format", "jsonl").records()[0]

    told = filled.run("why", duplicate["url"])
    record = filled.run("why", duplicate["url"], "--json").record()

    assert duplicate["relation"] == "copy"
    assert duplicate["jaccard"] > 0.9
    assert all(part in told.out for part in ("discovered", "newsroom-feed.xml", "fetched", "duplicate", "jaccard"))
    assert record["candidate"]["state"] == "duplicate"
    decision = record["articles"][0]["decisions"][0]
    assert decision["against"] == duplicate["duplicate_of"]
    assert decision["passages"][0]["shared"] is True


def test_why_shows_the_outcome_once(filled: Desk) -> None:
    record = filled.run("export", "--format", "jsonl").records()[0]

    told = filled.run("why", record["url"]).out

    assert told.count("like no other") == 1
    assert "judged unique: no article shares enough to be compared" in told


def test_why_shows_the_origin_of_the_dates(desk: Desk) -> None:
    head = (
        '<meta property="article:published_time" content="2024-03-07T08:00:00+07:00">'
        '<meta property="article:modified_time" content="2024-03-08T10:00:00+07:00">'
    )
    markup = (
        f"<html lang=vi><head><title>Cầu mới</title>{head}</head><body><h1>Cầu mới</h1>{story('cầu')}</body></html>"
    )
    (desk.folder / "bai.html").write_text(markup, encoding="utf-8")
    desk.run("ingest", "bai.html")

    (article,) = desk.run("why", "1", "--json").record()["articles"]
    told = desk.run("why", "1").out

    assert (article["published_at"][:13], article["published_at_from"]) == ("2024-03-07T01", "meta")
    assert (article["modified_at"][:13], article["modified_at_from"]) == ("2024-03-08T03", "meta")
    assert told.count("(meta)") == 2


def test_copies_are_listed_below_the_exported_text(filled: Desk) -> None:
    kept, kept_url, since, copy, title, url, its_times, count = filled.run("duplicates").out.splitlines()

    assert {kept[3:], title.strip()} == {"Khánh thành cầu mới", "Cầu mới thông xe"}
    assert {kept_url.strip(), url.strip()} == {"https://mot.example/cau-moi.html", "https://hai.example/cau.html"}
    assert copy.startswith("    3  copy: jaccard 1.00")
    assert "first: " in since
    assert "fetched " in its_times
    assert count == "1 recognised"


def test_why_of_something_unknown_is_one_clear_line(filled: Desk) -> None:
    ended = filled.run("why", "https://nowhere.example/")

    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.splitlines()[-1].startswith("corpus-worker: https://nowhere.example/: the store knows no such URL")


def test_the_export_holds_one_text_a_cluster_in_both_formats(filled: Desk) -> None:
    records = filled.run("export", "--format", "jsonl").records()
    filled.run("export", "--format", "text", "--output", "texts")

    fields = "id url canonical_url source host title authors published_at published_at_from modified_at fetched_at"
    later = "lead section tags description image image_caption fields_from robots tdm_reservation licence"
    later += " copyright_holder content_usage content_signal copies copy_hosts first_seen last_seen first_host"
    former = [*fields.split(), "language", "text", "words", "sha256", "cluster", "revision", "kind"]
    assert list(records[0]) == [*former, *later.split()]
    assert [record["id"] for record in records] == sorted(record["id"] for record in records)
    assert {record["kind"] for record in records} == {"article"}
    files = sorted((filled.folder / "texts").iterdir())
    assert len(files) == len(records) == 2
    title, _, text = files[0].read_text(encoding="utf-8").partition("\n")
    assert title == records[0]["title"]
    assert text.rstrip("\n") == records[0]["text"]


def test_text_export_does_not_overwrite(filled: Desk) -> None:
    (filled.folder / "mine").mkdir()
    (filled.folder / "mine" / "notes.txt").write_text("dear diary")

    ended = filled.run("export", "--format", "text", "--output", "mine")

    assert ended.status == 2
    assert "mine: cannot be written: it is not empty; name another folder" in ended.err
    assert [path.name for path in (filled.folder / "mine").iterdir()] == ["notes.txt"]


def test_a_dry_run_shows_each_decision_and_stores_nothing(desk: Desk, room: Newsroom) -> None:
    ended = desk.run("ingest", "--dry-run", "https://mot.example/cau-moi.html")

    assert ended.status == 0, ended.err
    assert all(word in ended.out for word in ("robots", "status", "would be stored", "nothing was stored"))
    assert not (desk.folder / "corpus.db").exists()


def test_a_dry_run_judges_against_the_real_store(desk: Desk) -> None:
    desk.run("ingest", "--source", "mot")

    ended = desk.run("ingest", "--dry-run", "https://hai.example/cau.html")

    assert "would be duplicate (copy)" in ended.out
    assert desk.run("audit", "--json").record()["discovered"] == 2


def test_an_article_named_as_target_is_fetched_again(desk: Desk) -> None:
    first = desk.run("ingest", "--json", "https://mot.example/cau-moi.html").record()
    second = desk.run("ingest", "--json", "https://mot.example/cau-moi.html").record()

    assert (first["discovered"], first["stored"]) == (1, 1)
    assert (second["discovered"], second["unchanged"]) == (0, 1)


def test_a_feed_named_as_target_is_read_as_one(desk: Desk) -> None:
    record = desk.run("ingest", "--json", "https://mot.example/newsroom-feed.xml").record()

    assert (record["discovered"], record["stored"]) == (2, 2)
    assert record["sources"]["https://mot.example/newsroom-feed.xml"]["found"] == 2


def test_one_source_can_be_chosen_and_the_work_limited(desk: Desk) -> None:
    record = desk.run("ingest", "--json", "--source", "mot", "--limit", "1").record()

    assert list(record["sources"]) == ["mot"]
    assert (record["discovered"], record["stored"], record["pending"]) == (2, 1, 1)


def test_input_files_of_every_kind_are_ingested(desk: Desk) -> None:
    inputs = desk.folder / "in"
    inputs.mkdir()
    body = story("bến cảng")
    (inputs / "a.html").write_text(f"<html><head><title>Bến cảng</title></head><body><h1>Bến cảng</h1>{body}</body>")
    (inputs / "b.txt").write_text(f"Sân bay\n{as_text('sân bay')}", encoding="utf-8")
    line = {"url": "https://ba.example/c", "title": "Nhà ga", "text": as_text("nhà ga")}
    (inputs / "c.jsonl").write_text(json.dumps(line) + "\n{oops\n", encoding="utf-8")
    (inputs / "d.txt").write_bytes(b"\x00\xff\xfe\x81" * 50)

    ended = desk.run("ingest", "--json", "in")

    record = ended.record()
    assert record["stored"] == 3, ended.err
    assert "c.jsonl" in ended.err
    assert "d.txt" in ended.err
    titles = {text["title"] for text in desk.run("export").records()}
    assert titles == {"Bến cảng", "Sân bay", "Nhà ga"}


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["ingest", "no-such-file"], 2, "no-such-file: neither a web address nor a file or folder that exists"),
        (["ingest", "--source", "nobody"], 2, "no source is called nobody; the configuration has mot, hai"),
        (["ingest", "--source", "mot", "x"], 2, "targets and --source exclude each other"),
        (["ingest", "--limit", "0"], 2, "--limit"),
        (["bogus"], 2, "No such command"),
        (["export", "--format", "text"], 2, "name a new or empty one with --output DIR"),
        (["status"], 1, "does not exist yet: run `corpus-worker ingest` first"),
        (["seeds", "import", "nowhere"], 1, "nowhere: no such file or folder; make it, or set [seeds] path"),
    ],
)
def test_wrong_use_is_one_clear_line(desk: Desk, words: list[str], status: int, expected: str) -> None:
    ended = desk.run(*words)

    assert ended.status == status, ended.err
    assert expected in ended.err.replace("hai, mot", "mot, hai")
    assert "Traceback" not in ended.err


def test_a_run_in_which_every_source_failed_ends_with_1(tmp_path: Path, room: Newsroom) -> None:
    desk = Desk(folder=tmp_path, environment=room.environment)
    desk.configure(
        '[[sources]]\nname = "a"\nkind = "feed"\nurl = "https://mot.example/nothing"\n'
        '[[sources]]\nname = "b"\nkind = "feed"\nurl = "https://nobody.invalid/feed"\n'
        '[[sources]]\nname = "c"\nkind = "feed"\nurl = "https://hai.example/cau.html"\n'
    )

    ended = desk.run("ingest", "--json")

    sources = ended.record()["sources"]
    assert ended.status == 1
    assert not any(source["ok"] for source in sources.values())
    assert "nobody.invalid" in sources["b"]["error"]
    assert "not a feed" in sources["c"]["error"]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda path: path.write_bytes(b"this is no database" * 100), "corpus.db"),
        (lambda path: path.mkdir(), "corpus.db"),
    ],
    ids=["not a database", "a folder"],
)
def test_a_store_that_cannot_be_used_is_one_clear_line(desk: Desk, spoil: object, expected: str) -> None:
    assert callable(spoil)
    spoil(desk.folder / "corpus.db")

    ended = desk.run("ingest")

    complaints = [line for line in ended.err.splitlines() if line.startswith("corpus-worker: ")]
    assert ended.status == 1
    assert len(complaints) == 1
    assert expected in complaints[0]
    assert "Traceback" not in ended.err


def test_a_store_from_a_newer_version_is_refused(filled: Desk) -> None:
    with sqlite3.connect(filled.folder / "corpus.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    ended = filled.run("status")

    assert ended.status == 1
    assert "newer" in ended.err
    assert "Traceback" not in ended.err


def test_private_addresses_are_refused_unless_allowed(desk: Desk) -> None:
    ended = desk.run("ingest", "--json", "http://127.0.0.1:9/secret")

    why = desk.run("why", "http://127.0.0.1:9/secret").out
    assert ended.record()["blocked"] == 1
    assert "blocked (network)" in why
    assert "127.0.0.1" in why


def slow_pages() -> dict[str, Page]:
    slow = Drip(every=timedelta(milliseconds=100))
    body = page("Chậm", story("chậm")).body
    return {f"https://cham{n}.example/bai.html": Reply(body=body, delivery=slow) for n in range(6)}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_in_the_middle_of_its_pages_with_the_books_balanced(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    with Newsroom(sites_of(slow_pages())) as room:
        desk = Desk(folder=tmp_path, environment={**room.environment, "CORPUS_WORKER_FETCH__DEADLINE": "90s"})
        desk.configure(
            "".join(
                f'[[sources]]\nname = "s{n}"\nkind = "feed"\nurl = "https://cham{n}.example/newsroom-feed.xml"\n'
                for n in range(6)
            )
        )
        process = desk.start("ingest", "--json")
        eventually(lambda: len([r for r in room.requests if r.path == "/bai.html"]) >= 3)

        ended = stop(process, number)

        audit = desk.run("audit", "--json").record()
    assert ended.status == status, desk.log()
    assert ended.record()["pending"] == 6
    assert audit["balanced"] is True
    assert audit["pending"] == 6


def test_a_killed_run_loses_nothing_and_the_next_one_finishes(desk: Desk, room: Newsroom) -> None:
    room.forget()
    process = desk.start("ingest", "--json")
    eventually(lambda: any(each.path.endswith(".html") for each in room.requests))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    audit = desk.run("audit", "--json").record()
    desk.run("ingest", "--json")

    final = desk.run("audit", "--json").record()
    assert audit["balanced"] is True
    assert final["balanced"] is True
    assert (final["discovered"], final["stored"], final["duplicate"], final["rejected"]) == (4, 2, 1, 1)


def test_two_runs_at_once_store_nothing_twice(desk: Desk) -> None:
    processes = [desk.start("ingest", "--json") for _ in range(2)]
    for process in processes:
        process.communicate(timeout=300)

    audit = desk.run("audit", "--json").record()
    assert [process.returncode for process in processes] == [0, 0], desk.log()
    assert audit["balanced"] is True
    assert (audit["stored"], audit["duplicate"], audit["rejected"]) == (2, 1, 1)


def test_redirects_and_robots_are_followed_and_obeyed(tmp_path: Path) -> None:
    pages: dict[str, Page] = {
        "https://mot.example/cu.html": redirect("https://mot.example/moi.html"),
        "https://mot.example/moi.html": page("Mới", story("mới")),
        "https://mot.example/kin/bai.html": page("Kín", story("kín")),
        "https://mot.example/robots.txt": plain("User-agent: *\nDisallow: /kin/\n"),
    }
    sites = sites_of({url: each for url, each in pages.items() if not url.endswith("robots.txt")})
    with Newsroom(sites) as room:
        room.put("mot.example", "/robots.txt", pages["https://mot.example/robots.txt"])
        desk = Desk(folder=tmp_path, environment=room.environment)
        desk.configure('[[sources]]\nname = "mot"\nkind = "feed"\nurl = "https://mot.example/newsroom-feed.xml"\n')

        record = desk.run("ingest", "--json").record()

        why = desk.run("why", "https://mot.example/kin/bai.html").out
        asked = room.asked("mot.example", "/kin/bai.html")
    assert record["blocked"] == 1
    assert record["stored"] == 1
    assert "Disallow: /kin/" in why
    assert not asked


def test_a_copied_store_can_be_used(filled: Desk) -> None:
    moved = filled.run("migrate-store", "sqlite:///corpus.db", "sqlite:///moved.db", "--json")
    again = filled.run("migrate-store", "sqlite:///corpus.db", "sqlite:///moved.db")

    filled.environment = {**filled.environment, "CORPUS_WORKER_STORE__URL": "sqlite:///moved.db"}
    audit, second = filled.run("audit", "--json").record(), filled.run("ingest", "--json").record()
    assert moved.status == 0, moved.err
    assert moved.record()["tables"]["candidates"] == {"rows": 4, "copied": 4}
    assert "0 of them copied now" in again.out
    assert audit["balanced"] is True
    assert (audit["discovered"], second["discovered"], second["stored"]) == (4, 0, 0)


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["sqlite:///nothing.db", "sqlite:///moved.db"], 1, "does not exist yet"),
        (["corpus.db", "sqlite:///moved.db"], 2, "corpus.db: not a store URL"),
        (["sqlite:///a.db", "sqlite:///a.db"], 2, "the same store"),
    ],
)
def test_an_impossible_copy_is_one_clear_line(desk: Desk, words: list[str], status: int, expected: str) -> None:
    ended = desk.run("migrate-store", *words)

    assert ended.status == status
    assert expected in ended.err
    assert not (desk.folder / "moved.db").exists()


def test_a_run_with_no_source_says_what_to_do(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path)
    desk.configure("")

    ended = desk.run("ingest", "-q")

    assert ended.status == 0
    assert "nothing was polled: no source is configured; add one with `corpus-worker sources add URL`" in ended.err


def test_a_run_whose_sources_are_all_paused_says_so(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path)
    desk.configure('[[sources]]\nname = "a"\nkind = "feed"\nurl = "https://a.example/rss"\nenabled = false\n')
    ended = desk.run("ingest", "-q")
    assert ended.status == 0
    assert "nothing was polled: every source is paused (`sources resume NAME`)" in ended.err


def test_the_seeds_of_the_demonstration_stay_out_of_a_new_corpus(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path)
    desk.configure()
    shutil.copytree(Path(__file__).parents[2] / "seeds", tmp_path / "seeds")

    ingested, imported = desk.run("ingest"), desk.run("seeds", "import")
    corpus = desk.run("export").records()
    named = desk.run("seeds", "import", "seeds/sample")

    assert ingested.status == 0, ingested.err
    assert "seeds.problem" not in ingested.err
    assert (imported.status, corpus) == (1, [])
    assert "the 12 of the demonstration in seeds/sample are left out unless named" in imported.err
    assert "12 seeds found: 12 imported" in named.out

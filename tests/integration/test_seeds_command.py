"""`seeds import`, `list` and `remove`: a corpus of several forms, copies that stay, a newcomer that is a row's copy."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.commands import Desk
from tests.newsroom import Newsroom, html, sites_of
from tests.unit.extract.pages import news_page
from worker.pipeline import prepare_seeds

WORDS = (
    *("cầu", "đường", "bến", "cảng", "sông", "núi", "biển", "rừng", "phố", "làng", "chợ", "trường", "nhà"),
    *("máy", "xe", "tàu", "người", "dân", "thành", "tỉnh", "huyện", "xã"),
)


def story(number: int) -> str:
    """Return an article of its own: words in an order that only this number has."""
    order = [WORDS[(number * 7 + at * (number + 3)) % len(WORDS)] for at in range(90)]
    return "\n".join(f"{number} {' '.join(order[at : at + 30])}." for at in (0, 30, 60))


def desk_with_seeds(folder: Path) -> Desk:
    """Return a desk with seeds in three forms: two copies among them, and one row without a text."""
    desk = Desk(folder=folder)
    desk.configure()
    seeds = folder / "seeds"
    seeds.mkdir()
    (seeds / "một.txt").write_text(f"Tựa một\n{story(1)}", encoding="utf-8")
    rows = [{"title": f"Tựa {n}", "content": story(n), "id": n} for n in (2, 3, 3)]
    lines = (json.dumps(row, ensure_ascii=False) for row in [*rows, {"title": "Tựa", "content": ""}])
    (seeds / "hai.jsonl").write_text("\n".join(lines), encoding="utf-8")
    texts = [story(4), story(1).replace("30", "31") + "\nThêm một câu ở cuối bài.", story(5)]
    pq.write_table(pa.table({"text": texts, "title": ["Tựa 4", "Tựa một", "Tựa 5"]}), seeds / "ba.parquet")
    return desk


def test_seeds_of_any_form_are_imported_listed_and_removed(tmp_path: Path) -> None:
    desk = desk_with_seeds(tmp_path)

    shown = desk.run("seeds", "import", "--dry-run", "--json").record()
    empty = desk.run("seeds", "list").status
    imported = desk.run("seeds", "import", "--json").record()
    again = desk.run("seeds", "import", "--json").record()
    told = desk.run("seeds", "import").err
    listed = json.loads(desk.run("seeds", "list", "--json").out)
    exported = desk.run("export").records()

    assert [row["title"] for row in shown["rows"]] == ["Tựa 4", "Tựa một", "Tựa 5"]
    assert shown["files"] == {"seeds/ba.parquet": 3, "seeds/hai.jsonl": 3, "seeds": 1}
    assert empty == 1
    counts = ("found", "imported", "known", "refused", "files_read", "files_unchanged")
    assert [imported[name] for name in counts] == [8, 6, 1, 1, 3, 0]
    assert imported["problems"] == ["seeds/hai.jsonl, line 4: no text in this row"]
    assert [again[name] for name in counts] == [8, 0, 7, 1, 0, 3]
    assert "seeds/hai.jsonl: unchanged, still 1 row without an article; `touch` it to have them named again" in told
    assert [(file["name"], file["rows"], file["imported"], file["refused"]) for file in listed] == [
        ("seeds", 1, 1, 0),
        ("seeds/ba.parquet", 3, 3, 0),
        ("seeds/hai.jsonl", 4, 2, 1),
    ]
    assert sum(file["copies"] for file in listed) == 2
    assert len(exported) == 6
    assert desk.run("audit").status == 0

    removed = desk.run("seeds", "remove", "seeds/*.jsonl", "một.txt", "--json").record()
    unknown = desk.run("seeds", "remove", "seeds/hai.jsonl", "--json")
    nothing = unknown.record()

    assert (removed["places"], removed["articles"]) == (3, 3)
    assert (nothing["places"], desk.run("audit").status) == (0, 0)
    assert unknown.status == 1
    assert "seeds/hai.jsonl: no seed of that name is in the store; there are " in unknown.err
    assert len(desk.run("export").records()) == 3


def test_a_newcomer_that_is_a_copy_of_a_row_is_recognised_and_why_names_the_row(tmp_path: Path) -> None:
    desk = desk_with_seeds(tmp_path)
    body = "".join(f"<p>{paragraph}</p>" for paragraph in story(5).split("\n"))
    page = news_page(title="Tựa 5", body=f"<main><article><h1>Tựa 5</h1>{body}</article></main>")
    address = "https://mot.example/tin/tua-nam-100200.html"

    with Newsroom(sites_of({address: html(page)})) as room:
        desk.environment = room.environment
        ended = desk.run("ingest", address, "--json").record()
        fetched = [request.path for request in room.requests]
    (newcomer,) = desk.run("duplicates", "--format", "jsonl").records()
    history = desk.run("why", newcomer["url"], "--json").record()
    shown = desk.run("why", newcomer["url"])

    assert "/tin/tua-nam-100200.html" in fetched
    assert ended["duplicate"] == 1
    assert newcomer["url"] == address
    assert history["articles"][-1]["decisions"][0]["against_places"] == ["seeds/ba.parquet, row 3"]
    assert "seed: seeds/ba.parquet, row 3" in shown.out


def test_a_store_is_deduplicated_as_a_whole_and_comes_back_with_its_fingerprints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_with_seeds(tmp_path)
    row = {"url": "https://mot.example/5", "title": "Tựa 5", "text": story(5)}
    (tmp_path / "tin.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    desk.run("ingest", "tin.jsonl")
    desk.run("export", "--copies", "--format", "parquet", "--output", "corpus.parquet")
    kept, every = (len(desk.run("export", *words).records()) for words in ((), ("--copies",)))

    ended = desk.run("dedupe", "corpus.parquet", "--out", "whole", "--json")

    counts = [ended.record()[name] for name in ("rows", "texts", "copies")]
    assert (ended.status, counts) == (0, [every, kept, 1]), ended.err
    (tmp_path / "corpus.db").unlink()
    monkeypatch.delattr(prepare_seeds, "fingerprint")  # so that no row can do without the one that came with it
    imported = desk.run("seeds", "import", "whole", "--json").record()
    assert (imported["imported"], imported["refused"], imported["problems"]) == (kept, 0, [])


@pytest.mark.parametrize("by", ["folder", "names"])
def test_the_samples_can_be_removed(tmp_path: Path, by: str) -> None:
    desk = Desk(folder=tmp_path)
    desk.configure()
    sample = Path(__file__).parents[2] / "seeds" / "sample"
    assert desk.run("seeds", "import", str(sample), "--json").record()["imported"] == 12
    names = [str(sample)] if by == "folder" else [path.name for path in sample.glob("[0-9]*.txt")]

    counted = desk.run("seeds", "remove", *names, "--dry-run", "--json").record()
    removed = desk.run("seeds", "remove", *names, "--json").record()

    assert counted["articles"] == removed["articles"] == 12
    assert json.loads(desk.run("seeds", "list", "--json").out) == []
    assert desk.run("audit", "--json").record()["seeds"] == 0


def test_what_was_exported_is_known_in_every_form_and_doubles_nothing(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path)
    desk.configure()
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    raw = [f"{story(n)} \n" for n in range(1, 4)]
    address = "https://mot.example/2"
    rows = [{"title": f"Tựa {n}", "text": text, "url": address if n else ""} for n, text in enumerate(raw[:2])]
    (seeds / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (seeds / "ba.txt").write_text(f" Tựa 2\t\n\n{raw[2]}", encoding="utf-8")
    first = desk.run("seeds", "import", "--json").record()
    texts = {(row["title"], row["text"]) for row in desk.run("export").records()}
    for words in (("x.jsonl",), ("x.csv",), ("x.parquet", "--copies"), ("texts", "--format", "text")):
        assert desk.run("export", "--output", *words).status == 0
    assert desk.run("release", "corpus").status == 0
    variants = {
        "blank.jsonl": [f"\ufeff \n{text}\u00a0\n\n" for text in raw],
        "nfd.jsonl": [unicodedata.normalize("NFD", text) for text in raw],
        "lines.jsonl": [text.replace("\n", "\r\n") for text in raw],
        "titled.jsonl": [f"Tựa {n}\n{text}" for n, text in enumerate(raw)],
    }
    for name, varied in variants.items():
        (tmp_path / name).write_text("\n".join(json.dumps({"text": text}) for text in varied), encoding="utf-8")
    (tmp_path / "bare").mkdir()
    for n, text in enumerate(raw):
        (tmp_path / "bare" / f"{n}.txt").write_text(f"\n{text}", encoding="utf-8")

    forms = ("x.jsonl", "x.csv", "x.parquet", "texts", "corpus", "bare", *variants)
    became = {form: desk.run("seeds", "import", form, "--json").record() for form in forms}
    (seeds / "a.jsonl").touch()
    again = desk.run("seeds", "import", "seeds", "x.jsonl", "--json").record()

    assert first["imported"] == 3
    counts = {form: (of["imported"], of["copies"], of["known"], of["refused"]) for form, of in became.items()}
    assert counts == dict.fromkeys(forms, (0, 0, 3, 0))
    assert (again["imported"], again["known"]) == (0, 6)
    assert [(row["title"], row["text"]) for row in desk.run("export").records()] == sorted(texts)
    assert desk.run("audit").status == 0

    (tmp_path / "other.txt").write_text(f"Tựa khác\n{raw[2]}", encoding="utf-8")
    assert desk.run("seeds", "import", "other.txt", "--json").record()["copies"] == 1
    assert desk.run("seeds", "remove", "seeds/a.jsonl", "--json").record()["articles"] == 0

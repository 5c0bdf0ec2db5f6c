"""Full-text search, on both databases: what a query finds, in which order, and what is gone when a text is removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, select, text

from tests.contract.storage.factories import NOW, article, fingerprint, judge_of, take_in
from worker.storage.corpus import search, search_index
from worker.storage.corpus.query import parse_query
from worker.storage.corpus.settling import IncomingArticle, insert_article
from worker.storage.db.schema import ARTICLES
from worker.storage.store import Store

TEXTS = {
    1: ("Đường sắt cao tốc", "Bộ Giao thông trình phương án đường sắt tốc độ cao Bắc Nam."),
    2: ("Giá đường tăng", "Ngành mía đường dưỡng sức sau mùa mưa, giá bán lẻ tăng."),
    3: ("Thành phố Hoà Bình", "Tỉnh lỵ đổi tên; hòa bình và hoá chất không liên quan."),
    4: ("大学入試", "北京大学は今年の入試を変えた。東京の大学も続く。"),
    5: ("ข่าวด่วน", "ฝนตกหนักในกรุงเทพมหานคร วันนี้"),
    6: ("Mở rộng cao tốc", "Tuyến cao tốc Bắc Nam; đường tránh và ga tàu, nối vào sắt thép. COVID-19 đã qua."),
}
"""Titles and texts by id; the shortest words of one are no part of another, so that none are copies."""

LENGTHEN = text("UPDATE articles SET text = text || :rest")
NEWEST = select(ARTICLES.c.id).order_by(ARTICLES.c.id.desc())


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with the texts above, one a month, each under a source of its own."""
    for number, (title, body) in TEXTS.items():
        source = "vtv" if number % 2 else "Báo Mới"
        save(store, number, title, body, source=source, published_at=datetime(2025, number, 28, tzinfo=UTC))
    return store


def save(store: Store, number: int, title: str, body: str, **fields: object) -> None:
    made = replace(article(f"https://bao.example/{number}", body), title=title, **fields)  # type: ignore[arg-type]
    incoming = IncomingArticle(article=made, fingerprint=fingerprint(body), judge=judge_of(made), now=NOW)
    store.seeds.database.write(insert_article, incoming, before=())


def ids(store: Store, query: str) -> list[int]:
    return [hit.id for hit in store.reader.search(query).hits]


FOUND: tuple[tuple[str, set[int]], ...] = (
    # without diacritics a word finds all its spellings, with diacritics only its own
    ("duong", {1, 2, 6}),
    ("ĐƯỜNG", {1, 2, 6}),
    ("dưỡng", {2}),
    ("hoa", {3}),
    ("hoà binh", {3}),
    ("hoá", {3}),
    ("hóa binh", {3}),
    ("hỏa", set()),
    # all words, phrases, minus
    ("cao tốc bắc", {1, 6}),
    ('"cao toc bac"', {6}),
    ('"đường sắt"', {1}),
    ('"duong sat"', {1}),
    ('"sat duong"', set()),
    ("cao tốc -covid", {1}),
    ('cao tốc -"duong sat"', {6}),
    ("covid-19", {6}),
    # scripts without blanks
    ("北京大学", {4}),
    ("京大", {4}),
    ("大学", {4}),
    ("京学", set()),
    ("กรุงเทพ", {5}),
    # filters
    ("source:vtv", {1, 3, 5}),
    ("đường source:vtv", {1}),
    ('duong source:"bao moi" language:VI', {2, 6}),
    ("source:bao.example duong", {1, 2, 6}),
    ("duong from:2025-06", {6}),
    ("duong from:2025-01-28 to:2025-02", {1, 2}),
    ("duong to:2024", set()),
    ("duong from:2027 to:2026", set()),
    ("duong -source:vtv", {2, 6}),
    ("section:x", set()),
    ("", set()),
    ("-duong", set()),
)


@pytest.mark.parametrize("is_indexed", [False, True], ids=["queued", "indexed"])
def test_a_query_finds_what_it_describes(filled: Store, is_indexed: bool) -> None:
    if is_indexed:
        filled.index_queued_texts()

    assert [(query, set(ids(filled, query))) for query, _ in FOUND] == [(query, found) for query, found in FOUND]


ODD = [
    '"', '""', '"""', "-", "--", ':"', "source:", "from:x", "from:2026-13-45", "to:0000", "a AND NOT (b", "NEAR(a b)",
    "x'); DROP TABLE articles;--", "*", "^a", "a*", "{title}: a", "\\' | !a & <->", "\x00\ud800", "đ" * 5000,
    "a " * 3000, '-"a b" -c', "_a_b =c y=2026", "%s :x", "'", "من", "\u0301",
]  # fmt: skip


def test_no_query_is_an_error(filled: Store) -> None:
    filled.index_queued_texts()

    found = [len(filled.reader.search(query).hits) for query in ODD]

    assert max(found) <= len(TEXTS)


def test_what_was_ignored_is_said(store: Store) -> None:
    assert "is no date" in store.reader.search("from:yesterday").notes[0]
    assert "at least one word" in store.reader.search("-duong").notes[0]
    for query in ("source:", 'Source:""', "from:", "source: bao"):
        assert "is empty and was ignored" in store.reader.search(query).notes[0], query


def test_titles_order_and_number_decide_the_rank(filled: Store) -> None:
    filled.index_queued_texts()

    assert ids(filled, "đường sắt") == [1, 6]
    assert ids(filled, "cao tốc") == [6, 1]
    assert ids(filled, "duong") == [2, 1, 6]


def test_hits_are_marked_in_the_title_and_in_a_part_of_the_text(store: Store) -> None:
    save(store, 1, "Ga đường sắt", "mở đầu " * 200 + "tuyến <b>đường sắt</b> đô thị " + "kết thúc " * 200)

    (hit,) = store.reader.search("duong sat").hits

    assert [(piece.text, piece.is_hit) for piece in hit.title] == [("Ga ", False), ("đường sắt", True)]
    assert [piece.text for piece in hit.snippet if piece.is_hit] == ["đường sắt"]
    shown = "".join(piece.text for piece in hit.snippet)
    assert "tuyến <b>đường sắt</b> đô thị" in shown
    assert shown.startswith("… ") and shown.endswith(" …") and len(shown) < 260


def test_the_part_with_the_most_words_of_the_query_is_shown(store: Store) -> None:
    """Several spellings of one word are one word."""
    apart = "xưa nay " * 200
    save(store, 1, "Tin", f"đường và dương và đương {apart} một đường rồi sắt {apart} đường")
    store.index_queued_texts()

    snippet = store.reader.search("duong sat").hits[0].snippet

    assert [each.text for each in snippet if each.is_hit] == ["đường", "sắt"]


def test_copies_are_found_under_the_text_that_is_exported(store: Store) -> None:
    save(store, 1, "Tin một", "một hai ba bốn năm sáu")
    save(store, 2, "Tin hai", "một hai ba bốn năm sáu")

    assert ids(store, "hai ba") == [1]


def test_pages_of_results_follow_each_other(store: Store) -> None:
    for number in range(1, 6):
        save(store, number, f"Tin {number}", f"chung riêng{number} và{number}")

    pages = [store.reader.search("chung", limit=2, offset=offset) for offset in (0, 2, 4)]

    assert [hit.id for page in pages for hit in page.hits] == [5, 4, 3, 2, 1]
    assert [page.more for page in pages] == [True, True, False]


def test_the_queue_stays_short_where_nobody_indexes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "SEARCH_BATCH", 4)
    monkeypatch.setattr(search_index, "_LONG_QUEUE", search_index._LONG_QUEUE.offset(8))
    longest = 0

    for number in range(1, 15):
        take_in(store, f"https://bao.example/{number}", f"chung riêng{number} và{number}")
        longest = max(longest, store.reader.figures(now=NOW).unindexed)

    assert longest == 11
    assert [ids(store, f"rieng{number}") for number in (1, 7, 12, 14)] == [[1], [7], [12], [14]]


def test_an_old_store_is_indexed_in_steps_that_resume(
    filled: Store, store_url: str, open_stores: Callable[[str], Store]
) -> None:
    assert filled.index_queued_texts(limit=2) == 2

    again = open_stores(store_url)

    assert ids(again, "duong") == [2, 1, 6]
    assert [again.index_queued_texts(limit=3), again.index_queued_texts(limit=3)] == [3, 1]
    assert again.index_queued_texts() == 0
    assert ids(again, "duong") == [2, 1, 6]


def test_a_removed_text_is_found_no_more_and_its_words_leave_the_file(store: Store, store_url: str) -> None:
    for number in range(1, 9):
        save(store, number, f"Tin {number}", f"chung bimat{number}xyz riêng{number}")
        if number in {4, 6}:
            store.index_queued_texts()

    store.reader.database.write(search_index.remove_texts, [1, 5, 7])
    for _ in store.rewrite_search_index():
        pass

    assert {number for number in range(1, 9) if ids(store, f"bimat{number}xyz")} == {2, 3, 4, 6, 8}
    if store_url.startswith("sqlite"):
        blocks = store.reader.database.read(lambda connection: [
            bytes(row[0]) for row in connection.execute(text("SELECT block FROM search_texts_data"))
        ])  # fmt: skip
        assert not [number for number in (1, 5) if any(f"mat{number}xyz".encode() in block for block in blocks)]
        assert any(b"xyz" in block for block in blocks)


def test_a_text_whose_fields_change_is_indexed_again(filled: Store) -> None:
    filled.index_queued_texts()

    def change(connection: Connection) -> None:
        search_index.requeue_texts(connection, [1])
        connection.execute(text("UPDATE articles SET section = 'Đời sống' WHERE id = 1"))

    filled.reader.database.write(change)
    before = ids(filled, 'section:"doi song" duong')
    filled.index_queued_texts()

    assert before == ids(filled, "duong section:đời-sống") == [1]


def test_the_newest_texts_are_found_first_among_ids_far_apart(store: Store, store_url: str) -> None:
    database = store.reader.database
    for number, first in enumerate((1, 8_191, 60_000, 200_000, 217_000)):
        if not store_url.startswith("sqlite"):
            begin = text(f"ALTER SEQUENCE articles_id_seq RESTART {first}")
            database.write(Connection.execute, begin)
        for each in (2 * number, 2 * number + 1):
            save(store, each, f"Tin {each}", f"chung riêng{each} và{each} thêm{each}")
    store.index_queued_texts()
    newest = database.read(lambda connection: connection.execute(NEWEST).scalars().all())

    found = [database.read(search._ids, parse_query("chung").anywhere(), count=count) for count in range(1, 12)]

    assert found == [newest[:count] for count in range(1, 12)]
    assert ids(store, "chung rieng3") == [newest[-4]]


@pytest.mark.postgresql
def test_postgresql_looks_into_no_text_without_the_index(
    empty_postgresql_url: str, open_stores: Callable[[str], Store]
) -> None:
    """The planner would, as it takes that for cheap; a rare word then takes seconds among a million texts."""

    def plans(connection: Connection, query: str) -> tuple[str, ...]:
        connection.execute(search._BY_INDEX)
        values = {"query": parse_query(query).anywhere().for_postgresql(), "blocks": [0], "before": 9, "count": 2}
        finds = (search._FIND_POSTGRESQL, search._FIND_OLDER_POSTGRESQL)
        return tuple("\n".join(connection.execute(text(f"EXPLAIN {find}"), values).scalars()) for find in finds)

    database = open_stores(empty_postgresql_url).reader.database
    for query in ("duong", "duong from:2026 -sat", '"cao toc"', "source:vtv"):
        newest, older = database.read(plans, query)
        assert "&&" in newest.partition("Index Cond")[2].partition("\n")[0], newest
        assert "Bitmap Index Scan on ix_search_texts_terms" in older, older


def test_better_texts_are_looked_up_for_short_queries_alone() -> None:
    """So that a long query of common words takes no longer than a short one."""
    words = [f"w{number}" for number in range(7)]

    assert [len(list(parse_query(" ".join(words[:count])).better())) for count in (1, 2, 6, 7)] == [1, 2, 2, 0]


def test_of_a_long_text_the_beginning_is_read(store: Store) -> None:
    save(store, 1, "Tin", "đường sắt")
    store.index_queued_texts()
    database = store.reader.database
    database.write(lambda connection: connection.execute(LENGTHEN, {"rest": " đường" * search_index.SEARCHED_LETTERS}))

    (row,), _ = database.read(search._found, parse_query("duong"), count=1)

    assert (len(row.text), row.text[:16]) == (search_index.SEARCHED_LETTERS, "đường sắt đường ")

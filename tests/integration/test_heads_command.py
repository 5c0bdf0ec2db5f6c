"""Which text of a cluster is exported, run as users run it: claimed dates, marks, and items in one template."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.commands import Desk

TITLE = "Huyện đo kè trước mùa lũ"
WORDS = (
    "đê sông huyện kè lũ nước xã thợ cọc tre bờ chợ cầu đá cát mưa thuyền ruộng làng cống tỉnh vữa bùn dân máy xe "
    "lúa ngô kho trạm bơm cửa ải rào hố móng gạch vôi cổng đình sân phơi ao chuôm ghe mảng lưới neo buồm mương"
)
ADVERTISING = [
    "Mua ngay kem dưỡng da giảm giá nửa tiền chỉ trong hôm nay, miễn phí giao hàng toàn quốc cho mọi đơn đặt trước.",
    "Gọi số máy bên dưới hoặc nhắn tin để nhận quà tặng hấp dẫn cùng hàng nghìn khách quen của cửa tiệm chúng tôi.",
]
FRAME = [
    "Công ty được lập từ lâu và hiện có chín trăm người làm việc ở bốn nhà máy, mỗi năm đào tạo bốn mươi thợ trẻ.",
    "Thông tin trong thông cáo này dựa trên hiểu biết vào ngày công bố và có thể thay đổi theo giá điện và tỷ giá.",
    "Phóng viên có thể liên hệ phòng truyền thông vào giờ hành chính, ảnh được dùng miễn phí nếu ghi rõ nguồn.",
    "Mọi quyền đối với tên và hình ảnh thuộc về công ty, ai sử dụng lại cần xin phép bằng văn bản trước bảy ngày.",
]


def told(seed: str, sentences: int, words: str = WORDS) -> list[str]:
    """Return sentences in which every third word stands before its own one, as in real ones."""
    chance, dealt = random.Random(seed), words.split()
    after = dict(zip(dealt[::2], dealt[1::2], strict=False))
    lines = [chance.choices(list(after), k=6) for _ in range(sentences)]
    spoken = [[(each, after[each], chance.choice(dealt)) for each in line] for line in lines]
    return [" ".join(word for three in line for word in three).capitalize() + "." for line in spoken]


STORY = told("story", 14)
NEGATED = [" ".join([*(cut := line.split())[:7], "không", *cut[7:]]) for line in STORY]


def html(title: str, body: list[str], *, published: str = "") -> str:
    when = f'<meta property="article:published_time" content="{published}">' if published else ""
    paragraphs = "".join(f"<p>{line}</p>" for line in body)
    head = f"<head><title>{title}</title>{when}</head>"
    return f"<html lang=vi>{head}<body><article><h1>{title}</h1>{paragraphs}</article></body></html>"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(folder=tmp_path)
    made.configure()
    return made


def ingest(desk: Desk, **fields: str) -> dict[str, int]:
    (desk.folder / "item.jsonl").write_text(json.dumps(fields), encoding="utf-8")
    ended = desk.run("ingest", "item.jsonl", "--json")
    assert ended.status == 0, ended.err
    counts: dict[str, int] = ended.record()
    return counts


def exported(desk: Desk) -> list[str]:
    return [each["url"] for each in desk.run("export").records()]


PAPER, STRANGER = "https://paper.vn/bai-11111.html", "https://stranger.vn/bai-22222.html"


@pytest.mark.parametrize(
    "text",
    [STORY, NEGATED, [*NEGATED, *told("more", 4)], [*STORY, *ADVERTISING], STORY[:9], [*STORY[6:], *STORY[:6]]],
    ids=["the same", "negated", "negated and more", "advertising", "cut", "reordered"],
)
def test_an_older_claimed_date_does_not_make_another_paper_the_head(desk: Desk, text: list[str]) -> None:
    ingest(desk, url=PAPER, html=html(TITLE, STORY, published="2026-05-04T08:00:00+07:00"))

    counts = ingest(desk, url=STRANGER, html=html(TITLE, text, published="2026-05-03T22:00:00+07:00"))

    assert (counts["stored"], counts["duplicate"]) == (0, 1)
    assert exported(desk) == [PAPER]
    (link,) = desk.run("duplicates", "--format", "jsonl").records()
    assert (link["published_at"], link["duplicate_of_published_at"]) == (
        "2026-05-03T15:00:00+00:00",
        "2026-05-04T01:00:00+00:00",
    )
    assert link["duplicate_of_fetched_at"] < link["fetched_at"]
    why = desk.run("why", STRANGER)
    assert f"exported of its cluster: article 1, {PAPER}" in why.out
    assert desk.run("why", STRANGER, "--json").record()["articles"][0]["exported"]["id"] == 1
    assert desk.run("audit").status == 0


def test_a_fuller_text_becomes_the_head_and_why_shows_it(desk: Desk) -> None:
    ingest(desk, url=PAPER, html=html(TITLE, STORY[:9]))

    counts = ingest(desk, url=STRANGER, html=html(TITLE, [*STORY[:9], *STORY[9:]]))

    assert counts["stored"] == 1
    assert exported(desk) == [STRANGER]
    assert "exported of its cluster: this one (the fuller text: 90 words more of the story)" in " ".join(
        desk.run("why", STRANGER).out.split()
    )
    assert f"article 2, {STRANGER}" in desk.run("why", PAPER).out


def test_the_copy_that_the_operator_dates_earlier_is_exported(desk: Desk) -> None:
    text = "\n".join(STORY)
    ingest(desk, url=PAPER, title=TITLE, text=text, published_at="2026-05-04T10:00:00+07:00")

    ingest(desk, url=STRANGER, title=TITLE, text=text, published_at="2026-05-04T08:00:00+07:00")

    assert exported(desk) == [STRANGER]
    (link,) = desk.run("duplicates", "--format", "jsonl").records()
    assert (link["url"], link["first_host"]) == (PAPER, "stranger.vn")


def test_a_mark_as_original_sets_the_head(desk: Desk) -> None:
    for url in (PAPER, STRANGER):
        ingest(desk, url=url, html=html(TITLE, STORY, published="2026-05-04T08:00:00+07:00"))

    record = desk.run("duplicates", "--json", "mark", "--original", "2").record()

    assert (record["articles"], record["decided"]) == ([2], "original")
    assert exported(desk) == [STRANGER]
    assert "first: stranger.vn" in desk.run("duplicates").out
    assert "a person said that it is the original" in desk.run("why", PAPER).out
    assert desk.run("reprocess", "--dedupe", "--json").record()["changes"] == []
    assert exported(desk) == [STRANGER]


@pytest.mark.parametrize("words", [("1", "--original", "2"), ("--original", "2", "--same"), ("1", "2", "3", "--same")])
def test_an_unclear_mark_of_the_original_is_refused(desk: Desk, words: tuple[str, ...]) -> None:
    assert desk.run("duplicates", "mark", *words).status == 2


@pytest.mark.parametrize("form", ["html", "text", "txt"])
def test_items_in_one_template_are_all_kept_in_any_order(desk: Desk, form: str) -> None:
    items = []
    for number in range(1, 8):
        own = told(f"item {number}", 4, " ".join(f"{word}{number}" for word in WORDS.split()))
        items.append((" ".join(own[0].split()[:8]), [*own, *FRAME]))
    if form == "txt":
        (desk.folder / "texts").mkdir()
        for number, (title, body) in enumerate(items):
            (desk.folder / "texts" / f"{number}.txt").write_text("\n".join([title, *body]), encoding="utf-8")
        desk.run("ingest", "texts")
    else:
        rows = [
            {"url": f"https://wire.vn/tin-{number}.html", "title": title}
            | ({"html": html(title, body)} if form == "html" else {"text": "\n".join(body)})
            for number, (title, body) in enumerate(items, 10001)
        ]
        (desk.folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        desk.run("ingest", "items.jsonl")

    assert len(exported(desk)) == len(items)

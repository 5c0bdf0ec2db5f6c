"""Different items of one publisher in a common frame are not merged; copies with boilerplate are copies."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.dedupe.factories import article, edited, neighbour, prose
from worker.config.schema import DedupeSettings
from worker.dedupe.judge import Deduper
from worker.models import Article, Kind, Neighbour, Relation, Verdict

JOINED = {Relation.COPY, Relation.CONTAINED, Relation.CONTAINS, Relation.REVISION}
VIETNAMESE = (
    "Công ty được lập năm 1998 và hiện có chín trăm người làm việc ở bốn nhà máy, mỗi năm đào tạo bốn mươi thợ trẻ.",
    "Thông tin trong thông cáo này dựa trên hiểu biết vào ngày công bố và có thể thay đổi theo giá điện và tỷ giá.",
    "Phóng viên có thể liên hệ phòng truyền thông vào giờ hành chính, ảnh được dùng miễn phí nếu ghi rõ nguồn.",
    "Mọi quyền đối với tên và hình ảnh thuộc về công ty, ai sử dụng lại cần xin phép bằng văn bản trước bảy ngày.",
)
ENGLISH = (
    "Founded in a valley of water wheels the company employs nine hundred people at four sites and trains apprentices.",
    "This release may hold statements that look ahead and are open to risks that could make actual results differ.",
    "Journalists can reach the press office on working days and photographs may be used if the source is named.",
    "The company takes on no duty to bring these statements up to date unless the law asks for it in writing.",
)
FRAMES = {"vi": VIETNAMESE, "en": ENGLISH}


def item(number: int, *, words: int) -> tuple[str, list[str]]:
    """Return a story of so many words, with a title about it."""
    chance = random.Random(number)
    own = [
        f"{first}{second}{number}" for first in ("ka", "lo", "mi", "du", "te", "ri", "so", "pa") for second in "nrtlsk"
    ]
    lines = [" ".join(chance.choices(own, k=min(20, words))).capitalize() + "." for _ in range(max(1, words // 20))]
    return " ".join(dict.fromkeys(lines[0].rstrip(".").lower().split()[:7])), lines


def framed(number: int, shape: str, frame: Sequence[str], *, words: int = 80) -> tuple[str, list[str]]:
    title, own = item(number, words=words)
    half = len(own) // 2
    return title, {
        "tail": [*own, *frame],
        "head": [*frame, *own],
        "both": [*frame[:2], *own, *frame[2:]],
        "middle": [*own[:half], *frame, *own[half:]],
    }[shape]


def release(number: int, shape: str, frame: Sequence[str], *, words: int = 80, host: str = "wire.example") -> Article:
    title, text = framed(number, shape, frame, words=words)
    return article(text, title=title, url=f"https://{host}/{number}", after=timedelta(days=number))


def stored(made: Article, number: int) -> Neighbour:
    near = neighbour(made.text, number=number, title=made.title, url=made.url)
    return replace(near, published_at=made.published_at, host=made.host)


def met(arriving: Article, *others: Article, merge_at: float = 0.5) -> Verdict:
    deduper = Deduper(DedupeSettings(merge_at=merge_at))
    near = [stored(each, number) for number, each in enumerate(others, 1)]
    return deduper.judge(arriving, deduper.fingerprint(arriving), near)


@pytest.mark.parametrize("language", FRAMES)
@pytest.mark.parametrize("shape", ["tail", "head", "both", "middle"])
@pytest.mark.parametrize("words", [20, 40, 80, 160])
@pytest.mark.parametrize("copies", [1, 3])
def test_two_items_in_one_frame_are_two_items(language: str, shape: str, words: int, copies: int) -> None:
    frame = FRAMES[language] * copies if copies == 1 else [*FRAMES[language], *prose(7, sentences=6)]

    verdict = met(release(2, shape, frame, words=words), release(1, shape, frame, words=words))

    assert verdict.relation not in JOINED
    assert verdict.head


@pytest.mark.parametrize("count", [2, 3, 14])
@pytest.mark.parametrize("language", FRAMES)
def test_every_item_of_many_in_one_frame_is_kept(count: int, language: str) -> None:
    made = [release(number, "tail", FRAMES[language], words=60) for number in range(1, count + 1)]

    verdicts = [met(each, *made[:place]) for place, each in enumerate(made)]

    assert [verdict.relation in JOINED for verdict in verdicts] == [False] * count


def test_a_frame_that_hosts_of_one_publisher_share_is_a_frame() -> None:
    one, two = (release(number, "tail", ENGLISH, host=f"{number}.wire.example") for number in (1, 2))

    assert met(two, one).relation not in JOINED


def test_a_frame_of_two_publishers_is_recognised_if_each_title_is_about_its_own_passages() -> None:
    one, two = (release(number, "tail", ENGLISH, host=f"wire{number}.example") for number in (1, 2))

    assert met(two, one).relation not in JOINED


@pytest.mark.parametrize("title", ["", "Thông báo", "Thông cáo báo chí"])
def test_items_in_one_frame_under_one_title_or_none_are_two_items(title: str) -> None:
    one, two = (replace(release(number, "tail", VIETNAMESE), title=title) for number in (1, 2))

    assert met(two, one).relation not in JOINED


def test_files_without_a_host_count_as_one_publisher_but_seeds_do_not() -> None:
    one, two = (
        replace(release(number, "tail", VIETNAMESE), host="", title=f"Tiêu đề {name}")
        for number, name in ((1, "một"), (2, "hai ba bốn năm"))
    )

    # The model would keep both; the dial near zero leaves the decision to the rule of frames.
    assert met(two, one, merge_at=0.01).relation not in JOINED
    assert met(replace(two, kind=Kind.SEED), one, merge_at=0.01).relation in JOINED


def test_a_short_item_and_a_long_one_in_one_frame_are_two_items() -> None:
    short, long = release(1, "tail", VIETNAMESE, words=20), release(2, "tail", VIETNAMESE, words=400)

    assert met(long, short).relation not in JOINED
    assert met(short, long).relation not in JOINED


@pytest.mark.parametrize("shape", ["tail", "head", "both", "middle"])
@pytest.mark.parametrize("host", ["wire.example", "other.example"])
@pytest.mark.parametrize("every", [1000, 25])
def test_a_copy_of_a_framed_item_is_a_copy(shape: str, host: str, every: int) -> None:
    made = [release(number, shape, VIETNAMESE) for number in (1, 2, 3)]
    text = edited(made[1].text.split("\n"), every=every)
    copied = replace(made[1], url=f"https://{host}/copy", canonical_url=f"https://{host}/copy", host=host)

    verdict = met(replace(copied, text="\n".join(text), published_at=made[1].published_at), *made)

    assert verdict.best is not None
    assert (verdict.relation in JOINED, verdict.best.article) == (True, 2)


def test_a_copy_without_the_frame_is_a_copy() -> None:
    title, own = item(1, words=160)

    verdict = met(article(own, title=title), release(1, "tail", VIETNAMESE, words=160))

    assert verdict.relation in JOINED


@pytest.mark.parametrize("host", ["new.example", "old.example"])
@pytest.mark.parametrize("headline", ["Một tiêu đề", "Tiêu đề khác hẳn"])
def test_one_story_with_different_boilerplate_around_it_is_one_item(host: str, headline: str) -> None:
    story = prose(1)
    one = article([*story, *prose(60, sentences=4)], title="Một tiêu đề", url="https://old.example/1")
    title = headline if host == "new.example" else "Một tiêu đề"
    two = article([*prose(61, sentences=3), *story], title=title, url=f"https://{host}/2")

    assert met(two, one).relation in JOINED


def test_a_new_version_under_the_same_address_is_a_revision_however_much_changed() -> None:
    one = release(1, "tail", VIETNAMESE)
    two = replace(release(2, "tail", VIETNAMESE), canonical_url=one.canonical_url)

    assert met(two, one).relation is Relation.REVISION


def _forecast(seed: int) -> list[str]:
    """Return a weather forecast: a line for each town in one form, so that some phrases recur at other lines."""
    rng = random.Random(seed)

    def line(town: str) -> str:
        sky = rng.choice(["trời quang", "nhiều mây", "mây thay đổi"])
        rain = rng.choice(["không mưa", "mưa rào rải rác", "có mưa vài nơi"])
        wind = f"Gió {rng.choice(['đông bắc', 'tây nam', 'nhẹ'])} cấp {rng.randrange(1, 5)}"
        return (
            f"{town}: {sky}, {rain}. {wind}. Thấp nhất {rng.randrange(12, 24)} độ, cao nhất {rng.randrange(24, 37)} độ."
        )

    return ["Dự báo thời tiết các vùng trong ngày và đêm nay.", *map(line, _TOWNS)]


_TOWNS = ("Bến Thuỷ", "Đồng Văn", "Cồn Tiên", "Gò Công", "Hòn Đất", "Ia Drăng", "Kẻ Bàng", "Lộc Ninh", "Mỏ Cày")


def _forecast_of_day(day: int, host: str) -> Article:
    text = _forecast(day)
    return article(text, title="Thời tiết hôm nay", url=f"https://{host}/{day}", after=timedelta(days=day % 2))


@pytest.mark.parametrize("host", ["one.example", "two.example"])
def test_a_form_filled_in_anew_stays_apart_though_its_phrases_recur_at_other_lines(host: str) -> None:
    pairs = [(_forecast_of_day(2 * n, "one.example"), _forecast_of_day(2 * n + 1, host)) for n in range(40)]

    relations = {met(later, earlier).relation for earlier, later in pairs}

    assert relations == {Relation.TEMPLATE}

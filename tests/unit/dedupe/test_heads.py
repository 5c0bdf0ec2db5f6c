"""Which text of a cluster is exported: attempts to replace the head, and what may replace it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.dedupe.factories import NOW, article, neighbour
from worker.config.schema import DedupeSettings
from worker.dedupe.heads import AddedText, HeadCandidate, HeadChoice, Keep, choose_head, publisher_of
from worker.dedupe.judge import Deduper
from worker.models import Article, Kind, Neighbour, Relation, Verdict, publication_time

WORDS = (
    "đê sông huyện kè lũ nước xã thợ cọc tre bờ chợ cầu đá cát mưa thuyền ruộng làng cống tỉnh vữa bùn dân máy xe "
    "lúa ngô kho trạm bơm cửa ải rào hố móng gạch vôi cổng đình sân phơi ao chuôm ghe mảng lưới neo buồm mương"
)
STRANGE = (
    "kem son giảm giá quà tặng mua ngay gọi hàng thẻ bóng cửa điểm trận sân vé ghế nhà hát phim diễn viên kịch đạo"
)


def told(seed: int, sentences: int, words: str = WORDS) -> list[str]:
    """Return sentences on one topic: pairs of neighbouring words that recur, each followed by a random word."""
    chance, dealt = random.Random(seed), words.split()
    after = dict(zip(dealt[::2], dealt[1::2], strict=False))
    lines = [chance.choices(list(after), k=6) for _ in range(sentences)]
    spoken = [[(each, after[each], chance.choice(dealt)) for each in line] for line in lines]
    return [" ".join(word for three in line for word in three).capitalize() + "." for line in spoken]


STORY = told(1, 16)
CUT = STORY[:10]
MORE = told(2, 6)
FOREIGN = told(3, 16, STRANGE)
TITLE = "Huyện đo kè trước mùa lũ"


def with_word(word: str, sentences: list[str], *, every: int = 1) -> list[str]:
    """Put a word into the middle of every sentence, or of every second or third."""
    return [
        " ".join([*(cut := line.split())[:8], word, *cut[8:]]) if place % every == 0 else line
        for place, line in enumerate(sentences)
    ]


def stirred(word: str, sentences: list[str]) -> list[str]:
    return [line for pair in zip(sentences, [word] * len(sentences), strict=True) for line in pair]


def judged(arriving: Article, *stored: Neighbour, keep: Keep = "earliest") -> Verdict:
    deduper = Deduper(DedupeSettings(keep=keep))
    return deduper.judge(arriving, deduper.fingerprint(arriving), stored)


def came(
    text: list[str], *, url: str = "https://stranger.example/1", published: timedelta | None = None, by: str = "json-ld"
) -> Article:
    made = article(text, title=TITLE, url=url, after=published)
    return replace(made, published_at_from=by if published is not None else "", fetched_at=NOW + timedelta(hours=5))


def held(text: list[str] = STORY, *, url: str = "https://paper.example/1", kind: Kind = Kind.ARTICLE) -> Neighbour:
    return replace(
        neighbour(text, title=TITLE, url=url, dated=True),
        kind=kind,
        published_at_from="json-ld",
        fetched_at=NOW + timedelta(hours=1),
    )


TAKEOVERS = {
    "a negation in every sentence": (with_word("không", STORY), "earliest"),
    "another negation in every sentence": (with_word("chưa", STORY), "longest"),
    "a negation in every second sentence, with more of the story": (
        [*with_word("không", STORY, every=2), *MORE],
        "earliest",
    ),
    "a link after every sentence, with more": (
        [f"{line} Xem thêm http://moi.example/qua" for line in STORY] + MORE,
        "earliest",
    ),
    "words of two kinds in every sentence, with more": ([*with_word("không hề", STORY), *MORE], "earliest"),
    "advertising appended": ([*STORY, *FOREIGN[:4]], "earliest"),
    "advertising put before": ([*FOREIGN[:4], *STORY], "earliest"),
    "advertising appended, the longest kept": ([*STORY, *FOREIGN[:4]], "longest"),
    "advertising after every sentence": (stirred(FOREIGN[0], STORY), "earliest"),
    "a longer text appended": ([*STORY, *FOREIGN], "earliest"),
    "wrapped into other texts": ([*FOREIGN[:6], *STORY, *FOREIGN[6:]], "earliest"),
    "wrapped into texts on the same matter": ([*told(5, 6), *STORY, *told(6, 6)], "earliest"),
    "the story itself said again": ([*STORY, *STORY[3:9]], "earliest"),
    "cut short": (CUT, "earliest"),
    "cut short, the longest kept": (CUT, "longest"),
    "in another order": ([*STORY[8:], *STORY[:8]], "earliest"),
    "the same words": (STORY, "earliest"),
    "the same words, fetched first kept": (STORY, "first"),
    "half of it replaced by more on the matter": ([*STORY[:11], *MORE[:4]], "earliest"),
}


@pytest.mark.parametrize("attempt", TAKEOVERS)
def test_another_publisher_does_not_take_a_stored_head_over(attempt: str) -> None:
    text, keep = TAKEOVERS[attempt]

    verdict = judged(came(text, published=timedelta(hours=3)), held(), keep=keep)  # type: ignore[arg-type]

    assert verdict.relation is not Relation.REVISION
    assert not verdict.head or verdict.best is None or verdict.relation is Relation.FOLLOWUP
    assert verdict.reason or verdict.head


@pytest.mark.parametrize(
    ("published", "by"),
    [
        (timedelta(days=-1), "json-ld"),
        (timedelta(days=-1), "meta"),
        (timedelta(days=-1), "time"),
        (timedelta(days=-1), "feed"),
        (timedelta(days=-1), "url"),
        (timedelta(days=-9000), "json-ld"),
        (timedelta(days=-30000), "input"),
        (timedelta(days=400), "input"),
        (timedelta(days=400), "json-ld"),
        (None, ""),
    ],
)
@pytest.mark.parametrize("keep", ["earliest", "first", "longest"])
def test_a_claimed_or_impossible_date_does_not_replace_the_head(
    published: timedelta | None, by: str, keep: Keep
) -> None:
    verdict = judged(came(STORY, published=published, by=by), held(), keep=keep)

    assert (verdict.relation, verdict.head) == (Relation.COPY, False)


def test_the_reason_says_that_a_claimed_date_did_not_count() -> None:
    verdict = judged(came(STORY, published=timedelta(days=-1)), held())

    assert verdict.reason == "the stored copy stays: only its own publisher says that the other came out earlier"


def test_a_copy_that_the_operator_dates_earlier_becomes_the_head_only_where_the_earliest_is_kept() -> None:
    arriving = came(STORY, published=timedelta(hours=-1), by="input")

    assert [judged(arriving, held(), keep=keep).head for keep in ("earliest", "first", "longest")] == [
        True,
        False,
        False,
    ]
    assert judged(arriving, held()).reason == "the copy that came out first"


def test_a_copy_from_an_archive_that_fetched_it_earlier_becomes_the_head() -> None:
    archived = replace(came(STORY), fetched_at=NOW - timedelta(days=3))

    assert judged(archived, held()).head
    assert judged(archived, held(), keep="first").head


def test_of_a_publishers_own_copies_the_one_published_first_is_kept() -> None:
    earlier = came(STORY, url="https://m2.paper.example/2", published=timedelta(hours=-2))

    assert judged(earlier, held()).head
    assert not judged(earlier, held(), keep="first").head


def test_a_longer_story_of_another_publisher_becomes_the_head() -> None:
    verdict = judged(came([*STORY, *MORE]), held())

    assert (verdict.relation, verdict.head) == (Relation.CONTAINS, True)
    assert verdict.reason == f"the fuller text: {6 * 18} words more of the story"


@pytest.mark.parametrize("many", [12, 22, 40])
@pytest.mark.parametrize("before", [True, False])
def test_known_words_in_random_order_do_not_continue_the_story(many: int, *, before: bool) -> None:
    chance, words = random.Random(many), WORDS.split()[:many]
    story, added = ([" ".join(chance.choices(words, k=18)) + "." for _ in range(length)] for length in (14, 8))

    verdict = judged(came([*added, *story] if before else [*story, *added]), held(story))

    assert (verdict.relation, verdict.head) == (Relation.CONTAINS, False)


def test_additions_between_the_paragraphs_become_the_head() -> None:
    verdict = judged(came([*STORY[:5], *MORE[:3], *STORY[5:11], *MORE[3:], *STORY[11:]]), held())

    assert (verdict.relation, verdict.head) == (Relation.CONTAINS, True)


@pytest.mark.parametrize("text", [CUT, STORY[:12], [*STORY, *MORE], [*STORY, *FOREIGN[:4]], with_word("không", STORY)])
def test_a_publishers_own_new_version_is_the_head_shorter_or_longer(text: list[str]) -> None:
    arriving = came(text, url="https://paper.example/1")

    verdict = judged(arriving, held())

    assert (verdict.relation, verdict.head, verdict.reason) == (
        Relation.REVISION,
        True,
        "the publisher's newest version",
    )


@pytest.mark.parametrize("twin", ["https://amp.paper.example/1", "https://m.paper.example/1"])
def test_a_twin_of_the_page_with_the_same_key_is_its_new_version(twin: str) -> None:
    arriving = replace(came(STORY[:13], url=twin), canonical_url="https://paper.example/1")

    assert judged(arriving, held()).relation is Relation.REVISION


def test_an_older_capture_of_a_page_does_not_replace_the_newer_version() -> None:
    older = replace(came(STORY[:13], url="https://paper.example/1"), fetched_at=NOW - timedelta(days=3))

    verdict = judged(older, held())

    assert (verdict.relation, verdict.head) == (Relation.REVISION, False)


@pytest.mark.parametrize("text", [STORY, CUT, with_word("không", STORY)])
def test_the_same_key_from_another_publisher_is_judged_like_any_other_text(text: list[str]) -> None:
    arriving = replace(came(text), canonical_url="https://paper.example/1")

    verdict = judged(arriving, held())

    assert verdict.relation is not Relation.REVISION
    assert not verdict.head


@pytest.mark.parametrize("text", [STORY, [*STORY, *MORE], CUT])
def test_a_seed_is_the_head_whichever_came_first(text: list[str]) -> None:
    seed = replace(came(text), kind=Kind.SEED, host="", url="seed:1", canonical_url="seed:1")

    assert not judged(came(text), held(kind=Kind.SEED)).head
    verdict = judged(seed, held())
    assert (verdict.head, verdict.reason) == (True, "a seed comes before what is fetched")


@pytest.mark.parametrize(("original", "head"), [("article", True), ("stored", False)])
@pytest.mark.parametrize("kind", [Kind.ARTICLE, Kind.SEED])
def test_a_persons_decision_on_the_original_comes_first(original: str, head: bool, kind: Kind) -> None:
    stored = replace(held(kind=kind), original=original)

    verdict = judged(came([*STORY, *MORE]), stored)

    assert (verdict.head, verdict.reason) == (head, "a person said that it is the original")


def test_an_article_marked_the_same_as_a_member_is_compared_with_the_head_of_the_cluster() -> None:
    member = replace(held(CUT, url="https://third.example/1"), id=2, cluster=1, head=False, marked="same")

    verdict = judged(came([*STORY, *FOREIGN[:5]]), held(), member)

    assert verdict.best is not None
    assert (verdict.best.rule, verdict.head) == ("marked same", False)


@pytest.mark.parametrize(
    ("host", "publisher"),
    [("www.bao.com.vn", "bao.com.vn"), ("video.bao.com.vn", "bao.com.vn"), ("", ""), ("127.0.0.1:8080", "127.0.0.1")],
)
def test_the_publisher_of_a_host_is_its_site(host: str, publisher: str) -> None:
    assert publisher_of(host) == publisher


@pytest.mark.parametrize(
    ("published", "origin", "counts"),
    [
        (NOW - timedelta(hours=1), "json-ld", True),
        (NOW, "feed", True),
        (NOW + timedelta(seconds=1), "json-ld", False),
        (datetime(1989, 12, 31, tzinfo=UTC), "input", False),
        (datetime(1970, 1, 1, tzinfo=UTC), "meta", False),
        (NOW - timedelta(hours=1), "text", False),
        (NOW - timedelta(hours=1), "url", False),
        (NOW - timedelta(hours=1), "unmarked-time", False),
        (None, "", False),
    ],
)
def test_impossible_and_guessed_times_are_ignored(published: datetime | None, origin: str, counts: bool) -> None:
    assert publication_time(published, origin, fetched_at=NOW) == (published if counts else NOW)


def contender(publisher: str = "a.example", *, length: int = 100) -> HeadCandidate:
    return HeadCandidate(
        publisher=publisher, is_seed=False, length=length, published_at=None, published_at_from="", fetched_at=NOW
    )


def never() -> AddedText:
    raise AssertionError("what a text adds was measured, though it does not count")


@pytest.mark.parametrize(
    ("relation", "keep", "is_head", "measure_added"),
    [
        (Relation.REVISION, "earliest", True, never),
        (Relation.CONTAINED, "longest", False, never),
        (Relation.COPY, "earliest", False, never),
        (Relation.COPY, "longest", False, never),
        (Relation.CONTAINS, "first", True, lambda: AddedText(words=50, lost=0, older_words=100)),
        (Relation.CONTAINS, "first", False, lambda: AddedText(words=10, lost=0, older_words=100)),
        (Relation.CONTAINS, "first", False, lambda: AddedText(words=50, lost=40, older_words=100)),
        (Relation.CONTAINS, "first", True, lambda: AddedText(words=200, lost=40, older_words=100)),
        (Relation.CONTAINS, "first", False, lambda: AddedText(words=50, lost=0, older_words=100, foreign="strange")),
    ],
)
def test_keep_decides_among_copies_alone(
    relation: Relation, keep: Keep, is_head: bool, measure_added: Callable[[], AddedText]
) -> None:
    made = choose_head(contender("b.example"), contender(), relation, keep=keep, measure_added=measure_added)

    assert isinstance(made, HeadChoice)
    assert made.is_head is is_head
    assert made.reason


def test_a_publishers_earlier_wording_does_not_replace_its_later_one() -> None:
    earlier = came(with_word("không", STORY), url="https://paper.example/2", published=timedelta(hours=-2))

    verdict = judged(earlier, held())

    assert (verdict.head, verdict.reason) == (False, "a newer version by the same publisher")


def test_a_publishers_longer_story_with_every_word_of_its_earlier_one_is_the_fuller_text_and_no_rewrite() -> None:
    longer = came([*STORY, *told(7, 12)], url="https://paper.example/2", published=timedelta(hours=3))

    verdict = judged(longer, held())

    assert (verdict.relation, verdict.head, verdict.reason) == (Relation.CONTAINS, True, "the publisher's fuller text")

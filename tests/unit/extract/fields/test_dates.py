"""Dates: their origin, their time zone, and which are not credible."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.unit.extract.pages import NOW, TITLE, URL, article_body, news_page, page_of
from worker.extract.document import Document, first_time_zone, open_document
from worker.extract.fields.dates import DateContext, PageDate, find_modified, find_published

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")


def document_with(head: str = "", *, body: str | None = None, url: str = URL) -> Document:
    return open_document(page_of(news_page(head=head, body=body), url=url))


def circumstances(feed: datetime | None = None) -> DateContext:
    return DateContext(fetched_at=NOW, zone=HANOI, feed_published=feed)


def ld(**fields: str) -> str:
    return (
        f'<script type="application/ld+json">{json.dumps({"@type": "NewsArticle", "headline": "x", **fields})}</script>'
    )


def test_json_ld_comes_before_meta_and_meta_before_the_feed() -> None:
    head = '<meta property="article:published_time" content="2026-03-06T10:00:00+07:00">'
    feed = datetime(2026, 3, 5, tzinfo=UTC)

    both = find_published(document_with(head + ld(datePublished="2026-03-07T08:00:00+07:00")), circumstances(feed))
    meta = find_published(document_with(head), circumstances(feed))
    neither = find_published(document_with(), circumstances(feed))

    assert [found.origin for found in (both, meta, neither) if found] == ["json-ld", "meta", "feed"]


@pytest.mark.parametrize(
    "name", ["article:published_time", "article:published:time", "og:article:published_time", "pubdate"]
)
def test_systems_name_the_same_meta_element_differently(name: str) -> None:
    found = find_published(document_with(f'<meta name="{name}" content="2026-03-06T10:00:00+07:00">'), circumstances())

    assert found is not None
    assert found.at.isoformat() == "2026-03-06T10:00:00+07:00"


def test_a_future_date_is_skipped_for_the_next_best() -> None:
    head = ld(datePublished="2031-01-01") + '<meta name="pubdate" content="2026-03-01T10:00:00+07:00">'

    found = find_published(document_with(head), circumstances())

    assert found is not None
    assert (found.origin, found.at.date().isoformat()) == ("meta", "2026-03-01")


def test_the_pages_clock_is_never_taken_for_its_date() -> None:
    today = NOW.astimezone(HANOI)
    body = article_body().replace("<main>", f"<div>Hôm nay, {today:%d/%m/%Y}</div><main>")

    found = find_published(document_with(body=body), circumstances())

    assert found is None or found.at.date() != today.date()


def test_a_date_in_the_address_is_a_guess() -> None:
    found = find_published(document_with(url="https://bao.example/2026/03/02/gia-gao.html"), circumstances())

    assert found is not None
    assert (found.at, found.origin, found.sure) == (datetime(2026, 3, 2, tzinfo=HANOI), "url", False)


def test_json_lds_date_of_the_page_comes_before_guesses_and_after_dates_of_the_article() -> None:
    of_page = '{"@type": "WebPage", "datePublished": "2026-02-01T08:00:00+07:00"}'
    head = f'<script type="application/ld+json">{of_page}</script>'
    url = "https://bao.example/2026/01/05/tin"

    alone = find_published(document_with(head, url=url), circumstances())
    beside = find_published(document_with(head + ld(datePublished="2026-02-03"), url=url), circumstances())

    assert alone is not None
    assert (alone.at.date().isoformat(), alone.origin, alone.sure) == ("2026-02-01", "json-ld", True)
    assert beside is not None
    assert beside.at.date().isoformat() == "2026-02-03"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('name="date"', 'property="article:published_time"'),
        ('name="dcterms.created"', 'property="article:published_time"'),
        ('name="DC.date"', 'name="pubdate"'),
        ('itemprop="dateCreated"', 'itemprop="datePublished"'),
        ('name="displaydate"', 'property="og:article:published_time"'),
        ('name="dcterms.created"', 'name="parsely-pub-date"'),
        ('name="vendor:publicationDate"', 'name="citation_publication_date"'),
        ('http-equiv="date"', 'name="dc.date.issued"'),
    ],
)
def test_a_meta_name_that_means_publication_comes_before_an_ambiguous_one(first: str, second: str) -> None:
    head = f'<meta {first} content="2026-02-01T08:00:00+07:00"><meta {second} content="2026-03-01T10:00:00+07:00">'

    found = find_published(document_with(head), circumstances())

    assert found is not None
    assert (found.at.isoformat(), found.origin, found.sure) == ("2026-03-01T10:00:00+07:00", "meta", True)


def test_every_value_is_tried_until_one_is_a_credible_date() -> None:
    values = ("hôm qua", "2026-02-30", "2031-01-01", "2026-03-01T10:00:00+07:00")
    head = "".join(f'<meta property="article:published_time" content="{value}">' for value in values)

    found = find_published(document_with(head), circumstances())

    assert found is not None
    assert found.at.isoformat() == "2026-03-01T10:00:00+07:00"


def test_an_ambiguous_date_is_sure_if_the_page_shows_the_same_day_else_a_guess() -> None:
    head = '<meta name="date" content="2026-03-01T10:20:00+07:00">'
    shown = article_body().replace("</h1>", "</h1><div>Ngày 01/03/2026</div>")

    alone = find_published(document_with(head), circumstances())
    both = find_published(document_with(head, body=shown), circumstances())
    contradicted = find_published(document_with(head, body=shown.replace("01/03", "02/03")), circumstances())

    assert [(found.origin, found.sure) for found in (alone, both, contradicted) if found] == [
        ("unmarked-meta", False),
        ("meta", True),
        ("text", False),
    ]


@pytest.mark.parametrize("day", ["2026-02-30", "2026-04-24", "2027-01-01", "0000-00-00", "30/02/2026", "2026-13-05"])
@pytest.mark.parametrize("place", ["meta", "ld", "text", "address", "time"])
def test_an_impossible_day_gives_no_date(day: str, place: str) -> None:
    body = article_body()
    if place == "text":
        body = body.replace("</h1>", f"</h1><p class='date'>{day}</p>")
    if place == "time":
        body = body.replace("</h1>", f"</h1><time class='published' datetime='{day}'></time>")
    head = {"meta": f'<meta property="article:published_time" content="{day}">', "ld": ld(datePublished=day)}
    url = f"https://bao.example/{day}/gia-gao.html" if place == "address" else URL

    assert find_published(document_with(head.get(place, ""), body=body, url=url), circumstances()) is None


def shown(markup: str, *, before: str = "") -> PageDate | None:
    body = article_body().replace("</h1>", f"</h1>{markup}").replace("<main>", f"{before}<main>")
    return find_published(document_with(body=body), circumstances())


@pytest.mark.parametrize(
    "markup",
    [
        '<abbr class="published" title="2026-03-02T08:05:00+07:00">8 giờ</abbr>',
        '<span itemprop="datePublished" content="2026-03-02T08:05:00+07:00">hôm thứ Hai</span>',
        '<div itemprop="datePublished">08:05 02/03/2026</div>',
        '<b property="schema:datePublished" content="2026-03-02T01:05:00Z"></b>',
        '<time pubdate datetime="2026-03-02T08:05">thứ Hai</time>',
        '<time class="entry-date published" datetime="2026-03-02T08:05:00+07:00"></time>',
        '<time class="dt-published">08:05 AM, 02/03/2026</time>',
        '<span class="dt-published" title="2026-03-02 08:05">2 tháng 3</span>',
        '<time itemprop="datePublished" datetime="">02/03/2026 08:05</time>',
        '<span itemprop="datePublished dateCreated" content="2026-03-02T08:05:00+07:00">hôm thứ Hai</span>',
        '<relative-time class="published" datetime="2026-03-02T01:05:00Z">tuần trước</relative-time>',
    ],
)
def test_a_marked_element_is_as_good_as_a_meta_element(markup: str) -> None:
    found = shown(markup)

    assert found is not None
    assert (found.at, found.origin, found.sure) == (datetime.fromisoformat("2026-03-02T08:05:00+07:00"), "time", True)


@pytest.mark.parametrize(
    ("markup", "day"),
    [
        ("<p>02/03/2026 08:05</p>", "2026-03-02"),
        ("<div>Thứ Hai, 2/3/2026, 08:05 (GMT+7)</div>", "2026-03-02"),
        ("<div><span>Lê An</span> - <span>08:05 02/03/2026</span></div>", "2026-03-02"),
        ("<div>Lê An | Kinh tế | 2 tháng 3, 2026</div>", "2026-03-02"),
        ("<div>Đăng ngày 02/03/2026 | Cập nhật 05/03/2026</div>", "2026-03-02"),
        ("<div>Cập nhật: 05/03/2026</div><div>Xuất bản: 02/03/2026</div>", "2026-03-02"),
        ("<div>Cập nhật lúc 02/03/2026</div>", "2026-03-02"),
        ("<ul><li>02.03.2026</li><li>Lê An</li></ul>", "2026-03-02"),
        ("<time datetime='2026-03-02T08:05:00+07:00'>hôm kia</time>", "2026-03-02"),
        ("<div><b>March</b> <i>2</i>, <i>2026</i></div>", "2026-03-02"),
        ("<div class=meta>2026年3月2日 08:05</div>", "2026-03-02"),
        ("<aside><span>02/03/2026</span></aside>", "2026-03-02"),
        ("<div>02 | 03 | 2026</div>", "2026-03-02"),
        # Links of a byline are no headlines of other pages.
        (
            "<ul><li>02/03/2026</li><li><a rel=author href=/a>Lê Thị Thu An, phóng viên kinh tế</a></li></ul>",
            "2026-03-02",
        ),
        ("<div><a href=/tac-gia/an>Lê Thị Thu An, phóng viên kinh tế</a><p>02/03/2026</p></div>", "2026-03-02"),
        # What is said in the line above.
        ("<div><h4>Xuất bản</h4><p>02/03/2026</p></div><div><h4>Cập nhật</h4><p>05/03/2026</p></div>", "2026-03-02"),
        ("<dl><dt>Updated</dt><dd>5 March 2026</dd><dt>Published</dt><dd>2 March 2026</dd></dl>", "2026-03-02"),
    ],
)
def test_the_date_below_the_title_is_used_as_a_guess(markup: str, day: str) -> None:
    found = shown(markup)

    assert found is not None
    assert (found.at.date().isoformat(), found.sure) == (day, False)


@pytest.mark.parametrize(
    "markup",
    [
        (
            "<p>Ngày 2/3/2026, tổ khảo sát của huyện đã đi bộ dọc con đê cũ dài bảy cây số để ghi lại từng chỗ sạt lở "
            "và từng cống thoát nước bị tắc sau hai mùa mưa liên tiếp ở phía hạ lưu.</p>"
        ),
        "<div class=related><a href=/a>Một bài khác của tờ báo nói về chuyện khác</a><span>02/03/2026</span></div>",
        "<div><a href=/a>Một bài khác của tờ báo nói về chuyện khác</a><span>02/03/2026</span></div>",
        "<footer>© 2026 Báo Mẫu. Giấy phép 12/GP ngày 02/03/2026</footer>",
        "<p>Hết hạn: 02/03/2026</p>",
        "<h4>Hết hạn</h4><p>02/03/2026</p>",
        "<p>Chuyến 12 | 13 | 2026</p>",
        "<p>Tháng 3/2026</p>",
    ],
)
def test_dates_of_other_things_are_not_the_articles(markup: str) -> None:
    assert shown(markup) is None


def test_the_date_below_the_title_comes_before_those_of_a_sidebar_wherever_that_is() -> None:
    side = (
        "<aside class='sidebar'>"
        + "".join(
            f"<div><a href='/{day}'>Một bài khác của tờ báo nói về chuyện khác</a><time>{day:02}/02/2026</time></div>"
            for day in range(1, 9)
        )
        + "</aside>"
    )

    before, after = shown("<div>02/03/2026</div>", before=side), shown(f"<div>02/03/2026</div>{side}")

    assert before is not None
    assert after is not None
    assert before.at.date() == after.at.date() == date(2026, 3, 2)


def entry(title: str, day: str) -> str:
    return f"<div class=teaser><h3><a href=/bai>{title}</a></h3><span>{day}</span></div>"


OTHERS = "Một bài khác của tờ báo nói về chuyện khác hẳn"


@pytest.mark.parametrize(
    "own", [TITLE, f"{TITLE} | Báo Mẫu", " ".join(TITLE.split()[:-1]), TITLE.replace("nhưng", "mà")]
)
def test_the_articles_own_entry_in_a_list_of_new_articles_gives_its_date(own: str) -> None:
    listed = f"<aside>{entry(OTHERS, '07/03/2026')}{entry(own, '02/03/2026')}{entry(OTHERS, '01/03/2026')}</aside>"
    body = article_body().replace("</article>", f"</article>{listed}")
    document = document_with(body=body)

    found = find_published(document, DateContext(fetched_at=NOW, zone=HANOI, title=TITLE))

    assert found is not None
    assert found.at.date() == date(2026, 3, 2)


def test_the_date_of_an_update_is_used_if_the_page_has_no_other() -> None:
    body = article_body(after=f"<p>{OTHERS}.</p>" * 60) + "<p>[Cập nhật: 02/03/2026, 01:40]</p>"

    found = find_published(document_with(body=body), circumstances())

    assert found is not None
    assert (found.at.date(), found.sure) == (date(2026, 3, 2), False)


@pytest.mark.parametrize(
    ("published", "modified", "seen", "day"),
    [
        # Two places contradict each other: what readers see decides, if it is one of them.
        (("2026-02-20", "2026-02-01"), "2026-03-01", "01/02/2026", "2026-02-01"),
        (("2026-02-20", "2026-02-01"), "2026-03-01", "20/02/2026", "2026-02-20"),
        (("2026-02-20", "2026-02-01"), "2026-03-01", "11/02/2026", "2026-02-20"),
        (("2026-02-20", "2026-02-01"), "2026-03-01", "Cập nhật 01/02/2026", "2026-02-20"),
        # Nothing is published after its last change, where another place gives an earlier day.
        (("2026-02-20", "2026-02-01"), "2026-02-10", "", "2026-02-01"),
        # The day of the last change, given as both; readers see the first.
        (("2026-02-20",), "2026-02-20", "01/02/2026", "2026-02-01"),
        (("2026-02-20T08:00:00+07:00",), "2026-02-20T08:00:00+07:00", "08:00 19/02/2026", "2026-02-19"),
        # A day as another zone writes it, and a date of something else.
        (("2026-02-20T08:00:00+07:00",), "2026-02-20T08:00:00+07:00", "19/02/2026", "2026-02-20"),
        (("2026-02-20",), "2026-02-21", "01/02/2026", "2026-02-20"),
        (("2026-02-20",), "2026-02-20", "Cập nhật 01/02/2026", "2026-02-20"),
        (("2026-02-20",), "2026-02-20", "23/02/2026", "2026-02-20"),
        (("2026-02-03",), "2026-02-03", "03/02/2026", "2026-02-03"),
    ],
)
def test_the_visible_date_decides_between_contradicting_ones(
    published: tuple[str, ...], modified: str, seen: str, day: str
) -> None:
    first, *others = published
    head = ld(datePublished=first, dateModified=modified)
    head += "".join(f'<meta property="article:published_time" content="{other}">' for other in others)
    body = article_body().replace("</h1>", f"</h1><div>{seen}</div>")

    found = find_published(document_with(head, body=body), circumstances())

    assert found is not None
    assert found.at.date().isoformat() == day


def test_a_visible_date_that_a_meta_element_confirms_comes_before_an_invisible_marked_one() -> None:
    head = '<meta name="date" content="2026-03-02T13:00:00+07:00">'
    unseen = (
        '<div class="d-hide"><time itemprop="datePublished" datetime="2026-03-01T20:00:00+07:00">Mar 1</time></div>'
    )
    body = article_body().replace("</h1>", f"</h1><div>02/03/2026</div>{unseen}")

    agreed = find_published(document_with(head, body=body), circumstances())
    alone = find_published(document_with(body=body), circumstances())

    assert [found.at.isoformat() for found in (agreed, alone) if found] == [
        "2026-03-02T13:00:00+07:00",
        "2026-03-01T20:00:00+07:00",
    ]


def test_the_day_in_the_address_is_the_date_of_an_article_republished_long_after() -> None:
    head = ld(datePublished="2026-02-01")

    again = find_published(document_with(head, url="https://bao.example/2024/7/12/gao.html"), circumstances())
    soon = find_published(document_with(head, url="https://bao.example/2026/01/12/gao.html"), circumstances())

    assert [found.at.date() for found in (again, soon) if found] == [date(2024, 7, 12), date(2026, 2, 1)]


@pytest.mark.parametrize(
    "script",
    [
        '{"id":7,"published_at":"2026-03-02T08:05:00+07:00","created_at":"2026-02-01"}',
        '{"publishDate": "2026-03-02"}',
        r'["{\"datePublished\":\"2026-03-02T08:05:00Z\"}"]',
        '{"publishedAt":1772413500000,"id":1}',
        '{"publish_time":1772413500}',
        "{&quot;publishedAt&quot;:&quot;2026-03-02&quot;,&quot;publishedAt&quot;:&quot;2026-03-02&quot;}",
    ],
)
def test_a_date_of_publication_in_scripts_is_used_if_the_page_shows_none(script: str) -> None:
    found = find_published(document_with(f"<script>var page = {script}</script>"), circumstances())

    assert found is not None
    assert (found.at.date(), found.origin, found.sure) == (date(2026, 3, 2), "script", False)


@pytest.mark.parametrize(
    "script",
    [
        '[{"published_at":"2026-03-02"},{"published_at":"2026-03-04"}]',
        '{"unpublished_at":"2026-03-02"}',
        '{"updated_at":"2026-03-02"}',
        '{"published_at":null}',
    ],
)
def test_scripts_that_name_several_days_or_other_things_give_no_date(script: str) -> None:
    assert find_published(document_with(f"<script>var page = {script}</script>"), circumstances()) is None


@pytest.mark.parametrize("name", ["w-published-date", "itemprop-uploadDate", "acme:published_at"])
def test_a_meta_element_that_only_one_system_uses_is_a_guess(name: str) -> None:
    head = f'<meta name="{name.removeprefix("itemprop-")}" content="2026-03-02T08:00:00+07:00">'

    found = find_published(document_with(head), circumstances())

    assert found is not None
    assert (found.at.date(), found.origin) == (date(2026, 3, 2), "unmarked-meta")


def test_todays_date_below_the_title_is_the_articles() -> None:
    found = shown(f"<div>{NOW.astimezone(HANOI):%H:%M %d/%m/%Y}</div>")

    assert found is not None
    assert found.at.date() == NOW.astimezone(HANOI).date()


@pytest.mark.parametrize(
    ("lang", "url", "day"),
    [("en-US", "https://paper.example/a", "2026-02-03"), ("en", "https://paper.co.uk/a", "2026-03-02"),
     ("en-GB", "https://paper.example/a", "2026-03-02"), ("vi", "https://paper.example/a", "2026-03-02")],
)  # fmt: skip
def test_day_and_month_are_read_in_the_order_of_the_pages_country(lang: str, url: str, day: str) -> None:
    markup = news_page(body=article_body().replace("</h1>", "</h1><div>2/3/2026</div>"))
    markup = markup.replace('lang="vi"', f'lang="{lang}"')

    found = find_published(open_document(page_of(markup, url=url)), circumstances())

    assert found is not None
    assert found.at.date().isoformat() == day


def test_published_and_modified_are_kept_apart() -> None:
    document = document_with(ld(datePublished="2026-03-06T08:00:00+07:00", dateModified="2026-03-07T09:00:00+07:00"))

    published, modified = find_published(document, circumstances()), find_modified(document, circumstances())

    assert published is not None
    assert modified is not None
    assert modified.at - published.at == timedelta(hours=25)


def test_the_first_zone_that_exists_is_taken() -> None:
    assert first_time_zone(None, "Nowhere/Land", "Asia/Ho_Chi_Minh") == HANOI
    assert first_time_zone("../../etc/passwd", None) == UTC

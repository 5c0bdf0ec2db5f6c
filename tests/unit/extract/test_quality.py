"""Pages that are no article are rejected with a reason and the number that decided; articles are not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.extract.pages import NOW, PARAGRAPHS, article_body, hints_of, news_page, page_of, read
from worker.errors import ExtractError
from worker.extract.article import ArticleExtractor
from worker.extract.ipc import ExtractRules
from worker.models import Text

TEASER = (
    "Chính phủ vừa đồng ý công bố giá cơ sở xăng dầu được thực hiện hằng tuần kể từ tháng này, theo đề nghị của bộ."
)


def listing_body(teasers: int = 12, *, tag: str = "p") -> str:
    cards = "".join(
        f'<div class="item"><h3><a href="/bai-{i}.html">Giá xăng dầu lần thứ {i} có loại tăng rất mạnh</a></h3>'
        f"<{tag}>{TEASER} Lần {i}.</{tag}></div>"
        for i in range(teasers)
    )
    return f"<h1>Kinh tế</h1><div class='list'>{cards}</div>"


def links_body() -> str:
    return (
        "<ul>"
        + "".join(
            f'<li><a href="/bai-{i}.html">Giá xăng lần thứ {i} tăng tới bảy nghìn đồng một lít, quỹ còn</a></li>'
            for i in range(40)
        )
        + "</ul>"
    )


def reason_of(markup: str, *, url: str = "https://bao.example/kinh-te", rules: ExtractRules | None = None) -> str:
    with pytest.raises(ExtractError) as caught:
        read(markup, url=url, rules=rules)
    assert any(character.isdigit() for character in str(caught.value))
    return caught.value.reason


@pytest.mark.parametrize(
    "body", [listing_body(), listing_body(tag="div"), links_body()], ids=["cards", "divs", "links"]
)
@pytest.mark.parametrize("kind", ["website", "article"])
def test_listing_pages_are_no_articles_whatever_they_declare(body: str, kind: str) -> None:
    assert reason_of(news_page(head=f'<meta property="og:type" content="{kind}">', body=body)) == "listing"


def test_a_page_that_a_person_wants_stored_is_rejected_only_without_any_text() -> None:
    taken = replace(hints_of(), is_taken=True)
    rules = ExtractRules(languages=("de",))
    listing = page_of(news_page(body=listing_body()), url="https://bao.example/kinh-te")
    short = page_of(news_page(title="Không tìm thấy trang", body=f"<p>{TEASER[:60]}</p>"))
    extractor = ArticleExtractor(rules)

    assert TEASER in extractor.read(listing, taken, fetched_at=NOW).text
    assert TEASER[:60] in extractor.read(short, taken, fetched_at=NOW).text
    assert extractor.read(Text(text="Hai chữ"), taken, fetched_at=NOW).words == 2
    with pytest.raises(ExtractError, match="no article text"):
        extractor.read(page_of("<html><body></body></html>"), taken, fetched_at=NOW)


def test_a_home_page_is_no_article() -> None:
    body = listing_body(4) + f"<div><p>{PARAGRAPHS[0]}</p></div>"

    assert reason_of(news_page(body=body), url="https://bao.example/") == "listing"


ANY_LENGTH = ExtractRules(min_words=20, languages=())
HEADLINE = "Lãi suất giảm nhưng doanh nghiệp nhỏ vẫn khó vay"


def menu(path: str) -> str:
    """Return a menu that leads to a section: by it the page confirms that the address is its own."""
    return f"<nav><a href='/'>Trang chủ</a> <a href='{path}'>Mục</a></nav>"


def sidebar(links: int = 30) -> str:
    rows = "".join(
        f'<li><a href="/tin-{i}.html">Tin thứ {i} trong ngày của tòa soạn chúng tôi</a></li>' for i in range(links)
    )
    return f"<aside><h3>Đọc nhiều</h3><ul>{rows}</ul></aside>"


SECTIONS = {
    "three teasers and promotion": listing_body(3) + sidebar() + f"<div><p>{PARAGRAPHS[0]}</p></div>",
    "links alone": links_body(),
    "leads as prose": "<h1>Kinh tế</h1>"
    + "".join(
        f'<article><h3><a href="/bai-{i}.html">Giá xăng lần thứ {i} có loại tăng rất mạnh</a></h3></article>'
        f"<div><p>{TEASER} Lần {i}.</p></div>"
        for i in range(12)
    ),
    "headed links in rows": "<table>"
    + "".join(f'<tr><td><h4><a href="/b-{i}">Tin thứ {i} trong ngày của tòa soạn</a></h4></td></tr>' for i in range(25))
    + "</table>",
}


@pytest.mark.parametrize("kind", SECTIONS)
def test_section_pages_are_no_articles(kind: str) -> None:
    body = menu("/kinh-te") + SECTIONS[kind]

    assert reason_of(news_page(body=body), rules=ExtractRules(min_words=20, languages=())) == "listing"


SECTION_ADDRESSES = (
    "/thi-truong-chung-khoan.chn",
    "/kinh-doanh.htm",
    "/thoi-su/chinh-tri-c46.html",
    "/category/business/",
    "/tag/xuat-khau-gao-sang-nhat/",
    "/chu-de/dai-hoi-the-thao-sinh-vien.htm",
    "/khoa-hoc-cong-nghe/chuyen-doi-so",
    "/thoi-su/page/2",
)
FOOTER = f"<footer><p>Cơ quan chủ quản của tòa soạn đặt tại thành phố. {TEASER}</p></footer>"


@pytest.mark.parametrize("path", SECTION_ADDRESSES)
def test_a_section_page_is_a_listing_under_any_address_of_a_section(path: str) -> None:
    head = '<meta property="og:type" content="article">'
    body = menu(path) + listing_body(8).replace("Kinh tế", "Thị trường chứng khoán") + sidebar() + FOOTER
    page = news_page(head=head, body=body, title="Thị trường chứng khoán")

    assert reason_of(page, url=f"https://bao.example{path}") == "listing"


@pytest.mark.parametrize("path", ["/tin", "/news/lai-suat", "/2.html", "/?p=12", "/gioi-thieu", "/lai-suat-vay-von"])
@pytest.mark.parametrize("count", [20, 60])
def test_a_short_article_without_metadata_is_an_article_under_a_short_address(path: str, count: int) -> None:
    paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in PARAGRAPHS[:2])
    body = f"<main><h1>{HEADLINE}</h1>{paragraphs}</main>{sidebar(count)}"

    text = read(news_page(body=body, title=HEADLINE), url=f"https://bao.example{path}", rules=ANY_LENGTH).text

    assert text.split("\n")[-2:] == list(PARAGRAPHS[:2])


SAYS_NOTHING = (
    "https://trang.example/page.html",
    "https://trang.example/1234",
    "https://trang.example/p/abc.html",
    "https://trang.example/?x=1",
    "https://trang.example/2/",
    "file:///trang/7.html",
)


@pytest.mark.parametrize("url", SAYS_NOTHING)
def test_an_address_that_says_nothing_and_that_the_page_does_not_confirm_weighs_nothing(url: str) -> None:
    teasers = listing_body(6).removeprefix("<h1>Kinh tế</h1>")
    body = f"<main><p>{PARAGRAPHS[0]}</p><p>{PARAGRAPHS[1]}</p></main>{teasers}{sidebar(20)}"

    assert PARAGRAPHS[1] in read(news_page(body=body, title="Báo Mẫu"), url=url, rules=ANY_LENGTH).text


@pytest.mark.parametrize(
    "confirmation",
    [
        menu("/doc"),
        menu("https://bao.example/doc/"),
        '<link rel="canonical" href="https://bao.example/doc">',
        "".join(f'<a href="/doc/{place}">Mục {place}</a>' for place in ("phim", "nhac", "sach")),
    ],
    ids=["a link to it", "an absolute link", "its canonical address", "places below it"],
)
def test_a_short_address_that_the_page_confirms_is_a_sections(confirmation: str) -> None:
    teasers = listing_body(6).removeprefix("<h1>Kinh tế</h1>")
    body = f"<main><p>{PARAGRAPHS[0]}</p><p>{PARAGRAPHS[1]}</p></main>{teasers}{sidebar(20)}"
    page = news_page(body=f"{confirmation}{body}", title="Báo Mẫu")

    assert reason_of(page, url="https://bao.example/doc", rules=ANY_LENGTH) == "listing"
    comments = news_page(body=f'<a href="/doc#binh-luan">Bình luận</a>{body}', title="Báo Mẫu")
    assert PARAGRAPHS[1] in read(comments, url="https://bao.example/doc", rules=ANY_LENGTH).text


@pytest.mark.parametrize("teasers", [10, 20])
def test_a_note_under_the_address_of_an_article_is_one_however_much_is_around_it(teasers: int) -> None:
    declared = '{"@type": "NewsArticle", "datePublished": "2026-11-03T10:20:00+07:00"}'
    note = f"{PARAGRAPHS[0][:150]}."
    body = f"<main><h1>{HEADLINE}</h1><p>{note}</p></main>{sidebar(60)}{listing_body(teasers).replace('h1', 'h2')}"
    page = news_page(head=f'<script type="application/ld+json">{declared}</script>', body=body, title=HEADLINE)

    assert note in read(page, url="https://bao.example/2026/11/03/lai-suat-812345.html", rules=ANY_LENGTH).text


def test_a_declared_collection_is_no_article() -> None:
    ld = '<script type="application/ld+json">{"@type": "CollectionPage", "name": "x"}</script>'
    body = article_body(after=sidebar())

    assert reason_of(news_page(head=ld, body=body)) == "listing"


@pytest.mark.parametrize(
    "head",
    [
        '<meta property="article:published_time" content="2026-03-07T08:00">',
        f'<meta property="og:type" content="article"><meta property="og:title" content="{HEADLINE}">',
        '<script type="application/ld+json">{"@type": "NewsArticle", "headline": "Lãi suất giảm"}</script>',
    ],
)
def test_a_short_article_beside_a_heavy_sidebar_is_an_article(head: str) -> None:
    body = f"<main><h1>{HEADLINE}</h1><p>{PARAGRAPHS[0]}</p><p>{PARAGRAPHS[1]}</p></main>{sidebar(40)}"

    text = read(news_page(head=head, body=body, title=HEADLINE), rules=ExtractRules(min_words=20, languages=())).text

    assert text.split("\n")[-2:] == list(PARAGRAPHS[:2])


@pytest.mark.parametrize(
    "href", ["?entry={}", "#muc-{}", "/kinh-te/vay-von-nho-1234.html?entry={}", "/live/muc-{}.html"]
)
@pytest.mark.parametrize("tag", ["article", "div", "li"])
def test_the_entries_of_a_live_page_are_its_text(href: str, tag: str) -> None:
    head = (
        '<meta property="og:type" content="article"><meta property="article:published_time" content="2026-03-07T08:00">'
    )
    entries = "".join(
        f"<{tag}><time>0{i}:15</time><h2><a href='{href.format(i)}'>Mục thứ {i}: nước sông dâng thêm ba gang</a></h2>"
        f"<p>{i}. {PARAGRAPHS[i % 4]}</p><p>Lần {i}: {PARAGRAPHS[(i + 1) % 4]}</p></{tag}>"
        for i in range(9)
    )

    text = read(news_page(head=head, body=f"<main><h1>{HEADLINE}</h1><div>{entries}</div></main>")).text

    assert [i for i in range(9) if f"{i}. {PARAGRAPHS[i % 4]}" not in text] == []


@pytest.mark.parametrize("href", ["/tin/muc-{}-100.html", "/kinh-te/vay-von-nho-1234/muc-{}.html"])
@pytest.mark.parametrize("headline", ["Nước sông dâng ở huyện Vân Giang: diễn biến từng giờ", "Tin khác của báo"])
def test_a_declared_live_blog_keeps_its_entries_wherever_their_headlines_lead(href: str, headline: str) -> None:
    title = "Nước sông dâng ở huyện Vân Giang: diễn biến từng giờ"
    head = f'<script type="application/ld+json">{{"@type": "LiveBlogPosting", "headline": "{headline}"}}</script>'
    entries = "".join(
        f"<article><h3><a href='{href.format(i)}'>Mục thứ {i}: nước sông dâng thêm ba gang</a></h3>"
        f"<p>{i}. {PARAGRAPHS[i % 4]}</p></article>"
        for i in range(12)
    )
    page = news_page(head=head, body=f"<main><h1>{title}</h1><div>{entries}</div></main>", title=title)

    if headline != title and "muc-{}-100" in href:
        assert reason_of(page) == "listing"
    else:
        text = read(page).text
        assert [i for i in range(12) if f"{i}. {PARAGRAPHS[i % 4]}" not in text] == []


def test_an_article_with_many_teasers_below_is_an_article() -> None:
    body = article_body(after=listing_body(20).replace("h1", "h2"))
    head = '<meta property="article:published_time" content="2026-03-07T08:00:00+07:00">'

    text = read(news_page(head=head, body=body)).text

    assert PARAGRAPHS[-1] in text
    assert "Giá xăng dầu lần thứ" not in text


@pytest.mark.parametrize(
    ("body", "title", "reason"),
    [
        (
            "<h1>404</h1><p>Trang bạn tìm không tồn tại hoặc đã bị xóa, mời trở lại trang chủ để xem tin.</p>",
            "Lỗi",
            "gone",
        ),
        ("<p>Bài viết không tồn tại hoặc đã bị gỡ bỏ.</p>", "Báo Mẫu", "gone"),
        ("<p>Please try the search.</p>", "Page not found | News", "gone"),
        (
            (
                "<p>We and our 812 partners store information on your device.</p><p>You can accept all cookies or "
                "manage cookies at any time in the settings of this site before you go on to read.</p>"
            ),
            "News",
            "consent",
        ),
    ],
)
def test_pages_shown_in_place_of_an_article_are_rejected(body: str, title: str, reason: str) -> None:
    assert reason_of(news_page(body=body, title=title), url="https://bao.example/a-1.html") == reason


def test_a_paywall_stub_is_recognised_by_the_declared_text() -> None:
    ld = {
        "@type": "NewsArticle",
        "headline": "x",
        "isAccessibleForFree": False,
        "articleBody": " ".join(PARAGRAPHS) * 5,
    }
    stub = f"<h1>Tựa</h1><p>{PARAGRAPHS[0]}</p><p>{PARAGRAPHS[1]}</p>"
    head = f'<script type="application/ld+json">{json.dumps(ld)}</script>'

    assert reason_of(news_page(head=head, body=stub), url="https://bao.example/a-1.html") == "paywall"


@pytest.mark.parametrize(
    ("said", "is_stub"),
    [
        ("Subscribe now to continue reading", True),
        ("Already a subscriber? Log in", True),
        ("Dieser Artikel ist nur für Abonnenten", True),
        ("Đăng nhập để đọc tiếp", True),
        ("Bài dành cho hội viên", True),
        ("", False),
        ("Đọc báo mỗi sáng", False),
    ],
)
def test_a_short_paid_article_is_a_stub_only_if_the_page_mentions_a_paywall(said: str, is_stub: bool) -> None:
    head = '<script type="application/ld+json">{"@type": "NewsArticle", "isAccessibleForFree": false}</script>'
    body = f"<article><h1>Tựa</h1><p>{PARAGRAPHS[0]}</p><p>{PARAGRAPHS[1]}</p><div>{said}</div></article>"
    markup, rules = news_page(head=head, body=body), ExtractRules(min_words=20, languages=())

    if is_stub:
        assert reason_of(markup, url="https://bao.example/a-1.html", rules=rules) == "paywall"
    else:
        assert PARAGRAPHS[1] in read(markup, rules=rules).text


def test_a_paid_article_that_is_shown_whole_is_an_article() -> None:
    ld = {"@type": "NewsArticle", "headline": "x", "isAccessibleForFree": False, "articleBody": " ".join(PARAGRAPHS)}
    head = f'<script type="application/ld+json">{json.dumps(ld)}</script>'

    assert PARAGRAPHS[2] in read(news_page(head=head)).text


@pytest.mark.parametrize(("kind", "reason"), [("VideoObject", "video"), ("ImageGallery", "gallery")])
def test_video_pages_and_galleries_with_few_words_are_rejected(kind: str, reason: str) -> None:
    head = f'<script type="application/ld+json">{json.dumps({"@type": kind, "name": "x"})}</script>'

    assert (
        reason_of(news_page(head=head, body=f"<h1>x</h1><p>{PARAGRAPHS[0]}</p>"), url="https://bao.example/v-1")
        == reason
    )


@pytest.fixture(scope="module")
def reader() -> ArticleExtractor:
    return ArticleExtractor(ExtractRules(min_words=60, languages=("vi",)))


def test_short_and_foreign_articles_are_rejected_as_pages_and_as_texts(reader: ArticleExtractor) -> None:
    short = page_of(news_page(body=f"<article><h1>x</h1><p>{PARAGRAPHS[0]}</p></article>"))
    english = Text(text="The minister said on Friday that the talks on rice would go on for another week. " * 8)
    few = Text(text=PARAGRAPHS[0])

    reasons = []
    for content in (short, english, few, Text(text=" \n ")):
        with pytest.raises(ExtractError) as caught:
            reader.read(content, hints_of(), fetched_at=NOW)
        reasons.append(caught.value.reason)

    assert reasons == ["short", "language", "short", "empty"]


def test_a_text_is_only_cleaned(reader: ArticleExtractor) -> None:
    raw = "  " + "\n\n".join(PARAGRAPHS) + "\x00\n"

    article = reader.read(Text(text=raw, title=" Tựa\u00a0đề "), hints_of(), fetched_at=NOW)

    assert article.text == "\n".join(PARAGRAPHS)
    assert (article.title, article.language) == ("Tựa đề", "vi")
    assert article.words == sum(len(paragraph.split()) for paragraph in PARAGRAPHS)


def test_an_explanation_of_a_rejected_page_says_why(reader: ArticleExtractor) -> None:
    page = page_of(news_page(body=listing_body()), url="https://bao.example/kinh-te")

    explanation = reader.explain(page, hints_of(), fetched_at=NOW)

    assert (explanation.article, explanation.reason) == (None, "listing")
    assert dict(explanation.figures)["teasers"] == "12"


@pytest.mark.parametrize("refresh", ["0; url=/bai.html", "10;URL='https://bao.example/bai.html'"])
def test_a_saved_page_that_only_redirects_is_no_article(refresh: str) -> None:
    notice = "<p>" + "Bạn đang được chuyển đến bài viết, xin chờ trong giây lát. " * 6 + "</p>"
    head = f'<meta http-equiv="refresh" content="{refresh}">'

    assert reason_of(news_page(head=head, body=notice)) == "moved"


def test_a_page_that_reloads_itself_or_redirects_much_later_is_an_article() -> None:
    for refresh in ("5", "1800; url=/"):
        assert read(news_page(head=f'<meta http-equiv="refresh" content="{refresh}">')).text


def cards(
    count: int, *, tag: str = "div", name: str = "card", words: str = "Máy bơm chạy êm, giá {} $, còn hàng."
) -> str:
    boxes = "".join(
        f'<{tag} class="{name}"><a href="/hang/may-{i}"><img src="{i}.png"> Máy bơm số {i}</a> {words.format(10 + i)}'
        f"</{tag}>"
        for i in range(count)
    )
    return f"<div>{boxes}</div>"


LISTS = {
    "a shop's goods": cards(24),
    "the same in a list": cards(24, tag="li"),
    "the same without classes": cards(24, name=""),
    "a directory in a table": "<table>"
    + "".join(f'<tr><td><a href="/hoi/{i}">Hội số {i}</a></td><td>{40 + i} hội viên</td></tr>' for i in range(40))
    + "</table>",
    "a programme of events": cards(
        30, words="<p>Nhà văn hóa quận mở cửa lúc {} giờ, vào cửa tự do cho mọi người trong quận.</p>"
    ),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_other_things_than_articles_are_no_articles(kind: str) -> None:
    lead = f"{menu('/hang')}<h1>Danh mục</h1><p>{TEASER}</p>"

    assert reason_of(news_page(body=lead + LISTS[kind], title="Danh mục"), url="https://shop.example/hang") == "listing"


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/",
        "https://shop.example/may-bom",
        "https://shop.example/c?loai=bom",
        "file:///trang/7.html",
    ],
)
def test_a_list_is_one_under_any_address_that_names_no_article(url: str) -> None:
    body = f"<h1>Máy bơm</h1>{cards(30)}{cards(30, name='offer')}"
    head = '<link rel="canonical" href="https://shop.example/may-bom">'

    assert reason_of(news_page(head=head, body=body, title="Máy bơm"), url=url) == "listing"


NUMBERED = "".join(
    f'<div class="muc"><h2>{i}. Quán thứ {i}</h2><p>{PARAGRAPHS[i % 4]}</p><p>Lần {i}: {PARAGRAPHS[(i + 1) % 4]} '
    f'<a href="https://quan-{i}.example/">Trang của quán</a></p></div>'
    for i in range(10)
)


@pytest.mark.parametrize(
    "body",
    [
        article_body(),
        article_body() + cards(40),
        f"<main><h1>Mười quán ngon</h1>{NUMBERED}</main>",
        f"<main><h1>Ngắn</h1><p>{PARAGRAPHS[0]}</p><p>{PARAGRAPHS[1]}</p><p>{PARAGRAPHS[2]}</p></main>",
    ],
    ids=["plain", "above a shop", "a numbered list of texts", "short"],
)
@pytest.mark.parametrize(
    "url", ["https://bao.example/quan-ngon-o-pho-co", "https://bao.example/a/81234.html", "file:///trang/7.html"]
)
def test_an_article_without_metadata_is_an_article(body: str, url: str) -> None:
    assert PARAGRAPHS[0] in read(news_page(body=body, title="Báo Mẫu"), url=url).text


def _short_article(headline: str, *, kind: str) -> str:
    """Return two paragraphs that repeat the words of the headline in the title, under no more than an `h2`."""
    first = "Hội đồng thị xã tối thứ hai bỏ phiếu sửa chữa cây cầu đá cổ bắc qua sông trước khi mùa đông bắt đầu."
    second = "Các kỹ sư cảnh báo hai trong năm nhịp của cây cầu không còn chịu nổi sức nặng của xe buýt và xe tải nữa."
    text = f"<p>{first}</p><p>{second}</p>" if kind != "breaks" else f"<p>{first}<br><br>{second}</p>"
    return f"<div class='content'>{headline}{text}</div>"


_BRIDGE = "Hội đồng thị xã bỏ phiếu sửa chữa cây cầu đá cổ"


@pytest.mark.parametrize("kind", ["after", "before", "breaks", "excerpts"])
def test_a_short_article_is_one_whatever_is_beside_it_and_only_its_text_is_stored(kind: str) -> None:
    for headline in (f"<h1>{_BRIDGE}</h1>", f"<h2>{_BRIDGE}</h2>", "<h1><a href='/'>Báo Mới</a></h1>", ""):
        article = _short_article(headline, kind=kind)
        teasers = listing_body(40).removeprefix("<h1>Kinh tế</h1>")
        if kind == "excerpts":
            teasers = teasers.replace("<p>", "<p class='excerpt'>").replace("</p>", "</p><a href='/x'>Đọc</a>")
        body = teasers + article if kind == "before" else article + teasers
        page = f"<html><head><title>{_BRIDGE} | Báo Mới</title></head><body>{body}</body></html>"
        text = read(page, url="https://bao.example/cau", rules=ExtractRules(min_words=40, languages=())).text
        lines = [line for line in text.splitlines() if line != "Báo Mới"]
        assert [line[:8] for line in lines] == ["Hội đồng", "Các kỹ s"], (kind, headline)


@pytest.mark.parametrize(
    ("title", "heading", "path"),
    [
        ("Cầu đá | Báo Mới", "", "/cau"),
        (f"{_BRIDGE} | Báo Mới", "Hội đồng thị xã", "/cau"),
        (f"{_BRIDGE} | Báo Mới", "", "/"),
        (f"{_BRIDGE} | Báo Mới", "", "/tag/cau"),
        ("Mọi tin tức về giá xăng dầu và thị trường", "", "/xang"),
    ],
    ids=["a short title", "a heading that is a name", "a home page", "a folder of lists", "words of no headline"],
)
def test_a_list_with_an_introduction_is_a_listing(title: str, heading: str, path: str) -> None:
    body = _short_article(f"<h1>{heading}</h1>", kind="after") + listing_body(40).removeprefix("<h1>Kinh tế</h1>")
    page = f"<html><head><title>{title}</title></head><body>{menu(path)}{body}</body></html>"
    rules = ExtractRules(min_words=40, languages=())
    assert reason_of(page, url=f"https://bao.example{path}", rules=rules) == "listing"


def _section(*, teasers: int, after: str = "", names: str = "") -> str:
    """Return a page of teasers under a longer introduction, with a title that reads like a headline."""
    introduction = _short_article(f"<h1>{_BRIDGE}</h1>", kind="after")
    body = introduction + listing_body(teasers).removeprefix("<h1>Kinh tế</h1>") + after
    return f"<html><head><title>{_BRIDGE} | Báo Mới</title></head><body class='{names}'>{body}</body></html>"


@pytest.mark.parametrize(
    ("names", "path"),
    [("archive category category-12", "/cau"), ("archive tag paged", "/cau"), ("", "/cau?page=3")],
    ids=["a category", "a further page of a tag", "a page of a list in the query"],
)
def test_a_list_that_its_template_or_address_names_is_one_whatever_its_introduction(names: str, path: str) -> None:
    page = _section(teasers=20, names=names).replace("<div class='content'>", f"{menu(path)}<div class='content'>", 1)
    assert reason_of(page, url=f"https://bao.example{path}") == "listing"


def test_an_article_with_the_classes_of_its_category_is_no_list() -> None:
    page = _section(teasers=20, names="single single-post category-12 tag-cau")
    assert "Hội đồng" in read(page, url="https://bao.example/cau", rules=ExtractRules(min_words=40, languages=())).text

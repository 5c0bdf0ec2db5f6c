"""No markup around an article loses its text: every removal is limited, and a fault costs one step only."""

from __future__ import annotations

import json

import pytest

from tests.unit.extract.pages import LEAD, NOW, PARAGRAPHS, TITLE, hints_of, news_page, page_of, read
from worker.errors import ExtractError
from worker.extract import article as reader
from worker.extract.article import ArticleExtractor, extract_page
from worker.extract.explain import Trace
from worker.extract.ipc import ExtractRules
from worker.extract.main_text import finder
from worker.extract.main_text.text_blocks import ArticleBlock
from worker.models import Page

RULES = ExtractRules(min_words=20, languages=())
TEXT = "".join(f"<p>{paragraph}</p>" for paragraph in (LEAD, *PARAGRAPHS))
INSIDE = f"<h1>{TITLE}</h1>{TEXT}"
MENU = "<nav><ul><li><a href='/a'>Thời sự</a></li><li><a href='/b'>Kinh tế</a></li></ul></nav>"
CONTROL = "<p>Chúng tôi dùng cookie.</p>"
_PAID = json.dumps({"@type": "NewsArticle", "headline": TITLE, "isAccessibleForFree": False})


@pytest.mark.parametrize(
    "markup",
    [
        f"<button><div>Tìm</button>{INSIDE}",
        f"{MENU}<button class=menu><span>Mở</span><div>{INSIDE}",
        f"<form action='/tim'><input name=q>{INSIDE}</form>",
        f"<form id=aspnetForm><div>{MENU}<div>{INSIDE}</div></div></form>",
        f"<nav><div>Trang chủ{INSIDE}</nav>",
        f"<main>{CONTROL}</main><aside>{INSIDE}</aside>",
        f"<main>{CONTROL}</main><footer><section>{INSIDE}</section></footer>",
        f"<div>{CONTROL}</div><dialog open>{INSIDE}</dialog>",
        f"<noscript>{INSIDE}</noscript><div id=root></div>",
        f"<object data=x><div>{INSIDE}</div></object>",
        f"<fieldset><legend>Tin</legend>{INSIDE}</fieldset>",
        f"<menu><div>{INSIDE}</div></menu>",
        f"<figure><div>{INSIDE}</div></figure>",
        f"<div class='layout has-comments'>{MENU}{INSIDE}</div>",
        f"<section id=comment-wrapper><div>{INSIDE}</div></section>",
        f"<div><div><div>{MENU}<div><table><tr><td>{INSIDE}</td></tr></table></div>",
        f"<amp-lightbox></amp-lightbox><article>{INSIDE}</article><amp-sidebar>{CONTROL}</amp-sidebar>",
        f"<news-body><div>{INSIDE}</div></news-body>",
        f"<div class='sect_article news commentary'>{INSIDE}</div>",
        f"<script src='/a.js'></script\n\n<!-- a bracket was forgotten -->{INSIDE}<script>var a;</script>",
        "".join(f"<div class=live-match-comment><div>{each}</div></div>" for each in (LEAD, *PARAGRAPHS)),
        f"<div class=gallery><h1>{TITLE}</h1>{CONTROL}"
        + "".join(f"<div class='item item__comment'><p>{each}</p></div>" for each in (LEAD, *PARAGRAPHS)),
        f"{CONTROL}<div itemprop=articleBody><script type='x/y'>{TEXT}</script><noscript>{TEXT}</noscript></div>",
    ],
)
def test_an_article_in_odd_markup_is_extracted_whole(markup: str) -> None:
    text = read(news_page(body=markup), rules=RULES).text

    assert [paragraph for paragraph in (LEAD, *PARAGRAPHS) if paragraph not in text] == []


@pytest.mark.parametrize("tag", ["button", "select", "dialog", "menu"])
def test_a_control_with_a_few_sentences_is_removed(tag: str) -> None:
    said = "Bạn hãy đăng nhập để lưu bài này vào danh sách của mình và đọc lại khi có thời gian rảnh rỗi hơn."
    body_ = f"<main><article>{INSIDE}<{tag}><option></option><b>{said}</b></{tag}></article></main>"

    assert said not in read(news_page(body=body_), rules=RULES).text


@pytest.mark.parametrize("frame", ["{}{}", "<div class='page has-comments'><h1>T</h1>{}{}</div>"])
def test_named_comments_below_the_article_are_removed_however_many_they_are(frame: str) -> None:
    remark = "<div class=comment><p>Tôi thấy bài này rất bổ ích, cảm ơn tác giả đã viết cho chúng tôi đọc.</p></div>"
    body_ = frame.format(f"<article>{INSIDE}</article>", f"<div id=comments>{remark * 40}</div>")

    text = read(news_page(body=body_), rules=RULES).text

    assert ("bổ ích" in text, PARAGRAPHS[-1] in text) == (False, True)


@pytest.mark.parametrize(
    "url",
    [
        "https://bao.example/2011/09/11/gefallt-mir/",
        "https://bao.example/tin/cuoc-noi-chuyen-kho-24376.aspx",
        "https://bao.example/tin/mot-bai-viet-rat-ngan.html",
    ],
)
def test_a_short_text_beside_many_links_is_an_article(url: str) -> None:
    links = "".join(f"<li class=m><a href='/{n}'>Một tin khác dài hơn của trang {n}</a></li>" for n in range(15))
    markup = f"<h2><a href='{url}'>{TITLE}</a></h2><p>{LEAD}</p><ul>{links}</ul>"

    assert LEAD in read(news_page(body=f"<div>{markup}</div>"), rules=RULES, url=url).text


def test_a_box_of_comments_may_hold_more_than_the_article_but_not_ten_times_as_much() -> None:
    remark = "<p>Tôi thấy bài viết này rất hay và bổ ích, cảm ơn tác giả đã viết cho bạn đọc chúng tôi.</p>"
    page_ = news_page(body=f"<article>{INSIDE}</article><div class=x><h3>Bình luận (7)</h3>{remark * 7}</div>")

    assert "bổ ích" not in read(page_, rules=RULES).text


@pytest.mark.parametrize("broken", ["find_lead", "remove_comments", "remove_link_blocks"])
def test_a_fault_in_a_step_costs_that_step(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("cannot be")

    monkeypatch.setattr(finder, broken, fail)

    reading = read(news_page(body=f"<article>{INSIDE}</article>"), rules=RULES)

    assert reading.text.split("\n") == [LEAD, *PARAGRAPHS]
    assert reading.fallbacks == ("fault",)


@pytest.mark.parametrize("broken", ["extract_body", "measure_density", "find_teasers"])
def test_after_a_fault_in_our_extraction_the_text_is_the_librarys(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("cannot be")

    monkeypatch.setattr(finder, broken, fail)

    reading = read(news_page(body=f"<article>{INSIDE}</article>"), rules=RULES)

    assert PARAGRAPHS[3] in reading.text
    assert set(reading.fallbacks) == {"library", "fault"}
    assert any("AssertionError: cannot be at test_nothing_lost.py" in note for note in reading.notes)


@pytest.mark.parametrize("broken", ["find_title", "remove_controls", "find_published"])
def test_a_fault_in_a_field_costs_that_field(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(reader, broken, fail)

    reading = read(news_page(body=f"<article>{INSIDE}</article>"), rules=RULES)

    assert PARAGRAPHS[3] in reading.text
    assert reading.fallbacks == ("fault",)


def test_after_a_fault_outside_any_step_the_text_is_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("odd head")

    monkeypatch.setattr(reader, "open_document", fail)
    fetched = page_of(news_page(body=f"<article>{INSIDE}</article>"))

    article = ArticleExtractor(RULES).read(fetched, hints_of(), fetched_at=NOW)

    assert PARAGRAPHS[3] in article.text
    assert article.fallbacks == ("fault",)
    assert "ValueError: odd head" in article.notes[0]


def test_text_that_ours_lost_without_a_reason_is_taken_from_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "extract_body", lambda *_: [])

    reading = read(news_page(body=f"<article>{INSIDE}</article>"), rules=RULES)

    assert PARAGRAPHS[3] in reading.text
    assert reading.fallbacks == ("library",)
    assert "the library's reading" in reading.notes[0]


def test_a_box_that_an_earlier_step_removed_is_no_fault() -> None:
    row = "".join(f'<li><a href="/{i}.html">Tin thứ {i} trong ngày của tòa soạn</a></li>' for i in range(5))
    nested = f"<div class=comments><h3>Bình luận</h3><ul>{row}</ul><div><ul>{row}</ul></div></div>"

    reading = read(news_page(body=f"<article>{INSIDE}</article><div>{nested}</div>{nested}"), rules=RULES)

    assert (reading.notes, "Tin thứ 3" in reading.text) == ((), False)


@pytest.mark.parametrize(
    "joined",
    [
        "".join(f"<p>{paragraph}</p>" for paragraph in PARAGRAPHS),
        "\n\n".join(PARAGRAPHS),
        "&lt;p&gt;" + "&lt;/p&gt;&lt;p&gt;".join(PARAGRAPHS) + "&lt;/p&gt;",
        "<br/><br/>".join(PARAGRAPHS),
    ],
)
@pytest.mark.parametrize("shown", ["<div id=root></div>", "<div id=root><p>Xin bật JavaScript để đọc báo.</p></div>"])
def test_text_that_is_only_in_json_ld_is_the_text(joined: str, shown: str) -> None:
    ld = json.dumps({"@type": "NewsArticle", "headline": TITLE, "articleBody": joined})

    reading = read(news_page(head=f'<script type="application/ld+json">{ld}</script>', body=shown), rules=RULES)

    assert reading.text.split("\n") == list(PARAGRAPHS)
    assert reading.fallbacks == ("json-ld",)


def test_the_declared_text_of_a_paid_article_is_not_used() -> None:
    ld = {"@type": "NewsArticle", "headline": TITLE, "articleBody": " ".join(PARAGRAPHS), "isAccessibleForFree": False}
    head = f'<script type="application/ld+json">{json.dumps(ld)}</script>'

    with pytest.raises(ExtractError) as caught:
        read(news_page(head=head, body=f"<article><h1>{TITLE}</h1><p>{PARAGRAPHS[0]}</p></article>"), rules=RULES)

    assert caught.value.reason == "paywall"


def test_the_trace_says_what_was_kept_and_why() -> None:
    trace = Trace()
    fetched = page_of(news_page(body=f"<button><div>{INSIDE}"))
    extract_page(fetched, hints_of(), RULES, fetched_at=NOW, trace=trace)

    kept = [name for name, _ in trace.explanation().figures if name.startswith("kept although")]

    assert kept == ["kept although it is a control or a player"]


def test_paragraphs_that_links_above_repeat_are_the_text_all_the_same() -> None:
    links = "".join(f"<li><a href='#doan-{place}'>{text}</a></li>" for place, text in enumerate((LEAD, *PARAGRAPHS)))
    about = "Tòa soạn ở số bảy phố Hàng Mẫu, tiếp bạn đọc vào các buổi sáng trong tuần, trừ ngày lễ và chủ nhật."
    body_ = f"<div><ul>{links}</ul></div><main><article>{INSIDE}</article></main><div><p>{about}</p></div>"

    extracted = read(news_page(body=body_), rules=RULES)

    assert (extracted.text.splitlines(), extracted.fallbacks) == ([LEAD, *PARAGRAPHS], ())


def test_the_library_runs_only_at_a_sign_of_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_: Page) -> list[ArticleBlock]:
        raise AssertionError("the library was asked")

    monkeypatch.setattr(finder, "extract_with_library", ask)

    assert read(news_page(body=f"<article>{INSIDE}</article>"), rules=RULES).fallbacks == ()


def test_comments_are_no_sign_of_loss_below_a_text_longer_than_an_introduction(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Page] = []

    def ask(page: Page) -> list[ArticleBlock]:
        asked.append(page)
        return []

    monkeypatch.setattr(finder, "extract_with_library", ask)
    remarks = "".join(f'<div class="comment"><p>{line}</p></div>' for line in _lines(60)[20:])
    for count, times in ((12, 0), (4, 1)):
        text = "".join(f"<p>{line}</p>" for line in _lines(count))
        asked.clear()
        read(news_page(body=f"<article><h1>{TITLE}</h1>{text}</article><div id=comments>{remarks}</div>"), rules=RULES)
        assert len(asked) == times


def _lines(count: int) -> list[str]:
    return [f"Đoạn thứ {i}. {PARAGRAPHS[i % 4]} Nước dâng quanh chân cột mốc." for i in range(count)]


@pytest.mark.parametrize(
    "markup",
    [
        "{0}<p>{1}</p>{2}<br>{3}<p>{4}</p>{5}<p>{6}</p>{7}",
        "<article><h1>T</h1><p><br>{0}<br><br></p><p>{1}<br>{2}<br>{3}</p><p>{4}</p><p>{5}</p>{6}<br>{7}</article>",
        "<center><h1>T</h1></center><font>{0}<br><br>{1}<p>{2}</font><font>{3}<p>{4}<p>{5}<p>{6}</font>{7}",
        "<div><pre>{0}</pre>{1}<details><summary>Mở</summary>{2}</details>{3}{4}<h4>Hết</h4>{5}<hr>{6}<blockquote>{7}</blockquote></div>",
        "<div><h2>T</h2><div>{0}<div>{1}</div>{2}<div>{3}</div></div>{4}<p>{5}</p><p>{6}</p><div><i>{7}</i></div></div>",
        "<main><h1>T</h1><figure><img></figure>{0}<b>Và</b><p>{1}</p><ul><li>{2}</li></ul>{3}<p>{4}</p>{5}<hr>{6}<section>{7}</section></main>",
    ],
)
def test_text_beside_blocks_is_text(markup: str) -> None:
    lines = _lines(8)

    text = read(news_page(body=markup.format(*lines)), rules=RULES).text

    assert [line for line in lines if text.count(line) != 1] == []
    assert [text.find(line) for line in lines] == sorted(text.find(line) for line in lines)


_BREAKS = (
    "<br><br>",
    "<br/>\n&nbsp;<br/>",
    "<br><!-- quảng cáo --><span></span><br clear=all>",
    "<span><br></span><br>",
    "<div><br></div>",
    "<br>",
)


@pytest.mark.parametrize("line_break", _BREAKS)
@pytest.mark.parametrize(
    "markup",
    [
        "<h1>T</h1><div>{}</div>",
        "<div><h1>T</h1><div><p>{}</div></div>",
        "<div><h1>T</h1><div><span>{}</span></div></div>",
        "<section><b>{}</b></section>",
        "<center><font size=2>{}</font></center>",
        "<table><tr><td><h1>T</h1><font face=x>{}</font></td></tr></table>",
        "<article>{}</article>",
        "{}",
    ],
)
def test_text_between_line_breaks_is_a_line(markup: str, line_break: str) -> None:
    first, second, *rest = _lines(8)
    written = line_break.join((f"<b>{first}</b>", second.replace("Nước", "<i>Nước</i>"), *rest))

    text = read(news_page(body=f"{MENU}{markup.format(written)}<div>Bản tin 2026</div>"), rules=RULES).text

    assert text.split("\n") == [first, second, *rest]


def test_a_song_between_line_breaks_keeps_its_refrain() -> None:
    refrain = ["Thuyền ơi neo lại bến này,", "cho đêm trôi chậm, cho ngày lâu trôi,", "trăng khuya còn đứng bên đồi."]
    verses = [[f"Câu {i} ai hát trên sông,", f"câu {i} ai đợi bên dòng nước xa."] for i in ("một", "hai", "ba")]
    written = "<br><br>".join("<br>".join(part) for verse in verses for part in (verse, refrain))

    text = read(news_page(body=f"{MENU}<h1>Bài hát</h1><div>{written}</div>"), rules=RULES).text

    assert text.split("\n") == [line for verse in verses for line in (*verse, *refrain)]


@pytest.mark.parametrize(
    "said",
    [
        {"articleBody": list(PARAGRAPHS)},
        {"text": "\n".join(PARAGRAPHS)},
        {"liveBlogUpdate": [{"@type": "BlogPosting", "articleBody": each} for each in PARAGRAPHS]},
    ],
    ids=["list", "text", "live"],
)
def test_a_text_is_declared_in_pieces_or_as_the_entries_of_a_live_page(said: dict[str, object]) -> None:
    ld = json.dumps({"@type": "LiveBlogPosting", "headline": TITLE, **said})

    text = read(news_page(head=f'<script type="application/ld+json">{ld}</script>', body="<div id=root></div>")).text

    assert text.split("\n") == list(PARAGRAPHS)


_HEADING = "Ba điều kiện mà quỹ bảo lãnh đặt ra"
_ITEMS = ("Hộ sản xuất phải có sổ sách ít nhất hai năm.", "Chủ xưởng tự góp một phần năm số vốn cần vay.")
_WITH_LIST = (
    f"{''.join(f'<p>{each}</p>' for each in PARAGRAPHS[:2])}<h2>{_HEADING}</h2>"
    f"<ul>{''.join(f'<li>{item}</li>' for item in _ITEMS)}</ul>{''.join(f'<p>{each}</p>' for each in PARAGRAPHS[2:])}"
)


@pytest.mark.parametrize(
    "markup",
    [
        f"<div class='prose prose-lg'><h1>{TITLE}</h1>{_WITH_LIST}</div>",
        f"<div><div class='w-richtext'>{_WITH_LIST}</div></div>",
        f"<article class=teaser><a href=/b>Bài khác</a></article><div class=doc>{_WITH_LIST}</div>",
        f"<div id=content><p>Tìm kiếm</p></div><section class=x1y2>{_WITH_LIST}</section>",
        f"<table><tr><td>{_WITH_LIST}</td></tr></table>",
        f"<h1>{TITLE}</h1>{_WITH_LIST}",
        f"<div>{_WITH_LIST}</div><div class=site-footer><div>{CONTROL * 9}{LEAD * 3}</div></div>",
    ],
)
def test_headings_and_lists_stay_whatever_the_box_around_them_is_called(markup: str) -> None:
    text = read(news_page(body=f"{MENU}{markup}"), rules=RULES).text

    assert [part for part in (*PARAGRAPHS, _HEADING, *_ITEMS) if part not in text] == []


def test_a_box_with_paragraphs_only_is_not_marked() -> None:
    body_ = f"<div><div>{TEXT}</div><div>Cơ quan chủ quản: Sở Thông tin. Giấy phép số 12</div></div>"

    assert "Giấy phép" not in read(news_page(body=body_), rules=RULES).text


# Each paragraph has fewer than 60 letters.
_SHORT_LETTERED = {
    "zh": (
        "市政府星期二宣布，东湖公园的环湖步道将从下个月起分三段翻修，全部工程预计持续到明年春天。",
        "公园管理处说，步道上的木板已经使用了十六年，去年冬天有两处因为积雪太重而断裂。",
        "施工期间南门照常开放，居民可以从临时便道走到湖边，但夜间十点以后不得入内。",
        "附近的小学希望工程避开上课时间，管理处答应把噪音最大的工作安排在周末进行。",
    ),
    "ja": (
        "市は火曜日、東公園の湖を囲む遊歩道を来月から三つの区間に分けて改修すると発表した。",
        "公園事務所によると、遊歩道の板は十六年前のもので、昨年の冬には雪の重みで二か所が折れた。",
        "工事の間も南門は開いており、住民は仮の通路を使って湖まで歩くことができるという。",
        "近くの小学校は授業の時間を避けるよう求め、事務所は音の大きい作業を週末に行うと答えた。",
    ),
}


@pytest.mark.parametrize("language", _SHORT_LETTERED)
@pytest.mark.parametrize("frame", ["<div>{}</div>", "<div><section>{}</section></div>", "<table><tr><td>{}</table>"])
@pytest.mark.parametrize("part", ["<div>{}</div>", "{}<br><br>"])
def test_paragraphs_of_few_letters_that_are_much_text_are_lines(language: str, frame: str, part: str) -> None:
    paragraphs = _SHORT_LETTERED[language]
    text = "".join(map(part.format, paragraphs))

    page = f"<div><a href=/>A</a> | <a href=/b>B</a></div><h1>{TITLE}</h1>{frame.format(text)}<div>© 2026</div>"

    assert read(news_page(body=page), rules=RULES).text.split("\n") == [*paragraphs]


@pytest.mark.parametrize("frame", ["<div class=b>{}</div>", "<div class=detail-content><section>{}</section></div>"])
@pytest.mark.parametrize("part", ["div", "section", "center"])
def test_a_box_for_each_paragraph_is_a_line_for_each(frame: str, part: str) -> None:
    text = "".join(f"<{part}>{each}</{part}>" for each in (LEAD, *PARAGRAPHS))
    menu = (
        "<div id=top><a href=/>Trang chủ</a> <a href=/a>Thời sự</a> | Thứ hai, 30/11/2026 | Hotline 0900 000 000</div>"
    )
    tags = "<div>Từ khóa: <a href=/t>đê</a></div>"
    page = f"{menu}<h1>{TITLE}</h1><div>Chia sẻ Facebook Zalo</div>{frame.format(text)}{tags}"

    assert read(news_page(body=page), rules=RULES).text.split("\n") == [LEAD, *PARAGRAPHS]


@pytest.mark.parametrize("name", ["widget", "meta"])
@pytest.mark.parametrize("frame", ["article", "main", "div class=post-content"])
@pytest.mark.parametrize("around", ["div class='{}'", "section class='box {}-inner'"])
def test_a_name_that_a_box_of_the_article_has_costs_none_of_its_text(name: str, frame: str, around: str) -> None:
    box, (first, *rest) = around.format(name), (LEAD, *PARAGRAPHS)
    inside = "".join(f"<p>{each}</p>" for each in rest)
    small = f"<div class='{name}-small'><p>{CONTROL}</p></div>"
    page = news_page(
        body=f"<{frame}><h1>{TITLE}</h1><p>{first}</p><p>{first[::-1]}</p><{box}>{inside}</{box.split()[0]}>{small}"
    )

    text = read(page, rules=RULES).text

    assert [paragraph for paragraph in (first, *rest) if paragraph not in text] == []


def test_a_footer_with_much_of_the_text_is_not_the_article() -> None:
    notices = "".join(f"<p>{each[::-1]}</p>" for each in PARAGRAPHS)
    page = news_page(body=f"<article><h1>{TITLE}</h1>{TEXT}<div class=page-footer>{notices}</div></article>")

    text = read(page, rules=RULES).text

    assert PARAGRAPHS[0] in text
    assert PARAGRAPHS[0][::-1] not in text


def test_a_page_without_any_text_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read_again: list[Page] = []
    monkeypatch.setattr(finder, "extract_with_library", read_again.append)

    for body in ("<div id=root></div>", "<noscript><img src=/pixel></noscript><div id=root></div>"):
        with pytest.raises(ExtractError, match=r"no article text|too short"):
            ArticleExtractor(RULES).read(page_of(news_page(body=body)), hints_of(), fetched_at=NOW)

    assert read_again == []


@pytest.mark.parametrize(
    "script",
    [
        "self.next.push([1,{}])",
        'window.state = {{"menu": "<p>a</p>", "article": {{"html": {}}}}}',
        'self.next.push([1,{}]); var open = "',
    ],
)
def test_the_article_of_a_page_that_its_scripts_render_is_read_from_these(script: str) -> None:
    held = json.dumps(TEXT)
    for code in (
        script.format(held),
        script.format(held.replace("<", "\\u003c")),
        script.format(json.dumps(f"[{held}]")),
    ):
        page = news_page(body=f"<header>{CONTROL}</header><div id=root></div><script>{code}</script>")
        extracted = read(page, rules=RULES)
        paid = page.replace("</title>", f"</title><script type=application/ld+json>{_PAID}</script>")

        assert [paragraph for paragraph in (LEAD, *PARAGRAPHS) if paragraph not in extracted.text] == []
        assert extracted.fallbacks == ("library",)
        assert PARAGRAPHS[0] not in read(paid, rules=RULES).text


def test_dropped_boxes_are_explained_in_page_order() -> None:
    names = [f"Khối {number}" for number in range(9)]
    boxes = "".join(f"<ul><li><a href=/{i}>{name} một</a></li>{'<li><a href=/x>hai</a></li>' * 3}</ul>"
                    for i, name in enumerate(names))  # fmt: skip
    page = page_of(news_page(body=f"<article>{TEXT}</article>{boxes}"))

    dropped = ArticleExtractor(RULES).explain(page, hints_of(), fetched_at=NOW).dropped

    assert [block.text[: len(names[0])] for block in dropped if block.text.startswith("Khối")] == names

"""A page becomes its article: the lead first, without boilerplate, nothing of the article lost."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.unit.extract.pages import LEAD, NOW, PARAGRAPHS, TITLE, URL, article_body, hints_of, news_page, page_of, read
from worker.charset.characters import fold
from worker.errors import ExtractError, FetchBlocked
from worker.extract.article import extract_page
from worker.extract.explain import Trace
from worker.extract.ipc import ExtractRules
from worker.extract.main_text.boilerplate import paragraph_key

RELATED = (
    '<ul class="lien-quan"><li><a href="/a">Giá vàng lình xình, người mua vắng bóng sau ngày Thần Tài</a></li>'
    '<li><a href="/b">Cước vận tải hạ tuần thứ ba liên tiếp</a></li>'
    '<li><a href="/c">Xăng giảm nhẹ chiều nay</a></li></ul>'
)
INSET = (
    '<div class="VCSortableInPreviewMode" type="content"><p>Theo số liệu của hiệp hội, dư nợ cho vay hộ sản xuất '
    "của toàn tỉnh tính đến cuối tháng Hai đạt hơn chín nghìn tỷ đồng, chỉ tăng hai phần trăm.</p></div>"
)
WHOLE = "\n".join((LEAD, *PARAGRAPHS))


def test_the_article_is_its_lead_and_its_paragraphs_and_nothing_else() -> None:
    assert read(news_page()).text == WHOLE


def test_a_lead_that_is_there_twice_is_kept_once_and_first() -> None:
    page = news_page(body=article_body(inside=f"<p>{LEAD}</p>"))

    assert read(page).text == WHOLE


def test_a_lead_far_from_the_text_is_found_by_the_pages_description() -> None:
    body = article_body(lead="").replace("<main>", f'<div class="x1"><p>{LEAD}</p></div><main>')

    text = read(news_page(head=f'<meta name="description" content="{LEAD[:90]}…">', body=body)).text

    assert text == WHOLE


def test_a_description_of_the_site_in_a_footer_above_the_text_is_no_lead() -> None:
    site = "Báo Mẫu đưa tin nhanh và đúng về kinh tế, xã hội, giáo dục và đời sống của người dân cả nước mỗi ngày."
    body = article_body(lead="").replace("<main>", f"<footer><div><p>{site}</p></div></footer><main>")

    reading = read(news_page(head=f'<meta name="description" content="{site}">', body=body))

    assert reading.text == "\n".join(PARAGRAPHS)


def test_a_caption_that_the_page_gives_as_its_description_is_no_lead() -> None:
    caption = "Công nhân một xưởng may ở ngoại thành làm ca tối để kịp giao đơn hàng cuối năm cho đối tác nước ngoài."
    figure = f"<figure><img src=x><figcaption><div>{caption}</div></figcaption></figure>"
    body = article_body(lead="").replace("<main>", f"<main>{figure}")

    text = read(news_page(head=f'<meta name="description" content="{caption}">', body=body)).text

    assert caption not in text


@pytest.mark.parametrize("name", ["Article_elementLead__N3pGr", "articleStandfirst", "bai-sapo"])
def test_a_box_named_as_lead_is_the_lead_even_if_the_description_is_the_first_paragraph(name: str) -> None:
    body = article_body(lead="").replace('<h2 class="sapo"></h2>', f'<div class="{name}"><p>{LEAD}</p></div>')

    reading = read(news_page(head=f'<meta name="description" content="{PARAGRAPHS[0]}">', body=body))

    assert reading.text == "\n".join((LEAD, *PARAGRAPHS))


def test_the_pages_own_address_is_no_text_but_others_are() -> None:
    printed = f"<p>{URL.replace('https://', 'http://www.')}/</p>"
    other = "<p>https://bao.example/kinh-te/mot-bai-khac-99.html</p>"

    text = read(news_page(body=article_body(inside=printed + other))).text

    assert URL.partition("://")[2] not in text
    assert "mot-bai-khac-99" in text


@pytest.mark.parametrize(
    "line",
    ['[button link="https://bao.example/gui" type="big"] Gửi bài[/button]', "[gallery ids=”1,2,3”]", "[ad id=12]"],
)
def test_shortcodes_that_the_site_failed_to_expand_are_dropped(line: str) -> None:
    text = read(news_page(body=article_body(inside=f"<p>{line}</p>"))).text

    assert text == "\n".join((LEAD, *PARAGRAPHS))


@pytest.mark.parametrize("line", ["[Cập nhật lúc 15h] Giá vàng đã giảm thêm hai trăm nghìn đồng.", "[x = 1] là nghiệm"])
def test_other_words_in_brackets_are_kept(line: str) -> None:
    assert line in read(news_page(body=article_body(inside=f"<p>{line}</p>"))).text


def test_a_description_of_the_site_in_its_footer_is_no_lead() -> None:
    about = "Báo Mẫu là tờ báo mẫu mực của những người viết mẫu, ra hằng ngày và phát hành khắp cả nước từ năm 1990."
    body = article_body(after=f"<div><p>{about}</p></div>")

    text = read(news_page(head=f'<meta name="description" content="{about}">', body=body)).text

    assert not text.startswith(about)


@pytest.mark.parametrize(
    "inside",
    [
        RELATED,
        "<p>Xem thêm: Ngân hàng đua nhau tung gói vay mua nhà cho người trẻ</p>",
        "<p>&gt;&gt; Ngân hàng đua nhau tung gói vay mua nhà</p>",
        "<p>Tin liên quan</p>",
        "<p>ĐỌC NHIỀU</p>",
        "<p>Bình luận (12)</p>",
        "<p>Chia sẻ bài viết</p>",
        "<p>Công nhân một xưởng may kiểm hàng trước khi đóng gói. Ảnh: Duy Lộc</p>",
        "<p>(Ảnh: TTXVN)</p>",
        f"<p>{TITLE}</p>",
    ],
)
def test_boilerplate_between_paragraphs_is_dropped(inside: str) -> None:
    assert read(news_page(body=article_body(inside=inside))).text == WHOLE


@pytest.mark.parametrize(
    "inside",
    [
        "<h3>Vướng ở tài sản bảo đảm</h3>",
        INSET,
        "<blockquote><p>Chúng tôi không thiếu đơn hàng, chỉ thiếu vốn lưu động, bà Hoài nói.</p></blockquote>",
        "<p>“Chia sẻ gánh nặng với doanh nghiệp nhỏ là việc phải làm ngay trong quý này”, ông Bảo nói.</p>",
        "<p>Xem thêm nhiều hồ sơ cũ, đoàn khảo sát nhận thấy lý do từ chối gần như không thay đổi qua các năm.</p>",
    ],
    ids=["heading", "inset", "quote", "share-in-a-sentence", "more-in-a-sentence"],
)
def test_article_text_is_kept(inside: str) -> None:
    text = read(news_page(body=article_body(inside=inside))).text

    assert len(text) > len(WHOLE)
    assert all(paragraph in text for paragraph in PARAGRAPHS)


def test_a_paragraph_that_the_host_repeats_is_dropped_once_learned() -> None:
    printed = "Mọi thông tin phản ánh xin gửi về đường dây nóng của tòa soạn trong giờ hành chính các ngày trong tuần."
    page = page_of(news_page(body=article_body(inside=f"<p>{printed}</p>")))
    learned = hints_of(boilerplate=frozenset({paragraph_key(fold(printed))}))

    before = extract_page(page, hints_of(), ExtractRules(), fetched_at=NOW, trace=Trace())
    after = extract_page(page, learned, ExtractRules(), fetched_at=NOW, trace=Trace())

    assert printed in before.text
    assert after.text == WHOLE
    assert paragraph_key(fold(printed)) in after.paragraphs


def test_the_same_page_gives_the_same_text_whatever_was_read_before() -> None:
    page = news_page(body=article_body(inside="<h3>Vướng ở tài sản</h3>"))

    texts = [read(page).text for _ in range(6)]

    assert len(set(texts)) == 1


def test_broken_markup_that_puts_the_article_inside_the_navigation_loses_nothing() -> None:
    body = "<nav>" + article_body().replace("<nav>", "").replace("</nav>", "") + "</nav>"

    assert all(paragraph in read(news_page(body=body)).text for paragraph in PARAGRAPHS)


def test_a_canonical_address_counts_only_within_the_site() -> None:
    own = read(news_page(head='<link rel="canonical" href="/kinh-te/vay-von-nho-1234.html?utm_source=x">'))
    home = read(news_page(head='<link rel="canonical" href="https://bao.example/">'))
    foreign = read(news_page(head='<link rel="canonical" href="https://khac.example/bai-1.html">'))

    assert own.canonical_url.endswith("bao.example/kinh-te/vay-von-nho-1234.html")
    assert home.canonical_url == foreign.canonical_url == hints_of().canonical_url


def test_rights_signals_are_recorded_and_only_configured_ones_reject_an_article() -> None:
    head = '<meta name="robots" content="index, noarchive, max-snippet:-1"><link rel="license" href="/giay-phep">'
    page = page_of(news_page(head=head), headers={"x-robots-tag": "googlebot: noai", "tdm-reservation": "1"})

    reading = extract_page(page, hints_of(), ExtractRules(), fetched_at=NOW, trace=Trace())

    assert reading.rights.robots == ("noai", "noarchive")
    assert (reading.rights.tdm_reservation, reading.rights.licence) == ("1", "/giay-phep")
    with pytest.raises(FetchBlocked, match="noai"):
        extract_page(page, hints_of(), ExtractRules(refuse=("noai",)), fetched_at=NOW, trace=Trace())
    with pytest.raises(FetchBlocked, match="tdm"):
        extract_page(page, hints_of(), ExtractRules(refuse=("tdm",)), fetched_at=NOW, trace=Trace())


@pytest.mark.parametrize(
    ("head", "headers", "said"),
    [
        ("", {"well-known-tdm-reservation": "1"}, "1"),
        ("", {"well-known-tdm-reservation": "1", "tdm-reservation": "0"}, "0"),
        ('<meta name="tdm-reservation" content="0">', {"well-known-tdm-reservation": "1"}, "0"),
    ],
)
def test_the_pages_own_reservation_overrides_its_sites(head: str, headers: dict[str, str], said: str) -> None:
    page = page_of(news_page(head=head), headers=headers)

    reading = extract_page(page, hints_of(), ExtractRules(), fetched_at=NOW, trace=Trace())

    assert reading.rights.tdm_reservation == said


def test_statements_about_use_are_combined_from_the_page_its_response_and_its_site() -> None:
    head = (
        '<meta name="content-signal" content="ai-input=no"><meta name="content-usage" content="search=y">'
        '<meta name="robots" content="max-image-preview:none, ai-train=no">'
    )
    headers = {
        "content-usage": "train-ai=y",
        "robots-content-usage": "train-ai=n",
        "robots-content-signal": "search=yes",
    }
    page = page_of(news_page(head=head), headers=headers)

    reading = extract_page(page, hints_of(), ExtractRules(), fetched_at=NOW, trace=Trace())

    assert reading.rights.robots == ()
    assert reading.rights.content_usage == ("search=y", "train-ai=n")
    assert reading.rights.content_signal == ("ai-input=no", "ai-train=no", "search=yes")
    with pytest.raises(FetchBlocked, match="ai-train"):
        extract_page(page, hints_of(), ExtractRules(refuse=("ai-train",)), fetched_at=NOW, trace=Trace())


def test_a_page_that_is_not_html_is_rejected_with_a_reason() -> None:
    with pytest.raises(ExtractError) as caught:
        read("chỉ là một dòng chữ, không có thẻ nào")

    assert caught.value.reason == "not-html"


@pytest.mark.parametrize("head", [b"\xff\xd8\xff\xe0", b"%PDF-1.7\n<p>", b"<html><body><p>"])
def test_binary_data_is_no_article_in_some_language(head: bytes) -> None:
    body = head + random.Random(7).randbytes(20_000)
    page = replace(page_of(""), body=body)

    with pytest.raises(ExtractError, match="holds binary data"):
        extract_page(page, hints_of(), ExtractRules(), fetched_at=NOW, trace=Trace())


def test_a_page_in_utf_16_is_no_binary_data() -> None:
    for codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-32-le"):
        page = replace(page_of(""), body=news_page().lstrip().encode(codec))

        assert PARAGRAPHS[0] in extract_page(page, hints_of(), ExtractRules(), fetched_at=NOW, trace=Trace()).text


def test_an_explanation_has_the_origin_of_fields_and_the_dropped_blocks() -> None:
    trace = Trace()
    head = '<meta property="article:modified_time" content="2026-03-08T10:00:00+07:00">'
    page = page_of(news_page(head=head, body=article_body(inside="<p>Xem thêm: Giá vàng hôm nay</p>")))

    extract_page(page, hints_of(), ExtractRules(), fetched_at=NOW, trace=trace)

    explanation = trace.explanation()
    assert {"title", "lead"} <= {field.name for field in explanation.fields}
    assert ("modified", "meta") in [(field.name, field.origin) for field in explanation.fields]
    assert ("Xem thêm: Giá vàng hôm nay", "points at another article") in [(d.text, d.why) for d in explanation.dropped]
    assert "words" in dict(explanation.figures)

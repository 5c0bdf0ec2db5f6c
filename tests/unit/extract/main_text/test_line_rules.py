"""Rules about single lines drop what they are meant for, and keep sentences, captions and refrains."""

from __future__ import annotations

import pytest

from tests.unit.extract.pages import LEAD, PARAGRAPHS, TITLE, article_body, news_page, read
from worker.extract.main_text.boilerplate import drop_boilerplate
from worker.extract.main_text.finder import put_lead_first
from worker.extract.main_text.phrases import is_cross_link, is_prompt
from worker.extract.main_text.text_blocks import ArticleBlock, make_block

WHOLE = "\n".join((LEAD, *PARAGRAPHS))


@pytest.mark.parametrize(
    "line",
    [
        "Chia sẻ Facebook", "Facebook", "Facebook Twitter Zalo Email", "Sao chép liên kết", "Copy link", "In bài viết",
        "Gửi email", "Theo dõi báo trên Google News", "Theo dõi Báo Mẫu trên", "Đăng nhập", "Đăng ký nhận bản tin",
        "Đăng ký ngay", "© 2026 Báo Mẫu", "Bản quyền thuộc về Báo Mẫu", "Mời bạn đọc gửi ý kiến về tòa soạn",
        "Share this article", "Share on Twitter", "Follow us on Telegram", "Subscribe to our newsletter",
        "Sign up for our newsletter today",
        "Sign up to the Morning Briefing newsletter: news at seven.", "Click here to read more", "Bình luận (12)",
    ],
)  # fmt: skip
def test_requests_to_the_reader_are_prompts(line: str) -> None:
    assert is_prompt(line)


@pytest.mark.parametrize(
    "line",
    [
        "Facebook và Google bị kiện tại tòa án liên bang.", "Twitter mất một nửa doanh thu quảng cáo",
        "Email của bà lộ ra.",
        "Zalo có 75 triệu người dùng", "Print sales fell again last year.", "Google News is back in Spain",
        "Đăng ký kết hôn có thể làm qua mạng từ tháng sau.", "Đăng nhập để nộp thuế từ nay cần có căn cước.",
        "Bản quyền bài hát được chia cho ba người.", "Bản quyền truyền hình World Cup tăng giá",
        "Theo dõi giá vàng trên thị trường thế giới cho thấy điều ngược lại", "Logo mới của hãng gây tranh cãi",
        "Share prices fell on Monday.", "Follow us, the guide said, and do not stop until we reach the river.",
        "Subscribe to a paper that you trust, she told her students.", "Chia sẻ với báo chí, ông nói đã tha thứ.",
        "Sign up for the newsletter wars, a columnist wrote last spring.",
        "Trang chủ của bộ bị tấn công", "Mời thầu lại ba gói xây lắp",
    ],
)  # fmt: skip
def test_sentences_that_begin_like_prompts_are_not_prompts(line: str) -> None:
    assert not is_prompt(line)


_WIDGETS = (
    "<div>CẢM NHẬN CỦA BẠN VỀ BÀI VIẾT NÀY <ul><li>Rất hay</li><li>Hữu ích</li><li>Cần bổ sung</li></ul></div>",
    "<div><h3>Related topics</h3><p>River trade</p><p>Small loans</p></div>",
    "<p><span>Trở lại chủ đề</span> <a href='/kinh-te/'>Kinh tế</a></p>",
    "<p>Back to top</p>",
)


@pytest.mark.parametrize("widget", _WIDGETS)
def test_buttons_and_links_back_below_the_text_are_dropped(widget: str) -> None:
    body = article_body().replace(f"<p>{PARAGRAPHS[-1]}</p>", f"<p>{PARAGRAPHS[-1]}</p>{widget}")

    assert read(news_page(body=body)).text == WHOLE


@pytest.mark.parametrize(
    "line",
    [
        "05/03/2026 16:10 GMT+7", "Thứ Năm, ngày 5 tháng 3 năm 2026 | 16:10 (GMT+7)", "Posted on March 5, 2026",
        "Wednesday, 5 March 2026, 10:15 am", "2026-03-05 16:10", "2026年3月5日 16:10", "El 5 de marzo de 2026",
    ],
)  # fmt: skip
def test_the_day_of_publication_is_no_line_of_the_text(line: str) -> None:
    text = [make_block("paragraph", paragraph) for paragraph in (LEAD, *PARAGRAPHS)]
    date = make_block("paragraph", line)

    for blocks in ([date, *text], [text[0], date, *text[1:]]):
        assert drop_boilerplate(blocks, title=TITLE).blocks == tuple(text)
    diary = [*text[:2], date, *text[2:]]
    assert drop_boilerplate(diary, title=TITLE).blocks == tuple(diary)


@pytest.mark.parametrize(
    "line",
    [
        "Hồ sơ nhận đến hết ngày 5/3/2026", "Hạn cuối: 5/3/2026", "Bến Đò, 5/3/2026 -", "Ra đi ngày 5/3/2026.",
        "Vé số 123456 trúng giải nhất ngày 5/3/2026", "Làng gốm từ năm 2026 vào mùa nước nổi",
    ],
)  # fmt: skip
def test_a_line_that_says_more_than_a_day_is_kept(line: str) -> None:
    blocks = [make_block("paragraph", each) for each in (LEAD, *PARAGRAPHS, line)]

    assert drop_boilerplate(blocks, title=TITLE).blocks == tuple(blocks)


def test_the_days_of_an_event_are_kept() -> None:
    days = ("Thứ Hai, 9/3/2026, 15:00", "Thứ Ba, 10/3/2026, 13:00")
    blocks = [make_block("paragraph", each) for each in (*days, LEAD, *PARAGRAPHS)]

    assert drop_boilerplate(blocks, title=TITLE).blocks == tuple(blocks)


def test_short_lines_at_the_end_are_kept_below_a_heading_of_the_article() -> None:
    lines = ["Hai ký gạo nếp", "Một nắm lá dứa", "Nửa thìa muối"]
    blocks = [make_block("paragraph", each) for each in (LEAD, *PARAGRAPHS, "Cần chuẩn bị", *lines)]

    assert drop_boilerplate(blocks, title=TITLE).blocks == tuple(blocks)


@pytest.mark.parametrize("sign", ["👉", "►", "▶", "»", "→", "☛", "-", "*", "•"])
def test_a_paragraph_after_a_sign_is_kept(sign: str) -> None:
    line = f"{sign} Giai đoạn một kéo dài bốn mươi ngày, để ghe thuyền vẫn qua lại được."

    assert not is_cross_link(line)
    assert line in read(news_page(body=article_body(inside=f"<p>{line}</p>"))).text


def test_a_sentence_after_arrows_is_no_cross_link() -> None:
    assert not is_cross_link(">> Chúng tôi không sợ nước, ông nói với đoàn khảo sát hôm qua.")
    assert is_cross_link(">> Giá tôm thẻ giảm tuần thứ ba liên tiếp ở Bến Đò và các xã lân cận")


@pytest.mark.parametrize("sign", ["👉 ", "► ", ">> ", "» ", "", "* "])
@pytest.mark.parametrize("words", ["Xem thêm: ", "Đọc thêm: ", "Read more: ", "Mời xem: "])
def test_a_cross_link_in_words_is_dropped(sign: str, words: str) -> None:
    assert is_cross_link(f"{sign}{words}Giá tôm thẻ giảm tuần thứ ba")


@pytest.mark.parametrize("credit", ["(Ảnh: Hải Long).", "Ảnh: Hải Long", "(Photo: AP)"])
def test_captions_are_the_text_of_a_photo_essay_and_credits_in_an_article(credit: str) -> None:
    essay = "".join(f"<p>{paragraph[:-1]} {credit}</p>" for paragraph in PARAGRAPHS)
    one = f"<p>Công nhân một xưởng may kiểm hàng trước khi đóng gói {credit}</p>"

    assert read(news_page(body=f"<article><h1>{TITLE}</h1><p>{LEAD}</p>{essay}</article>")).text.count(credit) == 4
    assert read(news_page(body=article_body(inside=one))).text == WHOLE


def blocks(*lines: str) -> list[ArticleBlock]:
    return [make_block("paragraph", line) for line in lines]


REFRAIN = "Ơi dòng sông quê mẹ đêm nay ai thức cùng trăng, ai hò khoan"
VERSES = tuple(f"Mùa nước thứ {i} cha tôi lại gánh đất đắp đê, mẹ tôi che áo" for i in range(6))


@pytest.mark.parametrize(
    "lines",
    [
        tuple(line for verse in VERSES for line in (verse, REFRAIN))[:9],
        (*PARAGRAPHS[:2], REFRAIN + "?", PARAGRAPHS[2], REFRAIN + "?", PARAGRAPHS[3]),
        tuple(line for verse in VERSES[:4] for line in (verse[:30], REFRAIN, REFRAIN + " lần nữa")),
        (*PARAGRAPHS, "Câu hỏi này được nhắc lại ở cuối bài một lần nữa", *VERSES, PARAGRAPHS[3]),
        ("Một", LEAD, "Hai", LEAD, "Ba", LEAD, LEAD),
        (*PARAGRAPHS[:2], *PARAGRAPHS[:2], *PARAGRAPHS[:2]),
    ],
    ids=["refrain", "question", "song", "echo", "filler", "filler-of-two"],
)
def test_repeats_by_the_author_are_kept(lines: tuple[str, ...]) -> None:
    assert [block.text for block in drop_boilerplate(blocks(*lines), title="").blocks] == list(lines)


@pytest.mark.parametrize(
    "lines",
    [
        (LEAD, *PARAGRAPHS, LEAD, *PARAGRAPHS),
        (LEAD, *PARAGRAPHS, *VERSES, *PARAGRAPHS, *VERSES[:5], LEAD),
        (LEAD, *PARAGRAPHS, *VERSES, *(f"{verse} rồi lại về" for verse in VERSES * 3), *PARAGRAPHS[:4], *VERSES),
        (LEAD, PARAGRAPHS[0], LEAD, *PARAGRAPHS[1:]),
        (LEAD, PARAGRAPHS[0], PARAGRAPHS[0], *PARAGRAPHS[1:]),
        (LEAD, *PARAGRAPHS) * 3,
        (LEAD, LEAD),
    ],
    ids=["twice", "shuffled", "run", "lead", "at-once", "three-times", "one-twice"],
)
def test_repeats_by_the_page_are_dropped(lines: tuple[str, ...]) -> None:
    kept = [block.text for block in drop_boilerplate(blocks(*lines), title="").blocks]

    assert kept == list(dict.fromkeys(lines)) or kept == list(dict.fromkeys(lines[:11])) + [
        line for line in lines[11:] if lines.index(line) >= 11
    ]


def test_the_article_again_in_one_block_is_dropped_and_its_paragraphs_are_kept() -> None:
    lines = (*PARAGRAPHS, *(f"{verse} rồi về, ngày dài tháng rộng, nước lên nước xuống" for verse in VERSES))
    joined = " ".join(lines)

    kept = [block.text for block in drop_boilerplate(blocks(joined, *lines), title="").blocks]

    assert kept == list(lines)


def test_a_pair_of_captions_repeated_at_once_is_dropped_once() -> None:
    lines = (LEAD, *PARAGRAPHS[:2], *PARAGRAPHS[:2], PARAGRAPHS[2], PARAGRAPHS[3])

    kept = [block.text for block in drop_boilerplate(blocks(*lines), title="").blocks]

    assert kept == [LEAD, *PARAGRAPHS]


@pytest.mark.parametrize("label", ["Hà Nội", "Quảng Nam", "TP Hồ Chí Minh"])
def test_a_label_that_a_style_sheet_sets_apart_is_a_word_of_its_own(label: str) -> None:
    body = article_body(lead=f'<span class="location-stamp">{label}</span>{LEAD}')

    assert read(news_page(body=body)).text.startswith(f"{label} {LEAD}")


HEADLINES = (
    "Xe tải lật trên cầu, giao thông ùn ứ suốt buổi sáng",
    "Đội bóng huyện vào bán kết giải trẻ",
    "Giá tôm giảm tiếp",
)


@pytest.mark.parametrize(
    "below",
    [
        "".join(f"<p><a href='/{i}.html'>{line}</a></p>" for i, line in enumerate(HEADLINES)),
        "".join(f"<p><a href='https://www.bao.example/{i}.html'>{line}</a></p>" for i, line in enumerate(HEADLINES)),
        "".join(f"<p>• <a href='tin-{i}.html'>{line}</a></p>" for i, line in enumerate(HEADLINES)),
        "<h4>Tin trong ngày</h4>"
        + "".join(f"<p><a href='/{i}'>{line}</a> <i>{i + 1} giờ trước</i></p>" for i, line in enumerate(HEADLINES)),
        "<h3>Nên xem</h3>" + "".join(f"<h5><a href='/{i}'>{line}</a></h5>" for i, line in enumerate(HEADLINES)),
        "<p>Bạn nên xem</p>"
        + "".join(f"<div><b>{line}</b><br><small>{i + 2} giờ trước</small></div>" for i, line in enumerate(HEADLINES)),
        "".join(f"<p>{line}</p><p>{i + 2} hours ago</p>" for i, line in enumerate(HEADLINES)),
    ],
)
def test_headlines_of_other_articles_below_the_text_are_dropped(below: str) -> None:
    text = read(news_page(body=article_body(inside="").replace("</div></article>", f"{below}</div></article>"))).text

    assert [line for line in HEADLINES if line in text] == []
    assert text.startswith(WHOLE)


def _linked_rows(beside: str) -> str:
    return "".join(
        f'<li><h4><a href="/tin-{each}">Bài báo khác số {each} cũng nói về tiền</a></h4><span>{beside}</span></li>'
        for each in range(5)
    )


def test_a_lead_in_several_paragraphs_comes_first_and_once() -> None:
    more = "Ngân hàng Nhà nước nói sẽ xem lại điều kiện cho vay trong quý hai."
    lead = f'<div class="article__preamble rich-text"><p>{LEAD}</p><p>{more}</p></div>'
    rest = [make_block("paragraph", each) for each in PARAGRAPHS]
    whole = [make_block("paragraph", each) for each in (LEAD, more)]

    page = news_page(body=article_body(lead="").replace("</h1>", f"</h1>{lead}"))
    assert read(page).fields.lead == f"{LEAD} {more}"
    assert put_lead_first([*whole, *rest], f"{LEAD} {more}") == [*whole, *rest]
    for left in ([], whole[:1], whole[1:]):
        assert [each.text for each in put_lead_first([*left, *rest], f"{LEAD} {more}")] == [
            f"{LEAD} {more}",
            *PARAGRAPHS,
        ]


@pytest.mark.parametrize("date", ["2026-09-06 20:51", "（2026年9月6日 20:51PM）", "6/9/2026 | 8:51 PM", "3 giờ trước"])
def test_links_with_dates_beside_them_are_a_link_block(date: str) -> None:
    assert read(news_page(body=article_body(after=f"<ul>{_linked_rows(date)}</ul>"))).text == WHOLE


@pytest.mark.parametrize(
    "line",
    [
        "Mehr zum Thema",
        "À lire aussi",
        "Czytaj więcej",
        "相关报道：",
        "関連記事",
        "관련기사",
        "เรื่องที่เกี่ยวข้อง",
        "اقرأ أيضًا",
        "相關新聞",
        "推荐阅读",
        "関連ニュース",
        "관련 뉴스",
    ],
)
def test_headings_of_link_blocks_in_other_languages_are_dropped(line: str) -> None:
    assert read(news_page(body=article_body(inside=f"<p>{line}</p>"))).text == WHOLE
    assert is_cross_link(f"{line.rstrip('：')}: {TITLE}")


@pytest.mark.parametrize("line", ["广告", "廣告", "広告", "광고", "โฆษณา", "إعلان", "विज्ञापन", "বিজ্ঞাপন"])
def test_marks_of_advertising_are_dropped_in_every_script(line: str) -> None:
    assert read(news_page(body=article_body(inside=f"<p>{line}</p>"))).text == WHOLE


def test_links_with_words_or_figures_beside_them_are_text() -> None:
    for beside in ("4.00 | 12", "giá 3 triệu"):
        assert "số 4" in read(news_page(body=article_body(inside=f"<ul>{_linked_rows(beside)}</ul>"))).text


def test_menus_of_a_page_laid_out_in_tables_are_link_blocks() -> None:
    links = "".join(f'<td><a href="/muc-{each}">Chuyên mục thứ {each}</a></td>' for each in range(6))
    names = "".join(f'<tr><td><a href="/doi-{each}">Đội bóng số {each}</a></td></tr>' for each in range(6))
    text = "".join(f"<p>{each}</p>" for each in (LEAD, *PARAGRAPHS))
    layout = f"<table><tr>{links}</tr></table><table><tr><td>{text}</td></tr></table><table><tr>{links}</tr></table>"

    assert "Chuyên mục" not in read(news_page(body=layout)).text
    assert "Đội bóng số 5" in read(news_page(body=article_body(inside=f"<table>{names}</table>"))).text


_TEASERS = [
    (
        f"/tin/{i}",
        f"Tin thứ {i} trong ngày của tòa soạn",
        f"Nội dung tóm tắt của tin thứ {i}, và nhiều chi tiết khác mà phóng viên ghi lại được tại chỗ.",
    )
    for i in range(4)
]


@pytest.mark.parametrize("inside", ["<p>{}</p>", "<div>{}</div>", "{}<br><br>"])
def test_a_long_text_in_a_cell_is_no_row_whatever_is_in_the_cells_beside_it(inside: str) -> None:
    lines = [f"Mục {place}: {paragraph}" for place in range(2) for paragraph in (LEAD, *PARAGRAPHS)]
    beside = "".join(f"<p>Ghi chú {place}. {PARAGRAPHS[place % 4][:70]}</p>" for place in range(4))
    cells = f"<td>{''.join(map(inside.format, lines))}</td><td>{beside}</td>"

    text = read(news_page(body=f"<h1>{TITLE}</h1><table><tr>{cells}</tr></table>")).text

    assert [line for line in lines if line not in text.split("\n")] == []


@pytest.mark.parametrize(
    "teaser",
    [
        "<td><h3><a href={}>{}</a></h3><p>{}</p></td>",
        "<td><a href={}>{}</a><br>{}</td>",
        "<td><p><b><a href={}>{}</a></b><br>{}</p></td>",
        "<td><table><tr><td><a href={}>{}</a></td></tr><tr><td>{}</td></tr></table></td>",
    ],
)
def test_teasers_in_table_cells_are_removed_in_a_layout_but_not_in_data(teaser: str) -> None:
    text = "".join(f"<p>{each}</p>" for each in (LEAD, *PARAGRAPHS))
    cells = [teaser.format(*each) for each in _TEASERS]
    rows = "".join(f"<tr>{cell}</tr>" for cell in cells)
    grid = f"<tr>{''.join(cells[:2])}</tr><tr>{''.join(cells[2:])}</tr>"

    for layout in (
        f"<table><tr><td>{text}</td><td><table>{rows}</table></td></tr></table>",
        f"<table><tr><td>{text}</td></tr></table><table><tbody>{grid}</tbody></table>",
        f"<table><tr><td>{text}</td></tr>{rows}</table>",
    ):
        assert read(news_page(body=layout)).text == WHOLE
    data = f"<table><tr><th>Tin</th></tr>{rows}</table>"
    assert "tóm tắt của tin thứ 3" in read(news_page(body=f"<article>{text}{data}</article>")).text


def test_sections_with_a_heading_of_their_own_and_a_link_below_are_no_teasers() -> None:
    section = "<section><h2>Mục {}</h2><p>{}</p><a href=/tim-hieu-{}>Tìm hiểu thêm về mục này</a></section>"
    sections = "".join(section.format(i, paragraph, i) for i, paragraph in enumerate(PARAGRAPHS))

    text = read(news_page(body=f"<h1>{TITLE}</h1><p>{LEAD}</p><div>{sections}</div>")).text

    assert [paragraph for paragraph in PARAGRAPHS if paragraph not in text] == []


def test_a_list_of_short_lines_at_the_end_is_kept() -> None:
    below = "".join(f"<p>{line}</p>" for line in HEADLINES)

    text = read(news_page(body=article_body().replace("</div></article>", f"{below}</div></article>"))).text

    assert [line for line in HEADLINES if line not in text] == []

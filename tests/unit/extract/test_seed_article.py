"""Seeds: the article is found in the raw text, whole, without the boilerplate around and inside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.extract.pages import NOW
from worker.errors import ExtractError
from worker.extract.quality import LanguageDetector
from worker.extract.seed_article import LineKind, classify_line, extract_seed_text, seed_article
from worker.models import Seed

ROOT = Path(__file__).resolve().parents[3]
SEEDS = sorted((ROOT / "seeds/sample").glob("*.txt"))
BOILERPLATE = ("Tin bài liên quan", "Đọc nhiều", "Đọc thêm", "TIN LIÊN QUAN", "Bình luận", "![", "0:00")


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_each_seed_of_the_project_becomes_its_article_and_little_else(path: Path) -> None:
    title, text = (ROOT / "tests/newsroom/seed_articles" / f"{path.name[:3]}.txt").read_text("utf-8").split("\n", 1)

    cleaned = extract_seed_text(path.read_text("utf-8"))

    article, found = shingles(text), shingles(cleaned.text)
    assert cleaned.title == title
    assert len(article & found) == len(article)
    assert len(article & found) / len(article | found) >= 0.95


def test_the_five_real_seeds_lose_their_boilerplate_and_keep_first_and_last_sentence(shared: Path) -> None:
    edges = {
        "000": ("Ngoại trưởng Nga Sergei Lavrov hôm 29/12", "hết hiệu lực trong tháng Hai tới."),
        "001": ("Nga và Mỹ đã không đạt tiến triển", "cuộc chạy đua vũ trang mới."),
        "002": ("Kinhtedothi - Theo tin từ Nhà Trắng", "Thủ tướng Đức Olaf Scholz./."),
        "003": ("(Ngày Nay) - Hôm Chủ nhật", "không loại trừ các cuộc đàm phán tiếp theo.\nTheo AFP"),
        "004": ("(Baothanhhoa.vn) - Ngoại trưởng Nga", "Nguồn: Reuters"),
    }

    for path in sorted((shared / "seeds").iterdir()):
        text = extract_seed_text(path.read_text("utf-8")).text

        start, end = edges[path.name[:3]]
        assert text.startswith(start)
        assert text.endswith(end)
        assert not any(mark in text for mark in BOILERPLATE)


def test_a_box_inside_the_article_is_dropped_and_the_article_resumes() -> None:
    raw = "\n".join(
        (
            "Một tựa bài khá dài về cuộc họp ở Hà Nội",
            "Hội nghị sáng 5/3 tại Hà Nội đã bàn về giá gạo xuất khẩu trong quý tới, theo ban tổ chức.",
            "Tin liên quan",
            "Giá gạo lập đỉnh mới trong tuần",
            "Nông dân được mùa lại lo giá",
            "Bộ trưởng cho biết các nước mua nhiều đã hỏi thêm ba trăm nghìn tấn cho vụ sau.",
            "Các doanh nghiệp đề nghị giữ nguyên hạn mức để giữ giá cho nông dân đến hết năm.",
            "Đọc nhiều",
            "Một tin khác hẳn không dính dáng gì ở đây",
        )
    )

    text = extract_seed_text(raw).text

    assert text.count("\n") == 2
    assert "Giá gạo lập đỉnh" not in text
    assert text.endswith("đến hết năm.")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("", LineKind.BLANK),
        ("![]() |", LineKind.NOISE),
        ("0:00 / 0:00", LineKind.NOISE),
        ("26 Feb, 08:54 PM", LineKind.NOISE),
        ("Thứ Năm, 26/02/2026, 06:45 (GMT+7)", LineKind.NOISE),
        ("BÌNH LUẬN (0)", LineKind.MARKER),
        ("Xem thêm: Nạn đói lan rộng", LineKind.NOISE),
        ("Ngoại trưởng Nga Sergey Lavrov. Ảnh: Reuters |", LineKind.CREDIT),
        ("(theo Reuters)", LineKind.SIGNATURE),
        ("Nguồn: Reuters", LineKind.SIGNATURE),
        ("Ngoại trưởng Kazakhstan tới Paris: Chuyến đi 'ba trong một'", LineKind.HEADLINE),
        ("Phía Canada hiện từ chối nói thêm về buổi làm việc hôm qua.", LineKind.SENTENCE),
    ],
)
def test_lines_are_classified_by_their_form(line: str, kind: LineKind) -> None:
    assert classify_line(line) is kind


def test_the_address_of_a_seed_article_is_its_name_and_no_filter_applies() -> None:
    languages = LanguageDetector()
    raw = "Tựa bài\nMột câu duy nhất nhưng đủ để thành một bài báo rất ngắn ở đây."

    article = seed_article(
        Seed(name="007_ab.txt", raw=raw, sha256="0"), fetched_at=NOW, languages=languages, scraped=True
    )

    assert (article.url, article.source, article.kind, article.language) == ("seed:007_ab.txt", "seeds", "seed", "vi")
    with pytest.raises(ExtractError):
        seed_article(Seed(name="x", raw="\n\n", sha256="0"), fetched_at=NOW, languages=languages, scraped=True)

"""The press that the demo reads: four papers, what is wrong with some of their pages, and a host that never answers."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.newsroom.papers import Extra, Paper, paper_of
from tests.newsroom.replies import Drip, Reply, gzipped, html
from tests.newsroom.sites import NOT_FOUND, Reach, Site
from tests.newsroom.stories import seed_stories

BAO_SAI_GON = "baosaigon.example"
THOI_MOI = "thoimoi.example"
TIN_TUC_24 = "tintuc24.example"
MIEN_SONG = "miensong.example"
TRAM_TIN = "tramtin.example"
"""The host that takes connections and never answers."""

_DAY = datetime(2026, 3, 5, 3, tzinfo=UTC)
_FILLER = "Trang này đến từng chữ một, vì máy chủ ảnh của tòa soạn đang quá tải và chưa ai khởi động lại. "


def demo_press(*, slow: timedelta = timedelta(seconds=8)) -> list[Paper | Site]:
    """Return what the demo reads; the slow page takes `slow` in all."""
    return [
        paper_of(BAO_SAI_GON, extras=_faults_of_bao_sai_gon()),
        paper_of(
            THOI_MOI, stories=[replace(seed_stories()["000"], section="Thế giới")], extras=_faults_of_thoi_moi(slow)
        ),
        paper_of(TIN_TUC_24, extras=_faults_of_tin_tuc_24()),
        paper_of(MIEN_SONG),
        Site(host=TRAM_TIN, reach=Reach.SILENT),
    ]


def _faults_of_bao_sai_gon() -> list[Extra]:
    broken = html("<html><body><h1>500</h1><p>Máy chủ gặp lỗi.</p></body></html>", status=500)
    return [
        Extra(path="/chuyen-de/tin-trong-tuan.htm", title="Tin trong tuần", published=_DAY),
        Extra(path="/loi-may-chu-500500.htm", title="Bài viết đang gặp lỗi", published=_DAY, page=broken),
    ]


def _faults_of_thoi_moi(slow: timedelta) -> list[Extra]:
    body = f"<html><body><article><h1>Bài viết chậm</h1><p>{_FILLER * 12}</p></article></body></html>".encode()
    steps = 40
    dripping = Reply(body=body, delivery=Drip(every=slow / steps, step=len(body) // steps + 1))
    return [
        Extra(path="/thoi-su/bai-viet-den-cham.html", title="Bài viết đến chậm", published=_DAY, page=dripping),
        Extra(path="/thoi-su/bai-viet-da-go.html", title="Bài viết đã gỡ", published=_DAY, page=NOT_FOUND),
    ]


def _faults_of_tin_tuc_24() -> list[Extra]:
    whole = html(
        f"<html><body><h1>Bài viết bị cắt</h1>{''.join(f'<p>{_FILLER}{n}</p>' for n in range(200))}</body></html>"
    )
    noise = random.Random(24).randbytes(6000)  # the same noise every time
    garbage = Reply(body=b"<html><body><div><table><p>" + noise + b"</span></html")
    return [
        Extra(path="/2026/03/05/bai-viet-bi-cat/", title="Bài bị cắt", published=_DAY, page=gzipped(whole, keep=0.5)),
        Extra(path="/2026/03/05/bai-viet-hong/", title="Bài viết hỏng", published=_DAY, page=garbage),
    ]

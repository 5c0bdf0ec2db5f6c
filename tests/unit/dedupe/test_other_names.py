"""One form with other names: what no number shows."""

from __future__ import annotations

import pytest

from tests.unit.dedupe.factories import article, neighbour
from worker.dedupe.judge import Deduper
from worker.models import Relation, Verdict

NOTICE = (
    "Gia đình ông {0} ở phường {1} vừa được hội khuyến học trao nhà tình nghĩa vào sáng nay trong niềm vui của bà con. "
    "Căn nhà do hội viên cùng bà con lối xóm góp công dựng trong hai tháng, thay cho gian nhà cũ đã dột nát nhiều năm. "
    "Theo hội khuyến học, người con gái đầu là {2} đang theo học trường {3}, mỗi ngày đạp xe hơn một giờ mới tới lớp. "
    "Chị {4}, hàng xóm của gia đình, cho biết mọi người đều mừng vì mùa mưa này cả nhà đã có chỗ ở chắc chắn."
)
ONE = NOTICE.format("Lê Hòa", "Cẩm Đông", "Bích", "Trần Phú", "Sương")
ANOTHER = NOTICE.format("Đỗ Quý", "An Khánh", "Nhàn", "Yên Hòa Bắc", "Tươi")
RESPELLED = ONE.replace("Lê Hòa", "Lê Hoàn").replace("Sương", "Xương")


def judged(text: str) -> Verdict:
    arriving, deduper = article(text, title="Trao nhà tình nghĩa"), Deduper()
    stored = neighbour(ONE, title="Trao nhà tình nghĩa")
    return deduper.judge(arriving, deduper.fingerprint(arriving), [stored])


def test_the_same_form_with_other_names_throughout_is_another_item() -> None:
    assert judged(ANOTHER).relation is Relation.TEMPLATE


@pytest.mark.parametrize("text", [RESPELLED, ONE.replace("Cẩm Đông", "Cẩm Ðông"), ONE.upper()])
def test_a_name_written_otherwise_makes_no_other_item(text: str) -> None:
    assert judged(text).relation is Relation.COPY

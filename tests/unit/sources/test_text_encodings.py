"""Text files in old Vietnamese encodings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.charset.encoders import tcvn3, vni, windows_1258
from worker.models import Candidate, Text
from worker.sources.files.article_files import InputContext, read_text

TITLE = "tòa án xét xử vụ vận chuyển hàng lậu qua biên giới"
BODY = "hội đồng xét xử nhận định hành vi của các bị cáo là nguy hiểm, cần xử lý nghiêm theo quy định của pháp luật."


@pytest.mark.parametrize("encode", [windows_1258, tcvn3, vni, lambda text: text.encode("utf-16")])
def test_a_text_file_is_decoded_like_a_page(encode: Callable[[str], bytes], tmp_path: Path) -> None:
    file = tmp_path / "bai.txt"
    file.write_bytes(encode(f"{TITLE}\n{BODY}\n"))

    found = list(read_text(file, InputContext(source="tệp", now=datetime(2026, 3, 1, tzinfo=UTC), max_bytes=10_000)))

    assert [each.payload for each in found if isinstance(each, Candidate)] == [Text(text=BODY, title=TITLE)]

"""Numbers and names."""

from __future__ import annotations

import pytest

from worker.dedupe.prepared import Entities
from worker.dedupe.tokenizer import tokenize


def found(text: str) -> tuple[list[str], list[str]]:
    cut = tokenize(text)
    told = Entities(words=cut, title=tokenize(""))
    numbers = [" ".join(str(part) for part in number.key) for number in told.numbers]
    return numbers, [cut.text[cut.starts[name.start] : cut.ends[name.stop - 1]] for name in told.names]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("ngày 07/10/2017", ["7 10 2017"]),
        ("1.000 và 1,000 và 12.345.678", ["1000", "1000", "12345678"]),
        ("tăng 2,58% lên 19,2 tỷ", ["2 58", "19 2"]),
        ("lúc 7h30", ["7", "30"]),
        ("mã 007 và 0", ["7", "0"]),
        ("không có số", []),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, numbers: list[str]) -> None:
    assert found(text)[0] == numbers


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ông Nguyễn Văn Nam ở Hà Nội", ["Ông Nguyễn Văn Nam", "Hà Nội"]),
        ("Hôm nay trời mưa. Mai nắng.", []),
        ("hãng Reuters đưa tin", ["Reuters"]),
        ("tại TP. HCM, Bộ GD-ĐT", ["TP. HCM", "Bộ GD-ĐT"]),
        ("thủ đô\nParis", []),
    ],
)
def test_names_are_runs_of_capitals_and_single_ones_inside_sentences(text: str, names: list[str]) -> None:
    assert found(text)[1] == names


def test_an_entity_is_looked_up_in_the_text_and_its_title() -> None:
    ours = Entities(words=tokenize("ông Trần Văn Bình nộp 14 tỷ ngày 3/5"), title=tokenize(""))
    theirs = Entities(words=tokenize("ngày 5 tháng 3, 14 người"), title=tokenize("Ông Trần Văn Bình bị bắt"))

    assert all(theirs.number_parts.issuperset(number.key) for number in ours.numbers)
    assert all(theirs.name_parts.issuperset(name.key) for name in ours.names)
    assert not Entities(words=tokenize("ông Trần"), title=tokenize("")).name_parts.issuperset(ours.names[0].key)

"""Whether two polls of a source have an entry in common."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.schedule.drift import MAX_ENTRIES, entry_keys, no_common_entry

ADDRESSES = st.lists(st.integers(0, 40).map(lambda number: f"https://bao.example/{number}"), max_size=20)


@given(ADDRESSES, ADDRESSES)
def test_two_polls_have_no_common_entry_if_neither_is_empty_and_no_url_is_the_same(
    before: list[str], now: list[str]
) -> None:
    found = no_common_entry(entry_keys(before), entry_keys(now))

    assert found == (bool(before) and bool(now) and not set(before) & set(now))


def test_only_so_many_entries_are_remembered() -> None:
    keys = entry_keys(f"https://bao.example/{number}" for number in range(10_000))

    assert len(set(keys)) == MAX_ENTRIES


def test_keys_fit_a_signed_64_bit_number_whatever_the_address() -> None:
    keys = entry_keys(["", "https://báo.example/\ud800", "x" * 100_000])

    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert len(set(keys)) == 3

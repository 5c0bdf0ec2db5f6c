"""The pages of an article that is split over several are joined, within limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes import FakeClock, FakeFetcher, faked_stages, page
from worker.dedupe.judge import Deduper
from worker.errors import FetchBlocked, FetchError
from worker.extract.multipage import split_pages
from worker.models import Page
from worker.pipeline import source_pages
from worker.pipeline.source_pages import with_further_pages
from worker.storage.store import open_store

URL = "https://bao.example/bai-dai-122.html"


def leaf(number: int, *, of: int, text: str = "") -> Page:
    url = URL if number == 1 else f"{URL}?page={number}"
    onward = f'<link rel="next" href="{URL}?page={number + 1}">' if number < of else ""
    return page(url, f"{onward}<p>phần {number}</p>{text}")


async def gather(answers: dict[str, object], first: Page) -> tuple[list[str], list[str]]:
    """Return the addresses of the joined pages, and of the requested ones."""
    fetcher = FakeFetcher(answers)
    with open_store("sqlite://", parameters=Deduper().parameters) as store:
        whole = await with_further_pages(first, faked_stages(store, clock=FakeClock(), fetcher=fetcher))
    return [each.final_url for each in split_pages(whole)], [request.url for request in fetcher.requests]


def leaves(of: int) -> dict[str, object]:
    return {f"{URL}?page={number}": leaf(number, of=of) for number in range(2, of + 1)}


@pytest.mark.anyio
async def test_all_pages_of_an_article_are_gathered_in_their_order() -> None:
    found, asked = await gather(leaves(3), leaf(1, of=3))

    assert found == [URL, *asked] == [URL, f"{URL}?page=2", f"{URL}?page=3"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "error",
    [
        FetchError("gone", reason="gone", retry=False, status=404),
        FetchError("no answer", reason="timeout", retry=True),
        FetchBlocked("robots.txt", reason="robots"),
    ],
    ids=["gone", "timeout", "robots"],
)
async def test_a_page_that_cannot_be_fetched_is_left_out(error: Exception) -> None:
    found, asked = await gather({**leaves(4), f"{URL}?page=3": error}, leaf(1, of=4))

    assert (found, len(asked)) == ([URL, f"{URL}?page=2"], 2)


@pytest.mark.anyio
async def test_a_page_that_redirects_elsewhere_is_no_part_of_the_article() -> None:
    for final_url in (URL, "https://bao.example/", "https://other.example/bai-dai-122.html?page=2"):
        moved = replace(leaf(2, of=2), final_url=final_url)

        assert (await gather({f"{URL}?page=2": moved}, leaf(1, of=2)))[0] == [URL]


@pytest.mark.anyio
async def test_an_endless_article_is_cut_at_the_limit_of_pages() -> None:
    found, asked = await gather(leaves(40), leaf(1, of=40))

    assert (len(found), len(asked)) == (10, 9)


@pytest.mark.anyio
async def test_a_huge_article_is_cut_at_the_limit_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_pages, "_MAX_ARTICLE_BYTES", 1_000)
    answers: dict[str, object] = {f"{URL}?page={number}": leaf(number, of=9, text="x" * 600) for number in range(2, 10)}

    assert len((await gather(answers, leaf(1, of=9)))[0]) == 3


@pytest.mark.anyio
async def test_a_page_from_the_middle_and_one_of_a_series_are_read_alone() -> None:
    middle = leaf(2, of=3)
    series = page("https://bao.example/ky-1.html", '<link rel="next" href="/ky-2.html">')

    assert await gather(leaves(3), middle) == ([middle.final_url], [])
    assert await gather({}, series) == ([series.final_url], [])

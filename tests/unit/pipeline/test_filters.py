"""The rules of `[filter]`: what each matches, what needs no page, and what a message says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes import article
from worker.config.schema import Settings
from worker.pipeline.filters import ArticleFilter
from worker.ports import Hints

URL = "https://www.bao.example/the-thao/tran-dau-12.html?page=2"
KEY = "https://bao.example/the-thao/tran-dau-12.html"
HERE = Hints(url=URL, canonical_url=KEY, source="bao", title="Trận đấu tối nay")
READ = replace(article("Hoà nhau trong trận đấu.\nĐội nhà thắng", url=URL, canonical_url=KEY), title="Trận đấu")
READ = replace(READ, section="Thể thao")


def made(*, sources: Any = (), **filters: Any) -> ArticleFilter:
    configured = [{"kind": "feed", "url": "https://bao.example/rss", **each} for each in sources]
    return ArticleFilter(Settings.model_validate({"filter": filters, "sources": configured}))


@pytest.mark.parametrize(
    ("rule", "text", "matches"),
    [
        ("trận đấu", "Một TRẬN   ĐẤU lớn", True),
        ("trận đấu", "trận, đấu", True),
        ("trận đấu", "đấu trận", False),
        ("đấu", "đấutranh", False),
        ("trận đấu", "tran dau", False),
        ("tran dau", "trận đấu", False),
        ("tran dau", "tran dau", True),
        ("hòa", "hoà", True),
        ("ho\u0300a", "hòa", True),
        ("Covid-19", "dịch covid 19", True),
        ("COVID", "covid-19", True),
        ("彩票", "他买了彩票吗", True),
        ("彩票", "彩色的票", False),
        ("หวย", "เล่นหวยกัน", True),
        ("straße", "STRASSE", True),
        ("лотерея", "Лотерея, 5", True),
        ("قرعة", "القرعة", False),
    ],
)
def test_words_match_as_words_as_they_are_written(rule: str, text: str, matches: bool) -> None:
    blank = replace(READ, title="", text="")
    for filled in (replace(blank, title=text), replace(blank, text=f"Một hai ba.\n{text}")):
        assert bool(made(block={"words": ["khác hẳn", rule]}).objection(HERE, filled)) is matches


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ("bao.example/the-thao/*", True),
        ("www.bao.example/the-thao/*", True),
        ("m.bao.example/the-thao/*", False),
        ("example/the-thao/*", True),
        ("*/the-thao/*", True),
        ("*/THE-THAO/*.html", True),
        ("*/thể-thao/*", False),
        ("bao.example/the-thao", False),
        ("bao.example/the-thao/tran-dau-12.html", True),
        ("*/*?page=*", True),
        ("*/*-*-*-*-*", False),
        ("*/*dau*tran*", False),
        ("*/the*the-thao*", False),
        ("*/", False),
        ("ao.example/*", False),
    ],
)
def test_an_address_matches_as_a_whole(rule: str, matches: bool) -> None:
    assert bool(made(block={"addresses": ["khac.example/*", rule]}).objection(HERE)) is matches
    assert bool(made(keep={"addresses": ["khac.example/*", rule]}).objection(HERE)) is not matches


def test_an_address_is_compared_decoded_and_takes_no_longer_than_its_length() -> None:
    known = replace(HERE, url="https://bao.example/th%E1%BB%83-thao/1", canonical_url="https://bao.example/1")
    long = replace(HERE, canonical_url="https://bao.example/" + "a" * 2000)

    assert made(block={"addresses": ["bao.example/Thể-Thao/*"]}).objection(known)
    assert not made(block={"addresses": ["*/" + "*a" * 500 + "*b"]}).objection(long)


def test_what_needs_no_page_is_known_before_it_is_fetched() -> None:
    for rules, why in (
        ({"block": {"hosts": ["bao.example"]}}, 'blocked by filter.block.hosts: "bao.example"'),
        ({"keep": {"hosts": ["khac.example"]}}, "no match in filter.keep.hosts"),
        ({"block": {"words": ["trận đấu"]}}, 'blocked by filter.block.words: "trận đấu" in the title'),
        ({"keep": {"words": ["chứng khoán"]}}, ""),
        ({"keep": {"sections": ["Kinh tế"]}, "block": {"sections": ["Thể thao"]}}, ""),
    ):
        assert made(**rules).objection(HERE) == why


def test_a_page_that_was_read_is_held_against_every_rule() -> None:
    for rules, why in (
        ({"block": {"sections": ["THỂ THAO"]}}, 'blocked by filter.block.sections: "THỂ THAO"'),
        ({"block": {"words": ["đội nhà"]}}, 'blocked by filter.block.words: "đội nhà" in the text'),
        ({"keep": {"words": ["chứng khoán"]}}, "no match in filter.keep.words"),
        ({"keep": {"sections": ["thể thao"], "words": ["thắng"]}}, ""),
        ({"keep": {"sections": ["thể thao"], "words": ["thua"]}}, "no match in filter.keep.words"),
        (
            {"keep": {"words": ["thắng"]}, "block": {"words": ["đội"]}},
            'blocked by filter.block.words: "đội" in the text',
        ),
    ):
        assert made(**rules).objection(HERE, READ) == why
    no_section = replace(READ, section=None)
    assert made(keep={"sections": ["Thể thao"]}).objection(HERE, no_section) == "no match in filter.keep.sections"


def test_a_source_has_rules_of_its_own_beside_the_general_ones() -> None:
    rules = made(
        block={"words": ["quảng cáo"]},
        sources=({"name": "bao", "block": {"sections": ["Thể thao"]}}, {"name": "khac", "keep": {"words": ["cầu"]}}),
    )

    assert rules.objection(HERE, READ) == 'blocked by source "bao": block.sections: "Thể thao"'
    assert not rules.objection(replace(HERE, source="third"), READ)
    advertised = replace(READ, text="Quảng cáo một hai")
    assert "filter.block.words" in rules.objection(replace(HERE, source="third"), advertised)

"""Feeds in every format and condition."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.sources.factories import NOW, page, rss, source
from worker.errors import SourceError
from worker.models import Candidate, Discovery
from worker.sources import PARSERS


def parse(body: bytes | str, *, url: str = "https://bao.vn/rss/tin.rss", content_type: str | None = None,
          timezone: str | None = None, **options: Any) -> Discovery:  # fmt: skip
    source_here = source(timezone=timezone, **options)
    return PARSERS["feed"](page(body, url=url, content_type=content_type), source_here, now=NOW)


def only(discovery: Discovery) -> Candidate:
    (candidate,) = discovery.candidates
    return candidate


ITEM = "<title>Mưa lớn ở miền Trung</title><link>https://bao.vn/mua-lon-1234.html?utm_source=rss</link>"


def test_an_rss_item_becomes_a_candidate_with_all_its_fields() -> None:
    dates = "<guid isPermaLink='false'>tin-1234</guid><pubDate>Fri, 20 Nov 2026 08:00:00 +0700</pubDate>"

    candidate = only(parse(rss(ITEM + dates)))

    assert candidate.url == "https://bao.vn/mua-lon-1234.html?utm_source=rss"
    assert candidate.canonical_url == "https://bao.vn/mua-lon-1234.html"
    assert candidate.title == "Mưa lớn ở miền Trung"
    assert candidate.published_at == datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
    assert candidate.external_id == "tin-1234"
    assert (candidate.source, candidate.reference) == ("bao", "https://bao.vn/rss/tin.rss")


def test_atom_gives_publication_and_change() -> None:
    body = """<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://bao.vn/the-thao/"><title>Báo</title><entry>
      <id>tag:bao.vn,2026:7</id><title type="html">Đội &lt;b&gt;tuyển&lt;/b&gt; &amp;amp; cúp</title>
      <link rel="self" href="https://bao.vn/api/7"/><link rel="alternate" href="doi-tuyen-7777.html"/>
      <published>2026-11-20T01:00:00Z</published><updated>2026-11-20T02:00:00+00:00</updated></entry></feed>"""

    candidate = only(parse(body))

    assert candidate.url == "https://bao.vn/the-thao/doi-tuyen-7777.html"
    assert candidate.title == "Đội tuyển & cúp"
    assert candidate.published_at == datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
    assert candidate.modified_at == datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


def test_a_json_feed_is_read() -> None:
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "Báo", "items": [
        {"id": 5, "url": "/a-1234.html", "title": "A", "date_published": "2026-11-20T08:00:00+07:00"},
        {"id": "https://bao.vn/b-1234.html"}, "nonsense", {"content_text": "no link"}]}  # fmt: skip

    discovery = parse(json.dumps(feed))

    assert [candidate.url for candidate in discovery.candidates] == [
        "https://bao.vn/a-1234.html",
        "https://bao.vn/b-1234.html",
    ]
    assert discovery.candidates[0].published_at == datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
    assert discovery.skipped == 1


def test_rdf_items_outside_the_channel_are_read() -> None:
    body = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
      xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><link>https://bao.vn/</link></channel>
      <item rdf:about="https://bao.vn/a-1234.html"><title>A</title><dc:date>2026-11-20</dc:date></item></rdf:RDF>"""

    candidate = only(parse(body))

    assert candidate.url == "https://bao.vn/a-1234.html"
    assert candidate.published_at == datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "hour"),
    [
        ("2026-11-20 08:00:00", 1),
        ("20/11/2026 08:00", 1),
        ("Fri, 20 Nov 2026 08:00:00", 1),
        ("Thứ sáu, 20/11/2026 08:00 (GMT+7)", 1),
        ("Fri, 20 Nov 2026 08:00:00 GMT+7", 1),
        ("Fri, 20 Nov 2026 08:00:00 GMT", 8),
        ("2026-11-20T08:00:00Z", 8),
        ("11/20/2026 8:00:00 AM", 1),
        ("Fri, 20 Nov 2026 08:00:00 ICT", 1),
        ("Fri, 20 Nov 2026 17:00:00 JST", 8),
        ("Fri, 20 Nov 2026 09:00:00 CET", 8),
        ("Fri, 20 Nov 2026 15:00:00 UTC+07:00", 8),
        ("Fri, 20 Nov 26 15:00:00 +0700", 8),
        ("2026-11-20 15:00:00 Asia/Ho_Chi_Minh", 8),
        ("30/11/2026 08:00", None),
        ("2026-02-30", None),
        ("hôm qua", None),
        ("Fri, 20 Nov 2036 08:00:00 GMT", None),
    ],
)
def test_a_date_without_zone_is_in_the_zone_of_its_source(written: str, hour: int | None) -> None:
    candidate = only(parse(rss(f"{ITEM}<pubDate>{written}</pubDate>"), timezone="Asia/Ho_Chi_Minh"))

    assert candidate.published_at == (hour and datetime(2026, 11, 20, hour, tzinfo=UTC))


def test_a_date_without_zone_is_utc_where_the_source_has_none() -> None:
    candidate = only(parse(rss(f"{ITEM}<pubDate>2026-11-20 08:00:00</pubDate>")))

    assert candidate.published_at == datetime(2026, 11, 20, 8, tzinfo=UTC)


def test_items_are_not_lost_because_they_share_an_id() -> None:
    items = [f"<guid>0</guid><link>https://bao.vn/tin-{number}.html</link>" for number in (1111, 2222, 3333)]

    assert len(parse(rss(*items)).candidates) == 3


def test_one_article_listed_twice_is_one_candidate_with_each_of_its_addresses() -> None:
    links = ["https://bao.vn/tin-1111.html", "http://www.bao.vn/tin-1111.html#x", "https://bao.vn/tin-1111.html#y"]

    found = parse(rss(*(f"<link>{link}</link>" for link in links))).candidates

    assert [each.url for each in found] == ["https://bao.vn/tin-1111.html", "http://www.bao.vn/tin-1111.html"]
    assert {each.canonical_url for each in found} == {"https://bao.vn/tin-1111.html"}


def test_links_to_other_sites_are_left_out_and_counted_unless_the_source_follows_them() -> None:
    body = rss(
        ITEM, "<link>https://quang-cao.com/mua-ngay-1234.html</link>", "<link>https://video.bao.vn/x-1234.html</link>"
    )

    kept, followed = parse(body), parse(body, follow_others=True)

    assert len(kept.candidates) == 2
    assert kept.skipped == 1
    assert "other_sites" in kept.notes[0]
    assert len(followed.candidates) == 3


@pytest.mark.parametrize(
    ("sites", "authority", "title"), [("", "stranger", None), ("bao.vn", "publisher", "Mưa lớn ở miền Trung")]
)
def test_of_a_feed_that_only_claims_a_site_just_the_urls_are_used(
    sites: str, authority: str, title: str | None
) -> None:
    options = source(sites=frozenset({sites})) if sites else source()
    url = "https://feeds.feedburner.com/bao"

    discovery = PARSERS["feed"](page(rss(ITEM), url=url), replace(options, url=url), now=NOW)

    assert (only(discovery).authority, only(discovery).title) == (authority, title)
    assert [note.partition("set ")[2][:16] for note in discovery.notes] == ([] if sites else ['sites = ["bao.vn'])


def test_the_original_url_of_a_click_counter_is_used() -> None:
    body = rss(
        "<link>https://feedproxy.google.com/~r/bao/1</link><feedburner:origLink>https://bao.vn/a-1234.html</feedburner:origLink>"
    ).replace("<rss ", '<rss xmlns:feedburner="http://rssnamespace.org/feedburner/ext/1.0" ')

    assert only(parse(body)).url == "https://bao.vn/a-1234.html"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("<!DOCTYPE html><html><head><title>Báo</title></head><body>Tin</body></html>", "HTML page, not a feed"),
        ("<html><body><rss>", "HTML page, not a feed"),
        ("", "empty"),
        ("   \n", "empty"),
        ('<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"/>', "sitemap"),
        ('{"loi": "khong co tin"}', "no JSON Feed"),
        ("[1, 2", "cannot be read"),
        ("không có gì ở đây", "neither RSS"),
        (b"\x89PNG\r\n\x1a\n", "binary data"),
        ("https://bao.vn/a\nhttps://bao.vn/b\n", "list of URLs"),
    ],
)
def test_other_content_is_refused_with_a_message(body: bytes | str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        parse(body)


def test_an_empty_feed_is_no_error() -> None:
    discovery = parse(rss())

    assert discovery.candidates == ()
    assert "no entries" in discovery.notes[0]


def test_a_feed_cut_off_in_the_middle_gives_what_came_before() -> None:
    body = rss(ITEM, "<title>Hai</title><link>https://bao.vn/hai-2222.html</link>", "<title>Ba</title>")

    discovery = parse(body[: body.index("<title>Ba")])

    assert len(discovery.candidates) == 2
    assert any("not well-formed" in note for note in discovery.notes)


def test_undeclared_entities_and_bare_ampersands_lose_nothing() -> None:
    body = rss("<title>Cà&nbsp;phê & trà</title><link>https://bao.vn/a.html?x=1&y=2</link>")

    candidate = only(parse(body))

    assert candidate.title == "Cà phê & trà"
    assert candidate.url == "https://bao.vn/a.html?x=1&y=2"


@pytest.mark.parametrize("declared", ["iso-8859-1", "us-ascii", "windows-1258", "utf-16"])
def test_utf8_is_read_as_utf8_whatever_the_feed_declares(declared: str) -> None:
    body = rss(ITEM).replace("utf-8", declared)

    assert only(parse(body, content_type=f"text/xml; charset={declared}")).title == "Mưa lớn ở miền Trung"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_encodings_with_a_byte_order_mark_are_read(encoding: str) -> None:
    body = rss(ITEM).replace("utf-8", encoding.removesuffix("-sig")).encode(encoding)

    assert only(parse(body)).title == "Mưa lớn ở miền Trung"


def test_a_gzipped_feed_is_unpacked() -> None:
    assert only(parse(gzip.compress(rss(ITEM).encode(), mtime=0))).title == "Mưa lớn ở miền Trung"


def test_markup_and_control_characters_do_not_reach_the_title() -> None:
    body = rss(
        "<title>&lt;script&gt;x()&lt;/script&gt;Tin\n  &lt;b&gt;nóng&lt;/b&gt;</title><link>https://bao.vn/a-1.html</link>"
    )

    assert only(parse(body)).title == "Tin nóng"


def test_of_a_huge_feed_the_newest_are_read_and_the_others_are_left_as_a_feed() -> None:
    items = [
        f"<title>Tin {number}</title><link>https://bao.vn/tin-{number:06}.html</link>"
        f"<pubDate>{datetime(2020, 1, 1 + number % 28, tzinfo=UTC):%a, %d %b %Y %H:%M:%S} GMT</pubDate>"
        for number in range(15_000)
    ]

    discovery = parse(rss(*items))
    parts = [discovery]
    while parts[-1].rest:
        parts.append(PARSERS["feed"](parts[-1].rest, source(), now=NOW))

    assert len(discovery.candidates) == 2500
    assert min(candidate.published_at or NOW for candidate in discovery.candidates) >= datetime(2020, 1, 24, tzinfo=UTC)
    assert discovery.title == "Báo"
    assert [len(part.candidates) for part in parts] == [2500] * 6
    assert len({each.url for part in parts for each in part.candidates}) == 15_000


def test_of_a_huge_json_feed_nothing_is_lost_either() -> None:
    items = [{"id": str(number), "url": f"https://bao.vn/tin-{number:06}.html"} for number in range(2_501)]

    discovery = parse(json.dumps({"version": "https://jsonfeed.org/version/1.1", "title": "Báo", "items": items}))
    assert discovery.rest
    rest = PARSERS["feed"](discovery.rest, source(), now=NOW)

    assert len(discovery.candidates) == 2_500
    assert [each.url for each in rest.candidates] == ["https://bao.vn/tin-002500.html"]
    assert rest.rest is None


def test_an_entity_bomb_is_not_expanded() -> None:
    bomb = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    body = rss("<title>&a11;</title><link>https://bao.vn/a-1.html</link>").replace(
        "<rss", f"<!DOCTYPE rss [{bomb}]><rss"
    )
    started = time.process_time()

    candidate = only(parse(body))

    assert time.process_time() - started < 2
    assert "haha" not in (candidate.title or "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_external_entity_is_never_read(encoding: str, tmp_path: object) -> None:
    doctype = '<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    body = rss("<title>[&x;]</title><link>https://bao.vn/a-1.html</link>").replace("<rss", doctype + "<rss")
    body = body.replace("utf-8", encoding)

    title = only(parse(body.encode(encoding))).title or ""

    assert title in {"[]", "[&x;]"}


@pytest.mark.parametrize(
    "part",
    [
        f"<author>{'a' * 60_000}</author>",
        f"<author>{'a.' * 60_000}@</author>",
        f"<title>{'<a' * 60_000}</title>",
        f"<title>{'&lt;script' * 20_000}</title>",
        "<a>" * 40_000,
        f"<description>{'&amp;lt;' * 25_000}</description>",
        "<title" + " x='1'" * 20_000 + ">",
        "<!--" * 40_000,
        "<![CDATA[" * 20_000,
        "<a <![CDATA[x]]>" * 40_000,
        f"""<a b="<![CDATA[" {" ".join(f"a{number}=''" for number in range(40_000))} ]]>">""",
        "<!--x" + "--><a b " * 40_000,
        f"<![CDATA[<p {' '.join(f'a{number}' for number in range(40_000))}>]]>",
    ],
)
def test_a_hostile_feed_costs_less_than_two_seconds(part: str) -> None:
    started = time.process_time()

    with contextlib.suppress(SourceError):
        parse(rss(ITEM, part + "<link>https://bao.vn/b-2222.html</link>"))

    assert time.process_time() - started < 2


@pytest.mark.parametrize("form", ["rss", "feed", "rdf", "cdf"])
def test_reducing_a_feed_does_not_change_its_entries(form: str) -> None:
    bodies = {
        "rss": rss(ITEM + "<guid>7</guid><pubDate>Fri, 20 Nov 2026 08:00:00 +0700</pubDate>"),
        "feed": "<feed xmlns='http://www.w3.org/2005/Atom' xml:base='https://bao.vn/a/'><title>Báo</title><entry><id>7</id>"
        "<title type='html'>M&amp;ư&amp;a</title><link href='b-1.html'/><updated>2026-11-20T01:00:00Z</updated>"
        "</entry></feed>",
        "rdf": "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='http://purl.org/rss/1.0/'><channel>"
        "<title>Báo</title></channel><item rdf:about='https://bao.vn/a-1.html'><title>A</title></item></rdf:RDF>",
        "cdf": "<CHANNEL><TITLE>Báo</TITLE><ITEM HREF='https://bao.vn/a-1.html'><TITLE>A</TITLE></ITEM></CHANNEL>",
    }
    large = bodies[form].replace("</title>", f"</title><!--{' ' * 150_000}-->", 1)
    large = large.replace("</TITLE>", f"</TITLE><!--{' ' * 150_000}-->", 1)

    small, cut = parse(bodies[form]), parse(large)

    assert len(large) > 150_000
    assert small == cut
    assert len(cut.candidates) == 1


def test_long_text_without_markup_is_not_taken_for_a_tag() -> None:
    body = rss(f"<description><![CDATA[{'mưa ' * 20_000}]]></description>{ITEM}")

    assert only(parse(body)).title == "Mưa lớn ở miền Trung"


def test_text_between_the_fields_of_an_entry_is_ignored() -> None:
    started = time.process_time()

    candidate = only(parse(rss("&" * 1_000_000 + ITEM)))

    assert time.process_time() - started < 2
    assert candidate.title == "Mưa lớn ở miền Trung"


@pytest.mark.parametrize("written", ["<link>{}</link>", '<guid isPermaLink="true">{}</guid>', '<link href="{}"/>'])
def test_a_url_is_never_shortened(written: str) -> None:
    whole, endless = (f"https://bao.vn/{'a' * length}-11111.html" for length in (1800, 9000))
    others = [
        f"<link>https://bao.vn/tin-{number}.html</link><description>{'x' * 60}</description>" for number in range(2000)
    ]

    found = parse(rss(*(written.format(url) for url in (whole, endless)), *others))

    assert len(found.candidates) == 2001
    assert [each.url for each in found.candidates if len(each.url) > 100] == [whole]
    assert found.skipped == 1


@pytest.mark.parametrize("many", [False, True])
def test_an_escaped_tag_in_a_title_stays(many: bool) -> None:
    titles = ("Thẻ &lt;head&gt; là gì", "<![CDATA[Jahresr&uuml;ckblick <b>nóng</b>]]>", "A &amp;lt;title&amp;gt; tag")
    items = [f"<title>{title}</title><link>https://bao.vn/tin-{n}1111.html</link>" for n, title in enumerate(titles)]
    more = [f"<title>t</title><link>https://bao.vn/them-{n}.html</link>" for n in range(10_000, 11_700)] if many else []

    found = parse(rss(*items, *more)).candidates

    assert [each.title for each in found[:3]] == ["Thẻ <head> là gì", "Jahresrückblick nóng", "A <title> tag"]


@pytest.mark.parametrize("length", [1400, 1600, 2400, 5000, 9000])
@pytest.mark.parametrize("atom", [False, True])
def test_a_long_url_is_kept_whole_or_dropped(length: int, atom: bool) -> None:
    long = "https://bao.vn/" + "a" * length + "-1111.html"
    links = [long, *(f"https://bao.vn/tin-{n}.html" for n in range(10_000, 12_000))]
    if atom:
        inside = "".join(f'<entry><title>t</title><link href="{link}"/></entry>' for link in links)
        body = f'<feed xmlns="http://www.w3.org/2005/Atom">{inside}</feed>'
    else:
        body = rss(*(f"<title>t</title><link>{link}</link>" for link in links))

    found = parse(body)

    assert {candidate.url for candidate in found.candidates} == set(links) - ({long} if length >= 2500 else set())
    assert bool(found.skipped) == (length >= 2500)

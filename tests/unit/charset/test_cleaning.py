"""Characters that no text may hold are removed, and nothing else."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.charset import clean, clean_bytes, clean_markup, decode, decode_plain, is_text, read_json, strip_tags
from worker.charset.characters import visible_text

UNWANTED = {
    "NUL": "\x00",
    "start of text": "\x02",
    "backspace": "\x08",
    "escape": "\x1b",
    "unit separator": "\x1f",
    "delete": "\x7f",
    "C1": "\x83",
    "half of a pair": "\ud83d",
    "other half": "\ude00",
    "reversed mark": "\ufffe",
    "last": "\uffff",
    "noncharacter": "\ufdd3",
    "of another plane": "\U0003ffff",
}


@pytest.mark.parametrize("unwanted", UNWANTED.values(), ids=UNWANTED)
@pytest.mark.parametrize("text", ["Quỹ bảo lãnh\t\n😀 ", "Ha Noi\t\n"])
def test_a_decoded_page_is_clean(unwanted: str, text: str) -> None:
    assert decode(f"{text}{unwanted}{text}".encode("utf-8", "surrogatepass")).text == text + text
    assert decode(text.encode()).text == text


any_text = st.text(st.characters(codec=None))


@pytest.mark.parametrize("unwanted", UNWANTED.values(), ids=UNWANTED)
def test_characters_that_no_text_may_hold_are_removed(unwanted: str) -> None:
    assert clean(f"một{unwanted} hai") == "một hai"


@pytest.mark.parametrize("page_break", ["\x0b", "\x0c"])
def test_a_vertical_tab_and_a_form_feed_become_blanks(page_break: str) -> None:
    assert clean(f"một{page_break}hai") == "một hai"


@pytest.mark.parametrize(
    "kept", ["một\thai\r\nba", "😀👨\u200d👩", "\ufffd", "\u0085", "\ue000", "क्\u200dष", "\u2028", "\U0010fffd"]
)
def test_all_other_characters_are_kept(kept: str) -> None:
    assert clean(kept) == kept


@given(any_text)
def test_cleaning_is_idempotent_and_xml_and_stores_accept_the_result(text: str) -> None:
    once = clean(text)

    assert clean(once) == once
    # A form feed becomes a blank.
    assert {unicodedata.category(each) for each in once} <= {unicodedata.category(each) for each in text} | {"Cc", "Zs"}
    once.encode()
    assert not set(once) & (set(map(chr, range(32))) - set("\t\n\r"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("&#0;a&#x0;b&#00;", "ab"),
        ("&#x1F;a&#31;", "a"),
        ("&#xFFFE;a&#65535;&#x1FFFF;", "a"),
        ("&#xD800;a&#57343;", "a"),
        ("&#55357;&#56832; &#xD83D;&#xDE00;", "😀 😀"),
        ("&#147;a&#x94;", "“a”"),
        ("&#129;a", "a"),
        ("&#11;a", " a"),
        ("&#1114112;a&#x110000;&#9999999999;", "a"),
        ("&#xfdd0;a&#64976;", "a"),
        ("&#0", ""),
    ],
)
def test_numeric_references_to_such_characters_are_resolved_as_in_browsers(written: str, meant: str) -> None:
    assert clean_markup(written) == meant


@pytest.mark.parametrize(
    "kept", ["&#7843;", "&#x1ea3;", "&#128512;", "&#10;&#x9;", "&amp;#0;", "&#;", "&#x;", "&# 0;", "&#65533;"]
)
def test_other_numeric_references_are_left_to_the_parser(kept: str) -> None:
    assert clean_markup(kept) == kept


@given(st.integers(0, 0x120000), st.booleans())
def test_every_numeric_reference_gives_a_clean_character_or_none(code: int, decimal: bool) -> None:
    from html import unescape

    written = f"&#{code};" if decimal else f"&#x{code:X};"

    assert unescape(clean_markup(written)) == clean(unescape(clean_markup(written)))


@pytest.mark.parametrize("unwanted", UNWANTED.values(), ids=UNWANTED)
@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-32"])
def test_decoded_text_is_clean(unwanted: str, codec: str) -> None:
    body = f"<p>Một bài báo{unwanted} hay</p>".encode(codec, "surrogatepass")

    assert "�" in decode(body).text or decode(body).text == "<p>Một bài báo hay</p>"
    assert clean(decode(body).text) == decode(body).text


@pytest.mark.parametrize(
    "escape", ["\\u0000", "\\u001f", "\\ud800", "\\uDC00", "\\ufffe", "\\uFDD0", "\\u0007", "\\u009b"]
)
@pytest.mark.parametrize("whole", ['{"name": "a%sb"}', '[{"x": ["a%sb"]}]', '{"a%sb": 1}'])
def test_escapes_in_json_give_clean_strings_at_any_depth(escape: str, whole: str) -> None:
    assert json.dumps(read_json((whole % escape).encode())) == json.dumps(json.loads(whole % ""))


@pytest.mark.parametrize("raw", [b"\x00", b"\x01", b"\x1f", b"\x7f", b"\xef\xbf\xbe", b"\xed\xa0\x80", b"\xff"])
def test_json_with_control_characters_and_damaged_utf8_is_parsed(raw: bytes) -> None:
    value = read_json(b'{"name": "some text' + raw + b'", "next": 2}')

    assert isinstance(value, dict)
    assert value["name"].rstrip("\ufffd") == "some text"
    assert value["next"] == 2


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_is_parsed_in_every_utf_encoding(codec: str) -> None:
    assert read_json('{"a": "tiếng Việt", "b": "\\ud83d\\ude00"}'.encode(codec)) == {"a": "tiếng Việt", "b": "😀"}


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_list_is_decoded_by_its_mark_and_not_normalised(codec: str) -> None:
    written = "https://bao.vn/a\u0301.html"

    assert decode_plain(written.encode(codec)) == written


def test_bytes_with_many_control_characters_are_no_text() -> None:
    assert is_text("Một bài báo\x00 hay".encode())
    assert is_text(b"")
    assert not is_text(bytes(range(256)))
    assert not is_text(b"\x00\x01\x02\x03")
    assert clean_bytes(b"\x00Dis\x1fallow:\t/\r\n") == b"Disallow:\t/\r\n"


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("A free guide to <head> elements", "A free guide to <head> elements"),
        ("A free guide to &lt;head&gt; elements", "A free guide to <head> elements"),
        ("Thẻ <title> và <meta> trong trang", "Thẻ <title> và <meta> trong trang"),
        ("Vector<int> của C++", "Vector<int> của C++"),
        ("Dùng <script> ra sao", "Dùng <script> ra sao"),
        ("Dùng <script> và <style> ra sao", "Dùng <script> và <style> ra sao"),
        ("Thẻ </p> đóng đoạn", "Thẻ   đóng đoạn"),
        ("a < b và c > d", "a < b và c > d"),
        ("Giá <5 triệu> đồng", "Giá <5 triệu> đồng"),
        ("<b>Tin</b> <i class=x>nóng</i>", "Tin nóng"),
        ("&lt;b&gt;Tin&lt;/b&gt; nóng", "Tin nóng"),
        ("Tin<br>mới<BR/>", "Tin mới "),
        ("<o:p></o:p>Tin", "Tin"),
        ('<span style="color:red">Tin', "Tin"),
        ("<!-- x -->Tin", "Tin"),
        ("<script>alert(1)</script>Tin<style>a{}</style>", "Tin"),
        ("Đ&amp;ê &uuml; &#7843;", "Đ&ê ü ả"),
        ("<b", "<b"),
    ],
)
def test_formatting_tags_are_removed_from_a_title_and_tags_it_is_about_are_kept(written: str, title: str) -> None:
    assert strip_tags(written) == title


def test_the_text_of_a_page_is_found_without_its_scripts_however_broken_it_is() -> None:
    table = {
        "<p>Một</p><SCRIPT src=x>alert('<p>')</script ><p>hai &amp; ba": "Một\nhai & ba",
        "a<script>never closed": "a",
        "a<style": "a",
        "1 < 2": "1",
        "<" * 50_000: "",
        "<script>" * 20_000: "",
        "": "",
    }

    assert {markup: visible_text(markup) for markup in table} == table

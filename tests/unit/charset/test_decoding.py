"""Bytes to text: which charset is chosen, and that hostile input is harmless."""

from __future__ import annotations

import codecs
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.charset.encoders import tcvn3, vni, windows_1258
from worker.charset import decode
from worker.charset.vietnamese import is_syllable

VIETNAMESE = (
    "<p>Thủ tướng Chính phủ yêu cầu các bộ, ngành và địa phương đẩy mạnh giải ngân vốn đầu tư công, tháo gỡ khó khăn "
    "cho sản xuất kinh doanh. Nhiều tỉnh miền Trung đã trải qua những đợt mưa lũ lớn, người dân cần được hỗ trợ kịp "
    "thời để ổn định cuộc sống, khôi phục ruộng đồng và nuôi trồng thủy sản.</p>"
)
FRENCH = "<p>Le général a été élu à la présidence dès le mois d'août, à côté du frère aîné, forêt protégée.</p>"
GERMAN = "<p>Die Männer gehen über die Straße, während größere Bäume für schöne Gärten gefällt würden.</p>"
RUSSIAN = "<p>Президент заявил на встрече с журналистами, что страна готова к новым переговорам о мире.</p>"
JAPANESE = "<p>首相は記者会見で、新しい経済政策を発表しました。ひらがなとカタカナの文章です。何度も会見しました。</p>"


@pytest.mark.parametrize(
    ("body", "content_type", "charset", "chosen_by"),
    [
        (codecs.BOM_UTF8 + VIETNAMESE.encode(), "text/html; charset=iso-8859-1", "utf-8", "bom"),
        (codecs.BOM_UTF16_LE + VIETNAMESE.encode("utf-16-le"), None, "utf-16-le", "bom"),
        (codecs.BOM_UTF16_BE + VIETNAMESE.encode("utf-16-be"), "text/html; charset=utf-8", "utf-16-be", "bom"),
        (codecs.BOM_UTF32_LE + VIETNAMESE.encode("utf-32-le"), None, "utf-32-le", "bom"),
        (VIETNAMESE.encode(), "text/html; charset=UTF-8", "utf-8", "header"),
        (b'<meta charset="utf-8">' + VIETNAMESE.encode(), None, "utf-8", "meta"),
        (b'<?xml version="1.0" encoding="UTF-8"?>' + VIETNAMESE.encode(), None, "utf-8", "meta"),
        (VIETNAMESE.encode(), None, "utf-8", "detection"),
        (VIETNAMESE.encode(), "text/html; charset=iso-8859-1", "utf-8", "detection"),
        (VIETNAMESE.encode(), "text/html; charset=windows-1258", "utf-8", "detection"),
        (VIETNAMESE.encode("utf-16-le"), "text/html; charset=utf-16", "utf-16-le", "detection"),
        (VIETNAMESE.encode("utf-16-be"), "text/html; charset=utf-16", "utf-16-be", "detection"),
        (VIETNAMESE.encode("utf-16-le"), None, "utf-16-le", "detection"),
        (f"\r\n {VIETNAMESE}".encode("utf-32-be"), "text/html; charset=utf-8", "utf-32-be", "detection"),
        (windows_1258(VIETNAMESE), "text/html; charset=windows-1258", "windows-1258", "header"),
        (windows_1258(VIETNAMESE), None, "windows-1258", "detection"),
        (windows_1258(VIETNAMESE), "text/html; charset=utf-8", "windows-1258", "detection"),
        (windows_1258(VIETNAMESE), "text/html; charset=iso-8859-1", "windows-1258", "detection"),
        (vni(VIETNAMESE), None, "vni", "detection"),
        (vni(VIETNAMESE), "text/html; charset=windows-1252", "vni", "detection"),
        (vni(VIETNAMESE), "text/html; charset=x-user-defined", "vni", "detection"),
        (vni(VIETNAMESE), "text/html; charset=vni", "vni", "header"),
        (vni(VIETNAMESE).decode("latin-1").encode(), "text/html; charset=utf-8", "vni", "detection"),
    ],
)
def test_vietnamese_is_decoded_in_every_encoding(
    body: bytes, content_type: str | None, charset: str, chosen_by: str
) -> None:
    decoded = decode(body, content_type)

    assert (decoded.charset, decoded.chosen_by) == (charset, chosen_by)
    assert decoded.text.endswith(VIETNAMESE)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (tcvn3(VIETNAMESE.lower()), None),
        (tcvn3(VIETNAMESE.lower()), "text/html; charset=iso-8859-1"),
        (tcvn3(VIETNAMESE.lower()), "text/html; charset=utf-8"),
        (tcvn3(VIETNAMESE.lower()).decode("latin-1").encode(), "text/html; charset=utf-8"),
    ],
)
def test_tcvn3_is_decoded(body: bytes, content_type: str | None) -> None:
    decoded = decode(body, content_type)

    assert (decoded.charset, decoded.chosen_by) == ("tcvn3", "detection")
    assert decoded.text == VIETNAMESE.lower()


def test_character_references_in_a_font_trick_are_decoded_as_its_letters() -> None:
    references = "".join(f"&#{ord(c)};" if ord(c) > 127 else c for c in tcvn3(VIETNAMESE.lower()).decode("latin-1"))

    decoded = decode(references.encode() + tcvn3("hà nội, việt nam"))

    assert decoded.text == VIETNAMESE.lower() + "hà nội, việt nam"


def test_a_font_trick_decoded_as_latin() -> None:
    legacy = "Céng hoµ x· héi chñ nghÜa ViÖt Nam, §éc lËp".encode("latin-1")
    other = "Coäng hoøa xaõ hoäi chuû nghóa Vieät Nam, Ñoäc laäp".encode("latin-1")

    assert decode(legacy).text == "Cộng hoà xã hội chủ nghĩa Việt Nam, Độc lập"
    assert decode(other).text == "Cộng hòa xã hội chủ nghĩa Việt Nam, Độc lập"


@pytest.mark.parametrize("text", [FRENCH, GERMAN])
@pytest.mark.parametrize("content_type", [None, "text/html", "text/html; charset=iso-8859-1"])
def test_other_latin_text_is_not_detected_as_vietnamese(text: str, content_type: str | None) -> None:
    decoded = decode(text.encode("cp1252"), content_type)

    assert (decoded.text, decoded.charset) == (text, "windows-1252")


@pytest.mark.parametrize(
    ("text", "codec"),
    [(RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (JAPANESE, "cp932"), (JAPANESE, "euc_jp")],
)
def test_other_scripts_are_detected_without_a_declaration(text: str, codec: str) -> None:
    assert decode((text * 3).encode(codec)).text == text * 3


def test_the_meta_element_wins_over_a_latin_header() -> None:
    body = b"<meta http-equiv=Content-Type content='text/html; charset=windows-1251'>" + RUSSIAN.encode("cp1251")

    decoded = decode(body, "text/html; charset=ISO-8859-1")

    assert (decoded.charset, decoded.chosen_by) == ("cp1251", "meta")
    assert RUSSIAN in decoded.text


def test_a_declared_charset_that_the_bytes_contradict_is_ignored() -> None:
    decoded = decode((RUSSIAN * 3).encode("cp1251"), "text/html; charset=utf-8")

    assert decoded.text == RUSSIAN * 3


def test_a_page_cut_inside_a_letter_is_still_utf8() -> None:
    decoded = decode(VIETNAMESE.encode()[:-6] + "ệ".encode()[:1], "text/html; charset=windows-1258")

    assert decoded.charset == "utf-8"
    assert decoded.text.endswith("\ufffd")


def test_a_damaged_page_that_says_it_is_utf8_is_read_as_utf8() -> None:
    damaged = VIETNAMESE.encode().replace(b"g ", b"g\xff\xed ")

    decoded = decode(damaged, "text/html; charset=UTF-8")

    assert decoded.charset == "utf-8"
    assert decoded.text.replace("\ufffd", "") == VIETNAMESE


def test_a_meta_element_in_a_comment_is_ignored() -> None:
    body = b"<!-- <meta charset=big5> --><meta charset=windows-1251>" + RUSSIAN.encode("cp1251")

    decoded = decode(body)

    assert (decoded.charset, decoded.chosen_by) == ("cp1251", "meta")
    assert RUSSIAN in decoded.text


@given(st.text(st.sampled_from("ae <\u0301\u0338\u0323áêế€“\u1100\u1161\uac00\u11a8\u09c7\u09be"), max_size=12))
def test_all_of_a_text_is_composed(text: str) -> None:
    assert decode(text.encode()).text == unicodedata.normalize("NFC", text)


def test_text_is_composed() -> None:
    decomposed = unicodedata.normalize("NFD", VIETNAMESE)

    assert decode(decomposed.encode()).text == VIETNAMESE


@pytest.mark.parametrize(
    "name",
    [
        "zlib",
        "idna",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
        "rot13",
        "utf-7",
        "undefined",
        "mbcs",
        "oem",
        "hex",
        "base64",
        "x" * 100_000,
        "\x00",
        '"',
        "../../etc/passwd",
        "utf-8\x00",
        "%s",
        "utf_8_sig",
        "string-escape",
        "cp037",
    ],
)
def test_a_hostile_charset_label_is_harmless(name: str) -> None:
    decoded = decode("Việt Nam đất nước".encode(), f"text/html; charset={name}")

    assert (decoded.text, decoded.charset) == ("Việt Nam đất nước", "utf-8")


def test_ascii_and_nothing_are_utf8() -> None:
    assert decode(b"").text == ""
    assert decode(b"plain").charset == "utf-8"
    assert decode(b"plain", "text/html; charset=utf-8").chosen_by == "header"


def test_declared_iso_2022_jp_is_not_decoded_as_ascii() -> None:
    assert decode(JAPANESE.encode("iso2022_jp"), "text/html; charset=iso-2022-jp").text == JAPANESE


@pytest.mark.parametrize(
    "body", [b"<script>" * 100_000 + b"\xff", b"<!--" * 200_000 + b"\xff", b"<meta " * 100_000 + b"\xff"]
)
def test_pages_of_opening_brackets_are_decoded_in_linear_time(body: bytes) -> None:
    assert decode(body).charset == "windows-1252"


@given(st.binary(max_size=500), st.none() | st.text(max_size=60).map(lambda name: f"text/html; charset={name}"))
def test_any_bytes_with_any_header_become_clean_text(body: bytes, content_type: str | None) -> None:
    text = decode(body, content_type).text

    assert unicodedata.is_normalized("NFC", text)
    text.encode()


@given(
    st.binary(max_size=300),
    st.sampled_from(["utf-16", "big5", "gbk", "euc-kr", "shift_jis", "iso-2022-jp", "vni", "tcvn3"]),
)
def test_any_bytes_with_a_known_label_become_clean_text(body: bytes, name: str) -> None:
    decode(body, f"text/html; charset={name}").text.encode()


@pytest.mark.parametrize(
    "word", ["nghiêng", "Việt", "khuỷu", "gì", "quốc", "thuở", "Đắk", "yêu", "xoong", "ươm", "uỷ", "giếng"]
)
def test_vietnamese_syllables_are_recognised(word: str) -> None:
    assert is_syllable(word)


@pytest.mark.parametrize("word", ["général", "für", "été", "wörld", "ngoằn̉", "naïve", "áá", "zá", "şey", "élu"])
def test_words_of_other_languages_are_no_syllables(word: str) -> None:
    assert not is_syllable(word)


def test_utf8_with_replacement_characters_is_still_utf8() -> None:
    body = "Zażółć \ufffd gęślą".encode()

    decoded = decode(body, "text/html")

    assert (decoded.text, decoded.charset) == ("Zażółć \ufffd gęślą", "utf-8")

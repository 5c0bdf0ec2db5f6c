"""The byte stream under WARC files: the same content in every packing and in pieces of any size."""

from __future__ import annotations

import gzip
import io
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sources.content import GZIP, RAW, ZLIB, InflateError, decompressor
from worker.sources.files.warc import parse_response
from worker.sources.files.warc_records import ByteStream, GzipDamage

LINE = b"Content-Length: 7\r\n"


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size).replace(b"\n", b" ")


def stream(content: bytes, *, start: int = 0) -> ByteStream:
    opened = io.BytesIO(content)
    opened.seek(start)
    return ByteStream(opened, start=start)


CONTENT = noise(70_000) + b"\n" + noise(300_000) + b"\n" + LINE * 2000
HALF = len(CONTENT) // 2
PACKINGS = (
    CONTENT,
    gzip.compress(CONTENT, 1, mtime=0),
    gzip.compress(CONTENT[:HALF], 1, mtime=0) + gzip.compress(CONTENT[HALF:], 0, mtime=0),
)


@given(st.lists(st.tuples(st.sampled_from(["line", "take", "skip"]), st.integers(0, 700_000)), max_size=12))
def test_mixed_reads_lose_no_byte(reads: list[tuple[str, int]]) -> None:
    for packed in PACKINGS:
        given_out, reader = 0, stream(packed)
        for how, size in reads:
            if how == "skip":
                given_out += reader.skip(size)
                continue
            piece = reader.read_line() if how == "line" else b"".join(reader.read(size))
            assert piece == CONTENT[given_out : given_out + len(piece)]
            assert how == "line" or len(piece) == min(size, len(CONTENT) - given_out)
            given_out += len(piece)


def test_an_overlong_line_is_returned_in_parts() -> None:
    reader = stream(b"a" * 40_000 + b"\n" + LINE)

    assert [len(reader.read_line()) for _ in range(5)] == [16_384, 16_384, 7_233, len(LINE), 0]


@pytest.mark.parametrize("packed", [True, False])
def test_a_line_at_the_start_of_a_member_or_in_a_plain_file_has_an_offset(packed: bool) -> None:
    pieces = [LINE + noise(size) + b"\n" for size in (10, 500_000, 70_000)]
    members = [gzip.compress(piece, mtime=0) if packed else piece for piece in pieces]
    reader = stream(b"".join(members))

    starts = []
    for piece in pieces:
        starts.append(reader.start_of(reader.read_line()))
        reader.skip(len(piece) - len(LINE))

    assert starts == [0, len(members[0]), len(members[0]) + len(members[1])]


def test_a_line_inside_a_member_has_no_offset() -> None:
    reader = stream(gzip.compress(LINE * 2, mtime=0))

    reader.read_line()

    assert reader.start_of(reader.read_line()) is None


def test_damage_is_raised_once_and_reading_continues_with_the_next_member() -> None:
    hurt = bytearray(gzip.compress(noise(400_000), mtime=0))
    hurt[200_000:200_100] = bytes(100)
    hurt[-8:-4] = b"\xff" * 4
    reader = stream(gzip.compress(LINE, mtime=0) + hurt + gzip.compress(b"after\n", mtime=0))

    first = reader.read_line()
    with pytest.raises(GzipDamage):
        reader.read(1_000_000)
    after = reader.read_line()

    assert (first, after, reader.read_line()) == (LINE, b"after\n", b"")
    assert reader.start_of(b"") is None


@pytest.mark.parametrize(
    ("form", "packed"),
    [
        (GZIP, gzip.compress(b"Tin", mtime=0)),
        (ZLIB, zlib.compress(b"Tin")),
        (RAW, zlib.compress(b"Tin", wbits=-15)),
    ],
)
def test_every_format_is_inflated_and_the_rest_is_unused_data(form: int, packed: bytes) -> None:
    member = decompressor(form)

    content = member.decompress(packed + b"rest", 100)

    assert (content, member.eof, member.unused_data) == (b"Tin", True, b"rest")


def test_input_beyond_the_output_limit_is_kept() -> None:
    packed, member = gzip.compress(bytes(1_000_000), mtime=0), decompressor()

    first = member.decompress(packed, 1000)

    assert len(first) == 1000
    assert not member.eof
    assert len(member.decompress(member.unconsumed_tail, 2_000_000)) == 999_000


def test_damaged_data_raises_inflate_error() -> None:
    with pytest.raises(InflateError):
        decompressor().decompress(b"nonsense", 100)


@given(st.lists(st.integers(1, 400), max_size=6))
def test_a_response_is_the_same_in_pieces_of_any_size(sizes: list[int]) -> None:
    block = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + b"X-Long: " + b"y" * 300 + b"\r\n\r\n" + b"<p>Tin</p>" * 30
    )
    pieces, at = [], 0
    for size in sizes:
        pieces.append(block[at : at + size])
        at += size
    whole = parse_response((block,), limit=10_000)

    assert parse_response((*pieces, block[at:]), limit=10_000) == whole
    assert whole is not None
    assert whole.body == b"<p>Tin</p>" * 30

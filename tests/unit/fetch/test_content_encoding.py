"""Content codings are decoded in bounded pieces."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import FetchError
from worker.fetch.http.content_encoding import PIECE, BodyDecoder


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "X-GZIP": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}
NAMES = st.sampled_from(sorted(CODINGS))
PACKED = ("gzip", "deflate", "br", "zstd")


def unpack(coding: str, packed: bytes, *, step: int = 1_000, limit: int = 10**9, truncate: bool = False) -> bytes:
    body = BodyDecoder(coding, max_bytes=limit, truncate=truncate)
    for start in range(0, len(packed), step):
        body.feed(packed[start : start + step])
    return body.finish()


@given(st.binary(max_size=3_000), NAMES, NAMES, st.integers(1, 500))
def test_an_encoded_body_is_decoded_whatever_the_chunks(body: bytes, first: str, second: str, step: int) -> None:
    packed = CODINGS[second](CODINGS[first](body))

    assert unpack(f"{first},{second}", packed, step=step) == body


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5 * PIECE + 7])
def test_sizes_around_the_piece_are_decoded_completely(coding: str, size: int) -> None:
    body = (b"ab" * (size // 2 + 1))[:size]

    assert unpack(coding, CODINGS[coding](body), step=10**9) == body


@given(st.integers(0, 3 * PIECE), st.integers(1, 9_000))
def test_deflate_without_the_zlib_wrapper_is_decoded(size: int, step: int) -> None:
    assert unpack("deflate", raw_deflate(bytes(size)), step=step) == bytes(size)


@pytest.mark.parametrize("coding", PACKED)
def test_a_stream_without_its_end_is_truncated(coding: str) -> None:
    packed = CODINGS[coding](b"xin chao" * 1_000)

    with pytest.raises(FetchError) as caught:
        unpack(coding, packed[:-5])

    assert (caught.value.reason, caught.value.retry) == ("truncated", True)


@pytest.mark.parametrize("coding", PACKED)
def test_no_bytes_at_all_are_an_empty_body(coding: str) -> None:
    assert unpack(coding, b"") == b""


@pytest.mark.parametrize("coding", PACKED)
def test_a_stream_in_another_coding_is_an_error(coding: str) -> None:
    with pytest.raises(FetchError) as caught:
        unpack(coding, b"\x00\xff<p>not packed at all</p>")

    assert caught.value.reason in {"encoding", "truncated"}


def test_several_gzip_members_and_zstd_frames_are_one_body() -> None:
    assert unpack("gzip", gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0), step=7) == b"onetwo"
    assert unpack("zstd", zstandard.compress(b"one") + zstandard.compress(b"two"), step=7) == b"onetwo"


def test_padding_after_the_end_is_ignored() -> None:
    assert unpack("gzip", gzip.compress(b"one", mtime=0) + bytes(100), step=11) == b"one"
    assert unpack("deflate", zlib.compress(b"one") + b"more", step=5) == b"one"


@pytest.mark.parametrize("coding", ["", *PACKED])
def test_a_body_is_refused_at_the_first_byte_too_many(coding: str) -> None:
    packed = CODINGS[coding](b"x" * 10_000)

    assert len(unpack(coding, packed, limit=10_000)) == 10_000
    with pytest.raises(FetchError) as caught:
        unpack(coding, packed, limit=9_999)
    assert (caught.value.reason, caught.value.retry) == ("size", False)


def test_a_body_that_unpacks_to_nothing_is_bounded_too() -> None:
    nothing = gzip.compress(b"", mtime=0) * 100

    with pytest.raises(FetchError) as raw:
        unpack("gzip", nothing, limit=1_000)
    with pytest.raises(FetchError) as between:
        unpack("gzip, gzip", gzip.compress(nothing, mtime=0), limit=1_000)

    assert (raw.value.reason, between.value.reason) == ("size", "size")


def test_a_truncated_body_that_unpacks_to_nothing_ends_at_the_limit_of_each_coding() -> None:
    nothing = gzip.compress(b"", mtime=0) * 1_000
    body = BodyDecoder("gzip, gzip", max_bytes=1_000, truncate=True)

    body.feed(gzip.compress(nothing, mtime=0))

    assert body.full
    assert body.finish() == b""


@pytest.mark.parametrize("coding", ["", *PACKED])
def test_a_body_over_the_limit_can_be_truncated_instead(coding: str) -> None:
    packed = CODINGS[coding](b"x" * 1_000_000)

    assert unpack(coding, packed, limit=777, truncate=True) == b"x" * 777


@pytest.mark.parametrize("coding", ["compress", "gzip2", "gzip, gzip, gzip, gzip", "zlib\x00", "br;q=1"])
def test_a_coding_that_was_not_requested_is_refused(coding: str) -> None:
    with pytest.raises(FetchError) as caught:
        BodyDecoder(coding, max_bytes=1)

    assert caught.value.reason == "encoding"


def test_a_zstd_window_beyond_the_standard_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=3)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(bytes(1 << 20)) + packer.flush()

    with pytest.raises(FetchError) as caught:
        unpack("zstd", packed)

    assert caught.value.reason == "encoding"


@given(st.binary(max_size=300), NAMES)
def test_no_bytes_raise_anything_but_a_fetch_error(body: bytes, coding: str) -> None:
    try:
        unpack(coding, body, step=50)
    except FetchError as error:
        assert error.reason in {"encoding", "truncated"}

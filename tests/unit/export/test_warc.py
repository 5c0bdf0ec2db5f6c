"""Kept pages become WARC records that warcio accepts, and that the worker's own input reads back."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator  # type: ignore[import-untyped]

from worker.export.warc import write_warc
from worker.models import Candidate, Page, Validators
from worker.sources.files.article_files import InputContext
from worker.sources.files.warc import read_warc

AT = datetime(2026, 5, 4, 3, 2, 1, 987654, tzinfo=UTC)
PAGE = Page(
    url="https://bao.example/cu",
    final_url="https://bao.example/tin?a=1&b=%C3%A1",
    status=200,
    body="<html><p>Đường phố Hà Nội</p></html>".encode(),
    fetched_at=AT,
    content_type="text/html; charset=utf-8",
    headers={
        "content-type": "text/html; charset=utf-8",
        "content-encoding": "br",
        "x-robots-tag": "noai",
        "link": "a\r\nb: c",
    },
    validators=Validators(etag='"1"', last_modified=None),
)
FILE = replace(PAGE, url="file:///tmp/a.html", final_url="file:///tmp/a.html", headers={}, content_type=None)
ODD = replace(
    PAGE, final_url="https://bao.example/", body=b"\x00\xff" * 40_000, headers={"bad name": "x", "Date": "\x00y"}
)


def write(*pages: Page) -> bytes:
    file = io.BytesIO()
    assert write_warc(pages, file) == len(pages)
    return file.getvalue()


def test_every_record_is_valid_and_linked() -> None:
    written = write(PAGE, FILE, ODD)

    records, kinds = {}, []
    for record in ArchiveIterator(io.BytesIO(written), check_digests="raise"):
        kinds.append(record.rec_type)
        record.content_stream().read()
        records[record.rec_headers["WARC-Record-ID"]] = (record.rec_type, record.rec_headers, record.http_headers)
        assert record.rec_headers["WARC-Date"] == "2026-05-04T03:02:01.987654Z"

    assert kinds == ["warcinfo", "response", "request", "resource", "response", "request"]
    assert len(records) == len(kinds)
    _, fields, response = next(each for each in records.values() if each[0] == "response")
    assert fields["WARC-Target-URI"] == PAGE.final_url
    assert (response.get_statuscode(), response.protocol) == ("200", "HTTP/1.1")
    assert [response.get_header(name) for name in ("etag", "x-robots-tag", "content-encoding", "b")] == [
        '"1"',
        "noai",
        None,
        None,
    ]
    assert response.get_header("content-length") == str(len(PAGE.body))
    _, fields, request = next(each for each in records.values() if each[0] == "request")
    assert records[fields["WARC-Concurrent-To"]][0] == "response"
    assert request.statusline == "/tin?a=1&b=%C3%A1 HTTP/1.1"
    assert write(PAGE, FILE, ODD) == written
    assert write() == b""


@pytest.mark.parametrize("page", [PAGE, FILE], ids=["web", "file"])
def test_the_workers_own_input_reads_the_same_page(page: Page, tmp_path: Path) -> None:
    archive = tmp_path / "pages.warc.gz"
    archive.write_bytes(write(page))
    context = InputContext(source="s", now=AT, max_bytes=10**6)

    (found,) = read_warc(archive, context)

    assert isinstance(found, Candidate)
    assert found.url == page.final_url
    assert isinstance(found.payload, Page)
    assert (found.payload.body, found.payload.fetched_at, found.payload.status) == (page.body, AT, 200)
    assert found.payload.headers.get("x-robots-tag") == page.headers.get("x-robots-tag")

"""What a worker process does: read one job after another and answer each, whatever the page is like."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime

from worker.errors import ExtractError, FetchBlocked
from worker.extract import wire
from worker.extract.body import load_tables
from worker.extract.reader import Reader
from worker.extract.rules import ExtractRules
from worker.models import Page
from worker.ports import Hints

_WARM_UP = """<!doctype html><html lang="vi"><head><title>Khởi động | Báo</title></head><body><article>
<h1>Khởi động</h1>
<p>Đoạn văn thứ nhất đủ dài để được coi là một đoạn của bài báo, có dấu câu và không có liên kết nào ở trong.</p>
<p>Đoạn văn thứ hai cũng như vậy, nói thêm vài điều về việc khởi động, ngày 5/3/2024, rồi kết thúc ở đây.</p>
</article></body></html>"""


class Work:
    """Reads pages and turns whatever goes wrong into a reply."""

    def __init__(self, rules: ExtractRules) -> None:
        self._reader = Reader(rules)

    def warm_up(self) -> None:
        """Read one small page, so that the first real one does not pay for loading tables."""
        load_tables()
        now = datetime(2024, 3, 6, tzinfo=UTC)
        url = "https://warm-up.example/khoi-dong.html"
        page = Page(url=url, final_url=url, status=200, body=_WARM_UP.encode(), fetched_at=now)
        self.answer(wire.Job(content=page, hints=Hints(url=url, canonical_url=url, source=""), fetched_at=now))

    def answer(self, job: wire.Job) -> wire.Reply:
        """Return the article or the reason why there is none; never raises for anything a page can cause."""
        try:
            return self._read(job)
        except MemoryError:
            return wire.Reply(reason="memory", message="the page needs more memory than one page may have", last=True)
        except Exception as error:  # noqa: BLE001 - a page that trips a bug in a library costs itself, not the run
            message = f"extraction failed: {type(error).__name__}: {error}"[:300]
            return wire.Reply(reason="crash", message=message, last=True)

    def _read(self, job: wire.Job) -> wire.Reply:
        if job.explain:
            explanation = self._reader.explain(job.content, job.hints, fetched_at=job.fetched_at)
            return wire.Reply(explanation=explanation)
        try:
            article = self._reader.read(job.content, job.hints, fetched_at=job.fetched_at)
        except ExtractError as error:
            return wire.Reply(reason=error.reason, message=str(error))
        except FetchBlocked as error:
            return wire.Reply(reason=error.reason, message=str(error), blocked=True)
        return wire.Reply(article=article)


def serve(connection: socket.socket, work: Work) -> None:
    """Answer jobs until the parent closes the connection or a reply says that it was the last."""
    connection.sendall(wire.pack(wire.Ready(pid=os.getpid())))
    while isinstance(job := wire.receive(connection), wire.Job):
        reply = work.answer(job)
        connection.sendall(wire.pack(reply))
        if reply.last:
            return

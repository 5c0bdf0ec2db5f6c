"""The web pages of `run`: what a supervisor, Prometheus and a person see of a running daemon."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.commands import Desk, stop
from tests.integration.test_run_command import FEED, HOST, url
from tests.newsroom import Newsroom, sites_of
from tests.texts import page, story
from tests.waiting import eventually


@pytest.fixture
def room() -> Iterator[Newsroom]:
    with Newsroom(sites_of({url("mot"): page("Một", story("một"))})) as opened:
        yield opened


@pytest.fixture
def address() -> str:
    """A port that is free, below those that the system hands out by itself: nobody else takes it meanwhile."""
    for port in range(15_000 + os.getpid() % 10_000, 32_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return f"127.0.0.1:{port}"
    raise AssertionError("no port is free")


@pytest.fixture
def desk(tmp_path: Path, room: Newsroom, address: str) -> Iterator[Desk]:
    made = Desk(folder=tmp_path, environment=room.environment)
    made.configure(
        f'[web]\nlisten = "{address}"\n[[sources]]\nname = "mot"\nkind = "feed"\nurl = "https://{HOST}{FEED}"\n'
    )
    yield made
    made.end_all()


def test_a_daemon_at_work_can_be_watched(desk: Desk, address: str) -> None:
    process = desk.start("run")
    eventually(lambda: "web.listening" in desk.log())
    with httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=300) as client:
        eventually(lambda: settled(client.get("/healthz").json()))

        health = client.get("/healthz")
        # A visitor may see figures of up to a minute ago if the store is slow to give newer ones.
        eventually(lambda: '<th scope="row">mot</th>' in client.get("/").text)
        eventually(lambda: "source_freshness_seconds{" in client.get("/metrics").text)
        metrics = client.get("/metrics").text
    ended = stop(process)

    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }
    assert health.status_code == 200, health.text
    told = health.json()
    assert (told["ok"], told["reason"]) == (True, "")
    assert (told["figures"]["in_hand"], told["figures"]["done"]) == (0, 1)
    assert found["corpus_worker_outcomes_total", "unique", "stored"] == 1
    assert found["corpus_worker_polls_total", "ok"] >= 1
    assert found["corpus_worker_discovered_total", "mot"] == 1
    assert all(
        found["corpus_worker_stage_seconds_count", stage] >= 1
        for stage in ("fetch", "extract", "fingerprint", "settle")
    )
    assert found["corpus_worker_source_freshness_seconds", "mot"] < 3600
    assert found["corpus_worker_candidates", "stored"] == 1
    assert ended.status == 143, desk.log()
    assert "Traceback" not in desk.log()


def settled(told: dict[str, Any]) -> bool:
    return told["ok"] and (told["figures"]["in_hand"], told["figures"]["done"]) == (0, 1)


def test_where_the_address_is_taken_the_daemon_works_without_its_pages(desk: Desk, address: str) -> None:
    host, _, port = address.partition(":")
    with socket.create_server((host, int(port))):
        process = desk.start("run")
        eventually(lambda: "outcome.stored" in desk.log() or "state=stored" in desk.log())
        refused = desk.run("web")
    ended = stop(process)

    assert f"{address} cannot be listened on" in desk.log()
    assert ended.status == 143, desk.log()
    assert (refused.status, refused.out) == (1, "")
    assert "by process" in refused.err
    assert f"such as {host}:{int(port) + 1}" in refused.err


def test_web_says_as_json_where_it_serves(desk: Desk, address: str) -> None:
    assert desk.run("ingest", "-qq").status == 0
    process = desk.start("web", "--json")
    assert process.stdout is not None

    said = json.loads(process.stdout.readline())

    assert said == {"serving": f"http://{address}/"}
    assert stop(process, signal.SIGINT).status == 130


def test_public_pages_need_allow_public(desk: Desk) -> None:
    desk.configure('[web]\nlisten = "0.0.0.0:8750"\n')

    refused = desk.run("config", "check")
    desk.configure('[web]\nlisten = "0.0.0.0:8750"\nallow_public = true\n')
    allowed = desk.run("config", "check")

    assert refused.status == 2
    assert "allow_public = true" in refused.err
    assert allowed.status == 0

"""`run` with a store that is unavailable when it starts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Desk, stop
from tests.waiting import eventually


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"postgresql+psycopg://u:secret@127.0.0.1:{port}/db"
    made = Desk(folder=tmp_path, environment={"CORPUS_WORKER_STORE__URL": url})
    made.configure()
    yield made
    made.end_all()


def test_a_daemon_started_before_its_server_waits_for_it_and_obeys_signals(desk: Desk) -> None:
    process = desk.start("run")
    eventually(lambda: "again_in=5s" in desk.log())

    ended = stop(process)

    assert ended.status == 143
    assert "cannot be reached" in desk.log()
    assert "secret" not in desk.log()
    assert "Traceback" not in desk.log()


def test_a_one_shot_command_does_not_wait_for_a_server_that_never_answered(desk: Desk) -> None:
    ended = desk.run("ingest")

    assert ended.status == 1
    assert "cannot be reached" in ended.err
    assert "store.waiting" not in ended.err


@pytest.mark.parametrize("command", ["run", "ingest", "status"])
def test_a_store_url_with_an_unknown_parameter_is_one_line(desk: Desk, command: str) -> None:
    desk.environment = {"CORPUS_WORKER_STORE__URL": "postgresql+psycopg://u@127.0.0.1:1/db?passwort=secret"}

    process = desk.start(command)
    process.communicate(timeout=300)

    assert process.returncode == 1
    assert len(desk.log().splitlines()) == 1
    assert 'invalid connection option "passwort"; PostgreSQL has no such parameter' in desk.log()
    assert "secret" not in desk.log()

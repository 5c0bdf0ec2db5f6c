"""Functions in processes: what one does that dies is done here, and none outlives this process."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from daft import Series

from tests.waiting import eventually
from worker.batch.processes import Processes


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setattr("worker.batch.processes._FEW_CALLS", 1)
    with Processes(2) as started:
        yield started


def process_ids(rows: Sequence[object]) -> Any:
    return pa.array([os.getpid() for _ in rows])


def ends_at_two(rows: Sequence[int]) -> Any:
    if parent_process() is not None and 2 in rows:
        os._exit(1)
    return pa.array([2 * each for each in rows])


def refuses(_rows: Sequence[int]) -> Any:
    raise OSError(f"refused in {os.getpid()}")


def names(_numbers: Sequence[int], rows: Sequence[dict[str, str]]) -> Any:
    return pa.array([each["name"] for each in rows])


def test_processes_start_when_there_is_more_to_do_and_work_on_parts_of_columns(processes: Processes) -> None:
    rows = Series.from_pylist([{"name": name} for name in "abcd"])

    first, second = (processes.call(process_ids, Series.from_pylist([1, 2])).to_pylist() for _ in range(2))
    found = processes.call(names, Series.from_pylist([1, 2]), rows.slice(1, 3))

    assert first == [os.getpid()] * 2
    assert second[0] == second[1] != os.getpid()
    assert found.to_pylist() == ["b", "c"]


def test_what_processes_that_die_leave_is_done_here(processes: Processes) -> None:
    found = [processes.call(ends_at_two, Series.from_pylist([at, at + 1])).to_pylist() for at in range(5)]

    assert found == [[2 * at, 2 * at + 2] for at in range(5)]
    assert processes.call(process_ids, Series.from_pylist([1])).to_pylist() == [os.getpid()]


def test_an_error_in_a_process_is_raised_where_it_was_called(processes: Processes) -> None:
    processes.call(process_ids, Series.from_pylist([1]))

    with pytest.raises(OSError, match="refused in") as raised:
        processes.call(refuses, Series.from_pylist([1]))
    assert str(os.getpid()) not in str(raised.value)
    assert processes.call(process_ids, Series.from_pylist([1])).to_pylist() != [os.getpid()]


def test_a_cluster_gets_no_processes(processes: Processes) -> None:
    elsewhere = pickle.loads(pickle.dumps(processes))

    assert {elsewhere.call(process_ids, Series.from_pylist([1]))[0].as_py() for _ in range(20)} == {os.getpid()}


PROGRAM = """
import os
import time
import pyarrow as pa
from daft import Series
from worker.batch.processes import Processes

def process_id(rows):
    time.sleep(rows[0])
    return pa.array([os.getpid()])

if __name__ == "__main__":
    with Processes(1) as processes:
        for number in range(20):
            found = processes.call(process_id, Series.from_pylist([0]))
        print(found[0], flush=True)
        input()
        print(processes.call(process_id, Series.from_pylist([0]))[0], flush=True)
        processes.call(process_id, Series.from_pylist([1]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc shows whether a process is there")
def test_a_process_ignores_an_interrupt_and_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "program.py"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        process = int(program.stdout.readline())
        os.kill(process, signal.SIGINT)
        program.stdin.write("\n")
        program.stdin.flush()
        assert int(program.stdout.readline()) == process != program.pid

        program.kill()

    eventually(lambda: not Path("/proc", str(process)).exists(), within=60)

"""A shortage of the machine is reported in one line, and distinguished from bugs."""

from __future__ import annotations

import errno
import resource
import sys

import pytest

from worker.cli.main import cli, main
from worker.errors import MachineError, StoreError, as_machine_error, machine_error


def nested(inner: BaseException) -> Exception:
    outer = ValueError("outer")
    outer.__context__ = inner
    return outer


LACKS = [
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENFILE, "Too many open files in system"),
    RuntimeError("can't start new thread"),
    ImportError("libblas.so: failed to map segment from shared object"),
    ImportError("import failed:\n\nOriginal error was: x.so: cannot allocate memory in static TLS block"),
    nested(MemoryError()),
    ExceptionGroup("two", [ValueError("a"), nested(RuntimeError("can't start new thread"))]),
    MachineError("told already"),
]
OTHERS = [
    ValueError("out of range"),
    RuntimeError("dictionary changed size during iteration"),
    ImportError("No module named 'pyarrow'"),
    OSError(errno.ENOSPC, "No space left on device"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    StoreError("gone"),
    nested(KeyError("x")),
]


@pytest.mark.parametrize("error", LACKS, ids=repr)
def test_a_shortage_is_one_line_that_names_the_limit_to_raise(error: BaseException) -> None:
    told = as_machine_error(error)

    assert told is not None
    assert "\n" not in str(told)
    assert isinstance(error, MachineError) or "too little memory, or allows too few processes" in str(told)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_other_errors_are_no_shortage(error: BaseException) -> None:
    assert as_machine_error(error) is None


def test_the_limits_of_the_process_are_part_of_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_AS: 300 * 2**20, resource.RLIMIT_NPROC: 40}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits.get(kind, resource.RLIM_INFINITY), 0))

    told = str(machine_error("no thread"))

    assert "(no thread)" in told
    assert told.endswith("address space 300 MB (ulimit -v), processes and threads of this user 40 (ulimit -u)")


@pytest.mark.parametrize("error", [MemoryError(), nested(OSError(errno.EAGAIN, "fork"))], ids=repr)
def test_a_command_that_meets_a_shortage_ends_with_one_line_and_status_1(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "main", fail)

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_shortage_is_reported_even_without_memory_for_the_message(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise MemoryError

    def end(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(cli, "main", fail)
    monkeypatch.setitem(sys.modules, "worker.errors", None)
    monkeypatch.setattr("os._exit", end)

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    assert capfd.readouterr().err.startswith("corpus-worker: the machine has too little memory")


def test_a_bug_is_not_mistaken_for_a_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "main", fail)

    with pytest.raises(ZeroDivisionError):
        main()

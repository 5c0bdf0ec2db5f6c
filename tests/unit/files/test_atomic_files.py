"""Files are written atomically, and only regular files of the same user are replaced."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Thread

import pytest

from tests.waiting import eventually
from worker.files import atomic
from worker.files.atomic import atomic_file, atomic_folder, open_output, private_folder, require_replaceable

IS_ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """The permissions of new files do not depend on who runs the tests."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(target: Path, body: bytes = b"new") -> None:
    with atomic_file(target) as file:
        file.write(body)


def test_a_new_file_has_the_permissions_the_umask_gives(tmp_path: Path) -> None:
    write(tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == b"new"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["out"]


def test_a_replaced_file_keeps_its_permissions_and_other_hard_links_their_content(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    target.chmod(0o604)
    os.link(target, tmp_path / "other")

    write(target)

    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o604
    assert (tmp_path / "other").read_text() == "old"


def test_a_temporary_file_has_a_random_name_and_is_private(tmp_path: Path) -> None:
    given = set()
    for _ in range(3):
        with atomic_file(tmp_path / "out") as file:
            given.add(file.name)
            assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600

    assert len(given) == 3


def test_an_existing_file_under_the_temporary_name_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "random_name", lambda: "guessed")
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "guessed").symlink_to("precious")

    with pytest.raises(FileExistsError):
        write(tmp_path / "out")

    assert (tmp_path / "precious").read_text() == "mine"


def test_a_file_named_like_an_old_temporary_file_is_ordinary(tmp_path: Path) -> None:
    (tmp_path / "out.partial").write_text("mine")
    (tmp_path / "out.unfinished").symlink_to("out.partial")

    write(tmp_path / "out")

    assert (tmp_path / "out.partial").read_text() == "mine"


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write(tmp_path / ("n" * 255))
    with pytest.raises(OSError, match="too long"):
        write(tmp_path / ("n" * 256))

    assert names(tmp_path) == ["n" * 255]


def made_odd(folder: Path) -> None:
    (folder / "file").write_text("mine")
    (folder / "link").symlink_to("file")
    (folder / "dangling").symlink_to("nothing")
    (folder / "to-device").symlink_to("/dev/null")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(folder / "socket"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("link", "it is a link"),
        ("dangling", "it is a link"),
        ("to-device", "it is a link"),
        ("pipe", "it is a pipe"),
        ("folder", "it is a folder"),
        ("socket", "it is a socket"),
        ("/dev/null", "it is a device"),
        ("file/below", "Not a directory"),
        ("nowhere/out", "No such file"),
    ],
)
def test_only_regular_files_are_replaced(tmp_path: Path, name: str, told: str) -> None:
    made_odd(tmp_path)
    before = names(tmp_path)

    with pytest.raises(OSError, match=told):
        write(tmp_path / name)

    assert names(tmp_path) == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("planted", ["link", "pipe", "folder"])
def test_a_target_that_appears_meanwhile_is_not_touched(tmp_path: Path, planted: str) -> None:
    (tmp_path / "precious").write_text("mine")
    target = tmp_path / "out"

    with pytest.raises(OSError, match="it is a"), atomic_file(target) as file:
        file.write(b"new")
        if planted == "link":
            target.symlink_to("precious")
        elif planted == "pipe":
            os.mkfifo(target)
        else:
            target.mkdir()

    assert (tmp_path / "precious").read_text() == "mine"
    assert names(tmp_path) == ["out", "precious"]


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_files_of_other_users_or_behind_their_links_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    os.chown(tmp_path / "theirs", 65_534, 65_534)
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    write(tmp_path / "way" / "mine")
    os.chown(tmp_path / "way", 65_534, 65_534, follow_symlinks=False)

    for target, told in ((tmp_path / "theirs", "another user"), (tmp_path / "way" / "mine", "a link of another user")):
        with pytest.raises(OSError, match=told):
            write(target)

    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_link_of_the_same_user_in_the_path_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")

    write(tmp_path / "way" / "out")

    assert (tmp_path / "real" / "out").read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file_and_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")

    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "out") as file:
        file.write(b"half")
        raise KeyboardInterrupt

    assert (tmp_path / "out").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_a_file_that_exceeds_the_size_limit_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(tmp_path / "out", b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert not names(tmp_path)


_WRITES_AND_WAITS = """
import sys
from pathlib import Path
from worker.files.atomic import atomic_file, atomic_folder
opened = atomic_folder if sys.argv[2] == "folder" else atomic_file
with opened(Path(sys.argv[1])) as made:
    if sys.argv[2] == "folder":
        (made / "one").write_text("half")
    else:
        made.write(b"half")
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize(
    ("number", "left"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 0), (signal.SIGKILL, 1)]
)
def test_a_signal_leaves_nothing_and_a_kill_one_private_temporary_file(
    tmp_path: Path, kind: str, number: signal.Signals, left: int
) -> None:
    words = [sys.executable, "-c", _WRITES_AND_WAITS, str(tmp_path / "out"), kind]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.send_signal(number)
        program.wait()

    found = names(tmp_path)
    assert len(found) == left
    assert all(name.startswith(atomic.PREFIX) for name in found)
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in found)


def test_a_signal_with_a_handler_is_left_to_it(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with atomic_file(tmp_path / "out"):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_an_open_stream_is_written_to(tmp_path: Path, name: str) -> None:
    reading, writing = os.pipe()

    with open_output(Path(name.format(writing))) as stream:
        stream.write(b"streamed")

    os.close(writing)
    assert os.read(reading, 100) == b"streamed"
    os.close(reading)


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_is_written_at_its_position(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("first\n")
    with open_output(Path(name)) as stream:
        stream.write(b"second\n")
    sys.stdout.write("third\n")

    assert capfd.readouterr().out == "first\nsecond\nthird\n"


def test_a_stream_that_is_not_open_is_an_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"), open_output(Path("/dev/fd/987")):
        pass


def test_a_folder_appears_with_everything_in_it(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out") as made:
        (made / "one").write_text("1")
        assert names(tmp_path) == [made.name]

    assert names(tmp_path / "out") == ["one"]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750
    assert names(tmp_path) == ["out"]


def test_an_empty_folder_is_replaced_with_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o701)

    with atomic_folder(tmp_path / "out") as made:
        (made / "one").write_text("1")

    assert names(tmp_path / "out") == ["one"]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o701


@pytest.mark.parametrize(
    ("name", "told"),
    [("file", "is a file"), ("link", "is a link"), ("pipe", "is a pipe"), ("full", "is not empty"), ("here", "are in")],
)
def test_only_an_empty_folder_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    monkeypatch.chdir(tmp_path / "here")
    before = names(tmp_path)

    with pytest.raises(OSError, match=told), atomic_folder(tmp_path / name):
        pass

    assert names(tmp_path) == before


def test_a_folder_that_fails_or_is_filled_meanwhile_leaves_no_temporary_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), atomic_folder(tmp_path / "out") as made:
        (made / "one").write_text("1")
        raise KeyError

    with pytest.raises(OSError, match="not empty"), atomic_folder(tmp_path / "out"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").write_text("mine")

    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["mine"]


def test_a_private_folder_is_private_and_deleted(tmp_path: Path) -> None:
    with private_folder(tmp_path) as made:
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        (made / "deep").mkdir()

    assert not names(tmp_path)


def test_a_private_folder_is_deleted_although_a_thread_still_writes_into_it(tmp_path: Path) -> None:
    def write(made: Path) -> None:
        with suppress(FileNotFoundError):
            for number in count():
                (made / str(number)).touch()

    for _ in range(20):
        with private_folder(tmp_path) as made:
            thread = Thread(target=write, args=(made,))
            thread.start()
            eventually(lambda: any(made.iterdir()), within=60)
        thread.join()

    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError) as refused:
            write(tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)

    assert refused.value.errno == errno.EACCES


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    assert require_replaceable(tmp_path / "out") is None

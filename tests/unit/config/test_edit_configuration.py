"""The configuration file is changed atomically."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomlkit

from worker.config.edit import edit_file
from worker.errors import ConfigurationError, UsageError

TEXT = '# mine\r\n[fetch]\r\ntimeout = "3s"\r\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "worker.toml"
    made.write_bytes(TEXT.encode())
    made.chmod(0o640)
    return made


def test_the_new_text_replaces_the_old_one_and_keeps_its_permissions(path: Path) -> None:
    settings = edit_file(path, lambda text: text.replace("3s", "4s"), {})

    assert path.read_bytes() == TEXT.replace("3s", "4s").encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert settings.fetch.timeout.total_seconds() == 4
    assert list(path.parent.iterdir()) == [path]


def test_a_byte_order_mark_stays_where_it_is(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())

    edit_file(path, lambda text: text.replace("# mine", "# ours"), {})

    assert path.read_bytes() == b"\xef\xbb\xbf" + TEXT.replace("# mine", "# ours").encode()


def test_a_file_with_a_byte_order_mark_can_be_edited(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())

    settings = edit_file(path, lambda text: tomlkit.dumps(tomlkit.parse(text)).replace("3s", "4s"), {})

    assert settings.fetch.timeout.total_seconds() == 4


def test_a_link_to_the_file_stays_a_link(path: Path) -> None:
    link = path.with_name("link.toml")
    link.symlink_to(path)

    edit_file(link, lambda text: text + "# more\n", {})

    assert link.is_symlink()
    assert path.read_text().endswith("# more\n")


def test_an_invalid_text_is_not_written_and_the_error_names_the_file(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"worker\.toml: fetch\.bogus: unknown key"):
        edit_file(path, lambda text: text + "bogus = 1\n", {})

    assert path.read_bytes() == TEXT.encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_refused_edit_leaves_the_file_unchanged(path: Path) -> None:
    def refuse(_text: str) -> str:
        raise UsageError("no")

    with pytest.raises(UsageError):
        edit_file(path, refuse, {})

    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_read_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written: No such file"):
        edit_file(tmp_path / "none.toml", str, {})

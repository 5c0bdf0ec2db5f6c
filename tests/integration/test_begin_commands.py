"""`init` and the lookup of the configuration: from an empty folder to commands that work."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.run_cli import run_inside

CONTACT = "https://example.com/our-crawler"


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    ended = run_inside(folder, *words, config="")
    return ended.status, ended.out, ended.err


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_what_init_writes_is_valid_and_the_next_commands_work(tmp_path: Path) -> None:
    status, out, err = run(tmp_path, "init", "mine", "--agent", "my-crawler", "--contact", CONTACT)
    mine = tmp_path / "mine"

    assert (status, err) == (0, "")
    assert set(tree(mine)) == {"corpus-worker.toml", "seeds", ".gitignore"}
    assert [line.split("  ")[1] for line in out.partition("next:\n")[2].splitlines()] == [
        "cd mine",
        "corpus-worker sources add URL",
        "corpus-worker ingest",
        "corpus-worker status",
    ]
    checked = run_inside(mine, "config", "check", config="")
    assert (checked.status, checked.err) == (0, "corpus-worker.toml: valid, 0 sources\n")
    assert f'user_agent = "my-crawler/1.0 (+{CONTACT})"' in checked.out
    assert [run(mine, *words)[0] for words in (["ingest"], ["status"], ["export"], ["audit"])] == [0, 0, 0, 0]


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    run(tmp_path, "init", "--contact", "me@example.com")
    (tmp_path / "corpus-worker.toml").write_text("# mine")
    before = tree(tmp_path)

    again = run_inside(tmp_path, "init", "--agent", "other", "--contact", CONTACT, "--json", config="")

    assert tree(tmp_path) == before
    assert again.record() == {
        "config": "corpus-worker.toml",
        "written": [],
        "kept": ["corpus-worker.toml", "seeds", ".gitignore"],
        "user_agent": None,
    }


def test_a_configuration_at_the_older_place_is_not_hidden_by_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/worker.toml").write_text("")

    status, out, _ = run(tmp_path, "init", "--contact", CONTACT)

    assert status == 0
    assert "config/worker.toml: is there already and stays as it is" in out
    assert not (tmp_path / "corpus-worker.toml").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--agent", "me"], "--agent needs --contact"),
        (["--agent", "my crawler", "--contact", CONTACT], "my crawler: not a name for a crawler"),
        (["--contact", "nobody"], "nobody: not a contact"),
        (["--contact", "https://x.vn/(a)"], "not a contact"),
    ],
)
def test_a_name_or_contact_that_cannot_be_used_is_refused_before_anything_is_written(
    tmp_path: Path, words: list[str], said: str
) -> None:
    status, _, err = run(tmp_path, "init", *words)

    assert status == 2
    assert said in err
    assert tree(tmp_path) == {}


def test_without_a_terminal_nothing_is_asked_and_the_missing_contact_is_named(tmp_path: Path) -> None:
    status, out, _ = run(tmp_path, "init")

    written = tomllib.loads((tmp_path / "corpus-worker.toml").read_text())
    assert status == 0
    assert "# set user_agent in corpus-worker.toml" in out
    assert written["fetch"]["user_agent"] == "corpus-worker/1.0 (+https://example.org/about-our-crawler)"


def test_on_a_terminal_name_and_contact_are_asked_for_until_they_can_be_used(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "init"], cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.write(ours, b"\nnobody\nme@example.com\n")
        process.communicate(timeout=300)

    assert process.returncode == 0
    written = tomllib.loads((tmp_path / "corpus-worker.toml").read_text())
    assert written["fetch"]["user_agent"] == "corpus-worker/1.0 (+mailto:me@example.com)"


def test_a_configuration_is_looked_for_in_five_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xdg = tmp_path / "xdg"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(xdg))

    status, _, err = run(tmp_path, "status")
    assert status == 2
    assert f"corpus-worker.toml, config/worker.toml, {xdg}/corpus-worker/corpus-worker.toml" in err
    assert "corpus-worker init" in err

    places = ["xdg/corpus-worker/corpus-worker.toml", "config/worker.toml", "corpus-worker.toml", "named.toml"]
    for place in places:  # from the last place to the first: each takes the place of the one before
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("")
        if place == "named.toml":
            monkeypatch.setenv("CORPUS_WORKER_CONFIG", place)
        _, _, err = run(tmp_path, "config", "check")
        assert err == f"{tmp_path / place if place.startswith('xdg') else place}: valid, 0 sources\n"
    (tmp_path / "option.toml").write_text("")
    for words in (["-c", "option.toml", "config", "check"], ["config", "-c", "option.toml", "check"]):
        assert run(tmp_path, *words)[2].startswith("option.toml: valid")


def test_the_configuration_of_a_user_has_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    mine = tmp_path / "corpus-worker"

    run(tmp_path, "init", str(mine), "--contact", CONTACT)

    written = tomllib.loads((mine / "corpus-worker.toml").read_text())
    assert written["store"]["url"] == f"sqlite:///{mine}/data/corpus.db"
    assert written["seeds"]["path"] == f"{mine}/seeds"


def test_commands_that_need_no_configuration_run_without_one(tmp_path: Path) -> None:
    for words in (["extract", "x.html"], ["ingest", "-n", "x.html"]):
        status, _, err = run(tmp_path, *words)
        assert status == 2
        assert "x.html: neither a web address nor a file or folder that exists" in err
    status, out, _ = run(tmp_path, "doctor")
    assert status == 0
    assert "there is none, so the defaults count -> write one: corpus-worker init" in out
    assert list(tmp_path.iterdir()) == []


def test_a_named_configuration_that_is_missing_is_an_error_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPUS_WORKER_CONFIG", "none.toml")

    for words in (["status"], ["extract", "x.html"], ["doctor"]):
        status, _, err = run(tmp_path, *words)
        assert status == 2
        assert "none.toml: no such file" in err


def test_a_source_is_edited_in_the_file_and_the_change_can_be_undone(tmp_path: Path) -> None:
    run(tmp_path, "init", "--contact", CONTACT)
    path = tmp_path / "corpus-worker.toml"
    path.write_text(path.read_text() + '\n# mine\n[[sources]]\nname = "a"\nkind = "feed"\nurl = "https://a.vn/rss"\n')
    before = path.read_text()

    edited = run_inside(tmp_path, "sources", "edit", "a", "every=30m", "sites=b.vn,c.vn", config="")
    after = path.read_text()
    refused = [
        run(tmp_path, "sources", "edit", *words)[2]
        for words in (["a", "pages=x"], ["a", "every"], ["a", "name=b"], ["b", "every=1h"], ["a", "foo=1"])
    ]
    assert path.read_text() == after
    undone = run_inside(tmp_path, *edited.out.rpartition("corpus-worker ")[2].split(), "--json", config="")

    assert after == f'{before}every = "30m"\nsites = ["b.vn", "c.vn"]\n'
    assert path.read_text() == before
    assert undone.record() == {
        "edited": "a",
        "changes": {"every": {"from": "30m", "to": None}, "sites": {"from": ["b.vn", "c.vn"], "to": None}},
    }
    assert [error.split(": ", 1)[1].strip() for error in refused] == [
        'corpus-worker.toml: sources[1].pages: found "x"; expected a whole number, without quotation marks',
        "sources edit a: write each change as KEY=VALUE, such as every=30m",
        "sources edit a: a source keeps its name, under which its history is stored",
        "no source is called b; the configuration has a",
        refused[4].split(": ", 1)[1].strip(),
    ]
    assert "sources[1].foo: unknown key; expected one of" in refused[4]

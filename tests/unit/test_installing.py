"""The system service and the container: checked as far as they can be without installing them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from worker.cli.main import cli
from worker.config.schema import Settings
from worker.runs.daemon.daemon import LOOP_TIMEOUT, STOP_TIMEOUT

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "config" / "corpus-worker.service"
CONTAINER = (ROOT / "config" / "Containerfile").read_text(encoding="utf-8")
EXPOSURE = 3.0


def unit() -> dict[str, list[str]]:
    """Return the settings of the unit's [Service] section; some stand there several times."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").split("[Service]")[1].split("[Install]")[0].splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def analyze() -> str:
    """The command of systemd that looks over units."""
    return shutil.which("systemd-analyze") or pytest.skip("needs systemd-analyze, which this machine does not have")


def test_systemd_finds_nothing_wrong_with_the_unit(analyze: str, tmp_path: Path) -> None:
    installed = tmp_path / UNIT.name
    command = UNIT.read_text(encoding="utf-8").replace("/opt/corpus-worker/bin/corpus-worker", sys.executable)
    installed.write_text(command, encoding="utf-8")

    done = subprocess.run([analyze, "verify", installed], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_exposes_little_of_the_machine(analyze: str) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE * 10:.0f}", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )

    level = re.search(r"Overall exposure level for corpus-worker.service: ([\d.]+)", done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert level
    assert float(level[1]) < EXPOSURE


def test_the_service_gives_the_daemon_the_time_it_takes_itself() -> None:
    told = unit()

    assert timedelta(seconds=int(told["TimeoutStopSec"][0])) > STOP_TIMEOUT
    assert told["WatchdogSec"] == ["3min"]
    assert timedelta(minutes=3) > LOOP_TIMEOUT
    assert told["Type"] == ["notify"]
    assert told["KillSignal"] == ["SIGTERM"]
    assert "config check" in told["ExecReload"][0]
    assert "-HUP" in told["ExecReload"][1]
    assert set(told["SuccessExitStatus"][0].split()) == {"130", "143"}


def test_service_and_container_run_a_command_that_exists() -> None:
    words = shlex.split(unit()["ExecStart"][0])
    described = re.search(r"^CMD (\[.*\])$", CONTAINER, re.MULTILINE)

    assert described
    for command in (words[1:], json.loads(described[1])):
        run = cli.commands[command[0]]
        assert command[1] in {option for param in run.params for option in param.opts}


def test_the_container_is_locked_down_and_says_how_it_is() -> None:
    images = re.findall(r"^FROM (\S+)", CONTAINER, re.MULTILINE)
    tag = re.search(r"^ARG PYTHON=(\S+)", CONTAINER, re.MULTILINE)

    assert images == ["python:${PYTHON}"] * 2
    assert tag
    assert re.fullmatch(r"\d+\.\d+\.\d+-slim-\w+", tag[1])
    assert "--require-hashes" in CONTAINER
    assert re.search(r"^USER 10001:10001$", CONTAINER, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\n? +CMD \[.*/healthz", CONTAINER, re.MULTILINE)
    assert "ADD " not in CONTAINER
    assert "--index-url" not in CONTAINER


def test_the_compose_file_runs_commands_and_sets_keys_that_exist() -> None:
    text = (ROOT / "config" / "compose.yaml").read_text(encoding="utf-8")
    command = re.search(r"command: \[(.+)\]", text)
    keys = {f"{section}.{key}".lower() for section, key in re.findall(r"CORPUS_WORKER_([A-Z]+)__(\w+):", text)}

    assert command
    words = [word.strip('"') for word in command[1].split(", ")]
    options = {option for param in cli.commands[words[0]].params for option in param.opts}
    assert {word for word in words if word.startswith("--")} <= options
    assert keys == {"store.url", "web.allow_public", "web.password_hash"}
    for section, key in (each.split(".") for each in keys):
        part = Settings.model_fields[section].annotation
        assert part
        assert key in part.model_fields
    assert (ROOT / "config" / "Containerfile").is_file()
    assert "dockerfile: config/Containerfile" in text


def test_everything_the_container_copies_passes_its_ignore_file() -> None:
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINER, re.MULTILINE)
        for word in line.replace("${LOCK}", "requirements.lock requirements-dev.lock").split()
    }

    assert copied == allowed
    assert all((ROOT / name).exists() for name in allowed)

"""The reference names every command, option, setting and reason there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from worker.cli.main import cli
from worker.config.schema import Settings
from worker.config.sources import Section, SourceSettings
from worker.models import State

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield f"{prefix}{name}", command


COMMANDS = dict(commands(cli))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_its_heading(name: str) -> None:
    assert re.search(rf"^### `{name}[ `]", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_described(name: str) -> None:
    options = [opt for param in COMMANDS[name].params if isinstance(param, click.Option) for opt in param.opts]

    missing = [option for option in options if option.startswith("--") and f"`{option}" not in REFERENCE]

    assert not missing


def test_no_heading_names_a_command_that_is_not_there() -> None:
    section = REFERENCE.split("## Exit status")[0]
    headings = [re.split(r" [A-Z[]", found)[0] for found in re.findall(r"^### `([^`]+)`", section, re.MULTILINE)]

    assert sorted(headings) == sorted(COMMANDS)


def settings() -> Iterator[str]:
    for section, part in Settings.model_fields.items():
        if isinstance(part.annotation, type) and issubclass(part.annotation, Section):
            yield from (f"{section}.{key}" for key in part.annotation.model_fields)


@pytest.mark.parametrize("key", [*settings(), *SourceSettings.model_fields])
def test_every_setting_is_described(key: str) -> None:
    assert f"| `{key}` |" in REFERENCE


def test_the_shipped_configuration_shows_every_key_of_every_table() -> None:
    shipped = (ROOT / "config" / "worker.toml").read_text(encoding="utf-8")
    former = {"dedupe.threshold", "dedupe.containment"}
    tables = re.split(r"^(?:# )?\[(\w+)(?:\.\w+)?\]$", shipped.partition("[[sources]]")[0], flags=re.MULTILINE)
    shown = dict(zip(tables[1::2], tables[2::2], strict=True))
    keys = {key for key in settings() if key not in former and not key.startswith("filter.")}

    missing = {
        key for key in keys if not re.search(rf"^(?:# )?{key.partition('.')[2]} = ", shown[key.split(".")[0]], re.M)
    }

    assert not missing
    assert "[filter.block]" in shipped


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_described(state: State) -> None:
    assert f"| `{state.value}` |" in REFERENCE


def test_every_reason_a_stage_gives_is_described() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("*.py")]
    reasons = {reason for source in sources for reason in re.findall(r'reason="([a-z-]+)"', source)}

    assert not {reason for reason in reasons if f"`{reason}`" not in REFERENCE}


@pytest.mark.parametrize(
    "name",
    ["README.md", "docs/tutorial.md", "docs/how-to.md", "docs/design.md", "docs/extract.md", "docs/operating.md"],
)
def test_no_link_between_the_documents_is_broken(name: str) -> None:
    path = ROOT / name
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))

    assert [target for target in targets if not (path.parent / target).exists()] == []

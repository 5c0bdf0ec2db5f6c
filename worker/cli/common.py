"""The options every command takes, and what they come to."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import click

from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_CONFIG: Final = Path("config/worker.toml")
SILENT: Final = -2
"""The verbosity of `-qq`: not even the result is printed for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The common options of one call; `loudness` is the count of -v less the count of -q."""

    config: Path | None = None
    as_json: bool = False
    loudness: int = 0

    def over(self, outer: Common) -> Common:
        """Return these options over those given before the command's name."""
        return Common(
            config=self.config or outer.config,
            as_json=self.as_json or outer.as_json,
            loudness=self.loudness + outer.loudness,
        )

    def settings(self) -> Settings:
        """Read the configuration; raises ConfigurationError."""
        from worker.configuration import load

        return load(self.config or DEFAULT_CONFIG, os.environ)

    def require_foreign(self, settings: Settings, output: Path) -> None:
        """Refuse to write a result over the configuration or a file of the store; raises UsageError."""
        from worker.storage import is_store_file

        config = self.config or DEFAULT_CONFIG
        if is_store_file(settings.store.url, output):
            raise UsageError(f"{output}: is a part of the store itself; name another file")
        with contextlib.suppress(OSError):
            if output.samefile(config):
                raise UsageError(f"{output}: is the configuration; name another file")

    def set_up_logs(self, form: str = "auto", *, quietly: bool = False) -> None:
        """Send logs to standard error as `[log] format` says; `quietly` where something else shows the progress."""
        from worker import logs

        steps = (10, 20, 30, 40, 50)
        index = (2 if quietly else 1) - self.loudness
        logs.configure(level=steps[max(0, min(index, len(steps) - 1))], form=form)


_OPTIONS: Final = (
    click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Configuration file."),
    click.option("--json", "as_json", is_flag=True, help="Print a machine-readable result."),
    click.option("-v", "--verbose", count=True, help="Log more."),
    click.option("-q", "--quiet", count=True, help="Log less."),
)


def options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the common options; it receives them as one `Common`."""

    @click.pass_context
    @functools.wraps(command)
    def with_common(
        context: click.Context, /, config: Path | None, as_json: bool, verbose: int, quiet: int, **rest: object
    ) -> R:
        given = Common(config=config, as_json=as_json, loudness=verbose - quiet)
        return command(given.over(context.obj or Common()), **rest)

    decorated: Callable[..., R] = with_common
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def print_json(value: object) -> None:
    """Print one value as one line of JSON."""
    from worker.logs import escape_json

    click.echo(escape_json(json.dumps(value, ensure_ascii=False, default=str)))


def note(line: str) -> None:
    """Write a line to standard error, what came from outside in it made visible; if nobody takes it, work goes on."""
    from worker.logs import escape

    with contextlib.suppress(OSError):
        click.echo(escape(line), err=True)

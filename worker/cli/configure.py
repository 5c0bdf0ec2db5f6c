"""The command about the configuration: `config check`."""

from __future__ import annotations

import click

from worker.cli.common import DEFAULT_CONFIG, Common, note, options, print_json


@click.group()
def config() -> None:
    """Look after the configuration."""


@config.command("check")
@options
def check(common: Common) -> None:
    """Validate the configuration and print the effective one, secrets masked."""
    from worker.configuration import as_values, show

    settings = common.settings()
    for remark in settings.remarks():
        note(f"corpus-worker: warning: {remark}")
    if common.as_json:
        print_json(as_values(settings))
        return
    click.echo(show(settings), nl=False)
    note(f"{common.config or DEFAULT_CONFIG}: valid, {len(settings.sources)} sources")

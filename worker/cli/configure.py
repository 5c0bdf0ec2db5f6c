"""The commands about the configuration: `sources list`, `config check`."""

from __future__ import annotations

import click

from worker.cli.common import DEFAULT_CONFIG, Common, options, print_json


@click.group()
def sources() -> None:
    """Look after what is polled."""


@sources.command("list")
@options
def list_sources(common: Common) -> None:
    """List the configured sources and how their last poll went."""
    from worker.cli.show import source_table
    from worker.errors import StoreError
    from worker.reading import open_reading

    settings = common.settings()
    common.set_up_logs()
    try:
        with open_reading(settings) as store:
            states = {state.name: state for state in store.reader.sources()}
    except StoreError:
        states = {}  # nothing was polled yet; the list is worth reading all the same
    source_table(settings, states, as_json=common.as_json)


@click.group()
def config() -> None:
    """Look after the configuration."""


@config.command("check")
@options
def check(common: Common) -> None:
    """Validate the configuration and print the effective one, secrets masked."""
    from worker.configuration import as_values, show

    settings = common.settings()
    if common.as_json:
        print_json(as_values(settings))
        return
    click.echo(show(settings), nl=False)
    click.echo(f"{common.config or DEFAULT_CONFIG}: valid, {len(settings.sources)} sources", err=True)

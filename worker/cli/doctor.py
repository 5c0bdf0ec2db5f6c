"""The commands that check: `doctor` (machine, store, network, sources) and `config check`."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import click

from worker.cli.base import DEFAULT_CONFIG, CommonOptions, options, print_json, print_note, run_until_signal

if TYPE_CHECKING:
    from worker.config.schema import Settings
    from worker.runs.doctor import Finding


# Levels of findings, in the order of the summary, with their colors on a terminal.
_STYLES: Final = MappingProxyType({"ok": "green", "warn": "yellow", "fail": "bold red"})


@click.command()
@options
def doctor(common: CommonOptions) -> None:
    """Check machine, configuration, store, network and sources.

    Each problem is printed with what to do about it. Nothing is stored. -v prints the fetch steps of every source; by
    default only those of failed sources are printed.
    """
    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    findings, _ = run_until_signal(lambda: _run_and_print(common, settings))
    if common.as_json:
        print_json([finding.as_record() for finding in findings])
    else:
        _print_summary(findings)
    raise SystemExit(1 if any(finding.failed for finding in findings) else 0)


async def _run_and_print(common: CommonOptions, settings: Settings) -> list[Finding]:
    """Run every check and print each finding as soon as it is known; return all of them."""
    from worker.runs.doctor import run_checks

    findings = []
    async for finding in run_checks(settings):
        findings.append(finding)
        if not common.as_json:
            _print_finding(finding, with_steps=common.verbosity > 0 or finding.failed)
    return findings


def _print_finding(finding: Finding, *, with_steps: bool) -> None:
    """Print a finding on one line: level, area, name, detail and remedy; then the fetch steps, if wanted."""
    from worker.cli.render.tables import console, escape_markup

    out, style = console(), _STYLES[finding.level.value]
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    where = f"{finding.area:<13}  {escape_markup(finding.name)}"
    out.print(
        f"[{style}]{finding.level.value:<4}[/]  {where}: {escape_markup(finding.detail + remedy)}", soft_wrap=True
    )
    for what, detail in finding.steps if with_steps else ():
        out.print(f"        {escape_markup(what):<9} {escape_markup(detail)}", style="dim", soft_wrap=True)


def _print_summary(findings: list[Finding]) -> None:
    """Print the number of findings by level."""
    counts = Counter(finding.level.value for finding in findings)
    by_level = ", ".join(f"{counts[level]} {level}" for level in _STYLES)
    click.echo(f"{len(findings)} checks: {by_level}; nothing was stored")


@click.group()
def config() -> None:
    """Check the configuration."""


@config.command("check")
@options
def check(common: CommonOptions) -> None:
    """Validate and print the effective configuration.

    Defaults are included, secrets are masked.
    """
    from worker.config.load import masked_values, to_toml

    settings = common.settings()
    for warning in settings.warnings():
        print_note(f"corpus-worker: warning: {warning}")
    if common.as_json:
        print_json(masked_values(settings))
        return
    click.echo(to_toml(settings), nl=False)
    print_note(f"{common.config or DEFAULT_CONFIG}: valid, {len(settings.sources)} sources")

"""The command `doctor`."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import click

from worker.cli.common import Common, options, print_json
from worker.cli.signals import until_signal

if TYPE_CHECKING:
    from worker.checkup import Finding
    from worker.settings import Settings

_STYLES: Final = MappingProxyType({"ok": "green", "warn": "yellow", "fail": "bold red"})


@click.command()
@options
def doctor(common: Common) -> None:
    """Check the machine, the configuration, the store, the network and each source; say what to do.

    Nothing is stored. With -v every step of every fetch is shown, otherwise those of the sources that failed.
    """
    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    findings, _ = until_signal(lambda: _examine(common, settings))
    if common.as_json:
        print_json([finding.as_record() for finding in findings])
    else:
        _sum_up(findings)
    raise SystemExit(1 if any(finding.failed for finding in findings) else 0)


async def _examine(common: Common, settings: Settings) -> list[Finding]:
    from worker.checkup import check_up

    findings = []
    async for finding in check_up(settings):
        findings.append(finding)
        if not common.as_json:
            _show(finding, with_steps=common.loudness > 0 or finding.failed)
    return findings


def _show(finding: Finding, *, with_steps: bool) -> None:
    from worker.cli.show import clean, console

    out, style = console(), _STYLES[finding.level.value]
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    where = f"{finding.area:<13}  {clean(finding.name)}"
    out.print(f"[{style}]{finding.level.value:<4}[/]  {where}: {clean(finding.detail + remedy)}", soft_wrap=True)
    for what, detail in finding.steps if with_steps else ():
        out.print(f"        {clean(what):<9} {clean(detail)}", style="dim", soft_wrap=True)


def _sum_up(findings: list[Finding]) -> None:
    counts = Counter(finding.level.value for finding in findings)
    told = ", ".join(f"{counts[level]} {level}" for level in _STYLES)
    click.echo(f"{len(findings)} checks: {told}; nothing was stored")

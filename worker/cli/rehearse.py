"""Shows what `ingest --dry-run` would do: every decision of every fetch, and each outcome."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from worker.cli.common import Common, print_json
from worker.cli.signals import until_signal
from worker.logs import escape
from worker.models import Claim, Outcome, Source, State

if TYPE_CHECKING:
    from worker.fetch import Step
    from worker.oneshot import Orders, RunReport
    from worker.settings import Settings


def rehearse(common: Common, settings: Settings, orders: Orders) -> int:
    """Run without storing anything; return the exit status."""
    from worker.cli.show import run_summary
    from worker.oneshot import OneShot
    from worker.rehearsal import rehearsed

    common.set_up_logs(settings.log.format, quietly=True)
    teller = _Teller(to_error=common.as_json)

    async def work() -> RunReport:
        async with rehearsed(settings, teller, teller.stepped) as app:
            run = OneShot(app, replace(orders, with_seeds=False))
            with contextlib.suppress(asyncio.CancelledError):
                await run.run()
            return await run.report()

    report, stopped_by = until_signal(work)
    if common.as_json:
        print_json({**report.as_record(), "dry_run": True})
    else:
        run_summary(report, stopped_by=stopped_by)
        click.echo("nothing was stored (--dry-run)")
    if stopped_by:
        return 128 + stopped_by
    return 0 if report.did_its_work else 1


class _Teller:
    """Prints what happens as it happens."""

    def __init__(self, *, to_error: bool) -> None:
        self._to_error = to_error

    def stepped(self, step: Step) -> None:
        """Print one decision of a fetch."""
        self._say(f"  {step.what:<10} {step.detail}" + (f"  ({step.url})" if step.url else ""))

    def discovered(self, source: Source, *, new: int) -> None:
        """Print how many candidates a source gave that the store does not know."""
        self._say(f"{source.name}: {new} candidates the store does not know")

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Print what would become of a candidate."""
        would = "would be tried again" if outcome.state is State.PENDING else f"would be {outcome.state.value}"
        reason = f" ({outcome.reason})" if outcome.reason else ""
        self._say(f"{claim.url}\n  {would}{reason}: {outcome.detail}")

    def _say(self, text: str) -> None:
        click.echo("\n".join(map(escape, text.split("\n"))), err=self._to_error)

"""The command that moves a whole store: `migrate-store`."""

from __future__ import annotations

import click

from worker.cli.common import Common, note, options, print_json


@click.command("migrate-store")
@click.argument("origin", metavar="FROM")
@click.argument("target", metavar="TO")
@options
def migrate_store(common: Common, origin: str, target: str) -> None:
    """Copy a whole store into an empty database and compare both, row by row.

    FROM and TO are store URLs (sqlite:///path, postgresql+psycopg://user@host/database). A copy that was broken off
    goes on where it stopped, and until then no other command uses TO. Nobody may work on either store meanwhile.
    """
    from worker.clock import SystemClock
    from worker.configuration import mask
    from worker.errors import UsageError
    from worker.fields import is_store_url
    from worker.storage import move_store

    common.set_up_logs()
    for url in (origin, target):
        if not is_store_url(url):
            raise UsageError(
                f"{mask(url)}: no store URL; write sqlite:///path or postgresql+psycopg://user@host/database"
            )
    if origin == target:
        raise UsageError("FROM and TO are the same store; there is nothing to move")

    def tell(table: str, rows: int) -> None:
        if common.loudness >= 0 and not common.as_json:
            note(f"{table}: {rows:,} rows")

    moved = move_store(origin, target, now=SystemClock().now(), progress=tell)
    if common.as_json:
        print_json({"tables": {each.table: {"rows": each.rows, "copied": each.copied} for each in moved}})
        return
    rows, copied = sum(each.rows for each in moved), sum(each.copied for each in moved)
    click.echo(f"{rows:,} rows in {len(moved)} tables, {copied:,} of them copied now; both stores hold the same")
    click.echo(f'set [store] url = "{mask(target)}" to work on it')

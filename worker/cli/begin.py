"""The commands to begin with: `init` writes a configuration, `config check` and `doctor` check what is there."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import click

from worker.cli.base import SILENT, CommonOptions, examples, options, print_json, print_note, run_until_signal
from worker.errors import UsageError
from worker.logs import escape
from worker.models.base import counted

if TYPE_CHECKING:
    from worker.config.schema import Settings
    from worker.runs.doctor import Finding

_DIRECTORY_URL: Final = "https://YOUR-HOST/.well-known/http-message-signatures-directory"
_DEFAULT_NAME: Final = "corpus-worker"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9._-]+)?")
"""A product, perhaps with a version (RFC 9110, 10.1.5), in the characters that robots.txt allows (RFC 9309, 2.2.1)."""
_CONTACT: Final = re.compile(
    r"(https?://[^\s/()]+\.[^\s()]+|(?:mailto:)?[^\s@()<>:/]+@[^\s@()<>]+\.[^\s@()<>]+)", re.ASCII
)


@click.command(epilog=examples("init my-corpus", "init --agent my-crawler --contact https://example.com/crawler"))
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--agent", metavar="NAME", help="The name of the crawler, which sites and robots.txt know it by.")
@click.option("--contact", metavar="ADDRESS", help="A web page or e-mail address where sites can reach its operator.")
@options
def init(common: CommonOptions, folder: Path, agent: str | None, contact: str | None) -> None:
    """Write a configuration to begin with.

    DIR (default: this folder) gets corpus-worker.toml, a folder for seeds and a .gitignore. What is there already stays
    as it is. On a terminal, the name and the contact are asked for if they are not given.
    """
    from worker.config.load import FILE_NAME, FILE_VARIABLE
    from worker.files.atomic import atomic_file

    path, seeds, ignored = folder / FILE_NAME, folder / "seeds", folder / ".gitignore"
    present = next((each for each in (path, folder / "config/worker.toml") if os.path.lexists(each)), None)
    user_agent = None if present else _user_agent(agent, contact, ask=sys.stdin.isatty() and not common.as_json)
    there = {each for each in (seeds, ignored) if os.path.lexists(each)}
    seeds.mkdir(parents=True, exist_ok=True)
    if not present:
        _write_configuration(path, user_agent)
    if ignored not in there:
        with atomic_file(ignored) as file:
            file.write(b"/data/\n")
    kept = [each for each in (present, seeds, ignored) if each is not None and (each is present or each in there)]
    written = [each for each in (path, seeds, ignored) if each not in kept and not (each is path and present)]
    if common.as_json:
        names = {"written": [*map(str, written)], "kept": [*map(str, kept)]}
        print_json({"config": str(present or path), **names, "user_agent": user_agent})
    elif common.verbosity > SILENT:
        _print_begun(folder, written=written, kept=kept, complete=bool(present or user_agent))
    if named := os.environ.get(FILE_VARIABLE):
        print_note(f"corpus-worker: {FILE_VARIABLE} is set to {named}, which is used instead of {present or path}")


def _write_configuration(path: Path, user_agent: str | None) -> None:
    """Write the configuration; the one of a user, which is found from every folder, has absolute paths."""
    from worker.config.edit import create_file
    from worker.config.load import config_places
    from worker.config.schema import FetchSettings

    own = path.absolute() in config_places(os.environ)
    root = f"{path.absolute().parent}/" if own else ""
    agent = user_agent or FetchSettings().user_agent
    settings = {"store": f"sqlite:///{root}data/corpus.db", "seeds": f"{root}seeds", "user_agent": agent}
    create_file(path, settings, os.environ)


def _user_agent(agent: str | None, contact: str | None, *, ask: bool) -> str | None:
    """Return the user agent for a name and a contact, which a person is asked for; None without a contact."""
    if agent is None and ask:
        agent = click.prompt("Name of your crawler", default=_DEFAULT_NAME, value_proc=_read_name, err=True)
    if contact is None and ask:
        contact = click.prompt(
            "Where sites can reach you (web page or e-mail address)", value_proc=_read_contact, err=True
        )
    if contact is None:
        if agent is not None:
            raise UsageError("--agent needs --contact: a web page or e-mail address where sites can reach you")
        return None
    name, address = _read_name(agent or _DEFAULT_NAME), _read_contact(contact)
    return f"{name if '/' in name else f'{name}/1.0'} (+{address})"


def _read_name(text: str) -> str:
    """Return a crawler's name; raises UsageError, on which a prompt asks again."""
    if not _NAME.fullmatch(text.strip()):
        raise click.UsageError(f"{text}: not a name for a crawler; use letters, digits, - and _, such as my-crawler")
    return text.strip()


def _read_contact(text: str) -> str:
    """Return a contact's address; raises UsageError, on which a prompt asks again."""
    address = text.strip()
    if not _CONTACT.fullmatch(address):
        raise click.UsageError(f"{text}: not a contact; give a web page (https://…) or an e-mail address")
    return f"mailto:{address}" if "@" in address and ":" not in address else address


def _print_begun(folder: Path, *, written: Iterable[Path], kept: Iterable[Path], complete: bool) -> None:
    """Print what was written, what was there already, and the next commands."""
    for each in written:
        click.echo(escape(f"written: {each}{'/' if each.is_dir() else ''}"))
    for each in kept:
        click.echo(escape(f"{each}{'/' if each.is_dir() else ''}: is there already and stays as it is"))
    steps = [
        *([] if folder.samefile(".") else [(f"cd {shlex.quote(str(folder))}", "")]),
        *(
            []
            if complete
            else [("", "# set user_agent in corpus-worker.toml: your name, and where sites can reach you")]
        ),
        ("corpus-worker sources add URL", "# finds what a site offers and adds the best"),
        ("corpus-worker ingest", "# collects once; `corpus-worker run` keeps on"),
        ("corpus-worker status", "# shows what was found"),
    ]
    click.echo("\nnext:")
    for command, remark in steps:
        click.echo(escape(f"  {command:<29}  {remark}".rstrip() if command else f"  {remark}"))


# Levels of findings, in the order of the summary, with their colors on a terminal.
_STYLES: Final = MappingProxyType({"ok": "green", "warn": "yellow", "fail": "bold red"})


@click.command(epilog=examples("doctor", "doctor --verbose", "doctor --notify"))
@click.option("--notify", is_flag=True, help="Only send a trial message to each address of [notify].")
@options
def doctor(common: CommonOptions, notify: bool) -> None:
    """Check machine, configuration, store, network and sources.

    Each problem is printed with what to do about it. Nothing is stored. -v prints the fetch steps of every source; by
    default only those of failed sources are printed. Without a configuration, the defaults are checked.
    """
    settings = common.settings(needs_file=False)
    common.set_up_logs(settings.log.format, quietly=True)
    findings, _ = run_until_signal(lambda: _run_and_print(common, settings, notify=notify))
    if common.as_json:
        print_json([finding.as_record() for finding in findings])
    else:
        _print_summary(findings)
    raise SystemExit(1 if any(finding.failed for finding in findings) else 0)


async def _run_and_print(common: CommonOptions, settings: Settings, *, notify: bool) -> list[Finding]:
    """Run every check, or only send trial messages; print each finding as soon as it is known, and return all."""
    from worker.runs.doctor import run_checks, try_notifications

    findings = []
    checks = try_notifications(settings) if notify else run_checks(settings, config=common.found_config())
    async for finding in checks:
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
@options
def config(common: CommonOptions) -> None:
    """Check the configuration, write a signing key."""


@config.command("check", epilog=examples("config check"))
@options
def check(common: CommonOptions) -> None:
    """Validate and print the effective configuration.

    Defaults are included, secrets are masked.
    """
    from worker.config.load import masked_values, to_toml

    settings = common.settings()
    warnings = settings.warnings()
    if settings.notify.urls:
        from worker.runs.notify import unusable_addresses

        warnings += tuple(unusable_addresses(settings))
    for warning in warnings:
        print_note(f"corpus-worker: warning: {warning}")
    if common.as_json:
        print_json(masked_values(settings))
        return
    click.echo(to_toml(settings), nl=False)
    print_note(f"{common.config_file()}: valid, {counted(len(settings.sources), 'source')}")


@config.command(
    "signing-key",
    epilog=examples("config signing-key crawler.pem --directory http-message-signatures-directory"),
)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--directory", metavar="PATH", type=click.Path(path_type=Path, dir_okay=False), help="Write the key directory here."
)
@click.option("--url", metavar="URL", default="", help="Where the directory will be served; prints its headers.")
@click.option("--days", type=click.IntRange(min=1), default=90, show_default=True, help="How long these are valid.")
@options
def signing_key(common: CommonOptions, keys: tuple[Path, ...], directory: Path | None, url: str, days: int) -> None:
    """Write a key that signs requests (Web Bot Auth).

    The directory is where sites look up its public half. A KEY that exists is kept. Name several to publish an old and
    a new one together; the first one is to sign.
    """
    from worker.clock import SystemClock
    from worker.fetch.identity import directory_headers, key_directory, new_key, read_key, thumbprint
    from worker.files.atomic import atomic_file, write_secret

    if url and not url.startswith("https://"):
        raise UsageError(f"--url {url}: sites look keys up by https alone; write https://")
    for path in keys:
        if not path.exists():
            write_secret(path, new_key())
    read = [read_key(path) for path in keys]
    body = key_directory(read)
    if directory is not None:
        with atomic_file(directory) as file:
            file.write(body)
    now = SystemClock().now()
    headers = directory_headers(read, body, url=url, now=now, valid_for=timedelta(days=days)) if url else {}
    if common.as_json:
        named = [{"file": str(path), "keyid": thumbprint(key)} for path, key in zip(keys, read, strict=True)]
        print_json({"keys": named, "directory": json.loads(body), "headers": headers})
        return
    if directory is None:
        click.echo(body.decode(), nl=False)
    for name, value in headers.items():
        click.echo(f"{name}: {value}")
    print_note(
        f'corpus-worker: set [fetch] signature_key = "{keys[0]}" and signature_agent = "{url or _DIRECTORY_URL}"'
    )

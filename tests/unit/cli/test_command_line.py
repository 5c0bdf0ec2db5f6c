"""What people type: every call of the version before is understood, and the help of every command is complete."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import get_completion_class

from worker.cli.base import CommonOptions
from worker.cli.main import SECTIONS, cli

OLD_CALLS = """
--config worker.toml --json -v status
--version
ingest
ingest https://bao.vn/rss file.jsonl folder --as feed --limit 3 --dry-run --json -q
ingest --source bao --source hai -v
run --config worker.toml -qq
web --listen 127.0.0.1:0
seeds import seeds/a.txt seeds/b.jsonl --dry-run
seeds list --json
seeds remove seeds/a.txt --dry-run
sources list --json
sources add bao.vn --yes --name bao
sources check bao hai
sources pause bao hai
sources resume bao
sources remove bao
sources import feeds.opml
sources export --output feeds.opml
sources export --output -
backfill bao --from 2026-01-01 --to 2026-01-31 --limit 5 --discover-only --changed-later --again --dry-run
status --watch --json
audit --json
search đường sắt --limit 5 --source bao --language vi --section x --from 2026 --to 2026-11
why https://bao.vn/bai.html --json
dedupe a.parquet b.jsonl --out kept --ray local
duplicates --format jsonl --all --json
duplicates --config worker.toml mark 1 2 --same
duplicates mark 1 2 --different
duplicates mark --original 1
duplicates review --limit 5
duplicates fit --dry-run
reprocess --dedupe --dry-run
reprocess --rejected
export --format csv --output corpus.csv.gz --copies --from 2026-01-01 --to 2026-02-01 --min-words 9 --where host!=x
export --since 2026-01-01 --source bao --language vi --kind seed --quality --filter fineweb2-vi --mask-pii
release new --since old --split train --shard-size 1GB --title T --from 2026-01-01
config check
extract page.html --explain --json
extract https://bao.vn/bai.html
doctor -v
backup copy.db --force
prune --older-than 90d --dry-run
forget https://bao.vn/bai.html 12 --host bao.vn --reason why --copies --dry-run
forget 12 --lift
upgrade-store
migrate-store sqlite:///a.db sqlite:///b.db
""".strip().splitlines()


def parse(words: list[str]) -> click.Context:
    """Parse a call as click would run it, without running it."""
    context = cli.make_context("corpus-worker", words)
    while isinstance(context.command, click.Group) and (rest := [*context._protected_args, *context.args]):
        name, command, rest = context.command.resolve_command(context, rest)
        assert command
        context = command.make_context(name, rest, parent=context)
    return context


@pytest.mark.parametrize("call", OLD_CALLS)
def test_a_call_of_the_version_before_is_understood(call: str) -> None:
    try:
        context = parse(shlex.split(call))
    except click.exceptions.Exit as exc:
        assert (call, exc.exit_code) == ("--version", 0)
        return

    assert context.command_path.split()[1] in call


def every_command(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from every_command(command, f"{path}{name} ")


COMMANDS = dict(every_command())


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_a_command_is_a_whole_sentence_with_an_example_and_the_short_options(name: str) -> None:
    command = COMMANDS[name]
    options = {opt for param in command.params for opt in param.opts}

    assert command.get_short_help_str(limit=60).endswith(".")
    assert "..." not in command.get_short_help_str(limit=60)
    assert {"-c", "--config", "--json", "-v", "-q", "-V", "--version"} <= options
    assert ("-n" in options) is ("--dry-run" in options)
    assert ("-o" in options) is ("--output" in options)
    if not isinstance(command, click.Group) or command.invoke_without_command:
        assert command.epilog
        for line in command.epilog.splitlines()[2:]:
            words = shlex.split(line.split(" < ")[0])
            assert parse(words[1:]).command_path == f"corpus-worker {name}"


def test_every_command_is_in_one_section() -> None:
    listed = [name for commands in SECTIONS.values() for name in commands]

    assert sorted(listed) == sorted(command.name or "" for command in cli.commands.values())
    assert len(set(listed)) == len(listed)


def test_common_options_add_up_over_groups_and_commands() -> None:
    outer = CommonOptions(as_json=True, verbosity=1)

    assert CommonOptions(verbosity=-2).combined_with(outer) == CommonOptions(as_json=True, verbosity=-1)
    assert parse(["sources", "--json", "list", "-vv"]).params["verbose"] == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    complete = get_completion_class(shell)
    assert complete is not None

    def completed(*words: str) -> str:
        monkeypatch.setenv("COMP_WORDS", " ".join(("corpus-worker", *words)))
        monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words)))
        return complete(cli, {}, "corpus-worker", "_CORPUS_WORKER_COMPLETE").complete()

    assert "sources" in completed("sou")
    assert "resume" in completed("sources", "res")
    assert "--dry-run" in completed("ingest", "--dr")


def test_an_empty_argument_is_not_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from worker.cli import main

    for words in (["backup", ""], ["extract", ""], ["why", "9" * 30, ""]):
        monkeypatch.setattr("sys.argv", ["corpus-worker", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code, "one of the arguments is empty" in capsys.readouterr().err) == (2, True)

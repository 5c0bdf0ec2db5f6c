"""How the commands treat the default user agent, the secrets of sources, and the key that signs requests."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.commands import Desk

SOURCE = """
[[sources]]
name = "bao"
kind = "feed"
url = "https://93.184.216.34/rss"
"""
SECRETS = """
headers = {X-Key = "b1mat", Authorization = "env:TOKEN"}
proxy = "http://an:b1mat@127.0.0.1:3128"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(folder=tmp_path, environment={"TOKEN": "b1mat"})
    made.configure(SOURCE)
    return made


@pytest.mark.parametrize(
    "words", ["ingest", "ingest --dry-run", "ingest https://93.184.216.34/1", "backfill bao --from 2026-11-01"]
)
def test_the_default_agent_is_refused_with_status_2_and_what_to_set(desk: Desk, words: str) -> None:
    ended = desk.run(*words.split())

    assert ended.status == 2
    assert [line for line in ended.err.splitlines() if "set [fetch] user_agent" in line] == [ended.err.splitlines()[-1]]
    assert "93.184.216.34 is not fetched from" in ended.err


def test_secrets_of_sources_are_masked_and_a_missing_one_ends_the_command(desk: Desk) -> None:
    desk.configure(SOURCE + SECRETS)
    shown = desk.run("config", "check")
    desk.configure(SOURCE + 'login = "an:b1mat"')
    wrong = desk.run("config", "check")
    desk.configure(SOURCE + 'login = "env:NOWHERE"')
    missing = desk.run("ingest", "--dry-run")

    assert (shown.status, "b1mat" in shown.out + shown.err) == (0, False)
    assert 'Authorization = "env:TOKEN"' in shown.out
    assert (wrong.status, "b1mat" in wrong.err) == (2, False)
    assert 'sources[1].login: found ***; expected "env:NAME"' in wrong.err
    assert (missing.status, "environment variable NOWHERE is not set" in missing.err) == (2, True)


def test_a_key_is_written_once_and_its_directory_holds_the_public_half(desk: Desk) -> None:
    url = "https://crawler.example/.well-known/http-message-signatures-directory"
    first = desk.run("config", "signing-key", "new.pem", "--directory", "directory", "--url", url)
    secret = (desk.folder / "new.pem").read_bytes()
    both = desk.run("config", "signing-key", "new.pem", "old.pem", "--json").record()

    assert first.status == 0, first.err
    assert "Signature-Input: binding1=" in first.out
    assert stat.S_IMODE((desk.folder / "new.pem").stat().st_mode) == 0o600
    assert (desk.folder / "new.pem").read_bytes() == secret
    published = json.loads((desk.folder / "directory").read_text())["keys"]
    assert both["directory"]["keys"][0] == published[0]
    assert [key["keyid"] for key in both["keys"]] == [key["kid"] for key in both["directory"]["keys"]]
    assert not any("d" in key for key in both["directory"]["keys"])
    assert desk.run("config", "signing-key", "new.pem", "--url", "http://x.example/").status == 2

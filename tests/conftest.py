"""What every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Connection, Engine, event
from sqlalchemy.sql.compiler import Compiled

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


# The same examples everywhere, however slow the machine is.
settings.register_profile(
    "same-everywhere", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same-everywhere")


# A test run that was started in the background or with nohup ignores SIGINT or SIGHUP, and passes that on to the
# programs it starts.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


class CompiledStatements(dict[tuple[Any, ...], Compiled]):
    """SQLAlchemy's cache of compiled statements for all engines of one kind: its own is lost with each engine."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get((key[0].name, *key[1:]), default)

    def __setitem__(self, key: tuple[Any, ...], value: Compiled) -> None:
        super().__setitem__((key[0].name, *key[1:]), value)


_STATEMENTS = CompiledStatements()


@event.listens_for(Engine, "engine_connect")
def share_compiled_statements(connection: Connection) -> None:
    """Compile each statement once for all tests of a process: each test has an engine of its own."""
    connection.execution_options(compiled_cache=_STATEMENTS)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name parameters of bytes by their place: packed bytes may hold the time or the version of what packed them."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's own configuration, overrides and proxies out of every test."""
    monkeypatch.delenv("CORPUS_WORKER_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    for name in list(os.environ):
        if (name.startswith("CORPUS_WORKER_") and "__" in name) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared() -> Iterator[Path]:
    """Give the folder of real pages, feeds and pairs; it is not part of the project."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real data in ../shared, which is not part of the project")
    yield SHARED

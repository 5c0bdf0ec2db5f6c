"""What every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name parameters of bytes by their place: packed bytes may hold the time or the version of what packed them."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's own overrides and proxies out of every test."""
    for name in list(os.environ):
        if (name.startswith("CORPUS_WORKER_") and "__" in name) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared() -> Iterator[Path]:
    """Give the folder of real pages, feeds and pairs; it is not part of the project."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real data in ../shared, which is not part of the project")
    yield SHARED

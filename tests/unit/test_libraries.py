"""Each library is imported in one part of `worker/` only, so that replacing it touches one part."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

WORKER = Path(__file__).parents[2] / "worker"

# The parts of `worker/` that may import a library. More than one where they use it for different things.
DOORS = {
    "alembic": {"storage"},
    "apprise": {"runs"},
    "apscheduler": {"runs/daemon"},
    "brotli": {"fetch", "sources"},  # pages as they are sent, and as archives hold them
    "charset_normalizer": {"charset"},
    "click": {"cli"},
    "cronsim": {"schedule"},
    "cryptography": {"fetch"},
    "daft": {"batch"},
    "datasketch": {"dedupe"},
    "feedparser": {"sources/feed"},
    "fsspec": {"export"},
    "h11": {"fetch/http"},
    "http_message_signatures": {"fetch"},
    "httpcore": {"fetch/http"},
    "httpx": {"fetch"},
    "idna": {"urls"},
    "jinja2": {"web"},
    "lxml": {"extract", "fetch", "sources"},  # pages; the head of one that redirects; feeds, sitemaps, listings
    "markupsafe": {"web"},
    "numpy": {"dedupe"},
    "prometheus_client": {"web"},
    "py3langid": {"extract"},
    "pyarrow": {"batch", "export", "sources/files"},  # the engine's files; exports; seeds
    "pydantic": {"config"},
    "pydantic_core": {"config"},
    "ray": {"batch"},
    "rich": {"cli"},
    "sqlalchemy": {"storage"},
    "starlette": {"web"},
    "structlog": {"logs.py"},
    "tld": {"urls"},
    "tomlkit": {"config"},
    "trafilatura": {"extract/main_text"},
    "uvicorn": {"web"},
    "zlib_ng": {"sources"},
    "zstandard": {
        "export",
        "fetch",
        "sources/files",
        "storage/db",
    },  # exports; pages; seeds; kept pages
}
TYPES_ONLY = {"_typeshed"}


def uses() -> dict[str, set[str]]:
    """Return the files that import each library, relative to `worker/`."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in WORKER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            else:
                continue
            for name in names:
                found[name.split(".")[0]].add(str(path.relative_to(WORKER)))
    return {
        name: files for name, files in found.items() if name not in sys.stdlib_module_names | {"worker"} | TYPES_ONLY
    }


USES = uses()


def test_every_library_has_its_place() -> None:
    assert set(USES) == set(DOORS)


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_library_is_imported_in_its_place_only(library: str) -> None:
    elsewhere = {
        file for file in USES[library] if not any(f"{file}/".startswith(f"{door}/") for door in DOORS[library])
    }

    assert not elsewhere


def test_the_import_contracts_cover_every_part() -> None:
    settings = tomllib.loads((WORKER.parent / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    covered = {name.strip() for layer in layers for name in layer.split("|")}
    parts = {path.name for path in WORKER.iterdir() if (path / "__init__.py").is_file()}
    single = {path.stem for path in WORKER.glob("*.py")} - {"__init__", "__main__"}

    assert covered == parts | single

"""Measures the shape of the code in `worker/` and prints a table: `python -m tests.code_metrics`.

A module is a `.py` file that is neither an `__init__.py` nor a migration. MEASURES holds every measure with its limit;
`tests/unit/test_shape.py` enforces them.
"""

from __future__ import annotations

import ast
import io
import os
import re
import statistics
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

from tests.commands import Desk
from tests.newsroom import Newsroom, sites_of
from tests.texts import page, story

ROOT: Final = Path(__file__).parents[1]
_FOR_TOOLS: Final = re.compile(r"#\s*(?:noqa|type: ignore|fmt:|pragma:)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One source file, parsed when it is first needed."""

    path: Path
    text: str = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the source of a file."""
        return cls(path, path.read_text(encoding="utf-8"))

    @classmethod
    def of(cls, text: str) -> Self:
        """Return a source that is in no file."""
        return cls(ROOT / "none.py", text)

    @cached_property
    def name(self) -> str:
        """The dotted name under which it is imported."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if self.is_init else parts)

    @property
    def is_init(self) -> bool:
        """Whether this is the `__init__.py` of a package."""
        return self.path.name == "__init__.py"

    @property
    def is_module(self) -> bool:
        """Whether it counts as a module."""
        return not self.is_init and "migrations" not in self.path.parts

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the source."""
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def comments(self) -> set[int]:
        """The numbers of the lines with a comment for people, not for a tool."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {each.start[0] for each in tokens if each.type == tokenize.COMMENT and not _FOR_TOOLS.match(each.string)}

    @cached_property
    def docstrings(self) -> set[int]:
        """The numbers of the lines of docstrings, those below a constant or a field included."""
        return {line for node in ast.walk(self.tree) if _is_text(node) for line in _lines_of(node)}

    @property
    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones included."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _lines_of(node: ast.AST) -> range:
    assert isinstance(node, ast.stmt)
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


SOURCES: Final = [Source.read(path) for path in sorted((ROOT / "worker").rglob("*.py"))]
MODULES: Final = [source for source in SOURCES if source.is_module]


def function_length(function: Function) -> int:
    """Return the number of a function's lines without its decorators and its docstring."""
    first = function.body[0]
    return len(_lines_of(function)) - (len(_lines_of(first)) if _is_text(first) else 0)


def count_modules() -> int:
    """Return how many modules there are."""
    return len(MODULES)


def largest_folder() -> int:
    """Return the number of `.py` files in the folder that has most, `__init__.py` included, subfolders not."""
    folders = Counter(source.path.parent for source in SOURCES if source.is_module or source.is_init)
    return max(folders.values())


def modules_at_the_top() -> int:
    """Return how many modules there are in `worker/` itself, besides `__main__.py`."""
    return sum(module.path.parent.name == "worker" and module.path.name != "__main__.py" for module in MODULES)


def longest_module() -> int:
    """Return the number of lines of the longest module."""
    return max(len(module.lines) for module in MODULES)


def importers() -> dict[str, set[str]]:
    """Return for each file of `worker/` the files that import it, at any place in them.

    `from package import module` imports the module; `from package import name` the package's `__init__.py`, which
    counts as an importer itself.
    """
    names = {source.name for source in SOURCES}
    found: dict[str, set[str]] = defaultdict(set)
    for source in SOURCES:
        for name in imported(source.tree, names) - {source.name}:
            found[name].add(source.name)
    return found


def imported(tree: ast.Module, names: set[str]) -> set[str]:
    """Return which of the files with these names a module imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            wholes = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= wholes if wholes <= names else {node.module, *wholes}
    return found & names


def imported_by_one() -> float:
    """Return the share of modules that exactly one other file imports, in percent."""
    found = importers()
    return 100 * sum(len(found[module.name]) == 1 for module in MODULES) / len(MODULES)


def repeated_class_names() -> list[str]:
    """Return the class names that are defined more than once."""
    found = Counter(node.name for source in SOURCES for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef))
    return sorted(name for name, count in found.items() if count > 1)


def documentation() -> float:
    """Return the share of lines that hold a docstring or a comment, in percent of all lines."""
    documented = sum(len(source.comments | source.docstrings) for source in SOURCES)
    return 100 * documented / sum(len(source.lines) for source in SOURCES)


def unexplained_constants() -> list[str]:
    """Return where a module-level numeric constant has no reason beside it.

    Numeric are numbers, arithmetic with numbers, and durations made of numbers. A reason is a comment on one of the
    constant's own lines or on the line above it, or a docstring below it. A comment above the first of several
    assignments that follow each other without a blank line is the reason of all of them.
    """
    return [
        f"{source.path.relative_to(ROOT)}:{statement.lineno}"
        for source in SOURCES
        if source.is_module or source.is_init
        for statement, has_reason in numeric_constants(source)
        if not has_reason
    ]


def numeric_constants(source: Source) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield each numeric constant of a module, and whether there is a reason beside it."""
    body = source.tree.body
    end_of_last, group_has_reason = 0, False
    for statement, below in zip(body, [*body[1:], None], strict=True):
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            if not _is_text(statement):
                end_of_last = 0
            continue
        above = statement.lineno - 1
        if above in source.comments and source.lines[above - 1].startswith("#"):
            group_has_reason = True
        elif above != end_of_last:
            group_has_reason = False
        end_of_last = statement.end_lineno or statement.lineno
        if statement.value is not None and _is_numeric(statement.value):
            has_docstring = below is not None and _is_text(below)
            yield statement, group_has_reason or has_docstring or not source.comments.isdisjoint(_lines_of(statement))


def _is_numeric(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=number):
            return isinstance(number, int | float) and not isinstance(number, bool)
        case ast.UnaryOp(operand=operand):
            return _is_numeric(operand)
        case ast.BinOp(left=left, right=right):
            return _is_numeric(left) or _is_numeric(right)
        case ast.Call(func=ast.Name(id="timedelta")):
            return True
    return False


@cache
def files_one_article_passes() -> list[str]:
    """Return the files of `worker/` in which a function ran during `ingest` of one feed with one article.

    The command runs on a new store against a site on loopback; its extraction processes count, migrations do not, nor
    does what runs while a module is imported (see `tests/tracing/sitecustomize.py`).
    """
    pages = {"https://bao.example/khanh-thanh-cau.html": page("Khánh thành cầu mới", story("cầu"))}
    with Newsroom(sites_of(pages)) as room, TemporaryDirectory(prefix="traced-") as folder:
        traced = Path(folder) / "traced.txt"
        path = os.pathsep.join([str(ROOT / "tests" / "tracing"), str(ROOT)])
        environment = {**room.environment, "TRACED_FILES": str(traced), "PYTHONPATH": path}
        desk = Desk(folder=Path(folder), environment=environment, program=("-X", "utf8", "-m", "worker"))
        desk.configure('[[sources]]\nname = "bao"\nkind = "feed"\nurl = "https://bao.example/newsroom-feed.xml"\n')
        ended = desk.run("ingest", "--json")
        if ended.status or ended.record()["stored"] != 1:
            raise RuntimeError(f"the article was not stored: {ended.out}{ended.err}")
        sources = [Source.read(Path(line)) for line in sorted(set(traced.read_text(encoding="utf-8").splitlines()))]
    return [source.name for source in sources if source.is_module]


def function_lengths() -> list[int]:
    """Return the lengths of all functions, shortest first."""
    return sorted(function_length(function) for source in SOURCES for function in source.functions)


def percentile_90() -> float:
    """Return the length that nine functions in ten keep to."""
    return statistics.quantiles(function_lengths(), n=10)[-1]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure and its limit."""

    name: str
    figure: Callable[[], float]
    limit: float
    at_least: bool = False

    def is_met(self, figure: float) -> bool:
        """Return whether a figure keeps within the limit."""
        return figure >= self.limit if self.at_least else figure <= self.limit


MEASURES: Final = (
    # 175 held the product of 2026-11-29; seeds, releases, forgetting, search, pages, the batch engine came after it.
    Measure("modules", count_modules, 215),
    Measure("files in the largest folder", largest_folder, 13),
    Measure("single modules at the top of worker/", modules_at_the_top, 6),
    Measure("lines of the longest module", longest_module, 400),
    Measure("modules imported by exactly one other, %", imported_by_one, 28),
    Measure("class names used twice", lambda: len(repeated_class_names()), 0),
    Measure("files that one article passes", lambda: len(files_one_article_passes()), 95),
    Measure("lines with a docstring or a comment, %", documentation, 14, at_least=True),
    Measure("numeric constants without a reason", lambda: len(unexplained_constants()), 0),
    Measure("lines of a function: median", lambda: statistics.median(function_lengths()), 7),
    Measure("lines of a function: 90th percentile", percentile_90, 20),
    Measure("lines of a function: most", lambda: function_lengths()[-1], 40),
)  # fmt: skip

_DETAILS: Final[dict[str, Callable[[], list[str]]]] = {
    "classes": repeated_class_names,
    "constants": unexplained_constants,
    "article": files_one_article_passes,
}


def main() -> int:
    """Print the table, or with an argument what one measure counted; return 1 where a limit is not met."""
    if sys.argv[1:]:
        print("\n".join(_DETAILS[sys.argv[1]]()))
        return 0
    failed = False
    print(f"{'measure':42}{'now':>8}{'limit':>8}")
    for measure in MEASURES:
        figure = measure.figure()
        met = measure.is_met(figure)
        failed |= not met
        sign = "≥" if measure.at_least else "≤"
        remark = "" if met else "  not met"
        print(f"{measure.name:42}{figure:8.3g}{sign:>4}{measure.limit:4g}{remark}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

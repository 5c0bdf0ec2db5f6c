"""Finds every compiled pattern of the program, and the strings on which a pattern takes longest."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import worker

ROOT = Path(worker.__file__).parent
USES = ("search", "match", "fullmatch", "finditer", "findall", "sub", "subn", "split")
ANCHORED = {"match", "fullmatch"}
SIZE = 4_000
QUICK_S = 0.01
"""A linear pattern takes less than a tenth of this for `SIZE` characters; only what takes longer is looked at."""
FOREIGN = {"charset", "extract", "fetch", "sources", "urls"}
MOST_LETTERS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A pattern with the name it has and the methods that are called on it."""

    name: str
    pattern: re.Pattern[Any]
    uses: frozenset[str]


def patterns() -> list[Known]:
    """Return every pattern in a module of the program, also inside tuples and mappings, each once.

    Its uses are the methods that are called on its name in the modules that have it; all of them where there are none.
    """
    found: dict[tuple[object, int], Known] = {}
    for info in sorted(pkgutil.walk_packages(worker.__path__, "worker."), key=lambda each: each.name):
        if info.name.endswith("__main__") or ".migrations." in info.name:
            continue
        module = importlib.import_module(info.name)
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        for name, value in vars(module).items():
            for pattern in _within(value):
                called = re.findall(rf"\b{name}\.({'|'.join(USES)})\(", source) if value is pattern else USES
                key = pattern.pattern, pattern.flags
                known = found.get(key, Known(name=f"{info.name}.{name}", pattern=pattern, uses=frozenset()))
                found[key] = replace(known, uses=known.uses | frozenset(called))
    return [each if each.uses else replace(each, uses=frozenset(USES)) for each in found.values()]


def _within(value: object, depth: int = 3) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, Mapping):
        yield from (each for pair in value.items() for part in pair for each in _within(part, depth - 1))
    elif depth and isinstance(value, tuple | list | set | frozenset):
        yield from (each for part in value for each in _within(part, depth - 1))


def worst_strings(pattern: re.Pattern[Any], size: int) -> Iterator[str]:
    """Yield strings of a size that repeat what the pattern repeats, after what stands before it, and then fail."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    tree = parser.parse(text, pattern.flags & ~re.LOCALE & ~(0 if isinstance(pattern.pattern, str) else re.UNICODE))
    starts, letters = _starts(tree), _letters(tree)[:MOST_LETTERS]
    repeated = [*letters, *(one + other for one, other in itertools.permutations(letters[:3], 2)), *starts]
    for piece in dict.fromkeys(piece for piece in repeated if piece):
        yield piece * (size // len(piece)) + "\x00"
    for start, letter in itertools.product(starts, letters):
        yield start + letter * (size - len(start)) + "\x00"
        yield (start + letter) * (size // (len(start) + 1)) + "\x00"


def _starts(tree: Any) -> list[str]:
    """Return samples of what stands before each repetition, and of the whole."""
    starts: list[str] = []

    def walk(part: Any, before: str) -> str:
        for operator, value in part:
            if operator in {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}:
                starts.append(before)
                inside = walk(value[2], before)[len(before) :]
                before += inside * min(max(value[0], 1), 100)
            elif operator in {sre.SUBPATTERN, sre.ATOMIC_GROUP}:
                before = walk(value[3] if operator is sre.SUBPATTERN else value, before)
            elif operator is sre.BRANCH:
                branches = [walk(branch, before) for branch in value[1][:12]]
                before = branches[0]
            elif operator in {sre.ASSERT, sre.ASSERT_NOT}:
                walk(value[1], before)
            else:
                before += _sample(operator, value)
        starts.append(before)
        return before

    walk(tree, "")
    return [start for start in dict.fromkeys(starts) if len(start) < 400][:8]


def _sample(operator: Any, value: Any) -> str:
    if operator is sre.LITERAL:
        return chr(value)
    if operator is sre.NOT_LITERAL:
        return "a" if value != ord("a") else "b"
    if operator is sre.ANY:
        return "a"
    if operator is sre.IN:
        return next(iter(_members(value)), "")
    return ""


def _members(items: Any) -> list[str]:
    """Return a few characters that a class holds."""
    taken = [chr(value) if operator is sre.LITERAL else chr(value[0]) for operator, value in items
             if operator in {sre.LITERAL, sre.RANGE}]  # fmt: skip
    categories = [value for operator, value in items if operator is sre.CATEGORY]
    words = {sre.CATEGORY_SPACE: " ", sre.CATEGORY_DIGIT: "1", sre.CATEGORY_WORD: "a", sre.CATEGORY_NOT_SPACE: "a",
             sre.CATEGORY_NOT_WORD: "-", sre.CATEGORY_NOT_DIGIT: "a"}  # fmt: skip
    if items and items[0][0] is sre.NEGATE:
        refused = set(taken) | {words.get(each, "") for each in categories}
        return [letter for letter in "a 1.-<" if letter not in refused]
    return [*taken, *(words[each] for each in categories if each in words)]


def _letters(tree: Any) -> list[str]:
    """Return the characters that repetitions of a pattern take, those first, and then its others."""
    repeated: list[str] = []
    others: list[str] = []

    def walk(part: Any, into: list[str]) -> None:
        for operator, value in part:
            if operator in {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}:
                walk(value[2], repeated if value[1] > 20 else into)
            elif operator in {sre.SUBPATTERN, sre.ATOMIC_GROUP}:
                walk(value[3] if operator is sre.SUBPATTERN else value, into)
            elif operator is sre.BRANCH:
                for branch in value[1]:
                    walk(branch, into)
            elif operator in {sre.ASSERT, sre.ASSERT_NOT}:
                walk(value[1], into)
            elif operator is sre.IN:
                into.extend(_members(value)[:4])
            else:
                into.append(_sample(operator, value))

    walk(tree, repeated[:0] or others)
    return [letter for letter in dict.fromkeys([*repeated, *others]) if letter]


def is_quadratic(known: Known, text: str) -> bool:
    """Tell whether a use of a pattern takes more than three times as long whenever a text becomes twice as long.

    Times of the processor, the best of several: another program on the machine changes nothing.
    """
    for use in sorted(known.uses & ANCHORED) + (["sub"] if known.uses - ANCHORED else []):
        apply = _applied(known.pattern, use)
        if _timed(apply, _subject(known, text)) < QUICK_S:
            continue
        # What stands before its end once is repeated in the middle.
        sizes = [text[: len(text) // 4 * part] + text[-1] for part in (1, 2)] + [text]
        times = [min(_timed(apply, _subject(known, each)) for _ in range(3)) for each in sizes]
        if times[2] > QUICK_S and times[2] > 3 * times[1] and times[1] > 3 * times[0]:
            return True
    return False


def is_surely_quadratic(known: Known, text: str) -> bool:
    """Tell the same of what was measured three times: a busy machine may make one measurement look so."""
    return all(is_quadratic(known, text) for _ in range(3))


def _subject(known: Known, text: str) -> str | bytes:
    return text if isinstance(known.pattern.pattern, str) else text.encode("latin-1", "replace")


def _applied(pattern: re.Pattern[Any], use: str) -> Callable[[Any], object]:
    if use == "sub":
        return lambda subject: pattern.sub(lambda match: match[0], subject)
    method: Callable[[Any], object] = getattr(pattern, use)
    return method


def _timed(apply: Callable[[Any], object], subject: object) -> float:
    began = time.process_time()
    apply(subject)
    return time.process_time() - began

"""Records in which files of `worker/` a function ran, in every Python process that has this folder on its path.

Python imports a module of this name by itself at its start, so the extraction processes are covered too. The first call
into a file appends its path to the file that TRACED_FILES names. Functions that run while a module is imported do not
count: what they do is not done for an article.
"""

from __future__ import annotations

import os
import sys
import threading
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType

_WORKER = f"{Path(__file__).parents[2] / 'worker'}{os.sep}"


class _Recorder:
    """Writes each file of `worker/` down when the first of its functions is called."""

    def __init__(self, output: Path) -> None:
        self._output = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._seen: set[str] = set()

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        path = frame.f_code.co_filename
        if not path.startswith(_WORKER) or path in self._seen:
            return
        if frame.f_code.co_flags & CO_OPTIMIZED and not _during_import(frame):
            self._seen.add(path)
            os.write(self._output, f"{path}\n".encode())


def _during_import(frame: FrameType | None) -> bool:
    """Return whether the body of a module of `worker/` is among the callers; the program's own start is none."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>" and code.co_filename.startswith(_WORKER):
            return bool(frame.f_globals["__name__"] != "__main__")
        frame = frame.f_back
    return False


if "TRACED_FILES" in os.environ:
    _recorder = _Recorder(Path(os.environ["TRACED_FILES"]))
    threading.settrace(_recorder)
    sys.settrace(_recorder)

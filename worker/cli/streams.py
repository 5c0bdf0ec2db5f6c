"""Standard streams that may be closed, full, or of an encoding that lacks letters: none of that breaks a command."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress


class Discarded(io.TextIOWrapper):
    """Stands for a stream that was closed when the program began: what is written to it is gone."""


def open_all() -> None:
    """Put something in the place of each standard stream that is closed, and let no letter be one too many.

    The next file that is opened would get a closed stream's number, and whatever a library writes there: a store too.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free, which is this
            os.set_inheritable(number, True)  # noqa: FBT003 - it takes it by place alone
            file = open(number, "r+b" if number else "rb", buffering=0, closefd=False)  # noqa: SIM115
            setattr(sys, name, Discarded(io.BufferedWriter(file) if number else io.BufferedReader(file), "utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")  # what another program reads is UTF-8 whatever the locale


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def let_go() -> None:
    """Write no more to standard output: what is left of it is not tried again when the program ends."""
    with suppress(OSError, ValueError):
        if sys.stdout.fileno() == 1:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

"""Sets up logging: one line an event on standard error, an event name and its fields.

What came from outside cannot forge a line: control characters in fields are escaped.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from structlog.typing import Processor

_FAR: Final = r"\u0600-\u1fff\u2070-\ud7ff\uf900-\ufefe\U00010000-\U000dffff"
"""Scripts and emoji in which the zero-width joiner and non-joiner belong to what is written."""
_HIDDEN: Final = re.compile(
    # Control characters, line separators, what turns the direction of text, what has no width, lone surrogates.
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ufffe\uffff\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
    rf"\ud800-\udfff\U000e0000-\U000e007f]|(?<![{_FAR}])[\u200c\u200d]|[\u200c\u200d](?![{_FAR}])"
)
_PASSWORD: Final = re.compile(r"(?<=://)([^/\s:@?#]*):[^/\s@?#]*@")
_PRIORITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""The levels as syslog numbers them (sd-daemon(3))."""
_INDENT: Final = "    "
_EventDict = MutableMapping[str, Any]


def configure(*, level: int, form: str = "auto") -> None:
    """Send events of `level` and above to standard error: as lines for people (`console`), as JSON, or as it fits.

    `auto` writes lines for people; where systemd's journal reads them, without the time, which it notes itself, and
    with the level as the priority it sorts by.
    """
    render: Processor = _render_line
    if form == "json":
        render = structlog.processors.JSONRenderer(ensure_ascii=False)
    elif form == "auto" and _is_journal(os.environ.get("JOURNAL_STREAM", "")):
        render = _render_for_journal
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask_fields,
            *([_escape_fields] if form == "json" else []),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_StderrFactory(),
        cache_logger_on_first_use=False,
    )
    _forward_libraries()


def _is_journal(stream: str) -> bool:
    """Tell whether standard error is the very stream that the journal reads (systemd.exec(5), `$JOURNAL_STREAM`)."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return bool(stream) and stream == f"{found.st_dev}:{found.st_ino}"


def escape(text: str) -> str:
    """Return text with every character made visible that is not seen, or turns what stands around it."""
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def escape_json(written: str) -> str:
    """Return JSON that says the same and shows what `escape` shows; these characters stand in its strings alone."""
    return _HIDDEN.sub(lambda match: json.dumps(match[0])[1:-1], written)


class _StderrLogger:
    """Writes to whatever standard error is now, so that a progress bar can take it over and give it back."""

    def msg(self, message: str) -> None:
        # Where the log cannot be written (its disk is full, its reader is gone) the work goes on.
        with contextlib.suppress(OSError):
            sys.stderr.write(message + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg


class _StderrFactory:
    def __call__(self, *_args: object) -> _StderrLogger:
        return _StderrLogger()


def _mask_fields(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _indented(value) if key == "exception" else _without_password(value)
    return event


def _escape_fields(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = escape(value)
    return event


def _without_password(text: str) -> str:
    """Return text with the passwords of addresses in it masked."""
    return _PASSWORD.sub(r"\1:***@", text)


def _indented(traceback: str) -> str:
    """Return a traceback whose lines cannot pass for lines of the log, whatever an exception's message holds."""
    return "\n".join(_INDENT + _without_password(escape(line)) for line in traceback.splitlines())


def _render_line(_logger: object, _method: str, event: _EventDict) -> str:
    head = f"{event.pop('timestamp')} {event.pop('level').upper():<7} "
    return head + _told(event)


def _render_for_journal(_logger: object, _method: str, event: _EventDict) -> str:
    event.pop("timestamp")
    priority = f"<{_PRIORITY[event.pop('level')]}>"
    return "\n".join(priority + line for line in _told(event).split("\n"))


def _told(event: _EventDict) -> str:
    """Return an event's name and fields, and its traceback after them."""
    name, traceback = event.pop("event"), event.pop("exception", "")
    fields = "".join(f" {key}={_quoted(value)}" for key, value in event.items() if value is not None)
    return f"{name}{fields}\n{traceback}" if traceback else f"{name}{fields}"


def _quoted(value: object) -> str:
    # A quotation mark inside would end the field, and let what follows pass for another one; a backslash before it
    # would take the meaning from the one that is put there.
    text = str(value)
    shown = escape(text.replace("\\", "\\\\"))
    if text and "\\" not in text and not re.search(r'[\s"=]', shown):
        return shown
    return '"' + shown.replace('"', '\\"') + '"'


class _Forwarder(logging.Handler):
    """Passes what libraries log on as an event of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(
            record.levelno,
            "library.log",
            library=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )


def _forward_libraries() -> None:
    root = logging.getLogger()
    root.handlers = [_Forwarder(level=logging.WARNING)]
    root.setLevel(logging.WARNING)
    for noisy in ("httpx", "httpcore", "trafilatura", "htmldate", "courlan", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.ERROR)

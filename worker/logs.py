"""Sets up logging: one line an event on standard error, an event name and its fields.

What came from outside cannot forge a line: control characters in fields are escaped.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_EventDict = MutableMapping[str, Any]


def configure(*, level: int, as_json: bool = False) -> None:
    """Send events of `level` and above to standard error, as JSON or as `key=value` lines."""
    renderer = structlog.processors.JSONRenderer(ensure_ascii=False) if as_json else _render_line
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _escape_fields,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_StderrFactory(),
        cache_logger_on_first_use=False,
    )
    _forward_libraries()


def escape(text: str) -> str:
    """Return text with control characters, line separators and direction overrides made visible."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


class _StderrLogger:
    """Writes to whatever standard error is now, so that a progress bar can take it over and give it back."""

    def msg(self, message: str) -> None:
        sys.stderr.write(message + "\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = msg


class _StderrFactory:
    def __call__(self, *_args: object) -> _StderrLogger:
        return _StderrLogger()


def _escape_fields(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = escape(value)
    return event


def _render_line(_logger: object, _method: str, event: _EventDict) -> str:
    head = f"{event.pop('timestamp')} {event.pop('level').upper():<7} {event.pop('event')}"
    traceback = event.pop("exception", "")
    fields = "".join(f" {key}={_quoted(value)}" for key, value in event.items() if value is not None)
    return f"{head}{fields}\n{traceback}" if traceback else head + fields


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if not text or re.search(r'[\s"=]', text) else text


class _Forwarder(logging.Handler):
    """Passes what libraries log on as an event of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, "library.log", library=record.name, message=record.getMessage())


def _forward_libraries() -> None:
    root = logging.getLogger()
    root.handlers = [_Forwarder(level=logging.WARNING)]
    root.setLevel(logging.WARNING)
    for noisy in ("httpx", "httpcore", "trafilatura", "htmldate", "courlan", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.ERROR)

"""Logging: every event is one line on standard error with a name and fields.

    configure(level=logging.INFO, form="auto")
    log.info("fetch.done", url=url, status=200)

Fields may hold text from the web. Control and invisible characters in them are escaped, so that a page cannot forge a
log line or change how a terminal shows one; passwords in URLs are masked. structlog is imported with the first event:
a command that only reads seldom logs one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from structlog.typing import Processor

_FAR: Final = r"\u0600-\u1fff\u2070-\ud7ff\uf900-\ufefe\U00010000-\U000dffff"
"""Scripts and emoji in which the zero-width joiner and non-joiner are part of correct spelling."""
_HIDDEN: Final = re.compile(
    # Control characters, line separators, bidirectional controls, zero-width characters, lone surrogates.
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ufffe\uffff\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
    rf"\ud800-\udfff\U000e0000-\U000e007f]|(?<![{_FAR}])[\u200c\u200d]|[\u200c\u200d](?![{_FAR}])"
)
_PASSWORD: Final = re.compile(r"(?<=://)([^/\s:@?#]*):[^/\s@?#]*@")
_PRIORITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""The syslog priorities of the levels (sd-daemon(3))."""
_INDENT: Final = "    "
"""Put before the lines of a traceback: no event begins with a space, so none can be forged by an exception's text."""
_EventDict = MutableMapping[str, Any]


def configure(*, level: int, form: str = "auto") -> None:
    """Write events of `level` and above to standard error.

    `form` is `console` (readable lines), `json` (one object a line), or `auto`: readable lines, but for systemd's
    journal without the time, which the journal records itself, and with the level as syslog priority. Log records of
    libraries are forwarded from WARNING on.
    """
    log.prepare(partial(_configure, level=level, form=form))
    _forward_libraries()


class EventLog:
    """What modules log to: `log.info("name", field=value)`, and likewise for the other levels of structlog."""

    def __init__(self) -> None:
        self._configure: Callable[[], None] | None = None

    def prepare(self, configure: Callable[[], None]) -> None:
        """Call `configure` before the next event: now, if structlog is imported already."""
        self._configure = configure
        if "structlog" in sys.modules:
            self._import()

    def __getattr__(self, level: str) -> Callable[..., None]:
        """Return the method of a structlog logger."""
        return getattr(self._import(), level)  # type: ignore[no-any-return] # structlog makes its loggers at run time

    def _import(self) -> Any:
        import structlog

        configure, self._configure = self._configure, None
        if configure is not None:
            configure()
        return structlog.get_logger()


log: Final = EventLog()


def _configure(*, level: int, form: str) -> None:
    """Configure structlog as `configure` describes."""
    import structlog

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


def _is_journal(stream: str) -> bool:
    """Return whether standard error is connected to the journal (systemd.exec(5), `$JOURNAL_STREAM`)."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return bool(stream) and stream == f"{found.st_dev}:{found.st_ino}"


def escape(text: str) -> str:
    """Return text with invisible characters and bidirectional controls replaced by backslash escapes."""
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def escape_json(written: str) -> str:
    """Return equivalent JSON text in which the characters that `escape` replaces are JSON escapes.

    Such characters occur inside JSON strings only, so the result parses to the same value.
    """
    return _HIDDEN.sub(lambda match: json.dumps(match[0])[1:-1], written)


class _StderrLogger:
    """Writes to the current `sys.stderr`, which a progress bar replaces while it is shown."""

    def msg(self, message: str) -> None:
        # A log that cannot be written (disk full, reader gone) must not stop the work.
        with contextlib.suppress(OSError):
            sys.stderr.write(message + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg


class _StderrFactory:
    """The logger factory for structlog."""

    def __call__(self, *_args: object) -> _StderrLogger:
        return _StderrLogger()


def _mask_fields(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    """Mask passwords in text fields and indent tracebacks: a structlog processor."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _indented(value) if key == "exception" else _without_password(value)
    return event


def _escape_fields(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    """Escape text fields for JSON output; the line renderers escape while they quote."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = escape(value)
    return event


def _without_password(text: str) -> str:
    """Return text with the passwords of URLs in it masked."""
    return _PASSWORD.sub(r"\1:***@", text)


def _indented(traceback: str) -> str:
    """Return a traceback whose lines cannot be mistaken for log lines, whatever text the exception has."""
    return "\n".join(_INDENT + _without_password(escape(line)) for line in traceback.splitlines())


def _render_line(_logger: object, _method: str, event: _EventDict) -> str:
    head = f"{event.pop('timestamp')} {event.pop('level').upper():<7} "
    return head + _format_event(event)


def _render_for_journal(_logger: object, _method: str, event: _EventDict) -> str:
    event.pop("timestamp")
    priority = f"<{_PRIORITY[event.pop('level')]}>"
    return "\n".join(priority + line for line in _format_event(event).split("\n"))


def _format_event(event: _EventDict) -> str:
    """Return the name and the fields of an event, followed by its traceback if it has one."""
    name, traceback = event.pop("event"), event.pop("exception", "")
    fields = "".join(f" {key}={_quoted(value)}" for key, value in event.items() if value is not None)
    return f"{name}{fields}\n{traceback}" if traceback else f"{name}{fields}"


def _quoted(value: object) -> str:
    """Return a value as it is written after `key=`: in quotation marks if it has spaces or special characters."""
    # An unescaped quotation mark would end the field, so that the rest of the text could imitate further fields;
    # backslashes are doubled first, so that none of them can cancel the escape of a quotation mark.
    text = str(value)
    shown = escape(text.replace("\\", "\\\\"))
    if text and "\\" not in text and not re.search(r'[\s"=]', shown):
        return shown
    return '"' + shown.replace('"', '\\"') + '"'


class _Forwarder(logging.Handler):
    """Forwards the log records of libraries as structlog events."""

    def emit(self, record: logging.LogRecord) -> None:
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
    # These report at WARNING what the worker reports itself, such as a page that cannot be parsed.
    for noisy in ("httpx", "httpcore", "trafilatura", "htmldate", "courlan", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.ERROR)

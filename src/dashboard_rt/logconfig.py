"""How log lines look, on stderr: text for people or one JSON object a line, for ours and the libraries' alike.

Modules log with `logging.getLogger(__name__)` or `structlog.get_logger()`; both end in the same formatter. As JSON,
what would be written past it goes through it too: warnings, exceptions that nobody catches, records that cannot be
formatted.
"""

from __future__ import annotations

import json
import logging
import logging.config
import math
import os
import re
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from .settings import Settings

# At `info` these write a line for each connection, request or job run, thousands a second: they log from `warning` on.
VERBOSE_LOGGERS = (
    "uvicorn.error",
    "uvicorn.access",
    "aiosqlite",
    "databases",
    "httpx",
    "httpcore",
)
# What is masked in the logs of requests, wherever a ticket may be sent (docs/protocol.md §6): in an address, a
# subprotocol or a header. At `debug` uvicorn logs the headers of WebSockets, at `trace` whole scopes.
TICKET_IN_REQUEST = re.compile(
    r"""([?&'"](?:ticket|jid)=|\banycable-token\.|\bx-jid: |\bauthorization: (?:bearer +)?)[^&\s'",]*""",
    re.IGNORECASE,
)
REQUEST_LOGGERS = ("uvicorn.access", "uvicorn.error", "uvicorn.asgi")
DEEPEST = 8  # levels of a logged value that are kept as JSON; a cycle has no end
SHARED_PROCESSORS: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


logger = logging.getLogger(__name__)


def configure(settings: Settings) -> None:
    """Set up logging in this process by LOG_LEVEL and LOG_FORMAT."""
    logging.config.dictConfig(log_config(settings))


def configure_early(environ: Mapping[str, str]) -> bool:
    """Set up logging where LOG_FORMAT is json, and return whether it is: faults of the settings have to be JSON too."""
    as_json = environ.get("LOG_FORMAT", "").strip().lower() == "json"
    if as_json:
        logging.config.dictConfig(_config("INFO", as_json))
    return as_json


def log_config(settings: Settings) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig`.

    It holds plain values only, because uvicorn pickles it for its worker processes.
    """
    return _config(settings.log_level.upper(), settings.log_format == "json")


def _config(level: str, as_json: bool) -> dict[str, Any]:
    quiet = level if level == "ERROR" else "WARNING"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{__name__}.formatter", "as_json": as_json}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}
        },
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            "uvicorn": {"handlers": [], "propagate": True},
            **{name: {"level": quiet, "propagate": True} for name in VERBOSE_LOGGERS},
        },
    }


def announce(sentence: str, settings: Settings) -> None:
    """Print a sentence on stdout, in the form of the log lines but whatever LOG_LEVEL is.

    A stdout that takes nothing, such as a closed pipe, is given up: the sentence is not worth the process.
    """
    if settings.log_format == "json":
        record = logging.LogRecord("dashboard_rt", logging.INFO, "", 0, sentence, (), None)
        sentence = formatter(as_json=True).format(record)
    try:
        print(sentence, flush=True)
    except OSError as error:
        # What is left in the buffer would fail again at the exit, and make the status 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        logger.warning("Nothing can be written to stdout (%s): %s", error.strerror, sentence)


def formatter(as_json: bool) -> logging.Formatter:
    """Return the formatter of every line, and set up what else writes lines: structlog, and as JSON the interpreter.

    Set up here because `dictConfig` calls this in every process, also in uvicorn's workers.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED_PROCESSORS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    if as_json:
        _log_what_nobody_catches()
    return (JsonFormatter if as_json else structlog.stdlib.ProcessorFormatter)(
        foreign_pre_chain=[*SHARED_PROCESSORS, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(as_json)],
    )


def _renderers(as_json: bool) -> list[Processor]:
    if as_json:
        return [
            structlog.processors.format_exc_info,  # a traceback as one string: one line stays one object
            structlog.processors.EventRenamer("message"),
            _render_json,
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]


# ---- tickets in addresses


class TicketMask(logging.Filter):
    """Masks tickets in what a server logs of a request, whoever runs it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask tickets in the arguments, which formatters of access logs read, and in the message as a whole."""
        if isinstance(record.args, tuple):
            record.args = tuple(mask_ticket(arg) if isinstance(arg, str) else arg for arg in record.args)
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  the handler formats it again, and says what does not fit
            return True
        masked = mask_ticket(message)
        if masked != message:  # name and value of a header are two arguments, a scope is no text
            record.msg, record.args = masked, None
        return True


def mask_ticket(text: str) -> str:
    return TICKET_IN_REQUEST.sub(r"\1***", text)


TICKET_MASK = TicketMask()


def mask_tickets() -> None:
    """Have uvicorn log no ticket. Does nothing the second time."""
    for name in REQUEST_LOGGERS:
        logging.getLogger(name).addFilter(TICKET_MASK)


# ---- JSON


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats every record: logging would print a traceback for one whose arguments do not fit its message."""

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:  # noqa: BLE001  whatever the objects raise that were logged
            return _render_json(
                logger,
                "",
                {
                    "message": record.msg,
                    "args": record.args,
                    "level": record.levelname.lower(),
                    "logger": record.name,
                    "not_formatted": error,
                },
            )


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    # In ASCII, because stderr may have any encoding.
    return json.dumps(json_ready(event), ensure_ascii=True, allow_nan=False)


def json_ready(value: object, depth: int = 0) -> Any:
    """Return what JSON can hold of any value: other objects as their repr, keys as text, no NaN, no lone surrogates."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case Mapping() if depth < DEEPEST:
            return {json_ready(_text(key)): json_ready(item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth < DEEPEST:
            return [json_ready(item, depth + 1) for item in value]
        case _:
            return json_ready(_text(value))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  an object that cannot even be shown
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


# ---- what nobody catches


def _log_what_nobody_catches() -> None:
    """Have warnings and uncaught exceptions logged, which the interpreter writes to stderr as text."""
    logging.captureWarnings(True)
    sys.excepthook = _on_uncaught
    sys.unraisablehook = _on_unraisable
    threading.excepthook = _on_uncaught_in_thread


def _on_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    logger.critical("An exception that nobody caught ends the process.", exc_info=(kind, error, traceback))


def _on_unraisable(what: sys.UnraisableHookArgs) -> None:
    # The object is not kept, only its repr: it may be one that is being destroyed.
    logger.error("%s: %s", what.err_msg or "Exception ignored in", _text(what.object), exc_info=_info(what))


def _on_uncaught_in_thread(what: threading.ExceptHookArgs) -> None:
    if what.exc_type is not SystemExit:
        name = what.thread.name if what.thread is not None else "unknown"
        logger.error("An exception that nobody caught ends the thread %s.", name, exc_info=_info(what))


def _info(what: Any) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    return what.exc_type, what.exc_value or what.exc_type(), what.exc_traceback

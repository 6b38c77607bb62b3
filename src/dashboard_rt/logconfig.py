"""How log lines look, on stderr: text for people or one JSON object a line, for ours and the libraries' alike.

Modules log with `logging.getLogger(__name__)` or `structlog.get_logger()`; both end in the same formatter.
"""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import Any

import structlog
from structlog.types import Processor

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
SHARED_PROCESSORS: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def configure(settings: Settings) -> None:
    """Set up logging in this process by LOG_LEVEL and LOG_FORMAT."""
    logging.config.dictConfig(log_config(settings))


def log_config(settings: Settings) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig`.

    It holds plain values only, because uvicorn pickles it for its worker processes.
    """
    level = settings.log_level.upper()
    quiet = level if level == "ERROR" else "WARNING"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{__name__}.formatter", "json": settings.log_format == "json"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}
        },
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            "uvicorn": {"handlers": [], "propagate": True},
            **{name: {"level": quiet, "propagate": True} for name in VERBOSE_LOGGERS},
        },
    }


def formatter(json: bool) -> logging.Formatter:
    """Return the formatter of every line, and set up structlog.

    structlog is set up here because `dictConfig` calls this in every process, also in uvicorn's workers.
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
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*SHARED_PROCESSORS, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(json)],
    )


def _renderers(json: bool) -> list[Processor]:
    if json:
        return [
            structlog.processors.format_exc_info,  # a traceback as one string: one line stays one object
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]

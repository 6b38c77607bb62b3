"""How log lines look: for people or as one JSON object a line, ours and the libraries' alike, on stderr.

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

# One line a connection or a job run is noise at thousands a second: these speak up from `warning` on.
TALKATIVE = ("uvicorn.error", "uvicorn.access", "apscheduler", "aiosqlite", "databases", "httpx", "httpcore")
COMMON: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def log_config(settings: Settings) -> dict[str, Any]:
    """A `logging.config.dictConfig` of plain values only, because uvicorn pickles it for its workers."""
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
            **{name: {"level": quiet, "propagate": True} for name in TALKATIVE},
        },
    }


def configure(settings: Settings) -> None:
    """Set up logging in this process."""
    logging.config.dictConfig(log_config(settings))


def formatter(json: bool) -> logging.Formatter:
    """What dictConfig calls, in every process: so structlog is set up here too."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *COMMON,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*COMMON, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_ending(json)],
    )


def _ending(json: bool) -> list[Processor]:
    if json:
        return [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]

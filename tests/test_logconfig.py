"""logconfig: lines of our modules and of libraries, as text and as JSON, and their levels."""

from __future__ import annotations

import io
import logging
import pickle
from collections.abc import Iterator

import orjson
import pytest
import structlog

from dashboard_rt.logconfig import configure, formatter, log_config
from dashboard_rt.settings import Settings


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Restore structlog and the loggers after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in log_config(Settings.read({}))["loggers"]:
        logging.getLogger(name).setLevel(logging.NOTSET)


def logged(json: bool) -> tuple[logging.Logger, io.StringIO]:
    """A logger of its own that writes into a buffer."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(json))
    logger = logging.getLogger("tests.logs")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    return logger, stream


def test_json_lines_of_the_standard_library() -> None:
    logger, stream = logged(json=True)
    logger.info("hello %s", "you", extra={"stream": "events"})
    line = orjson.loads(stream.getvalue())
    assert line["message"] == "hello you" and line["stream"] == "events"
    assert line["level"] == "info" and line["logger"] == "tests.logs" and line["timestamp"].endswith("Z")


def test_json_lines_of_structlog() -> None:
    _, stream = logged(json=True)
    structlog.get_logger("tests.logs").warning("late", by=3)
    assert orjson.loads(stream.getvalue()) | {"timestamp": ""} == {
        "by": 3,
        "level": "warning",
        "logger": "tests.logs",
        "message": "late",
        "timestamp": "",
    }


def test_a_traceback_stays_in_its_line() -> None:
    logger, stream = logged(json=True)
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError:
        logger.exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError: no" in orjson.loads(line)["exception"]


def test_text_lines() -> None:
    logger, stream = logged(json=False)
    logger.warning("plain words")
    assert "plain words" in stream.getvalue() and "warning" in stream.getvalue()


def test_workers_can_be_given_the_configuration() -> None:
    assert pickle.loads(pickle.dumps(log_config(Settings.read({}))))


def test_configured_levels() -> None:
    configure(Settings.read({"LOG_LEVEL": "debug"}))
    assert logging.getLogger("dashboard_rt").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.INFO), "a line a connection is noise"
    configure(Settings.read({"LOG_LEVEL": "error"}))
    assert not logging.getLogger("aiosqlite.core").isEnabledFor(logging.WARNING)

"""logconfig: lines of our modules and of libraries, as text and as JSON, and their levels."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import orjson
import pytest
import structlog

from dashboard_rt.logconfig import (
    REQUEST_LOGGERS,
    announce,
    configure,
    formatter,
    json_ready,
    log_config,
    mask_tickets,
)
from dashboard_rt.settings import Settings


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Restore structlog and the loggers after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(False)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in log_config(Settings.read({}))["loggers"]:
        logging.getLogger(name).setLevel(logging.NOTSET)


def logged(as_json: bool) -> tuple[logging.Logger, io.StringIO]:
    """A logger of its own that writes into a buffer."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(as_json))
    logger = logging.getLogger("tests.logs")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    return logger, stream


def test_json_lines_of_the_standard_library() -> None:
    logger, stream = logged(as_json=True)
    logger.info("hello %s", "you", extra={"stream": "events"})
    line = orjson.loads(stream.getvalue())
    assert line["message"] == "hello you" and line["stream"] == "events"
    assert line["level"] == "info" and line["logger"] == "tests.logs" and line["timestamp"].endswith("Z")


def test_json_lines_of_structlog() -> None:
    _, stream = logged(as_json=True)
    structlog.get_logger("tests.logs").warning("late", by=3)
    assert orjson.loads(stream.getvalue()) | {"timestamp": ""} == {
        "by": 3,
        "level": "warning",
        "logger": "tests.logs",
        "message": "late",
        "timestamp": "",
    }


def test_a_traceback_stays_in_its_line() -> None:
    logger, stream = logged(as_json=True)
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError:
        logger.exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError: no" in orjson.loads(line)["exception"]


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def cycle() -> list[object]:
    """A list that holds itself."""
    found: list[object] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("zwei\nZeilen, ä €", "zwei\nZeilen, ä €"),
        ("\ud800 and \U0001f600", "\ufffd and \U0001f600"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**70, 2**70),
        (True, True),
        (b"bytes", "b'bytes'"),
        (Unprintable(), "<Unprintable whose repr raises ZeroDivisionError>"),
        ({1: {"a"}, ("b", 2): (None, 1.5)}, {"1": ["a"], "('b', 2)": [None, 1.5]}),
        (LookupError("no"), "LookupError('no')"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_can_be_logged_as_json(value: object, shown: object) -> None:
    logger, stream = logged(as_json=True)
    logger.info("a %s line", "one", extra={"value": value})
    text = stream.getvalue()
    assert text.isascii() and text.endswith("\n") and text.count("\n") == 1
    assert json.loads(text, parse_constant=pytest.fail)["value"] == shown


def test_a_cycle_ends() -> None:
    assert "[[...]]" in json.dumps(json_ready(cycle()))


def bad_arguments(logger: logging.Logger) -> None:
    logger.warning("%d updates", "many")


def bad_value(logger: logging.Logger) -> None:
    logger.warning("an object: %s", Unprintable())


def stack(logger: logging.Logger) -> None:
    logger.warning("here", stack_info=True)


@pytest.mark.parametrize(
    ("log", "parts"),
    [
        (bad_arguments, ("%d updates", "many", "TypeError")),
        (bad_value, ("an object: %s", "ZeroDivisionError")),
        (stack, ("here", "in stack")),
    ],
)
def test_a_record_is_one_line_whatever_it_holds(
    log: Callable[[logging.Logger], None], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    logger, stream = logged(as_json=True)
    log(logger)
    line = orjson.loads(stream.getvalue())
    assert (line["level"], line["logger"]) == ("warning", "tests.logs")
    assert all(part in stream.getvalue() for part in parts)
    assert capsys.readouterr() == ("", ""), "logging itself would print a traceback"


# What a process writes past its loggers, as a process of its own: pytest has hooks of its own in this one.
PAST_THE_LOGGERS = {
    "warnings": "import warnings; warnings.warn('look out')",
    "uncaught": "raise LookupError('look out')",
    "threads": "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    "destructors": "class A:\n    def __del__(self): 1 / 0\nA()",
    "tasks": """
import asyncio, gc
async def fail(): raise LookupError('look out')
async def main():
    asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
asyncio.run(main())
""",
    "callbacks": """
import asyncio
async def main():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)
asyncio.run(main())
""",
}


@pytest.mark.parametrize("code", PAST_THE_LOGGERS.values(), ids=PAST_THE_LOGGERS.keys())
def test_what_nobody_catches_is_a_json_line_too(code: str) -> None:
    setup = (
        "import os; from dashboard_rt.logconfig import configure_early; assert configure_early(os.environ)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", setup + code],
        env={"LOG_FORMAT": " JSON ", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    (line,) = done.stderr.splitlines()
    found = orjson.loads(line)
    assert found["level"] in ("warning", "error", "critical")
    assert "look out" in line or "ZeroDivisionError" in found["exception"]


def test_an_announcement_is_a_line_whatever_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    announce("The dashboard is here", Settings.read({"LOG_FORMAT": "json", "LOG_LEVEL": "error"}))
    line = orjson.loads(capsys.readouterr().out)
    assert (line["message"], line["level"]) == ("The dashboard is here", "info") and line["timestamp"]
    announce("The dashboard is here", Settings.read({}))
    assert capsys.readouterr().out == "The dashboard is here\n"


def test_text_lines() -> None:
    logger, stream = logged(as_json=False)
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


@pytest.mark.parametrize("name", REQUEST_LOGGERS)
def test_tickets_in_the_addresses_of_requests_are_masked(name: str, caplog: pytest.LogCaptureFixture) -> None:
    mask_tickets()
    mask_tickets()
    target = "/dashboard/stream?stream=s&ticket=a.b-c_d&x=1"
    with caplog.at_level("INFO", name):
        logging.getLogger(name).info('%s - "GET %s HTTP/%s" %d', "10.0.0.1:1", target, "1.1", 200)
        logging.getLogger(name).info('"WebSocket %s" [accepted]', "/cable?jid=a.b.c")
        logging.getLogger(name).info("%(a)s", {"a": "as it was"})
        logging.getLogger(name).info("< %s: %s", "x-jid", "a.b.c")
        logging.getLogger(name).info("< %s: %s", "Authorization", "Bearer a.b.c")
        logging.getLogger(name).info("< %s: %s", "Sec-WebSocket-Protocol", "v1, anycable-token.a.b.c, v2")
        logging.getLogger(name).info(
            "scope=%s", {"query_string": b"jid=a.b&x=1", "subprotocols": ["anycable-token.a"]}
        )
    assert caplog.messages == [
        '10.0.0.1:1 - "GET /dashboard/stream?stream=s&ticket=***&x=1 HTTP/1.1" 200',
        '"WebSocket /cable?jid=***" [accepted]',
        "as it was",
        "< x-jid: ***",
        "< Authorization: Bearer ***",
        "< Sec-WebSocket-Protocol: v1, anycable-token.***, v2",
        "scope={'query_string': b'jid=***&x=1', 'subprotocols': ['anycable-token.***']}",
    ]

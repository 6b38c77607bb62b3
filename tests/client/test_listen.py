"""The command `listen`, as a person at a terminal meets it."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from dashboard_rt.client import listen as module
from dashboard_rt.client.listen import listen
from tests.fakes import Behaviour, serving

BOTH = pytest.mark.parametrize("transport", ["sse", "cable"])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(listen, list(arguments))


def until_cut(updates: int, **more: float) -> Behaviour:
    """A server that says goodbye after so many updates: what ends a test is what it heard, not a clock."""
    return replace(Behaviour(cut_after=updates, goodbye="server_restart"), **more)  # type: ignore[arg-type]


@BOTH
def test_one_client_prints_what_it_hears(transport: str) -> None:
    with serving(until_cut(3, heartbeat=0)) as fake:
        result = run(fake.url, "--transport", transport, "--no-reconnect")
    assert result.exit_code == 0, result.output
    assert re.search(r"connected +connect \d+\.\d ms, head \d+\.\d ms, ", result.output)
    assert re.search(r"verdict +fresh k3f9-\d+", result.output)
    assert re.search(r'update +k3f9-\d+ \{"n":', result.output)
    assert re.search(r"heartbeat +", result.output)
    assert re.search(r"check +lost 0, doubled 0", result.output)
    assert "1 of 1 reached the stream" in result.output


@BOTH
def test_many_clients_print_rates_and_times(transport: str) -> None:
    with serving(until_cut(60, period=0.05)) as fake:
        words = ("--clients", "30", "--stats", "0.3", "--no-reconnect")
        result = run(fake.url, "--transport", transport, *words)
    assert result.exit_code == 0, result.output
    assert "30/30 connected" in result.output
    assert re.search(r"[1-9]\d*\.\d updates/s", result.output)
    for step in ("connect", "head", "first byte", "first event", "first update"):
        assert re.search(rf"{step} +p50 \d+\.\d ms, p95 \d+\.\d ms, max \d+\.\d ms", result.output)
    assert "fresh 30" in result.output
    assert "k3f9-" not in result.output


@BOTH
@pytest.mark.parametrize(
    ("behaviour", "word"), [(until_cut(7, drop=3), "LOST"), (until_cut(7, double=3), "DOUBLED")]
)
def test_what_is_lost_or_doubled_is_said_and_exits_1(transport: str, behaviour: Behaviour, word: str) -> None:
    with serving(behaviour) as fake:
        result = run(fake.url, "--transport", transport, "--no-reconnect")
    assert result.exit_code == 1
    assert re.search(rf"FAULT +{word}", result.output)


def test_nobody_there_is_one_sentence_and_exits_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    result = run(f"127.0.0.1:{port}", "--no-reconnect")
    assert result.exit_code == 1
    assert f"Cannot connect to http://127.0.0.1:{port}/dashboard/stream (connection refused)" in result.stderr
    assert "Traceback" not in result.output


def test_from_resumes() -> None:
    with serving(until_cut(5)) as fake:
        position = f"k3f9-{fake.head - 3}"
        result = run(fake.url, "--from", position, "--no-reconnect")
    assert fake.resumed == [position]
    assert f"recovered {position}" in result.output
    assert result.exit_code == 0


def test_debug_shows_headers_and_whole_frames() -> None:
    with serving(until_cut(3)) as fake:
        result = run(fake.url, "--transport", "cable", "--debug", "--no-reconnect")
    assert "sec-websocket-protocol: actioncable-v1-ext-json" in result.output
    assert '{"type":"welcome"}' in result.output


def test_a_goodbye_without_reconnecting_is_no_fault() -> None:
    with serving(Behaviour(cut_after=3, goodbye="server_restart")) as fake:
        result = run(fake.url, "--no-reconnect")
    assert result.exit_code == 0
    assert "server_restart 1" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "URL is missing"),
        (("ftp://x",), "is not a URL of a server"),
        (("h", "--transport", "pigeon"), "pigeon"),
        (("h", "--clients", "0"), "--clients"),
        (("h", "--from", "nonsense"), "such as k3f9-1042"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_do(arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_too_few_files_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 256))
    result = run("h", "--clients", "500")
    assert result.exit_code == 2
    assert "500 clients need 564 open files and this shell allows 256" in result.stderr
    assert "ulimit -n 564" in result.stderr


def test_the_soft_limit_is_raised_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limits: asked.append(limits))
    module.make_room(500)
    assert asked == [(564, 4096)]


def test_help_has_an_example_and_the_exit_codes() -> None:
    text = run("--help").output
    assert "dashboard-rt listen http://127.0.0.1:3000 --transport cable" in text
    assert "130  Ctrl-C" in text


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["single", "URL", "cable"], ("URL", "cable", 1, 0.0, None)),
        (["multiple", "URL", "sse"], ("URL", "sse", 5, 5.0, None)),
        (["load", "URL", "sse"], ("URL", "sse", 100, 5.0, None)),
        (["custom", "URL", "cable", "7", "2", "3", "4"], ("URL", "cable", 7, 2.0, 3.0)),
        (["custom", "URL", "cable", "", "", "", ""], ("URL", "cable", 1, 5.0, None)),
    ],
)
def test_a_terminal_without_arguments_is_asked(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], expected: tuple[object, ...]
) -> None:
    seen: list[tuple[object, ...]] = []

    def execute(options: module.Options, url: str) -> int:
        seen.append((url, options.transport, options.clients, options.every, options.seconds))
        return 0

    monkeypatch.setattr(module, "execute", execute)
    monkeypatch.setattr(module, "on_terminal", lambda: True)
    result = CliRunner().invoke(listen, [], input="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    assert seen == [expected]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@BOTH
def test_a_signal_prints_the_summary(transport: str, number: signal.Signals, code: int) -> None:
    program = "from dashboard_rt.client.listen import listen; listen()"
    with serving() as fake:
        command = [
            sys.executable,
            "-c",
            program,
            fake.url,
            "--transport",
            transport,
            "--clients",
            "3",
            "--debug",
        ]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            verdicts = 0
            while verdicts < 3:
                verdicts += " verdict " in process.stdout.readline()
            process.send_signal(number)
            rest = process.stdout.read()
    assert process.returncode == code
    assert "3 of 3 reached the stream" in rest


def test_a_reader_that_leaves_is_no_traceback() -> None:
    program = "from dashboard_rt.client.listen import listen; listen()"
    with serving() as fake:
        command = [sys.executable, "-c", program, fake.url]
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            complaints = process.stderr.read()
    assert process.returncode == 1
    assert complaints == ""

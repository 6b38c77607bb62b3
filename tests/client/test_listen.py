"""The command `listen`: its output, exit codes, prompts and signals, against a real server."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from dashboard_rt.client import listen as module
from dashboard_rt.client.environment import trusting_context
from dashboard_rt.client.listen import listen
from tests.client.connecting import unused_address
from tests.fakes import Behaviour, serving

BOTH_TRANSPORTS = pytest.mark.parametrize("transport", ["sse", "cable"])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(listen, list(arguments))


def ending_after(updates: int, **more: float) -> Behaviour:
    """Say goodbye after so many updates, so that a test ends with what was received and not by a clock."""
    return replace(Behaviour(cut_after=updates, goodbye="server_restart"), **more)  # type: ignore[arg-type]


@BOTH_TRANSPORTS
def test_one_client_prints_what_it_receives(transport: str) -> None:
    with serving(ending_after(3, heartbeat=0)) as fake:
        result = run(fake.url, "--transport", transport, "--no-reconnect")
    assert result.exit_code == 0, result.output
    assert re.search(r"connected +connect \d+\.\d ms, head \d+\.\d ms, ", result.output)
    assert re.search(r"verdict +fresh k3f9-\d+", result.output)
    assert re.search(r'update +k3f9-\d+ \{"n":', result.output)
    assert re.search(r"heartbeat +", result.output)
    assert re.search(r"check +lost 0, doubled 0", result.output)
    assert "1 of 1 reached the stream" in result.output


@BOTH_TRANSPORTS
def test_many_clients_print_rates_and_times(transport: str) -> None:
    with serving(ending_after(25, period=0.05)) as fake:
        arguments = ("--clients", "20", "--stats", "0.1", "--no-reconnect")
        result = run(fake.url, "--transport", transport, *arguments)
    assert result.exit_code == 0, result.output
    assert "20/20 connected" in result.output
    assert re.search(r"[1-9]\d*\.\d updates/s", result.output)
    for step in ("connect", "head", "first byte", "first event", "first update"):
        assert re.search(rf"{step} +p50 \d+\.\d ms, p95 \d+\.\d ms, max \d+\.\d ms", result.output)
    assert "fresh 20" in result.output
    assert "k3f9-" not in result.output


@BOTH_TRANSPORTS
@pytest.mark.parametrize(
    ("behaviour", "word"), [(ending_after(7, drop=3), "LOST"), (ending_after(7, double=3), "DOUBLED")]
)
def test_lost_and_doubled_updates_are_printed_and_exit_1(
    transport: str, behaviour: Behaviour, word: str
) -> None:
    with serving(behaviour) as fake:
        result = run(fake.url, "--transport", transport, "--no-reconnect")
    assert result.exit_code == 1
    assert re.search(rf"FAULT +{word}", result.output)


def test_no_server_is_one_sentence_and_exits_1() -> None:
    address = unused_address()
    result = run(address, "--no-reconnect")
    assert result.exit_code == 1
    assert f"Cannot connect to http://{address}/dashboard/stream (connection refused)" in result.stderr
    assert "Traceback" not in result.output


@BOTH_TRANSPORTS
@pytest.mark.parametrize(
    ("variable", "value"),
    [("SSL_CERT_FILE", "/nowhere"), ("ALL_PROXY", "socks5://127.0.0.1:1"), ("HTTP_PROXY", "nonsense:x")],
)
def test_an_environment_that_cannot_be_used_is_one_sentence_and_exits_1(
    transport: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("dashboard_rt.client.environment.trusting_context", trusting_context.__wrapped__)
    url = "https://elsewhere.invalid" if variable == "SSL_CERT_FILE" else "http://elsewhere.invalid"
    result = run(url, "--transport", transport)
    assert result.exit_code == 1
    assert re.fullmatch(rf"\S+ failed     {variable}={value} cannot be used .*\n", result.stderr)


def test_from_resumes() -> None:
    with serving(ending_after(5)) as fake:
        position = f"k3f9-{fake.head - 3}"
        result = run(fake.url, "--from", position, "--no-reconnect")
    assert fake.resumed == [position]
    assert f"recovered {position}" in result.output
    assert result.exit_code == 0


def test_debug_prints_headers_and_whole_frames() -> None:
    with serving(ending_after(3)) as fake:
        result = run(fake.url, "--transport", "cable", "--debug", "--no-reconnect")
    assert "sec-websocket-protocol: actioncable-v1-ext-json" in result.output
    assert '{"type":"welcome"}' in result.output


def test_a_goodbye_without_reconnecting_is_no_fault() -> None:
    with serving(Behaviour(cut_after=3, goodbye="server_restart")) as fake:
        result = run(fake.url, "--no-reconnect")
    assert result.exit_code == 0
    assert "server_restart 1" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "URL is missing"),
        (("ftp://x",), "is not a URL of a server"),
        (("h", "--transport", "pigeon"), "pigeon"),
        (("h", "--clients", "0"), "--clients"),
        (("h", "--stats", "nan"), "is not a number of seconds"),
        (("h", "--seconds", "nan"), "is not a number of seconds"),
        (("h", "--seconds", "inf"), "is not a number of seconds"),
        (("h", "--timeout", "nan"), "is not a number of seconds"),
        (("h", "--from", "nonsense"), "such as k3f9-1042"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_do(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_limit_that_is_too_low_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 256))
    result = run("h", "--clients", "500")
    assert result.exit_code == 2
    assert "500 clients need 564 open files and this shell allows 256" in result.stderr
    assert "ulimit -n 564" in result.stderr


def test_the_soft_limit_is_raised_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    limits_set: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limits: limits_set.append(limits))
    module.raise_file_limit(500)
    assert limits_set == [(564, 4096)]


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
def test_a_terminal_without_a_url_gets_prompts(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], expected: tuple[object, ...]
) -> None:
    seen: list[tuple[object, ...]] = []

    def run_listen(options: module.ListenOptions, url: str) -> int:
        seen.append((url, options.transport, options.clients, options.stats_interval, options.seconds))
        return 0

    monkeypatch.setattr(module, "run_listen", run_listen)
    monkeypatch.setattr(module, "stdin_is_terminal", lambda: True)
    result = CliRunner().invoke(listen, [], input="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    assert seen == [expected]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@BOTH_TRANSPORTS
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


@pytest.mark.parametrize("clients", ["1", "3"])
def test_an_output_that_nobody_reads_any_more_ends_it_quietly(clients: str) -> None:
    options = ["--clients", clients, "--stats", "0.05"]
    with serving() as fake:
        command = [sys.executable, "-m", "dashboard_rt", "listen", fake.url, *options]
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            errors = process.stderr.read()
    assert process.returncode == 128 + signal.SIGPIPE
    assert errors == ""

"""The command line, as processes of its own: what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from fcntl import ioctl
from pathlib import Path
from termios import FIONREAD
from types import SimpleNamespace

import httpx
import pytest
from click.testing import CliRunner

from dashboard_rt.__main__ import cli
from dashboard_rt.errors import LogUnavailable
from dashboard_rt.settings import Settings
from dashboard_rt.types import Receipt
from tests.patience import HANG_LIMIT


class Shell:
    """Runs our commands on one database."""

    def __init__(self, folder: Path) -> None:
        self.environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "DATABASE_URL": f"sqlite:///{folder}/cli.db",
            "STREAMS": "dashboard_updates:state,events:log",
            "PORT": "0",
            "DRAIN_SECONDS": "0.2",
        }

    def command(self, arguments: Sequence[str], redirect: str) -> list[str]:
        """The command line; `redirect` is what a shell shall do with its standard streams, such as `<&-`."""
        return ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, "-m", "dashboard_rt", *arguments]

    def run(
        self, *arguments: str, stdin: str = "", redirect: str = "", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(arguments, redirect),
            input=stdin,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=HANG_LIMIT,
            check=False,
        )

    @contextmanager
    def start(self, *arguments: str, redirect: str = "", **environ: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            self.command(arguments, redirect),
            env={**self.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def line(process: subprocess.Popen[str]) -> str:
    """The next line of its output."""
    assert process.stdout is not None and process.stderr is not None
    ready, _, _ = select.select([process.stdout], [], [], HANG_LIMIT)
    text = process.stdout.readline() if ready else ""
    assert text, process.stderr.read() if process.poll() is not None else "no output"
    return text


def ends(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Its exit status after a signal, and what it wrote to stderr."""
    process.send_signal(number)
    _, err = process.communicate(timeout=HANG_LIMIT)
    return process.returncode, err


def until(condition: str, url: str) -> httpx.Response:
    """Ask until the answer holds a text."""
    deadline = time.monotonic() + HANG_LIMIT
    while True:
        answer = httpx.get(url, timeout=HANG_LIMIT)
        if condition in answer.text:
            return answer
        assert time.monotonic() < deadline, answer.text


@pytest.mark.parametrize("command", ["serve", "worker", "init", "publish"])
def test_help_has_an_example(shell: Shell, command: str) -> None:
    result = shell.run(command, "--help")
    assert result.returncode == 0 and re.search(r"^  Example: ", result.stdout, re.MULTILINE)


def test_all_commands_are_listed(shell: Shell) -> None:
    result = shell.run("--help")
    assert result.returncode == 0
    for command in ("serve", "worker", "init", "publish", "listen", "doctor"):
        assert re.search(rf"^  {command} ", result.stdout, re.MULTILINE), command


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["publish", "events"],
        ["publish", "events", "1", "--lines"],
        ["publish", "events", "-", "--lines", "--key", ""],
        ["publish", "events", "1", "--key", ""],
        ["publish", "events", "1", "--key", "k" * 65],
        ["publish", "events", "1", "--key", "a\nb"],
        ["publish", "events", "1", "--key", "ä"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2 and "Error: " in result.stderr


@pytest.mark.parametrize("command", [["serve"], ["worker"], ["init"], ["publish", "events", "1"]])
def test_a_bad_setting_is_one_sentence(shell: Shell, command: list[str]) -> None:
    result = shell.run(*command, PORT="many")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "Error: PORT must be a whole number from 0 to 65535, not 'many'.\n"


@pytest.mark.parametrize("command", [["serve"], ["worker"], ["init"], ["publish", "events", "1"]])
def test_a_database_that_cannot_be_used_is_one_sentence(shell: Shell, command: list[str]) -> None:
    result = shell.run(*command, DATABASE_URL="sqlite:////nowhere/at/all.db")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("Error: DATABASE_URL")


def test_init_and_a_new_epoch(shell: Shell) -> None:
    epochs = [
        re.findall(r"epoch (\w+), streams dashboard_updates \(state\), events \(log\)", result.stdout)
        for result in (shell.run("init"), shell.run("init"), shell.run("init", "--new-epoch"))
    ]
    assert all(len(found) == 1 for found in epochs)
    assert epochs[0] == epochs[1] != epochs[2]


def test_a_new_epoch_is_refused_beside_a_wal_that_nobody_has_open(shell: Shell, tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "other.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE t (a)")
    shell.run("init")
    shutil.copyfile(tmp_path / "other.db-wal", tmp_path / "cli.db-wal")
    writer.close()
    result = shell.run("init", "--new-epoch")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {tmp_path}/cli.db-wal may belong to another database")
    assert len(result.stderr.splitlines()) == 1
    (tmp_path / "cli.db-wal").unlink()
    assert shell.run("init", "--new-epoch").returncode == 0


def test_publish(shell: Shell) -> None:
    first, again = (shell.run("publish", "events", '{"a": 1}', "--key", "k") for _ in range(2))
    assert first.returncode == 0 and re.fullmatch(r"\w+-1\n", first.stdout)
    assert again.stdout == first.stdout
    assert shell.run("publish", "events", "-", stdin='{\n"b": 2}\n').stdout.endswith("-2\n")
    assert shell.run("publish", "events", "-", "--lines", stdin="3\n\n4\n5").stdout.endswith("-5\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["events", "{"], "This is not JSON"),
        (["events", "-"], "This is not JSON"),
        (["events", f'"{"a" * 65535}"'], "An update has at most 65536 bytes"),
        (["events", os.fsdecode(b'"\xff"')], "This is not UTF-8"),
        (["ot\x1bher", "1"], r"There is no stream 'ot\x1bher'"),
        (["other", "-", "--lines"], "There is no stream 'other'"),
    ],
)
def test_publish_refused(shell: Shell, arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(cli, ["publish", *arguments], env=shell.environ)
    assert result.exit_code == 1 and result.stderr.startswith(f"Error: {sentence}")


@pytest.mark.parametrize(
    ("options", "advice"),
    [(["--key", "k"], "repeat it with the same --key"), ([], "give it a --key")],
)
def test_a_publish_that_is_not_acknowledged_says_how_to_repeat_it(
    monkeypatch: pytest.MonkeyPatch, options: list[str], advice: str
) -> None:
    async def fail(*_: object) -> Receipt:
        raise LogUnavailable("The log is away.")

    @asynccontextmanager
    async def publishing(_: Settings) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(publisher=SimpleNamespace(publish=fail))

    monkeypatch.setattr("dashboard_rt.app.publishing", publishing)
    result = CliRunner().invoke(cli, ["publish", "dashboard_updates", "1", *options])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: The log is away. Whether it is on disk is open: {advice}")


def test_lines_are_published_as_they_come(shell: Shell) -> None:
    with shell.start("publish", "events", "-", "--lines") as process:
        assert process.stdin is not None
        for number in (1, 2):
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
            assert line(process).endswith(f"-{number}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_lines_says_what_was_published(shell: Shell, number: signal.Signals) -> None:
    with shell.start("publish", "events", "-", "--lines") as process:
        assert process.stdin is not None
        process.stdin.write("1\n2\n3")
        process.stdin.flush()
        position = line(process).strip()
        status, err = ends(process, number)
    assert status == 128 + number
    assert err == f"Aborted: 2 updates were published, up to {position}, and none from line 3 on.\n"


def test_ctrl_c_does_not_wait_for_the_end_of_the_input(shell: Shell) -> None:
    with shell.start("publish", "events", "-") as process:
        assert process.stdin is not None
        process.stdin.write("1")
        process.stdin.flush()
        deadline = time.monotonic() + HANG_LIMIT
        while struct.unpack("i", ioctl(process.stdin, FIONREAD, bytes(4))) != (
            0,
        ):  # it has not read that yet
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert ends(process, signal.SIGINT) == (130, "\nAborted!\n")


def test_many_short_lines_are_published_up_to_a_bad_one(shell: Shell) -> None:
    lines = "".join(f"{number}\n" for number in range(20_000))
    result = shell.run("publish", "events", "-", "--lines", stdin=f"{lines}{{\n1\n")
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1].endswith("-20000")
    assert result.stderr.startswith("Error: Line 20001: This is not JSON")
    assert re.search(
        r"20000 updates were published, up to \w+-20000, and none from line 20001", result.stderr
    )


# ---- an output that cannot be written


def run_into(file: int, shell: Shell, arguments: str) -> tuple[int, str]:
    """The exit status of a command whose output goes to `file`, and what it wrote to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "dashboard_rt", *arguments.split()],
        input="1\n",
        env=shell.environ,
        stdout=file,
        stderr=subprocess.PIPE,
        text=True,
        timeout=HANG_LIMIT,
        check=False,
    )
    os.close(file)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "done"),
    [
        ("--help", ""),
        ("init", ""),
        ("publish events 1", r" The update is on disk at \w+-1\."),
        ("publish events - --lines", r" 1 update was published, up to \w+-1, and none from line 2 on\."),
        ("listen http://127.0.0.1:1", ""),
    ],
)
def test_a_full_disk_under_the_output_is_one_sentence(shell: Shell, arguments: str, done: str) -> None:
    status, err = run_into(os.open("/dev/full", os.O_WRONLY), shell, arguments)
    assert status == 1
    sentence = r"Error: The output cannot be written \(No space left on device\)\."
    assert re.fullmatch(f"{sentence}{done}\n", err), err


@pytest.mark.parametrize(("arguments", "status"), [(["publish", "events", "{"], 1), (["nonsense"], 2)])
def test_a_full_disk_under_stderr_leaves_the_status(shell: Shell, arguments: list[str], status: int) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "dashboard_rt", *arguments]
        assert subprocess.call(command, env=shell.environ, stderr=full, timeout=HANG_LIMIT) == status


@pytest.mark.parametrize("arguments", ["--version", "publish events - --lines", "listen http://127.0.0.1:1"])
def test_an_output_that_nobody_reads_any_more_ends_quietly(shell: Shell, arguments: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert run_into(writing, shell, arguments) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_until_a_signal(shell: Shell, number: signal.Signals) -> None:
    with shell.start("serve") as process:
        url = line(process).split()[4]
        assert until("metrics", f"{url}dashboard/refresh").headers["x-stream-position"]
        status, err = ends(process, number)
    assert (status, err) == (0, "")


def test_two_processes_share_the_port(shell: Shell) -> None:
    with shell.start(
        "serve", "--workers", "2", WEB_CONCURRENCY="1", JOBS="off", PUBLISH_TOKEN="s3cret"
    ) as process:
        url = line(process).split()[4]
        until("ok", f"{url}up")
        pids: set[str] = set()
        deadline = time.monotonic() + HANG_LIMIT
        while len(pids) < 2:
            assert time.monotonic() < deadline
            pids.add(re.findall(r'"pid":(\d+)', httpx.get(f"{url}dashboard/stats").text)[0])
        status, err = ends(process, signal.SIGTERM)
    assert status == 0
    assert err.count("\n") == 1 and "Serving with 2 processes (WEB_CONCURRENCY, set by --workers)." in err


def test_a_ctrl_c_during_the_imports_is_no_traceback(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    with shell.start("serve", PYTHONPATH=str(tmp_path)) as process:
        assert line(process) == "importing\n"
        assert ends(process, signal.SIGINT) == (-signal.SIGINT, "")


def test_a_busy_port(shell: Shell) -> None:
    with shell.start("serve") as process:
        port = line(process).split(":")[2].split("/")[0]
        result = shell.run("serve", PORT=port)
    assert result.returncode == 1 and result.stderr.startswith(f"Error: Port {port} on 127.0.0.1 is in use")


def test_a_worker_feeds_the_web_process(shell: Shell) -> None:
    with shell.start("serve", JOBS="off") as web:
        url = line(web).split()[4]
        assert httpx.get(f"{url}dashboard/refresh", timeout=HANG_LIMIT).text == "null"
        with shell.start("worker") as worker:
            assert '"response_time":null' in until("metrics", f"{url}dashboard/refresh").text
            assert ends(worker, signal.SIGTERM) == (0, "")


def test_a_worker_needs_the_stream(shell: Shell) -> None:
    result = shell.run("worker", STREAMS="events:log", JOBS="off")
    assert result.returncode == 1 and "dashboard_updates" in result.stderr


# ---- odd surroundings


@pytest.mark.parametrize("redirect", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_without_a_standard_stream(shell: Shell, redirect: str, tmp_path: Path) -> None:
    """The next file that is opened must not take its number: prints would go into the database."""
    result = shell.run("init", redirect=redirect)
    assert result.returncode == 0
    if " >&-" not in f" {redirect}":
        assert result.stdout.startswith("The database is ready")
    assert (tmp_path / "cli.db").read_bytes().startswith(b"SQLite format 3")


def test_serving_without_standard_streams(shell: Shell) -> None:
    """The workers, too, which get theirs from the supervisor."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {"PORT": str(port), "WEB_CONCURRENCY": "2", "JOBS": "off"}
    with shell.start("serve", redirect="<&- >&- 2>&-", **environ) as process:
        deadline = time.monotonic() + HANG_LIMIT
        while not answers(f"http://127.0.0.1:{port}/ready"):
            assert process.poll() is None and time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_LIMIT) == 0


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=HANG_LIMIT).status_code == 200
    except httpx.TransportError:
        return False


def test_a_stdout_that_takes_nothing_is_given_up(shell: Shell) -> None:
    with shell.start("serve", redirect=">/dev/full", LOG_FORMAT="json") as process:
        assert process.stderr is not None
        message = json.loads(process.stderr.readline())["message"]
        assert message.startswith("Nothing can be written to stdout (No space left on device)")
        assert answers(f"{message.split()[-4]}up")
        assert ends(process, signal.SIGTERM) == (0, "")


def test_a_signal_before_the_start_ends_it_in_silence(shell: Shell, tmp_path: Path) -> None:
    shell.run("init")
    with closing(sqlite3.connect(tmp_path / "cli.db")) as other:
        other.execute("BEGIN EXCLUSIVE")  # the start waits for the database
        with shell.start("serve") as process:
            deadline = time.monotonic() + HANG_LIMIT
            while not caught(process.pid, signal.SIGTERM):
                assert time.monotonic() < deadline
            assert ends(process, signal.SIGINT) == (0, "")


def caught(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = re.findall(r"^SigCgt:\s*(\w+)", status, re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


def json_lines(text: str) -> list[str]:
    """The messages of log lines, each of which has to be a JSON object with a level."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(line["level"] and line["timestamp"] for line in lines)
    return [line["message"] for line in lines]


def test_every_line_is_json(shell: Shell) -> None:
    with shell.start("serve", LOG_FORMAT="json", LOG_LEVEL="debug") as process:
        first = line(process)
        url = json.loads(first)["message"].split()[4]
        until("ok", f"{url}up")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=HANG_LIMIT)
    assert process.returncode == 0
    assert json_lines(first + out) == [f"The dashboard is at {url} (Ctrl-C stops it)"]
    json_lines(err)


@pytest.mark.parametrize("command", ["serve", "worker"])
@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"PORT": "many"}, "PORT must be a whole number from 0 to 65535, not 'many'."),
        ({"DATABASE_URL": "sqlite:////nowhere/at/all.db"}, "DATABASE_URL: this file cannot be used"),
    ],
)
def test_a_start_that_fails_says_so_in_json(
    shell: Shell, command: str, environ: dict[str, str], sentence: str
) -> None:
    result = shell.run(command, LOG_FORMAT="json", **environ)
    assert (result.returncode, result.stdout) == (1, "")
    (message,) = json_lines(result.stderr)
    assert message.startswith(sentence)

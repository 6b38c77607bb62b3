"""The command line: `python -m dashboard_rt`, installed as `dashboard-rt`. Settings are environment variables.

The exit statuses are in the help of the whole, and those of a signal are 128 + its number.
"""

# ruff: noqa: E402  the first lines have to run before the other imports

from __future__ import annotations

import signal

# A Ctrl-C while the modules below are imported ends the process, without a traceback through their insides.
_on_ctrl_c = signal.getsignal(signal.SIGINT)
if _on_ctrl_c is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import asyncio
import errno
import logging
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import click
import uvloop

from . import __version__
from .client.terminal import drop_unwritten_output, echo, open_standard_streams, printable
from .errors import DashboardError, LogUnavailable, UnknownStream
from .logconfig import configure, configure_early
from .settings import MAX_WORKERS, Settings
from .types import Receipt

if _on_ctrl_c is signal.default_int_handler:
    signal.signal(signal.SIGINT, _on_ctrl_c)

CLIENT_COMMANDS = {
    "listen": "dashboard_rt.client.listen:listen",
    "doctor": "dashboard_rt.client.doctor:doctor",
}
SERVING_COMMANDS = ("serve", "worker")
# What writing to a file or a pipe fails with. Any other OSError that gets here is a fault of ours: a traceback.
READER_HAS_GONE = (errno.EPIPE, errno.ECONNRESET)
OUTPUT_ERRORS = (
    *READER_HAS_GONE,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EBADF,
    errno.EAGAIN,
)

logger = logging.getLogger(__name__)


class OutputFailed(Exception):
    """The standard output cannot be written. `done`: what was done nevertheless. No OSError: click takes those."""

    def __init__(self, error: OSError, done: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.done = done


class Commands(click.Group):
    """Imports the client commands only when they are used, and turns our errors into one sentence.

    Of a command that serves it is a log line where LOG_FORMAT says json: whoever collects its stderr parses it.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *CLIENT_COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in CLIENT_COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = CLIENT_COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Parse the arguments; --help and --version print here."""
        try:
            return super().make_context(*args, **more)
        except OSError as error:
            raise OutputFailed(error) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. A DashboardError ends it with its own sentence and status 1."""
        try:
            return super().invoke(ctx)
        except DashboardError as error:
            if ctx.invoked_subcommand in SERVING_COMMANDS and configure_early(os.environ):
                logger.critical("%s", error)
                ctx.exit(1)
            raise click.ClickException(printable(str(error))) from None
        except OSError as error:
            raise OutputFailed(error) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dashboard-rt")
def cli() -> None:
    """A live dashboard over SSE and Action Cable, from one log.

    Settings are environment variables; docs/settings.md lists them all.

    \b
    Example: PORT=8080 dashboard-rt serve

    \b
    Exit status:
      0    done
      1    it could not be done, or a fault was found: stderr or the report says which
      2    wrong usage
      130  Ctrl-C (143: SIGTERM); serve and worker stop in order, and that is 0
      141  what read the output has gone
    """


@cli.command()
@click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    metavar="N",
    help="How many server processes share the port; wins over WEB_CONCURRENCY.",
)
def serve(workers: int | None) -> None:
    """Serve the dashboard and both streams.

    Stops on Ctrl-C or SIGTERM, after saying goodbye to every client.

    \b
    Example: PORT=8080 STREAMS=dashboard_updates:state,events:log dashboard-rt serve
    """
    _prepare_to_serve()
    if workers is not None:
        os.environ["WEB_CONCURRENCY"] = str(workers)  # the processes below read it too
        os.environ["WEB_CONCURRENCY_SET_BY"] = "--workers"
    # Imported here, because the other commands do without uvicorn.
    from .app import prepare_start  # noqa: PLC0415
    from .server.serve import raise_file_limit, serve  # noqa: PLC0415

    raise_file_limit()  # before the settings are read: the default of MAX_CLIENTS follows it
    settings = _settings()
    configure(settings)
    # Before uvicorn starts: a failure is one sentence here, and would be a traceback there.
    uvloop.run(prepare_start(settings, settings.web_concurrency))
    status = serve(settings)
    # A SIGTERM that comes while the interpreter ends, which takes our handlers away, would make the status 143.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(status)


@cli.command()
def worker() -> None:
    """Collect the figures in this process (with JOBS=off for the web).

    \b
    Example: JOBS=off dashboard-rt serve & dashboard-rt worker
    """
    _prepare_to_serve()
    from .app import run_worker  # noqa: PLC0415

    settings = _settings()
    configure(settings)
    uvloop.run(run_worker(settings))


@cli.command()
@click.option(
    "--new-epoch", is_flag=True, help="Refuse all positions given out so far: do it after a restore."
)
def init(new_epoch: bool) -> None:
    """Create the tables, or bring them up to date.

    The server does so at its start, too. After the database was restored from a copy, --new-epoch keeps
    clients from taking up ids that now mean other updates. It refuses to go on beside a -wal that a killed
    server has left, which would undo the restore.

    \b
    Example: dashboard-rt init --new-epoch
    """
    echo(uvloop.run(_init(_settings(), new_epoch)))


async def _init(settings: Settings, new_epoch: bool) -> str:
    from .app import publishing  # noqa: PLC0415
    from .eventlog.sqlite_files import refuse_leftovers  # noqa: PLC0415
    from .urls import is_postgres  # noqa: PLC0415

    if new_epoch and not is_postgres(settings.database_url):
        refuse_leftovers(settings.database_url)
    async with publishing(settings) as parts:
        epoch = await parts.log.new_epoch() if new_epoch else (await parts.log.state()).epoch
    names = ", ".join(f"{name} ({kind})" for name, kind in settings.streams.items())
    return f"The database is ready: epoch {epoch}, streams {names}."


@cli.command()
@click.argument("stream")
@click.argument("json")
@click.option("--key", help="Idempotency key: repeated with the same one, nothing is published again.")
@click.option(
    "--lines", is_flag=True, help="With `-`: every line of the standard input is an update of its own."
)
def publish(stream: str, json: str, key: str | None, lines: bool) -> None:
    """Publish JSON to a stream, and print its position once it is on disk.

    With - the JSON is read from the standard input. An update has at most 64 KiB. Lines are published as they
    come, many at a time in one transaction, up to the first that is no JSON: that one is named, and what was
    published before it.

    \b
    Example: dashboard-rt publish events '{"message": "hello"}'
             tail -f app.ndjson | dashboard-rt publish events - --lines
    """
    if lines and (json != "-" or key is not None):
        raise click.UsageError("--lines needs - in the place of the JSON, and goes without --key.")
    _check_key(key)
    if lines:
        sys.exit(uvloop.run(_publish_lines(stream)))
    # Read before the loop runs: within it Ctrl-C waits for the end of the input.
    receipt = uvloop.run(_publish(_settings(), stream, _update(json), key))
    try:
        echo(str(receipt.position))
    except OSError as error:
        raise OutputFailed(error, f"The update is on disk at {receipt.position}.") from error


def _check_key(key: str | None) -> None:
    from .http.publish import MAX_KEY_BYTES  # noqa: PLC0415

    if key is not None and not (0 < len(key) <= MAX_KEY_BYTES and key.isascii() and key.isprintable()):
        raise click.UsageError(f"--key must be 1 to {MAX_KEY_BYTES} printable ASCII characters.")


def _update(json: str) -> str:
    from .lines import MAX_READ_BYTES, read_update  # noqa: PLC0415

    if json == "-":
        return read_update(sys.stdin.buffer.read(MAX_READ_BYTES))
    # What the shell handed over in another encoding than that of the terminal is in it as lone surrogates.
    return read_update(json.encode("utf-8", "surrogateescape"))


async def _publish(settings: Settings, stream: str, text: str, key: str | None) -> Receipt:
    from .app import publishing  # noqa: PLC0415

    async with publishing(settings) as parts:
        try:
            return await parts.publisher.publish(stream, [text], key)
        except LogUnavailable as error:
            repeat = "repeat it with the same --key" if key else "give it a --key, which makes a repeat safe"
            raise DashboardError(f"{error.detail} Whether it is on disk is open: {repeat}.") from None


async def _publish_lines(stream: str) -> int:
    from .app import publishing  # noqa: PLC0415
    from .lines import LinePublisher, read_chunks  # noqa: PLC0415

    settings = _settings()
    if stream not in settings.streams:  # before the first line, for which it may have to wait
        names = ", ".join(sorted(settings.streams))
        raise UnknownStream(f"There is no stream {stream!r} here: set STREAMS, which has {names}.")
    stop = _first_signal()
    async with publishing(settings) as parts:
        run = LinePublisher(lambda texts: parts.publisher.publish(stream, texts), lambda at: echo(str(at)))
        try:
            await run.run(read_chunks(sys.stdin.fileno(), stop), stop.done)
        except OSError as error:
            raise OutputFailed(error, str(run.progress)) from error
    if stop.done():
        echo(f"Aborted: {run.progress}", err=True)
        return 128 + stop.result()
    if run.progress.position is None:
        echo("The standard input holds no update. Nothing was published.", err=True)
    return 0


def _first_signal() -> asyncio.Future[int]:
    """Return a future of the number of SIGINT or SIGTERM. A second one is no longer caught."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()

    def set_stop(number: int) -> None:
        stop.set_result(number)
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, set_stop, number)
    return stop


def _settings() -> Settings:
    return Settings.read(os.environ)


def _prepare_to_serve() -> None:
    """Set up what has to work before the settings are read: log lines as JSON, and an end in silence on a signal."""
    configure_early(os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until the server takes them over. A thread that waits for the database could hold up a KeyboardInterrupt.
        signal.signal(number, lambda *_: os._exit(0))


def main() -> None:
    """Run the `dashboard-rt` script."""
    open_standard_streams()
    try:
        sys.exit(run_command_line())
    finally:
        drop_unwritten_output()


def run_command_line() -> int:
    """Run the command that the arguments name, and return the exit status."""
    try:
        status = cli.main(prog_name="dashboard-rt", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        with suppress(OSError):  # stderr may be lost: the status is not
            error.show(sys.stderr)  # not where click would: it writes UTF-8 to a terminal that is ASCII
        return error.exit_code
    except click.Abort:
        with suppress(OSError):
            echo("Aborted!", err=True)
        return 128 + signal.SIGINT
    except OutputFailed as failure:
        return _give_up_output(failure)


def _give_up_output(failure: OutputFailed) -> int:
    """Say that the output is lost, quietly where its reader left: that is how `| head` ends a command."""
    error = failure.error
    if error.errno not in OUTPUT_ERRORS or error.filename is not None:
        raise error
    if error.errno in READER_HAS_GONE:
        return 128 + signal.SIGPIPE
    with suppress(OSError):
        echo(f"Error: The output cannot be written ({error.strerror}). {failure.done}".rstrip(), err=True)
    return 1


if __name__ == "__main__":
    main()

"""The command line: `python -m dashboard_rt`, installed as `dashboard-rt`. Settings are environment variables.

Exit status: 0 done, 1 it could not be done (one sentence on stderr says why), 2 wrong usage.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib import import_module
from typing import Any

import click
import uvloop

from . import __version__
from .errors import DashboardError
from .logconfig import configure
from .settings import Settings

CLIENT_COMMANDS = {
    "listen": "dashboard_rt.client.listen:listen",
    "doctor": "dashboard_rt.client.doctor:doctor",
}
READ_BYTES = 65536


class Commands(click.Group):
    """Imports the client commands only when they are used, and turns our errors into one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *CLIENT_COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in CLIENT_COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = CLIENT_COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. A DashboardError ends it with its own sentence and status 1."""
        try:
            return super().invoke(ctx)
        except DashboardError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dashboard-rt")
def cli() -> None:
    """A live dashboard over SSE and Action Cable, from one log.

    Settings are environment variables; docs/settings.md lists them all.

    \b
    Example: PORT=8080 dashboard-rt serve
    """


@cli.command()
def serve() -> None:
    """Serve the dashboard and both streams.

    Stops on Ctrl-C or SIGTERM, after saying goodbye to every client.

    \b
    Example: PORT=8080 STREAMS=dashboard_updates:state,events:log dashboard-rt serve
    """
    # Imported here, because the other commands do without uvicorn.
    from .app import prepare_database  # noqa: PLC0415
    from .server.serve import raise_file_limit, serve  # noqa: PLC0415

    raise_file_limit()  # before the settings are read: the default of MAX_CLIENTS follows it
    settings = _settings()
    configure(settings)
    # Before uvicorn starts: a failure is one sentence here, and would be a traceback there.
    uvloop.run(prepare_database(settings))
    sys.exit(serve(settings))


@cli.command()
def worker() -> None:
    """Collect the figures in this process (with JOBS=off for the web).

    \b
    Example: JOBS=off dashboard-rt serve & dashboard-rt worker
    """
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
    clients from taking up ids that now mean other updates.

    \b
    Example: dashboard-rt init --new-epoch
    """
    click.echo(uvloop.run(_init(_settings(), new_epoch)))


async def _init(settings: Settings, new_epoch: bool) -> str:
    from .app import publishing  # noqa: PLC0415

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

    With - the JSON is read from the standard input.

    \b
    Example: dashboard-rt publish events '{"message": "hello"}'
             tail -f app.ndjson | dashboard-rt publish events - --lines
    """
    if lines and (json != "-" or key):
        raise click.UsageError("--lines needs - in the place of the JSON, and goes without --key.")
    groups = line_groups(sys.stdin.fileno()) if lines else iter([[_whole(json)]])
    uvloop.run(_publish(_settings(), stream, groups, key))


def _whole(json: str) -> bytes:
    return sys.stdin.buffer.read() if json == "-" else json.encode()


def line_groups(file: int) -> Iterator[Sequence[bytes]]:
    """Read the lines of a file descriptor, as many at a time as are there: a slow writer's one by one.

    Not through `sys.stdin`: a thread that reads from it keeps the interpreter from ending.
    """
    rest = b""
    while chunk := os.read(file, READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if group := [line for line in lines if line.strip()]:
            yield group
    if rest.strip():
        yield [rest]


async def _publish(
    settings: Settings, stream: str, groups: Iterator[Sequence[bytes]], key: str | None
) -> None:
    from .app import publishing  # noqa: PLC0415
    from .eventlog.publisher import clean_json  # noqa: PLC0415

    async with publishing(settings) as parts:
        async for group in _read_ahead(groups):
            receipt = await parts.publisher.publish(stream, [clean_json(text) for text in group], key)
            click.echo(receipt.position)


async def _read_ahead(groups: Iterator[Sequence[bytes]]) -> AsyncIterator[Sequence[bytes]]:
    """Read groups in a thread, one ahead. It is a daemon, because Ctrl-C must not wait for the next line."""
    queue: asyncio.Queue[Sequence[bytes] | None] = asyncio.Queue(1)
    loop = asyncio.get_running_loop()

    def feed() -> None:
        for group in groups:
            asyncio.run_coroutine_threadsafe(queue.put(group), loop).result()
        asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

    threading.Thread(target=feed, daemon=True).start()
    while (group := await queue.get()) is not None:
        yield group


def _settings() -> Settings:
    return Settings.read(os.environ)


def main() -> None:
    """Run the `dashboard-rt` script."""
    cli(prog_name="dashboard-rt")


if __name__ == "__main__":
    main()

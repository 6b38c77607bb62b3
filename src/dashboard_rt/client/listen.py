"""`dashboard-rt listen`: follow a stream as one client or as many, and print what they saw.

What a client does is in listener.py, what is printed about it in report.py.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
import time
from typing import Any, NamedTuple

import click
import uvloop

from ..types import Position
from .connection import TransportName
from .listener import ClientOptions, run_listeners
from .options import SecondsRange, ticket_option
from .report import Printer, RunStats, exit_code, format_summary, plural, print_stats
from .target import BadTarget, read_target
from .terminal import echo

DEFAULT_URL = "http://127.0.0.1:3000"
# More than two heartbeats of 15 s, and than three pings of 3 s.
DEFAULT_TIMEOUTS = {TransportName.SSE: 40.0, TransportName.CABLE: 10.0}
DEFAULT_STATS_SECONDS = 5.0
RESERVED_FILES = 64  # for the standard streams, the event loop, libraries and name lookups
MODES = {"single": 1, "multiple": 5, "load": 100}
TRANSPORTS = [transport.value for transport in TransportName]
POSITIVE_SECONDS = SecondsRange(0, min_open=True)


class ListenOptions(NamedTuple):
    """The arguments of the command line, or the answers to its prompts; times in seconds."""

    url: str | None
    transport: TransportName
    clients: int
    stats: float | None
    seconds: float | None
    timeout: float | None
    stream: str | None
    position: Position | None
    no_reconnect: bool
    debug: bool
    ticket: str | None

    @property
    def stats_interval(self) -> float:
        """Seconds between statistics, 0 for none."""
        return (DEFAULT_STATS_SECONDS if self.clients > 1 else 0.0) if self.stats is None else self.stats


# ---- running


def run_listen(options: ListenOptions, url: str) -> int:
    """Run the command and print its summary; returns the exit code. Raises click.UsageError."""
    try:
        target = read_target(url, options.stream, options.ticket)
    except BadTarget as error:
        raise click.UsageError(str(error)) from None
    raise_file_limit(options.clients)
    timeout = options.timeout or DEFAULT_TIMEOUTS[options.transport]
    client = ClientOptions(options.transport, target, timeout, not options.no_reconnect, options.position)
    echo(f"{plural(options.clients, 'client')} on {target.url(options.transport)}, Ctrl-C ends it")
    stats, started_at = RunStats(), time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        signal_number = runner.run(run_clients(options, client, stats))
    for line in format_summary(stats, options.clients, time.monotonic() - started_at).split("\n"):
        echo(line)
    return exit_code(stats, options.clients, signal_number)


def raise_file_limit(clients: int) -> None:
    """Raise the soft limit of open files to what `clients` need; click.UsageError when the hard limit is lower."""
    needed = clients + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < needed:
        if resource.RLIM_INFINITY != hard < needed:
            raise click.UsageError(
                f"{plural(clients, 'client')} need {needed} open files and this shell allows {hard}: "
                f"run `ulimit -n {needed}` first, or ask for at most {max(1, hard - RESERVED_FILES)} clients."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def run_clients(options: ListenOptions, client: ClientOptions, stats: RunStats) -> int | None:
    """Run all clients until the time is over, a signal comes or no client is left; returns the signal's number."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int | None] = loop.create_future()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _set_ended, ended, number)
    printer = Printer(options.clients, options.debug)
    tasks = [loop.create_task(run_listeners(options.clients, client, stats, printer))]
    if options.stats_interval:
        tasks.append(loop.create_task(print_stats(stats, options.clients, options.stats_interval)))
    for task in tasks:  # the statistics end only when they cannot be printed
        task.add_done_callback(lambda _task: _set_ended(ended, None))
    await asyncio.wait([ended], timeout=options.seconds)
    await _cancel(tasks)
    return ended.result() if ended.done() else None


def _set_ended(ended: asyncio.Future[int | None], number: int | None) -> None:
    if not ended.done():  # a second Ctrl-C, or the clients' end after a signal
        ended.set_result(number)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if result is not None and not isinstance(result, asyncio.CancelledError):
            raise _first_error(result)


def _first_error(error: BaseException) -> BaseException:
    # A closed stdout fails every client alike, and click handles that error but no group of them.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


# ---- prompting


def stdin_is_terminal() -> bool:
    """Tell whether prompts can be answered (replaced in tests, where click supplies the answers)."""
    return sys.stdin is not None and sys.stdin.isatty()


def prompt_options(options: ListenOptions) -> ListenOptions:
    """Prompt for a mode, the URL and the transport, and in the mode `custom` for the numbers."""
    mode = click.prompt("What to run", type=click.Choice([*MODES, "custom"]), default="single")
    options = options._replace(
        url=click.prompt("URL", default=DEFAULT_URL),
        transport=TransportName(click.prompt("Transport", type=click.Choice(TRANSPORTS), default="sse")),
    )
    if mode != "custom":
        return options._replace(clients=MODES[mode])
    return options._replace(
        clients=click.prompt("Clients", type=click.IntRange(1), default=1),
        stats=click.prompt("Seconds between statistics, 0 for none", type=SecondsRange(0), default=5.0),
        seconds=click.prompt("Seconds to run, 0 until Ctrl-C", type=SecondsRange(0), default=0.0) or None,
        timeout=click.prompt(
            "Seconds of silence that mean dead",
            type=POSITIVE_SECONDS,
            default=DEFAULT_TIMEOUTS[options.transport],
        ),
    )


# ---- the command line


def _parse_position(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Position | None:
    position = Position.parse(value)
    if value is not None and position is None:
        raise click.BadParameter(f"{value!r} is no position: give one as it is printed, such as k3f9-1042.")
    return position


@click.command()
@click.argument("url", required=False)
@click.option("--transport", type=click.Choice(TRANSPORTS), default="sse", show_default=True)
@click.option("--clients", type=click.IntRange(1), default=1, show_default=True, help="How many at once.")
@click.option("--stats", type=SecondsRange(0), help="Seconds between statistics, 0: none.  [many: 5, one: 0]")
@click.option("--seconds", type=POSITIVE_SECONDS, help="End after so long.  [default: at Ctrl-C]")
@click.option(
    "--timeout", type=POSITIVE_SECONDS, help="Seconds of silence that mean dead.  [sse: 40, cable: 10]"
)
@click.option("--stream", help="The stream to follow.  [default: the server's]")
@ticket_option
@click.option(
    "--from", "position", callback=_parse_position, help="Resume after this position, such as k3f9-1042."
)
@click.option("--no-reconnect", is_flag=True, help="End when the connection does.")
@click.option("--debug", is_flag=True, help="Every frame and header of every client, uncut.")
@click.pass_context
def listen(ctx: click.Context, /, transport: str, **arguments: Any) -> None:
    """Follow a stream as one client or as many.

    URL is a server (http://127.0.0.1:3000) or an endpoint of one; on a terminal without a URL it asks. One
    client prints what it hears, many print rates, and both end with times and counts. Ids are checked: no
    update may be lost or doubled unless the server said so. Broken connections are resumed where they were.

    \b
    Example:
      dashboard-rt listen http://127.0.0.1:3000 --transport cable --clients 500 --seconds 30

    \b
    Exit codes:
      0    all is well: the time was over, or the server said goodbye under --no-reconnect
      1    updates were lost or doubled, a client could not connect, or was away at the end
      2    wrong usage
      130  Ctrl-C, and all was well until then (143: SIGTERM)
      141  what read the output has gone
    """
    options = ListenOptions(transport=TransportName(transport), **arguments)
    if options.url is None:
        if not stdin_is_terminal():
            raise click.UsageError(f"URL is missing: give one such as {DEFAULT_URL}.")
        options = prompt_options(options)
    ctx.exit(run_listen(options, options.url or DEFAULT_URL))

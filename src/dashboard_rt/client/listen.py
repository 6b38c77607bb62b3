"""`dashboard-rt listen`: the command that follows a stream as one client or as many, and says what they saw."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
import time
from typing import Any, NamedTuple

import click
import uvloop

from ..types import Position, Transport
from .listener import Plan, listen_all
from .printer import Printer, print_stats
from .tally import Tally, exit_code, plural, summary
from .target import BadTarget, read_target

DEFAULT_URL = "http://127.0.0.1:3000"
SILENCE = {Transport.SSE: 40.0, Transport.CABLE: 10.0}  # two heartbeats of 15 s and more, three pings of 3 s
FILES_KEPT_BACK = 64
STATS_SECONDS = 5.0
MODES = {"single": 1, "multiple": 5, "load": 100}


class Options(NamedTuple):
    """What was asked for on the command line, or in answer to the questions. Times in seconds."""

    url: str | None
    transport: Transport
    clients: int
    stats: float | None
    seconds: float | None
    timeout: float | None
    stream: str | None
    position: Position | None
    no_reconnect: bool
    debug: bool

    @property
    def every(self) -> float:
        """Seconds between statistics, 0 for none."""
        return (STATS_SECONDS if self.clients > 1 else 0.0) if self.stats is None else self.stats


# ---- running


async def run(options: Options, plan: Plan, tally: Tally) -> int | None:
    """Listen until the time is over, a signal comes (its number is returned) or no client is left."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int | None] = loop.create_future()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _end, ended, number)
    printer = Printer(options.clients, options.debug)
    tasks = [loop.create_task(listen_all(options.clients, plan, tally, printer))]
    tasks[0].add_done_callback(lambda _task: _end(ended, None))
    if options.every:
        tasks.append(loop.create_task(print_stats(tally, options.clients, options.every)))
    await asyncio.wait([ended], timeout=options.seconds)
    await _stop(tasks)
    return ended.result() if ended.done() else None


def _end(ended: asyncio.Future[int | None], number: int | None) -> None:
    if not ended.done():
        ended.set_result(number)


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if result is not None and not isinstance(result, asyncio.CancelledError):
            raise _first(result)


def _first(error: BaseException) -> BaseException:
    # One client's error is every client's (a closed stdout): click knows what to do with it, not with a group.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def make_room(clients: int) -> None:
    """Raise the soft limit of open files as far as needed; a UsageError says what to do where that fails."""
    needed = clients + FILES_KEPT_BACK
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < needed:
        if resource.RLIM_INFINITY != hard < needed:
            raise click.UsageError(
                f"{plural(clients, 'client')} need {needed} open files and this shell allows {hard}: "
                f"run `ulimit -n {needed}` first, or ask for at most {max(1, hard - FILES_KEPT_BACK)} clients."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def execute(options: Options, url: str) -> int:
    """The whole command; returns the exit code."""
    try:
        target = read_target(url, options.stream)
    except BadTarget as error:
        raise click.UsageError(str(error)) from None
    make_room(options.clients)
    timeout = options.timeout or SILENCE[options.transport]
    plan = Plan(options.transport, target, timeout, not options.no_reconnect, options.position)
    click.echo(f"{plural(options.clients, 'client')} on {target.url(options.transport)}, Ctrl-C ends it")
    tally, began = Tally(), time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        number = runner.run(run(options, plan, tally))
    click.echo(summary(tally, options.clients, time.monotonic() - began))
    return exit_code(tally, options.clients, number)


# ---- asking


def on_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def ask(options: Options) -> Options:
    """The questions to a terminal that gave no URL."""
    mode = click.prompt("What to run", type=click.Choice([*MODES, "custom"]), default="single")
    options = options._replace(
        url=click.prompt("URL", default=DEFAULT_URL),
        transport=Transport(click.prompt("Transport", type=click.Choice(TRANSPORTS), default="sse")),
    )
    if mode != "custom":
        return options._replace(clients=MODES[mode])
    return options._replace(
        clients=click.prompt("Clients", type=click.IntRange(1), default=1),
        stats=click.prompt("Seconds between statistics, 0 for none", type=click.FloatRange(0), default=5.0),
        seconds=click.prompt("Seconds to run, 0 until Ctrl-C", type=click.FloatRange(0), default=0.0) or None,
        timeout=click.prompt(
            "Seconds of silence that mean dead",
            type=click.FloatRange(0, min_open=True),
            default=SILENCE[options.transport],
        ),
    )


# ---- the command line

TRANSPORTS = [transport.value for transport in Transport]
SOME_SECONDS = click.FloatRange(0, min_open=True)


def _position(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Position | None:
    position = Position.parse(value)
    if value is not None and position is None:
        raise click.BadParameter(f"{value!r} is no position: give one as it is printed, such as k3f9-1042.")
    return position


@click.command()
@click.argument("url", required=False)
@click.option("--transport", type=click.Choice(TRANSPORTS), default="sse", show_default=True)
@click.option("--clients", type=click.IntRange(1), default=1, show_default=True, help="How many at once.")
@click.option(
    "--stats", type=click.FloatRange(0), help="Seconds between statistics, 0: none.  [many: 5, one: 0]"
)
@click.option("--seconds", type=SOME_SECONDS, help="End after so long.  [default: at Ctrl-C]")
@click.option("--timeout", type=SOME_SECONDS, help="Seconds of silence that mean dead.  [sse: 40, cable: 10]")
@click.option("--stream", help="The stream to follow.  [default: the server's]")
@click.option("--from", "position", callback=_position, help="Resume after this position, such as k3f9-1042.")
@click.option("--no-reconnect", is_flag=True, help="End when the connection does.")
@click.option("--debug", is_flag=True, help="Every frame and header of every client, uncut.")
@click.pass_context
def listen(ctx: click.Context, /, transport: str, **given: Any) -> None:
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
    """
    options = Options(transport=Transport(transport), **given)
    if options.url is None:
        if not on_terminal():
            raise click.UsageError(f"URL is missing: give one such as {DEFAULT_URL}.")
        options = ask(options)
    ctx.exit(execute(options, options.url or DEFAULT_URL))

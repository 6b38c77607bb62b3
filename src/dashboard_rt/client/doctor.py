"""`dashboard-rt doctor`: the command that opens both transports through a URL and says what is wrong on the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import click

from ..types import Transport
from .checkup import Checkup, check_both
from .delays import HEARTBEAT_SECONDS, later, longest_silence, lumps, silences, slow_steps
from .findings import Finding, compression, content, cors, ending, head_says, not_open, subprotocol
from .nouns import Moment, What
from .tally import plural
from .target import BadTarget, Target, read_target

SHOWN_HEADERS = ("content-type", "content-encoding", "cache-control", "x-accel-buffering", "server", "via")

CHECKS = (head_says, compression, subprotocol, cors, slow_steps, lumps, silences, content, ending)


def findings(checkup: Checkup, other: Checkup) -> list[Finding]:
    """Everything about one transport; `other` serves as a clock. When it did not open, that is the finding."""
    if checkup.head is None:
        return list(not_open(checkup))
    found = [finding for check in CHECKS for finding in check(checkup)]
    return [*found, *later(checkup, other)]


def report(checkup: Checkup, found: list[Finding]) -> Iterator[str]:
    """The lines about one transport."""
    yield f"{checkup.transport}  {checkup.url}"
    if checkup.head is not None:
        yield from _measured(checkup)
    advised = {""}
    for finding in found:
        yield f"  {'note' if finding.note else 'FINDING'}: {finding.says}"
        if finding.do not in advised:
            advised.add(finding.do)
            yield f"    -> {finding.do}"
    if all(finding.note for finding in found):
        yield "  healthy"


def _measured(checkup: Checkup) -> Iterator[str]:
    head = checkup.head
    assert head is not None
    yield f"  answer    {head.status} {head.http_version}{_agreed(checkup)}"
    for name in SHOWN_HEADERS:
        if name in head.headers:
            yield f"            {name}: {head.headers[name]}"
    times = ", ".join(f"{moment} {_ms(checkup.timing.ms(moment))}" for moment in Moment)
    yield f"  times     {times}"
    kinds = Counter(heard.what for heard in checkup.heard)
    heard = ", ".join(plural(kinds[what], what) for what in kinds if what is not What.OTHER) or "nothing"
    silence = longest_silence(checkup)
    yield f"  heard     {heard} in {checkup.watched:.1f} s, longest silence {silence:.1f} s"
    needed = HEARTBEAT_SECONDS[checkup.transport]
    if not kinds[What.HEARTBEAT] and checkup.ended is None and checkup.watched <= needed:
        yield f"            too short to judge heartbeats: use --seconds {needed + 1:g} for those"


def _agreed(checkup: Checkup) -> str:
    head = checkup.head
    if head is None or checkup.transport is not Transport.CABLE:
        return ""
    extensions = f", {', '.join(head.extensions)}" if head.extensions else ", not compressed"
    return f", {head.subprotocol or 'no subprotocol'}{extensions}"


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} ms"


def examine(target: Target, seconds: float, origin: str | None) -> int:
    """The whole command; prints, and returns the exit code."""
    click.echo(f"Watching {target.origin} for {seconds:g} s as a page of {origin or target.origin} would ...")
    sse, cable = asyncio.run(check_both(target, seconds, origin))
    serious = 0
    for checkup, other in ((sse, cable), (cable, sse)):
        found = findings(checkup, other)
        serious += sum(not finding.note for finding in found)
        click.echo("")
        for line in report(checkup, found):
            click.echo(line)
    click.echo(f"\n{plural(serious, 'finding')}." if serious else "\nBoth transports are healthy.")
    return 1 if serious else 0


def _origin(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise click.BadParameter(f"{value!r} is no origin: give one such as https://example.org.")
    return f"{parts.scheme}://{parts.netloc}"


@click.command()
@click.argument("url")
@click.option(
    "--seconds", type=click.FloatRange(0.5), default=8.0, show_default=True, help="How long to watch both."
)
@click.option("--origin", callback=_origin, help="Ask as a page of this origin.  [default: the URL's own]")
@click.option("--stream", help="The stream to follow.  [default: the server's]")
@click.pass_context
def doctor(ctx: click.Context, /, url: str, seconds: float, origin: str | None, stream: str | None) -> None:
    """Open both transports through URL and say what is wrong on the way.

    URL is what browsers use, proxies included (https://example.org), or an endpoint behind it. Reported, with
    measured times and what to do: slow steps, buffering, silences, compression, subprotocols, refused origins,
    wrong content types and statuses, lost or doubled updates.

    \b
    Example:
      dashboard-rt doctor https://example.org --seconds 40 --origin https://www.example.org

    \b
    Exit codes:
      0  healthy
      1  something was found
      2  wrong usage
    """
    try:
        target = read_target(url, stream)
    except BadTarget as error:
        raise click.UsageError(str(error)) from None
    ctx.exit(examine(target, seconds, origin))

"""`dashboard-rt doctor`: watch both transports through a URL, and print what was found on the way.

The connections are in observation.py, the findings in diagnosis.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import click

from .connection import EventKind, Step, TransportName
from .diagnosis import HEARTBEAT_DUE_SECONDS, Finding, diagnose
from .health import ServerHealth, ask_health
from .observation import Observation, observe_both
from .options import SecondsRange, ticket_option
from .report import plural
from .target import BadTarget, Target, mask_secrets, read_target
from .terminal import echo

SHOWN_HEADERS = ("content-type", "content-encoding", "cache-control", "x-accel-buffering", "server", "via")


def format_section(observation: Observation, findings: list[Finding]) -> Iterator[str]:
    """Format the section of one transport, line by line."""
    yield f"{observation.transport}  {observation.url}"
    if observation.head is not None:
        yield from _format_measurements(observation)
    yield from _format_findings(findings)
    if all(finding.harmless for finding in findings):
        yield "  healthy"


def _format_findings(findings: list[Finding]) -> Iterator[str]:
    printed_advice = {""}
    for finding in findings:
        yield f"  {'note' if finding.harmless else 'FINDING'}: {finding.message}"
        if finding.advice not in printed_advice:  # several findings of one cause have the same advice
            printed_advice.add(finding.advice)
            yield f"    -> {finding.advice}"


def _format_measurements(observation: Observation) -> Iterator[str]:
    head, watched = observation.head, observation.watched
    assert head is not None
    yield f"  answer    {head.status} {head.http_version}{_format_cable_protocol(observation)}"
    for name in SHOWN_HEADERS:
        if name in head.headers:
            yield f"            {name}: {head.headers[name]}"
    steps = ", ".join(f"{step} {_format_ms(observation.timing.ms(step))}" for step in Step)
    yield f"  times     {steps}"
    kinds = Counter(event.kind for event in observation.events)
    events = ", ".join(plural(kinds[kind], kind) for kind in kinds if kind is not EventKind.OTHER)
    silence = f"longest silence {observation.longest_silence:.1f} s"
    yield f"  heard     {events or 'nothing'} in {watched:.1f} s, {silence}"
    due = HEARTBEAT_DUE_SECONDS[observation.transport]
    if not kinds[EventKind.HEARTBEAT] and observation.ended_after is None and watched <= due:
        yield f"            too short to see a heartbeat: use --seconds {due + 1:g} for one"


def _format_cable_protocol(observation: Observation) -> str:
    head = observation.head
    if head is None or observation.transport is not TransportName.CABLE:
        return ""
    extensions = f", {', '.join(head.extensions)}" if head.extensions else ", not compressed"
    return f", {head.subprotocol or 'no subprotocol'}{extensions}"


def _format_ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} ms"


def run_doctor(target: Target, seconds: float, origin: str | None) -> int:
    """Observe, diagnose and print; returns the exit code."""
    echo(f"Watching {target.origin} for {seconds:g} s as a page of {origin or target.origin} would ...")
    (sse, cable), health = asyncio.run(_look(target, seconds, origin))
    said = list(health.findings())
    everything = [*said]
    for observation, other in ((sse, cable), (cable, sse)):
        findings = diagnose(observation, other)
        everything += findings
        echo()
        for line in format_section(observation, findings):
            echo(line)
    if said:
        echo()
        echo(f"server  {mask_secrets(target.health)} says")
        for line in _format_findings(said):
            echo(line)
    serious = sum(not finding.harmless for finding in everything)
    echo()
    echo(f"{plural(serious, 'finding')}." if serious else "Both transports are healthy.")
    return 1 if serious else 0


async def _look(
    target: Target, seconds: float, origin: str | None
) -> tuple[tuple[Observation, Observation], ServerHealth]:
    # One after the other: the request would show in the times of the two connections.
    return await observe_both(target, seconds, origin), await ask_health(target)


def _parse_origin(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    # Any scheme: apps in a web view and extensions have their own, such as capacitor://localhost.
    if not parts.scheme or not parts.netloc or parts.path.strip("/"):
        raise click.BadParameter(f"{value!r} is no origin: give one such as https://example.org.")
    return f"{parts.scheme}://{parts.netloc}"


@click.command()
@click.argument("url")
@click.option(
    "--seconds", type=SecondsRange(0.5), default=8.0, show_default=True, help="How long to watch both."
)
@click.option(
    "--origin", callback=_parse_origin, help="Ask as a page of this origin.  [default: the URL's own]"
)
@click.option("--stream", help="The stream to follow.  [default: the server's]")
@ticket_option
@click.pass_context
def doctor(
    ctx: click.Context, /, *, url: str, seconds: float, origin: str | None, **names: str | None
) -> None:
    """Open both transports through URL and say what is wrong on the way.

    URL is what browsers use, proxies included (https://example.org), or an endpoint behind it. Reported, with
    measured times and what to do: slow steps, buffering, silences, compression, subprotocols, refused origins,
    wrong content types and statuses, lost or doubled updates; and what the server says on /health that it has to do
    without: findings while something is away, notes where a setting makes it slow.

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
        target = read_target(url, names["stream"], names["ticket"])
    except BadTarget as error:
        raise click.UsageError(str(error)) from None
    ctx.exit(run_doctor(target, seconds, origin))

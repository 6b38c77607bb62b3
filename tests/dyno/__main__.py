"""`make dyno`: the Procfile as Heroku would run it, behind a router like Heroku's, on PostgreSQL and Redis with TLS."""

from __future__ import annotations

import queue
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import click
import pytest

from dashboard_rt.server.serve import raise_file_limit
from tests.dyno.app import App, Plan
from tests.dyno.exchange import Limits
from tests.services.process import Service, service_directory

LOOK_SECONDS = 0.5  # between two looks at the dynos
# What tests skip without, or in CI fail; and what a service says that does not start.
LACKS = (pytest.skip.Exception, pytest.fail.Exception, AssertionError)
SECONDS = click.FloatRange(0, 86_400, min_open=True)
HELP = """\
Commands, each with Enter:
  deploy (or nothing)     a new release of the files as they are; clients are told goodbye and come back
  restart                 the daily restart
  status                  dynos, their memory, add-ons
  kill redis, kill postgres, kill web.1     as a crash would
  freeze redis, thaw redis, start redis     the same with postgres
  help, quit              Ctrl-C stops it, too"""
HELLO = """\
The app is at      {url}/dashboard
  Its certificate is made for this run: a browser asks whether to go on, curl needs -k.
Publish with       curl -k -H "Authorization: Bearer {publish_token}" -d '{{"n": 1}}' {url}/streams/dashboard_updates
Look inside with   curl -k -H "Authorization: Bearer {ops_token}" {url}/dashboard/debug
Follow it with     SSL_CERT_FILE={certificate} .venv/bin/dashboard-rt listen {url}
{help}"""


def show(source: str, text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {source}: {text}")


class Console:
    """Commands of the standard input. At its end the app goes on until a signal comes."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._commands: dict[str, Callable[[], object]] = {
            "": app.deploy,
            "deploy": app.deploy,
            "restart": app.restart,
            "status": self._status,
            "help": lambda: click.echo(HELP),
        }
        for name, service in app.services.items():
            self._commands[f"start {name}"] = partial(start_again, service)
            for verb in ("kill", "freeze", "thaw"):
                self._commands[f"{verb} {name}"] = getattr(service, verb)

    def run(self) -> None:
        """Obey until `quit`."""
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            try:
                line = self._lines.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                self._app.look()
                continue
            if line == "quit":
                return
            self._obey(line)

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(" ".join(line.split()).lower())

    def _obey(self, line: str) -> None:
        kills = {f"kill {dyno.name}": dyno.kill for dyno in self._app.dynos}
        command = {**kills, **self._commands}.get(line)
        if command is None:
            click.echo(f"There is no {line!r}.\n{HELP}")
            return
        try:
            command()
        except AssertionError as error:  # of a service that was killed, or does not start
            click.echo(str(error) or f"It does not run: {line} is for one that does.")
        else:
            click.echo(f"Done: {line or 'deploy'}")

    def _status(self) -> None:
        click.echo("\n".join(self._app.status()))


def start_again(service: Service) -> None:
    assert not service.running, f"{service.name} has not been killed."
    service.start()


def parse_config(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if not re.match(r"\w+=", value):
            raise click.BadParameter(f"{value!r} is not NAME=VALUE.")
        if value.startswith("PORT="):
            raise click.BadParameter("PORT is the platform's, another one for each dyno: leave it out.")
    return dict(value.split("=", 1) for value in values)


def build(directory: Path, plan: Plan) -> App:
    try:
        return App(directory, plan, show)
    except OSError as error:
        raise click.ClickException(
            f"Port {plan.port} cannot be used ({error}): choose one with --port."
        ) from None


def stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=3443,
    show_default=True,
    help="Of the router; 0 takes a free one.",
)
@click.option("--web", type=click.IntRange(0), default=1, show_default=True, help="Web dynos.")
@click.option("--worker", type=click.IntRange(0), default=0, show_default=True, help="Worker dynos.")
@click.option(
    "--set", "config", multiple=True, metavar="NAME=VALUE", callback=parse_config, help="A config var."
)
@click.option(
    "--first-byte", type=SECONDS, default=30.0, show_default=True, help="Seconds to the first byte (H12)."
)
@click.option(
    "--silence",
    type=SECONDS,
    default=55.0,
    show_default=True,
    help="Seconds without a byte either way (H15).",
)
@click.option("--active", type=click.IntRange(1), help="Requests at a time for each web dyno (H11).")
@click.option("--preboot", is_flag=True, help="In a deploy new dynos are up before the old ones are stopped.")
def main(
    *,
    port: int,
    web: int,
    worker: int,
    config: dict[str, str],
    first_byte: float,
    silence: float,
    active: int | None,
    preboot: bool,
) -> None:
    """Run the Procfile as Heroku would, without Heroku."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, stop)
    raise_file_limit()  # a client takes two: its own, and that of the dyno
    limits = Limits(first_byte=first_byte, silence=silence, active=active)
    formation = {"web": web, "worker": worker}
    with service_directory() as directory:
        try:
            with build(directory, Plan(formation, config, limits, port, preboot)) as app:
                deployed = app.deploy()
                if deployed:
                    greet(app)
                    Console(app).run()
        except KeyboardInterrupt:
            click.echo("Stopped.")
            return
        except LACKS as lack:
            raise click.ClickException(str(lack)) from lack
    sys.exit(not deployed)


def greet(app: App) -> None:
    tokens = {"publish_token": app.config["PUBLISH_TOKEN"], "ops_token": app.config["OPS_TOKEN"]}
    click.echo(HELLO.format(url=app.url, certificate=app.certificate, help=HELP, **tokens))


if __name__ == "__main__":
    main()

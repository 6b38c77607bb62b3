"""A dyno that runs a few words of shell: what it finds, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dyno.dyno import Dyno
from tests.live.wire import until

START = Callable[..., Dyno]
LISTEN = "exec python -m http.server $PORT"
STUBBORN = """\
trap 'echo "$1 heard"' TERM
echo "$1 begun"
while true; do sleep 0.02; done
"""


class Lines:
    """What was logged."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def take(self, source: str, text: str) -> None:
        self.all.append((source, text))

    def of_app(self) -> list[str]:
        return [text for source, text in self.all if source.startswith("app")]

    def text(self) -> str:
        return "\n".join(f"{source}: {text}" for source, text in self.all)


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def start(tmp_path: Path, lines: Lines) -> Iterator[START]:
    """`start(command, name)` starts a dyno from a slug with one file, and with one config var."""
    slug = tmp_path / "slug"
    slug.mkdir()
    (slug / "stubborn.sh").write_text(STUBBORN)
    started = []

    def run(command: str, name: str = "web.1") -> Dyno:
        directory = tmp_path / "dyno"
        started.append(Dyno(name, command, slug, directory=directory, config={"NAME": "x"}, log=lines.take))
        return started[-1]

    yield run
    for dyno in started:
        dyno.kill()


def test_it_finds_the_slug_and_the_environment_of_heroku(start: START, lines: Lines) -> None:
    dyno = start(
        'pwd; ls; echo "$NAME $DYNO $PORT $WEB_CONCURRENCY $WEB_CONCURRENCY_SET_BY $FORWARDED_ALLOW_IPS"'
    )
    assert dyno.run() == 0
    assert lines.of_app() == [
        str(dyno.directory),
        "stubborn.sh",
        f"x web.1 {dyno.port} 2 heroku/python *",
    ]


def test_its_disk_is_wiped(start: START, lines: Lines) -> None:
    assert start("touch dashboard.db").run() == 0
    assert start("ls").run() == 0
    assert lines.of_app() == ["stubborn.sh"]


def test_one_that_does_not_listen_in_time_is_r10(start: START, lines: Lines) -> None:
    dyno = start("sleep 60")
    assert dyno.state == "starting"
    assert not dyno.wait_until_up(0.1)
    assert "Error R10 (Boot timeout)" in lines.text()
    assert dyno.state == "crashed"


def test_a_worker_need_not_listen(start: START) -> None:
    assert start("sleep 60", "worker.1").state == "up"


def test_one_that_listens_is_up_until_it_stops(start: START) -> None:
    dyno = start(LISTEN)
    assert dyno.wait_until_up()
    assert dyno.state == "up"
    assert dyno.memory().rss > dyno.memory().pss > 1
    dyno.terminate()
    assert dyno.state in ("stopping", "crashed")
    assert dyno.wait() == -15
    assert dyno.processes() == []


def test_all_processes_hear_sigterm_twice_and_what_goes_on_is_r12(start: START, lines: Lines) -> None:
    """Also one whose parent has ended."""
    dyno = start("(bash stubborn.sh orphan &); bash stubborn.sh child; true")
    until(lambda: {"orphan begun", "child begun"} <= set(lines.of_app()), "both have begun")
    dyno.terminate()
    until(lambda: {"orphan heard", "child heard"} <= set(lines.of_app()), "both have heard the first one")
    assert dyno.wait(0.7) == -15, "the shell itself has ended"
    for name in ("orphan", "child"):
        assert lines.of_app().count(f"{name} heard") == 2
    assert "Error R12 (Exit timeout)" in lines.text()
    assert dyno.processes() == []

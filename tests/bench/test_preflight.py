"""bench/preflight.py: what cannot be measured is refused before anything is started."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from bench import preflight
from bench.errors import Environment
from bench.serving import target
from bench.serving.broadcast import CommandPublish
from bench.serving.need import Need
from bench.serving.target_type import Outside

FLOOR = target.floor()


@pytest.mark.parametrize(
    ("targets", "transports", "sentence"),
    [
        ("nginx", "sse", "no target 'nginx'; there are app, "),
        ("floor", "pigeon", "no transport 'pigeon'; there are sse, cable, "),
        ("floor", "", "no transport ''"),
        ("", "sse", "no target ''"),
        ("floor", "sse,cable,sse", "the transport 'sse' is there 2 times"),
        ("app,floor,app", "sse", "the target 'app' is there 2 times"),
        ("floor", "cable+ext", "no target offers any of these transports"),
    ],
)
def test_rows_that_are_none(targets: str, transports: str, sentence: str) -> None:
    with pytest.raises(Environment) as caught:
        preflight.cells(targets, transports)
    assert str(caught.value).startswith(sentence)


def test_rows_may_be_named_with_blanks_and_what_a_target_lacks_has_none() -> None:
    found, absent = preflight.cells("app, floor", "sse, cable+ext")
    assert [one.key for one in found] == ["app sse", "app cable+ext", "floor sse"]
    assert absent == ["floor does not offer cable+ext"]


def test_two_targets_of_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text('start = ["x"]\ntransports = ["sse"]\n')
    with pytest.raises(Environment, match="target name 'mine' is there 2 times"):
        preflight.cells(f"{tmp_path}/a/mine.toml,{tmp_path}/b/mine.toml", "sse")


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ({"command": ("no-such-program", "{port}")}, "there is no program 'no-such-program': install it"),
        ({"environment": {"PATH": "/nowhere"}, "command": ("sh",)}, "there is no program 'sh'"),
        ({"broadcast": CommandPublish(("no-such-publisher",))}, "there is no program 'no-such-publisher'"),
        ({"needs": (Need("program", "no-such-need", "get it"),)}, "it lacks no-such-need: get it"),
        ({"command": (), "outside": Outside("127.0.0.1", 1, 2**22 + 1)}, "there is no process 4194305"),
        (
            {"command": (), "outside": Outside("127.0.0.1", closed_port(), os.getpid())},
            "does not answer http://127.0.0.1:",
        ),
    ],
)
def test_a_target_that_cannot_run(spoil: dict[str, object], sentence: str) -> None:
    with pytest.raises(Environment) as caught:
        preflight.check([FLOOR, replace(FLOOR, name="mine", **spoil)])  # type: ignore[arg-type]
    assert str(caught.value).startswith("mine") and sentence in str(caught.value)


def test_what_can_run_is_let_pass() -> None:
    preflight.check([FLOOR, target.app(), replace(FLOOR, name="placed", command=("{directory}/server",))])

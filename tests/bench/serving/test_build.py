"""bench/serving/build.py: a program is built once for each state of its sources, and a failed build says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import Environment
from bench.serving.build import Build


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "source").write_text("one")
    return directory


def test_a_program_is_built_once(sources: Path, tmp_path: Path) -> None:
    build = Build("mine", ("cp", "source", "{binary}"), sources)
    first = build.built()
    assert first.parent == tmp_path / "cache" / "dashboard-rt-bench"
    assert first.read_text() == "one"
    first.write_text("kept")
    assert build.built() == first
    assert first.read_text() == "kept"


def test_other_sources_are_built_anew(sources: Path) -> None:
    build = Build("mine", ("cp", "source", "{binary}"), sources)
    first = build.built()
    (sources / "source").write_text("two")
    assert build.built() != first
    assert build.built().read_text() == "two"
    assert first.read_text() == "one"


def test_another_command_is_another_program(sources: Path) -> None:
    first = Build("mine", ("cp", "source", "{binary}"), sources)
    assert first.binary() != Build("mine", ("cp", "-p", "source", "{binary}"), sources).binary()


def test_a_build_is_announced(sources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build = Build("mine", ("cp", "source", "{binary}"), sources)
    build.built()
    assert capsys.readouterr().err == "building mine, once\n"
    build.built()
    assert capsys.readouterr().err == ""


def test_a_failed_build_says_why_and_leaves_nothing(sources: Path) -> None:
    build = Build("mine", ("sh", "-c", "echo half >{binary}; echo no compiler; exit 3"), sources)
    with pytest.raises(Environment, match=r"^mine cannot be built: no compiler$"):
        build.built()
    assert not list(build.binary().parent.iterdir())


def test_a_build_tool_that_is_not_there_is_named(sources: Path) -> None:
    with pytest.raises(Environment, match=r"mine cannot be built: .*no-such-tool"):
        Build("mine", ("no-such-tool", "{binary}"), sources).built()

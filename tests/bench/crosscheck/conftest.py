"""The C tool, built when the first test asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.crosscheck import tool

pytest.register_assert_rewrite("tests.bench.crosscheck.streams")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tool as users build it."""
    return tool.build(tmp_path_factory.mktemp("plain")) / "crosscheck"


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `crosscheck` and `pieces`, which AddressSanitizer and UndefinedBehaviorSanitizer watch."""
    return tool.build(tmp_path_factory.mktemp("sanitized"), "SANITIZE=1", "all", "pieces")


@pytest.fixture
def checked(sanitized: Path) -> Path:
    """The tool, watched."""
    return sanitized / "crosscheck"


@pytest.fixture
def pieces(sanitized: Path) -> Path:
    """The feeder of its parser, watched."""
    return sanitized / "pieces"

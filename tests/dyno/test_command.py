"""`python -m tests.dyno`: what is wrong with its options is said before anything starts."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tests.dyno.__main__ import main


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--port=99999", "99999 is not in the range 0<=x<=65535"),
        ("--port=http", "'http' is not a valid integer"),
        ("--silence=0", "0.0 is not in the range 0<x<=86400"),
        ("--first-byte=-1", "-1.0 is not in the range 0<x<=86400"),
        ("--active=0", "0 is not in the range x>=1"),
        ("--web=-1", "-1 is not in the range x>=0"),
        ("--set=JOBS", "'JOBS' is not NAME=VALUE"),
        ("--set==off", "'=off' is not NAME=VALUE"),
        ("--set=PORT=3000", "PORT is the platform's"),
        ("--webs=2", "No such option"),
        ("web", "Got unexpected extra argument"),
    ],
)
def test_a_wrong_option(option: str, sentence: str) -> None:
    told = CliRunner().invoke(main, [option])
    assert told.exit_code == 2 and sentence in told.output

"""bench/load/pipe.py: a load client whose bench has gone ends, and has nothing to say about it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench.load.wire import Wire
from tests.bench.small_targets import ROOT

pytestmark = pytest.mark.live


def test_a_bench_that_was_interrupted_wants_no_answer() -> None:
    setup = {
        "wire": Wire("sse", "127.0.0.1", 1, "/")._asdict(),
        "sources": ["127.0.0.2"],
        "core": None,
        "first": 1,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "bench.load.client"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as client:
        assert client.stdin is not None and client.stdout is not None and client.stderr is not None
        client.stdout.close()
        client.stdin.write(json.dumps(setup).encode() + b"\n")
        client.stdin.flush()
        assert client.stderr.read() == b""

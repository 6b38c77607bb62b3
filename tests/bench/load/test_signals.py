"""bench/load/signals.py: verdicts and goodbyes of both transports, and of servers that know neither."""

from __future__ import annotations

import pytest

from bench.load import signals
from bench.load.signals import Verdict
from bench.load.wire import Control


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"verdict":"fresh","position":"e-1","replaying":0}', Verdict("fresh", True)),
        ('{"verdict":"fresh","position":"e-1","replaying":1}', Verdict("fresh", False)),
        ('{"verdict":"recovered","replaying":0}', Verdict("recovered", True)),
        ('{"verdict":"recovered","replaying":12}', Verdict("recovered", False)),
        ('{"type":"confirm_subscription","verdict":"recovered"}', Verdict("recovered", False)),
        ('{"type":"confirm_subscription","verdict":"gap"}', Verdict("gap", True)),
        ('{"type":"confirm_subscription"}', Verdict("unknown", False)),
        ('{"verdict":"splendid"}', Verdict("unknown", False)),
        ("[]", Verdict("unknown", False)),
        ("hello", Verdict("unknown", False)),
    ],
)
def test_verdicts(text: str, found: Verdict) -> None:
    assert signals.verdict(Control("verdict", text)) == found


@pytest.mark.parametrize(
    ("text", "retry_ms", "returns"),
    [
        ('{"reason":"server_restart","retry_ms":2310}', 2310, True),
        ('{"type":"disconnect","reason":"server_restart","reconnect":true,"retry_in":15}', 15, True),
        ('{"type":"disconnect","reason":"unauthorized","reconnect":false}', None, False),
        ('{"reason":"full","retry_ms":"soon"}', None, True),
        ("bye", None, True),
    ],
)
def test_goodbyes(text: str, retry_ms: int | None, returns: bool) -> None:
    found = signals.goodbye(Control("goodbye", text))
    assert (found.retry_ms, found.returns) == (retry_ms, returns)
    assert found.text == f"goodbye: {text}"

"""hub/tail: how updates are cut into batches of one write."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.hub.subscription import Wire
from dashboard_rt.hub.tail import WRITE_BYTES, batches
from dashboard_rt.transports.cable.frames import CableWire
from dashboard_rt.transports.sse import CHUNKED, IDENTITY
from dashboard_rt.types import Update

CHANNEL = '{"channel":"DashboardUpdatesChannel"}'
WIRES: Sequence[Wire] = [
    CHUNKED,
    IDENTITY,
    CableWire(CHANNEL, True, True),
    CableWire("\\" * 500 + "漢" * 170, True, True),
]


@pytest.mark.parametrize("wire", WIRES)
@given(sizes=st.lists(st.integers(0, 90_000), max_size=12), letter=st.sampled_from("xé漢"))
def test_a_batch_is_one_write_or_one_update_and_none_is_lost(
    wire: Wire, sizes: list[int], letter: str
) -> None:
    updates = [Update("n" * 63, 10**17 + n, letter * (size // 3)) for n, size in enumerate(sizes)]
    cut = list(batches(updates, wire.overhead))
    assert [update for batch in cut for update in batch] == updates
    for batch in cut:
        assert len(batch) == 1 or len(wire.encode(batch, "epoch-of-16-chars")) <= WRITE_BYTES


def test_what_fits_is_one_batch() -> None:
    updates = [Update("s", n, "x" * 300) for n in range(100)]
    assert list(batches(updates, CHUNKED.overhead)) == [updates]
    assert list(batches([], 64)) == []

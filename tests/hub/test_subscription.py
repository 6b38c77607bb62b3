"""hub/subscription: the chunks that lagging readers share."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard_rt.hub.subscription import ENTRY_BYTES, ChunkCache
from dashboard_rt.transports.sse import IDENTITY
from dashboard_rt.types import Update


class CountingWire:
    """Encodes like SSE, and counts how often."""

    transport = "sse"
    overhead = 64
    encoded = 0

    def encode(self, updates: Sequence[Update], epoch: str) -> bytes:
        self.encoded += 1
        return IDENTITY.encode(updates, epoch)


def test_what_is_encoded_is_shared_and_bounded_in_bytes() -> None:
    cache, wire = ChunkCache(max_bytes=100_000), CountingWire()
    large = [[Update("s", n, "x" * 20_000)] for n in range(1, 9)]
    for batch in (*large, *large[-4:]):
        assert cache.encode(wire, batch, "e") == IDENTITY.encode(batch, "e")
    assert wire.encoded == 8
    assert cache.size <= 100_000
    cache.encode(wire, large[0], "e")
    assert wire.encoded == 9, "the oldest made room"


def test_a_chunk_is_of_one_wire_stream_epoch_and_range() -> None:
    cache, wire, other = ChunkCache(), CountingWire(), CountingWire()
    batch = [Update("s", 1, "1"), Update("s", 2, "2")]
    for asked in (
        (wire, batch, "e"),
        (wire, batch, "f"),
        (wire, batch[:1], "e"),
        (wire, [Update("t", 1, "1"), Update("t", 2, "2")], "e"),
        (other, batch, "e"),
    ):
        assert cache.encode(*asked) == IDENTITY.encode(asked[1], asked[2])
    assert (wire.encoded, other.encoded) == (4, 1)


def test_many_small_chunks_are_bounded_by_what_an_entry_costs() -> None:
    cache, wire = ChunkCache(max_bytes=10 * ENTRY_BYTES), CountingWire()
    for n in range(1, 101):
        cache.encode(wire, [Update("s", n, "1")], "e")
    assert cache.size <= 10 * ENTRY_BYTES
    assert len(cache._chunks) < 10

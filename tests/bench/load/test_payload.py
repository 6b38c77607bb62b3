"""bench/load/payload.py: an update of the wished size that carries its number and two moments."""

from __future__ import annotations

import orjson
import pytest

from bench.load import payload
from bench.load.payload import Stamp


@pytest.mark.parametrize("seq", [1, 99, 12345])
@pytest.mark.parametrize("size", [350, 1024, 16384])
def test_the_size_is_exact_and_stamping_keeps_it(seq: int, size: int) -> None:
    body = payload.stamped(payload.update(seq, 1_394_723_322_307, size), 1_394_723_400_000)
    assert len(body) == size
    assert payload.read(orjson.loads(body)) == Stamp(seq, 1_394_723_322_307, 1_394_723_400_000)


def test_every_update_of_a_body_is_stamped() -> None:
    body = payload.stamped(b"\n".join(payload.update(seq, 5) for seq in (1, 2)), 9)
    assert [payload.read(orjson.loads(line)) for line in body.split(b"\n")] == [
        Stamp(1, 5, 9),
        Stamp(2, 5, 9),
    ]


@pytest.mark.parametrize("message", [None, 7, [], {}, {"seq": 1}, {"seq": "x", "t": 1, "sent": 1}])
def test_what_is_not_ours_has_no_stamp(message: object) -> None:
    assert payload.read(message) is None

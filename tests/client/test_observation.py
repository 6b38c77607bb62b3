"""Watching a real server: what an observation records of both connections."""

from __future__ import annotations

import pytest

from dashboard_rt.client.connection import EventKind, TransportName
from dashboard_rt.client.failures import FailureReason
from dashboard_rt.client.observation import observe, observe_both
from dashboard_rt.client.target import read_target
from tests.client.observations import observed, update
from tests.fakes import Behaviour, serving

pytestmark = pytest.mark.anyio
BOTH_TRANSPORTS = pytest.mark.parametrize("transport", list(TransportName))


async def test_both_transports_are_watched_until_they_end() -> None:
    with serving(Behaviour(cut_after=3, goodbye="full")) as fake:
        sse, cable = await observe_both(read_target(fake.url), 5, None)
    for observation in (sse, cable):
        assert observation.head is not None
        assert observation.failure is None
        assert len(observation.of_kind(EventKind.UPDATE)) == 3
        assert observation.ended_after is not None
        assert 0 < observation.ended_after <= observation.watched < 5
        assert (observation.checker.lost, observation.checker.doubled) == (0, 0)


@BOTH_TRANSPORTS
async def test_a_connection_that_lasts_has_no_end_and_no_failure(transport: TransportName) -> None:
    with serving() as fake:
        observation = await observe(transport, read_target(fake.url), 0.3, None)
    assert (observation.ended_after, observation.failure) == (None, None)
    assert observation.watched <= 1


@BOTH_TRANSPORTS
async def test_a_refused_origin_is_told_apart_from_other_refusals(transport: TransportName) -> None:
    for behaviour, origin_refused in (
        (Behaviour(origin="https://other"), True),
        (Behaviour(status=403), False),
    ):
        with serving(behaviour) as fake:
            observation = await observe(transport, read_target(fake.url), 5, None)
        assert observation.failure is not None
        assert observation.failure.reason is FailureReason.STATUS
        assert observation.origin_refused is origin_refused


def test_the_longest_silence_includes_the_beginning_and_the_end() -> None:
    assert observed(TransportName.SSE, watched=4).longest_silence == 4
    assert observed(TransportName.SSE, update(3, 1), watched=4).longest_silence == 3
    assert observed(TransportName.SSE, update(1, 1), update(1.5, 2), watched=4).longest_silence == 2.5

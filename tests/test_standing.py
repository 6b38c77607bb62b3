"""standing: the one rule of design §1, as a table and as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.standing import Held, Standing, stand
from dashboard_rt.types import Kind, Position, Verdict

FRESH, RECOVERED, GAP = Verdict.FRESH, Verdict.RECOVERED, Verdict.GAP
STATE = Held(Kind.STATE, "e", oldest_id=11, head=20)
LOG = Held(Kind.LOG, "e", oldest_id=11, head=20)
EMPTY_STATE = Held(Kind.STATE, "e", oldest_id=1, head=0)
EMPTIED_LOG = Held(Kind.LOG, "e", oldest_id=21, head=20)


@pytest.mark.parametrize(
    ("position", "held", "standing"),
    [
        (None, STATE, Standing(FRESH, 19, 1)),
        (None, LOG, Standing(FRESH, 20, 0)),
        (None, EMPTY_STATE, Standing(FRESH, 0, 0)),
        (Position("e", 20), STATE, Standing(RECOVERED, 20, 0)),
        (Position("e", 15), LOG, Standing(RECOVERED, 15, 5)),
        (Position("e", 10), LOG, Standing(RECOVERED, 10, 10)),  # oldest - 1 is servable
        (Position("e", 9), LOG, Standing(GAP, 20, 0, missed=11)),
        (Position("e", 9), STATE, Standing(GAP, 19, 1, missed=10)),
        (Position("e", 21), LOG, Standing(GAP, 20, 0)),  # ahead of all that is known
        (Position("other", 15), STATE, Standing(GAP, 19, 1)),
        (Position("", 0), EMPTY_STATE, Standing(GAP, 0, 0)),
        (Position("e", 20), EMPTIED_LOG, Standing(RECOVERED, 20, 0)),  # newest on an empty log
    ],
)
def test_the_rule(position: Position | None, held: Held, standing: Standing) -> None:
    assert stand(position, held, max_replay=10) == standing


def test_one_update_over_max_replay_is_a_gap() -> None:
    held = Held(Kind.LOG, "e", oldest_id=1, head=20)
    assert stand(Position("e", 10), held, max_replay=10).verdict is RECOVERED
    assert stand(Position("e", 9), held, max_replay=10) == Standing(GAP, 20, 0, missed=11)


@given(st.sampled_from(Kind), st.integers(1, 50), st.integers(0, 50), st.integers(0, 120), st.integers(1, 60))
def test_what_is_replayed_and_what_is_missed_add_up(
    kind: Kind, oldest: int, held: int, at: int, most: int
) -> None:
    head = oldest + held - 1
    standing = stand(Position("e", at), Held(kind, "e", oldest, head), most)
    assert standing.cursor + standing.replaying == head
    assert standing.cursor >= oldest - 1
    assert standing.replaying <= most
    if standing.verdict is RECOVERED:
        assert standing.cursor == at
    elif at <= head:
        assert standing.missed == standing.cursor - at > 0
    else:
        assert standing.missed is None

"""hub/resume: the one rule, as a table and as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.hub.resume import decide
from dashboard_rt.hub.subscription import Resume, StreamRange
from dashboard_rt.types import Kind, Position, Verdict

FRESH, RECOVERED, GAP = Verdict.FRESH, Verdict.RECOVERED, Verdict.GAP
STATE = StreamRange(Kind.STATE, "e", oldest_id=11, head=20)
LOG = StreamRange(Kind.LOG, "e", oldest_id=11, head=20)
EMPTY_STATE = StreamRange(Kind.STATE, "e", oldest_id=1, head=0)
EMPTIED_LOG = StreamRange(Kind.LOG, "e", oldest_id=21, head=20)


@pytest.mark.parametrize(
    ("position", "held", "resume"),
    [
        (None, STATE, Resume(FRESH, 19, 1)),
        (None, LOG, Resume(FRESH, 20, 0)),
        (None, EMPTY_STATE, Resume(FRESH, 0, 0)),
        (Position("e", 20), STATE, Resume(RECOVERED, 20, 0)),
        (Position("e", 15), LOG, Resume(RECOVERED, 15, 5)),
        (Position("e", 10), LOG, Resume(RECOVERED, 10, 10)),  # oldest - 1 is servable
        (Position("e", 9), LOG, Resume(GAP, 20, 0, missed=11)),
        (Position("e", 9), STATE, Resume(GAP, 19, 1, missed=10)),
        (Position("e", 21), LOG, Resume(GAP, 20, 0)),  # ahead of all that is known
        (Position("other", 15), STATE, Resume(GAP, 19, 1)),
        (Position("", 0), EMPTY_STATE, Resume(GAP, 0, 0)),
        (Position("e", 20), EMPTIED_LOG, Resume(RECOVERED, 20, 0)),  # newest on an empty log
    ],
)
def test_the_rule(position: Position | None, held: StreamRange, resume: Resume) -> None:
    assert decide(position, held, max_replay=10) == resume


def test_one_update_over_max_replay_is_a_gap() -> None:
    held = StreamRange(Kind.LOG, "e", oldest_id=1, head=20)
    assert decide(Position("e", 10), held, max_replay=10).verdict is RECOVERED
    assert decide(Position("e", 9), held, max_replay=10) == Resume(GAP, 20, 0, missed=11)


@given(st.sampled_from(Kind), st.integers(1, 50), st.integers(0, 50), st.integers(0, 120), st.integers(1, 60))
def test_what_is_replayed_and_what_is_missed_add_up(
    kind: Kind, oldest: int, held: int, at: int, most: int
) -> None:
    head = oldest + held - 1
    resume = decide(Position("e", at), StreamRange(kind, "e", oldest, head), most)
    assert resume.cursor + resume.replaying == head
    assert resume.cursor >= oldest - 1
    assert resume.replaying <= most
    if resume.verdict is RECOVERED:
        assert resume.cursor == at
    elif at <= head:
        assert resume.missed == resume.cursor - at > 0
    else:
        assert resume.missed is None

from __future__ import annotations

import pytest

from dashboard_rt.eventlog.database import Query, Rows, Statement, Transaction, run_transaction


def adding() -> Transaction[int]:
    first = yield Query("first")
    second = yield Query("second")
    return int(first[0][0] + second[0][0])


def test_each_statement_is_answered_and_the_result_returned() -> None:
    answers: dict[str, Rows] = {"first": [(1,)], "second": [(2,)]}

    def answer(statement: Statement) -> Rows:
        assert isinstance(statement, Query)
        return answers[statement.sql]

    assert run_transaction(adding(), answer) == 3


def test_an_error_of_a_statement_goes_through_and_ends_the_transaction() -> None:
    transaction = adding()

    def answer(statement: Statement) -> Rows:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        run_transaction(transaction, answer)
    assert list(transaction) == []


def test_a_transaction_without_statements_is_possible() -> None:
    def nothing() -> Transaction[str]:
        return "done"
        yield Query("never")  # type: ignore[unreachable]

    assert run_transaction(nothing(), lambda statement: []) == "done"

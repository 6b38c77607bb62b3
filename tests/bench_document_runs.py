"""Moved to tests/bench/document_runs.py: delete this file when tests/browser/test_report.py imports that."""

from tests.bench.document_runs import *  # noqa: F403

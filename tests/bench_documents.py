"""Moved to tests/bench/documents.py: delete this file when tests/browser/test_report.py imports that."""

from tests.bench.documents import *  # noqa: F403

"""Why a bench command ends, and with which exit code.

BenchError
  Environment       3: this machine or a target cannot run it; the sentence says what to do

Ctrl-C and SIGTERM end a command with 130; what was measured is kept.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_LOSS = 1
EXIT_VOID = 2
EXIT_ENVIRONMENT = 3


class BenchError(Exception):
    """Root of what the bench raises on purpose."""

    exit_code = EXIT_ENVIRONMENT


class Environment(BenchError):
    """The measurement could not be made here; the message is one sentence that says what to do."""

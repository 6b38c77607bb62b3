"""Why a bench command ends, and with which exit code.

BenchError
  Environment       3: this machine or a target cannot run it; the sentence says what to do
  Unheard           3: what it says cannot be written; 141 and without a word when the reader has gone

Ctrl-C and SIGTERM end a command with 130; what was measured is kept.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_LOSS = 1
EXIT_VOID = 2
EXIT_ENVIRONMENT = 3
EXIT_INTERRUPTED = 130
EXIT_CLOSED = 141  # what a shell shows of a program that SIGPIPE ended


class BenchError(Exception):
    """Root of what the bench raises on purpose."""

    exit_code = EXIT_ENVIRONMENT


class Environment(BenchError):
    """The measurement could not be made here; the message is one sentence that says what to do."""


class Unheard(BenchError):
    """Nobody can read what the command has to say: the message says why, and is empty for a reader that has gone."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.exit_code = EXIT_ENVIRONMENT if words else EXIT_CLOSED

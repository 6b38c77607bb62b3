"""dashboard-rt: a live dashboard over SSE and Action Cable, from one log."""

__version__ = "0.1.0"

"""Servers to measure against, each a small program started by its path; none of them imports the bench."""

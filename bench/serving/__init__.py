"""Targets: what they are, how they are started and ended, how they are published to."""

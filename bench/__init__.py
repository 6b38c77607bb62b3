"""Measured answers to "SSE or WebSocket?". Imports nothing from src/: docs/protocol.md is the contract."""

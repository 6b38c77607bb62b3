"""The other end: what talks to a server from outside, for the commands `listen` and `doctor`.

Knows docs/protocol.md and the nouns of types.py, nothing of the server: it works on any that speaks the protocol.
"""

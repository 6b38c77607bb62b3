"""The clients behind the commands `listen` and `doctor`: they talk to a server from outside, over the network.

Knows docs/protocol.md, and of the server's code only `types` and `errors`: it works against any server that speaks
the protocol.
"""

"""The load: processes that hold connections, check every delivery, and say what they saw."""

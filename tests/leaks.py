"""What only the garbage collector would free: objects that were left in a reference cycle."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_cycles(*kinds: type) -> Iterator[None]:
    """Fail if objects of these kinds that the block made outlive it: the collector is off, so nothing may need it."""
    gc.collect()
    gc.disable()
    try:
        before = _alive(kinds)
        yield
        left = _alive(kinds) - before
    finally:
        gc.enable()
    assert not left, f"left to the collector: {dict(left)}"


def _alive(kinds: tuple[type, ...]) -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, kinds))

"""What a target needs of this machine, and how to get it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import NamedTuple


class Need(NamedTuple):
    """`kind` is "program", one on PATH, or "module", one of this Python; `remedy` says how to get it."""

    kind: str
    name: str
    remedy: str

    @property
    def met(self) -> bool:
        """Whether it is here."""
        if self.kind == "module":
            return find_spec(self.name) is not None
        return shutil.which(self.name) is not None

    def __str__(self) -> str:
        return f"{self.name}: {self.remedy}"

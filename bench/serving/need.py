"""What a target needs of this machine, and how to get it."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import NamedTuple


class Need(NamedTuple):
    """`kind` is "program", one on PATH or in one of `folders`, or "module", one of this Python; `remedy` says how to
    get it."""

    kind: str
    name: str
    remedy: str
    folders: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Whether it is here."""
        if self.kind == "module":
            return find_spec(self.name) is not None
        return self.found() is not None

    def found(self) -> str | None:
        """The path of a program; those of `folders` come first."""
        return shutil.which(
            self.name, path=os.pathsep.join([*self.folders, os.environ.get("PATH", os.defpath)])
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.remedy}"

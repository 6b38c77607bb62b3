"""Becomes another program, pinned to a core, with all the files it may have, and killed when the bench dies.

python bench/serving/leash.py CORE|- PARENT_PID COMMAND...
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set what an exec keeps, then exec."""
    core, parent, *command = sys.argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before the line above: nobody would end us
        raise SystemExit(1)
    if core != "-":
        os.sched_setaffinity(0, {int(core)})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()

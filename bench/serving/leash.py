"""Becomes another program, pinned to a core, with all the files it may have, and killed when the bench dies.

python bench/serving/leash.py CORE|- USER|- PARENT_PID COMMAND...
"""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set what an exec keeps, then exec."""
    core, user, parent, *command = sys.argv[1:]
    if user != "-":
        become(pwd.getpwnam(user))  # first: whoever becomes another is let off the leash (prctl(2))
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before the line above: nobody would end us
        raise SystemExit(1)
    if core != "-":
        os.sched_setaffinity(0, {int(core)})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.execvp(command[0], command)


def become(user: pwd.struct_passwd) -> None:
    """Give up being root, for good."""
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


if __name__ == "__main__":
    main()

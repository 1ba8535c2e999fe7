"""Becomes the server: gives up root, ties its life to its parent's, and executes the program.

Run as ``python -I -S launch.py PARENT_PID UID GID PROGRAM [ARGUMENT…]``. A program of its own,
since code between fork and exec may deadlock in a process with threads. The order matters: the
kernel clears the parent-death signal whenever the user changes.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    parent, uid, gid = (int(number) for number in arguments[:3])
    if os.geteuid() != uid:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    os.umask(0o077)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent:
        sys.exit("the supervising process ended before the server began")
    os.execv(arguments[3], arguments[3:])  # noqa: S606  # replaces this process; no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])

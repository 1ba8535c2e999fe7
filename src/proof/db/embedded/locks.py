"""Two advisory locks (flock) that tell who holds a cluster; the kernel drops them with the process.

No pid file is believed: a pid may belong to somebody else by now. The *supervisor* lock is held by
the Proof that runs the cluster. The *server* lock's descriptor is inherited by postgres and all
its children, so that it is free exactly when the last of them is gone.
"""

import fcntl
import os
import time
from pathlib import Path

_POLL_S = 0.01


def acquire_lock(file: Path, timeout_s: float) -> int | None:
    """Return a descriptor that holds ``file`` exclusively, or None after ``timeout_s``."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + timeout_s
    while not _try_lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            return None
        time.sleep(_POLL_S)
    return descriptor


def is_locked(file: Path) -> bool:
    """Say whether somebody holds ``file``. Holds it shared for an instant itself."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

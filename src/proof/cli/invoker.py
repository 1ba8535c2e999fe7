"""Who runs a command, for the audit log."""

import os
import pwd
import socket
from contextlib import suppress
from pathlib import Path

from proof.partners.audit import Actor

# The kernel keeps the login user through `sudo` and `su`; this value stands for none.
_LOGIN = Path("/proc/self/loginuid")
_NOBODY = 2**32 - 1


def invoker() -> Actor:
    """`cli:root@host`, or `cli:anna(root)@host` when anna logged in and acts as root."""
    user, login = os.geteuid(), _login()
    name = _name(user)
    if login is not None and login != user:
        name = f"{_name(login)}({name})"
    return Actor(f"cli:{name}@{socket.gethostname()}")


def _login() -> int | None:
    with suppress(OSError, ValueError):
        number = int(_LOGIN.read_text())
        return None if number == _NOBODY else number
    return None


def _name(number: int) -> str:
    # In a container a process often runs under a number that has no name.
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)

"""Ports for servers that stop and start again at the same one."""

import random
import socket

_PORTS = range(20_000, 32_768)  # Linux gives outgoing connections those from 32768 up
_TRIES = 100


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and that no outgoing connection is given, so that it
    stays free while its server is away. No test run on this machine is given it again before this
    process ends; a program that chooses at random may still take it."""
    chosen = random.SystemRandom()
    for _ in range(_TRIES):
        port = chosen.choice(_PORTS)
        if _reserved(port) and _unused(port):
            return port
    raise RuntimeError(f"no free port among {_TRIES} tried from {_PORTS}")


def _reserved(port: int) -> bool:
    """Whether the name that stands for this port is this process's from now on.

    An abstract socket lives as long as its process and in the same network namespace as the port.
    """
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0proof-tests-port-{port}")
    except OSError:
        name.close()
        return False
    name.detach()  # open to the end, and no object that would close it sooner
    return True


def _unused(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

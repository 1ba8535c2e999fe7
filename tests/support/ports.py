"""Ports for servers that stop and start again at the same one."""

import random
import socket

_PORTS = range(20_000, 32_768)  # Linux gives outgoing connections those from 32768 up
_TRIES = 100


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and that no outgoing connection is given, so that it
    stays free while its server is away. Another process that chooses at random may still take it."""
    chosen = random.SystemRandom()
    for _ in range(_TRIES):
        port = chosen.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port among {_TRIES} tried from {_PORTS}")

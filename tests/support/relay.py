"""A mail relay on loopback that keeps what it is given, or fails in a chosen way."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Relay:
    """`refuse` is the command it answers with an error. `lines` are all it was told."""

    port: int = 0
    refuse: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@contextmanager
def relay(refuse: str = "") -> Iterator[Relay]:
    """One that takes connections one after the other until the end."""
    found = Relay(refuse=refuse)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found.port = server.getsockname()[1]
        thread = threading.Thread(target=_serve, args=(server, found))
        thread.start()
        try:
            yield found
        finally:
            # Closing does not wake an accept, a last visitor does.
            with socket.create_connection(("127.0.0.1", found.port)) as last:
                last.sendall(b"STOP\r\n")
            thread.join(120)


def _serve(server: socket.socket, found: Relay) -> None:
    going = True
    while going:
        connection, _ = server.accept()
        connection.settimeout(120)
        with connection, connection.makefile("rwb", buffering=0) as stream:
            going = _converse(stream, found)


def _converse(stream: socket.SocketIO, found: Relay) -> bool:
    """One session; False when it was the last visitor."""
    _say(stream, "220 relay")
    in_message = False
    while line := stream.readline():
        text = line.decode().rstrip("\r\n")
        if text == "STOP":
            return False
        found.lines.append(text)
        if in_message:
            in_message = text != "."
            answer = "" if in_message else "250 taken"
        else:
            verb = text.partition(" ")[0].upper()
            in_message = verb == "DATA" and found.refuse != "DATA"
            answer = _answer(verb, found.refuse)
        if answer:
            _say(stream, answer)
        if text.upper() == "QUIT":
            break
    return True


def _answer(verb: str, refuse: str) -> str:
    if verb == refuse:
        return "550 no, not even for secret-of-the-caller"
    return {
        "EHLO": "250-relay\r\n250 AUTH PLAIN",
        "AUTH": "235 welcome",
        "DATA": "354 go on",
        "QUIT": "221 bye",
    }.get(verb, "250 fine")


def _say(stream: socket.SocketIO, text: str) -> None:
    stream.write(f"{text}\r\n".encode())

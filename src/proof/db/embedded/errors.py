"""What can keep the embedded PostgreSQL from running; every message says what to do about it."""

from proof.core.errors import ProofError


class EmbeddedError(ProofError):
    """The embedded PostgreSQL cannot be used."""


class ClusterBusyError(EmbeddedError):
    """Another Proof runs on this data folder."""


class OrphanedServerError(EmbeddedError):
    """Server processes of an earlier Proof still hold the cluster."""


class ClusterStartError(EmbeddedError):
    """initdb or postgres ended before accepting connections; carries the end of its log."""


class SocketPathTooLongError(EmbeddedError):
    """The socket's path does not fit into the address of a Unix socket."""


class KeysExposedError(EmbeddedError):
    """The key folder, or the password file in it, is open to other users."""


class KeysMissingError(EmbeddedError):
    """The password file is absent although the cluster exists, or cannot be understood."""


class ServerUserError(EmbeddedError):
    """Proof runs as root, and no other user is there, or can be made, to run PostgreSQL."""


class BinariesError(EmbeddedError):
    """PostgreSQL's programs are not installed, or the server's user cannot reach them."""

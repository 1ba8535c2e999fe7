"""A PostgreSQL apart from the Proof that uses it, as an operator's own would be."""

import os
import signal
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from proof.db.embedded import EmbeddedCluster


@dataclass
class Standalone:
    """To be started, ended and started again; its data are in the folder."""

    folder: Path
    _running: ExitStack = field(default_factory=ExitStack)
    _pid: int = 0

    def start(self) -> None:
        running = self._running.enter_context(EmbeddedCluster(self.folder).start())
        self._pid = running.process.pid

    def stop(self) -> None:
        """In order, as a restart does: sessions end with `terminating connection`."""
        self._running.close()

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._running.close()

    def url(self, role: Literal["owner", "app"]) -> str:
        found = EmbeddedCluster(self.folder).connection(role)
        host = quote(found.host, safe="")
        return (
            f"postgresql://{found.user}:{quote(found.password)}@/{found.database}"
            f"?host={host}&port={found.port}"
        )

    def arguments(self) -> dict[str, Any]:
        """What asyncpg connects with as the application's role."""
        return asdict(EmbeddedCluster(self.folder).connection("app"))

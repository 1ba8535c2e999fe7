"""What the commands of an operator need of an installation; the composition root provides it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypeVar

from msgspec import Struct

from proof.core.secrets import Vault
from proof.db import Database
from proof.db.sealed import SealedColumn
from proof.mail import Mailer
from proof.outbound import OutboundPolicy
from proof.partners.types import Environment

if TYPE_CHECKING:
    # Only for type checkers: these bring the HTTP client, which most commands do without.
    from proof.timestamps.anchors.log.retirement import Retirement
    from proof.timestamps.anchors.overview import EnabledChain

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a command's own options say; None leaves it to the settings."""

    data_dir: Path | None = None
    host: str | None = None
    port: int | None = None
    processes: int | None = None


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    subject: str
    level: Literal["ok", "warning", "problem"]
    text: str


class Installation(Protocol):
    """One Proof: its settings, database and keys."""

    def serve(self) -> NoReturn:
        """Become the process that runs everything."""
        ...

    def api(self) -> None:
        """Run one HTTP process until told to stop."""
        ...

    def worker(self) -> None:
        """Run one worker process until told to stop."""
        ...

    def migrate(self) -> str:
        """Bring schema, keys and logs up to date; the schema's revision."""
        ...

    def with_database(self, action: Callable[[Database], Awaitable[T]]) -> T:
        """Run `action` on the database, which is brought up for its duration when it does not run."""
        ...

    def with_chains(
        self, action: "Callable[[Database, Sequence[EnabledChain]], Awaitable[T]]"
    ) -> T:
        """Run `action` on the database and on every chain that is enabled."""
        ...

    def vault(self) -> Vault:
        """Seals and opens secrets."""
        ...

    def retirement(self, database: Database, environment: Environment) -> "Retirement":
        """What closes an environment's log."""
        ...

    def sealed_columns(self) -> Sequence[SealedColumn]:
        """Every column of sealed secrets."""
        ...

    def mailer(self) -> Mailer | None:
        """The mail relay, if there is one."""
        ...

    def policy(self) -> OutboundPolicy:
        """Which webhook targets are allowed."""
        ...

    def base_urls(self, served: Mapping[Environment, str]) -> dict[Environment, str]:
        """Where each environment's API starts: as set, or else as `served` last."""
        ...

    def report(self) -> list[dict[str, Any]]:
        """Every setting in force: name, value, variable, and whether it was set."""
        ...

    def findings(self, *, production: bool) -> list[Finding]:
        """All that the settings name, opened; `production` demands what real partners need."""
        ...

    def warnings(self) -> list[str]:
        """What is allowed, but looks like a mistake, in words."""
        ...


class Opener(Protocol):
    """Reads the settings with a command's options over them. Raises ProofError."""

    def __call__(self, options: ServerOptions) -> Installation: ...

"""What must be right before a process starts, as far as its settings and files can tell.

`proof serve`, `proof api` and `proof worker` look at theirs before they begin, `proof config check` at all:
so each finds the same, and says it in the same words. Nothing is made or changed.
"""

import asyncio
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from proof.config import Settings, SettingsError
from proof.config.chains import load_chain_tables
from proof.config.log_policy import load_log_policy
from proof.db.embedded import EmbeddedCluster
from proof.main.parts import database as databases
from proof.main.parts.chains import opened_chains, require_calendar_chain
from proof.main.parts.keys import GENERATED_KEY, open_vault, require_private, usable_folder
from proof.main.parts.mail import open_mailer
from proof.main.parts.tsa import require_tsa
from proof.main.server.supervise import METRICS
from proof.partners.types import Environment

_FOLDERS = ("keys", "postgresql", METRICS)


class Precondition(NamedTuple):
    """`look` says in words what is right, and raises ProofError for what is not. No event loop may run."""

    subject: str
    look: Callable[[Settings], str]

    def met(self, settings: Settings) -> str:
        """What is right. Raises ProofError, with what to do."""
        try:
            return self.look(settings)
        except OSError as error:
            place = error.filename or self.subject
            raise SettingsError(
                f"{place}: {error.strerror}; correct its path, or its owner and mode"
            ) from None


def require(settings: Settings, preconditions: Sequence[Precondition]) -> None:
    """Raises ProofError for the first that is not met."""
    for precondition in preconditions:
        precondition.met(settings)


def _folder(settings: Settings) -> str:
    databases.require_folder(settings)
    with usable_folder(settings.data_dir):
        if not settings.data_dir.exists():
            return f"{settings.data_dir} is made at the first start"
    for name in _FOLDERS:
        _require_folder(settings.data_dir / name)
    keys = settings.data_dir / "keys"
    if not keys.exists():
        return f"{settings.data_dir} holds no keys yet"
    for path in (keys, *keys.iterdir()):
        # A file that is being replaced may vanish between listing and reading.
        with suppress(FileNotFoundError):
            require_private(path)
    return f"the keys in {settings.data_dir} are private"


def _require_folder(path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(path.stat().st_mode):
            raise SettingsError(f"{path} is a file, and must be a folder; move it away")


def _writing(settings: Settings) -> str:
    databases.require_writable(settings)
    return f"{settings.data_dir} can be written"


def _embedded(settings: Settings) -> str:
    if settings.database_url:
        return "the one that PROOF_DATABASE_URL names"
    EmbeddedCluster(settings.data_dir).require_place()
    return "embedded"


def _key(settings: Settings) -> str:
    generated = settings.data_dir / GENERATED_KEY
    if not settings.key_sources() and not generated.exists():
        return "development makes one in the data folder at the first start"
    open_vault(settings)
    return f"from {', '.join(settings.key_sources()) or generated}"


def _tables(settings: Settings) -> str:
    load_chain_tables(settings.chains_file)
    return settings.chains_file or "none: the log alone"


def _chains(settings: Settings) -> str:
    async def names() -> list[str]:
        async with opened_chains(settings) as chains:
            return [f"{chain.environment} {chain.chain.currency.name}" for chain in chains]

    return ", ".join(asyncio.run(names())) or "the log alone"


def _witnesses(settings: Settings) -> str:
    said = []
    for environment in Environment:
        policy = load_log_policy(settings, environment)
        count = len({each.url for each in policy.witnesses}) if policy else 0
        said.append(f"{environment}: {count or 'no'} witness{'' if count == 1 else 'es'}")
    return ", ".join(said)


def _calendar(settings: Settings) -> str:
    require_calendar_chain(settings)
    return settings.calendar_url or "off"


def _authority(settings: Settings) -> str:
    if not settings.tsa_enabled:
        return "off"
    require_tsa(settings)
    return settings.tsa_certificate_file or "development's own certificates"


def _mail(settings: Settings) -> str:
    if open_mailer(settings) is None:
        return "none: links are printed, notices are logged"
    return f"{settings.smtp_host}:{settings.smtp_port}"


_EVERY = (
    Precondition("data folder", _folder),
    Precondition("key-encryption key", _key),
    Precondition("chains file", _tables),
    Precondition("mail relay", _mail),
)
_HTTP = (Precondition("calendar", _calendar), Precondition("time-stamping authority", _authority))
_KEEPING = (
    Precondition("data folder", _writing),
    Precondition("chains", _chains),
    Precondition("log policy", _witnesses),
)

OF_API = (*_EVERY, *_HTTP)
OF_WORKER = (*_EVERY, *_KEEPING)
OF_SERVE = (*_EVERY, *_HTTP, *_KEEPING, Precondition("database", _embedded))

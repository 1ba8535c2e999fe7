"""What a monitor remembers: the checkpoint it saw last, and evidence of what went wrong."""

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from proof.core.clock import moment_text
from proof.core.errors import ProofError
from proof.follow.faults import LogFaultError
from proof.follow.files import put
from proof.follow.layout import CHECKPOINT
from proof.follow.trusted import SignedCheckpoint
from proof.verify import RefusedError

_FILE: Final = "state.json"

_EVIDENCE: Final = "evidence"

# Of each fault: a log that serves something else at each look must not fill the disk.
_KEPT: Final = 100


class StateError(ProofError):
    """The memory is there and cannot be read."""


class Notice(msgspec.Struct, frozen=True, rename="camel"):
    """Something to tell people; `id` is the same however often it is sent. `type` is `log.fault`,
    `log.recovered` or `log.succeeded`; `channels` are still to be told."""

    id: str
    type: str
    at: datetime
    fault: str | None
    message: str
    evidence: str | None
    channels: tuple[str, ...]


class State(msgspec.Struct, frozen=True, rename="camel"):
    """`note`: the newest checkpoint that continued all before it. `grew_at`: when its size was first seen.
    `entries`: how many from the first on were hashed again. `condition`: what people were told last.
    `closed`: the final checkpoints of the logs before."""

    note: str = ""
    grew_at: datetime | None = None
    entries: int = 0
    condition: str = ""
    notices: tuple[Notice, ...] = ()
    closed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StateFolder:
    """A folder of one monitor's own."""

    path: Path

    def read(self) -> State:
        """The state of a monitor that has seen nothing, where there is none. Raises StateError, OSError:
        to begin again without memory is for people to decide."""
        try:
            state = msgspec.json.decode((self.path / _FILE).read_bytes(), type=State)
            for note in filter(None, (state.note, *state.closed)):
                SignedCheckpoint.remembered(note.encode())
        except FileNotFoundError:
            return State()
        except (msgspec.DecodeError, RefusedError, UnicodeEncodeError) as error:
            raise StateError(
                f"{self.path / _FILE} cannot be read ({error}); bring it back from a copy, or name another"
                " folder to begin anew, without memory of what was seen"
            ) from None
        return state

    def write(self, state: State) -> State:
        """Durable when this returns; its checkpoint is beside it in a file of its own, for others to read.

        Raises OSError.
        """
        put(self.path / _FILE, msgspec.json.format(msgspec.json.encode(state), indent=1))
        note, shown = state.note.encode(), self.path / CHECKPOINT
        if note and not (shown.is_file() and shown.read_bytes() == note):
            put(shown, note)
        return state

    def keep(self, error: LogFaultError, at: datetime) -> Path | None:
        """The file that holds the evidence of a fault, made unless it is there; None without evidence, or
        when there is so much of that fault that more would show nothing more."""
        if not error.evidence:
            return None
        facts: dict[str, Any] = {
            "fault": error.fault,
            "message": error.message,
            "evidence": error.evidence,
        }
        name = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        path = self.path / _EVIDENCE / f"{error.fault}-{name}.json"
        if not path.exists():
            if len(list(path.parent.glob(f"{error.fault}-*"))) >= _KEPT:
                return None
            put(path, json.dumps({"at": moment_text(at), **facts}, indent=1).encode() + b"\n")
        return path

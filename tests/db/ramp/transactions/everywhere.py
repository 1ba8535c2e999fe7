"""Searching a whole database for what must be nowhere in it."""

from proof.core.secrets import Vault
from proof.db import Connection
from proof.ramp import personal
from proof.ramp.providers.callbacks import REFUSED_IDENTITY, callback_identity

_COLUMNS = """
SELECT columns.table_name, column_name, data_type FROM information_schema.columns
JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND data_type IN
      ('text', 'character varying', 'bytea', 'json', 'jsonb', 'inet', 'cidr', 'ARRAY', 'USER-DEFINED')
ORDER BY 1, 2
"""


class Searched:
    """Every value of every column, what is sealed opened as well, lower case."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.values: list[tuple[str, bytes]] = []

    async def read(self, connection: Connection) -> None:
        for table, column, kind in await connection.fetch(_COLUMNS):
            value = f'"{column}"' if kind == "bytea" else f'"{column}"::text'
            rows = await connection.fetch(f'SELECT {value} AS found FROM "{table}"')
            for row in rows:
                if row["found"] is not None:
                    self._keep(f"{table}.{column}", row["found"])
        await self._open(connection)

    def holding(self, text: str) -> set[str]:
        """Where the text is, written in letters of any case, or in hex."""
        plain = text.lower().encode()
        return {
            place for place, value in self.values if plain in value or plain.hex().encode() in value
        }

    async def _open(self, connection: Connection) -> None:
        for row in await connection.fetch("SELECT id, kind, sealed FROM ramp_personal"):
            identity = personal.IDENTITY.format(id=row["id"], kind=row["kind"])
            self._keep_sealed("ramp_personal", row["sealed"], identity)
        for row in await connection.fetch(
            "SELECT * FROM provider_callbacks WHERE sealed IS NOT NULL"
        ):
            identity = callback_identity(row["account_id"], row["dedup_sha256"])
            self._keep_sealed("provider_callbacks", row["sealed"], identity)
        for row in await connection.fetch("SELECT * FROM refused_callbacks"):
            identity = REFUSED_IDENTITY.format(id=row["id"])
            self._keep_sealed("refused_callbacks", row["sealed"], identity)

    def _keep_sealed(self, table: str, sealed: bytes, identity: str) -> None:
        self._keep(f"{table}, opened", self._vault.open(sealed, identity))

    def _keep(self, place: str, value: str | bytes) -> None:
        found = value.encode() if isinstance(value, str) else value
        self.values.append((place, found.lower()))

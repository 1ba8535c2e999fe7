"""The baseline of what must be durable before it is answered: a Starlette endpoint of one INSERT.

`python -m bench.inserting PORT`, with PROOF_DATA_DIR naming a running embedded database. It parses JSON,
writes one row with one statement, its own transaction, and answers; it has the pool, the server settings
and the collector settings of Proof's own processes.
"""

import gc
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from proof.config import Settings, load_settings
from proof.main.parts.database import arguments, opened
from proof.main.server.processes import server_config
from proof.main.server.supervise import listening_socket

_TABLE = """
CREATE TABLE IF NOT EXISTS bench_inserts
    (id uuid PRIMARY KEY, body text NOT NULL, created_at timestamptz NOT NULL);
GRANT INSERT ON bench_inserts TO PUBLIC
"""
_INSERT = "INSERT INTO bench_inserts (id, body, created_at) VALUES ($1, $2, $3)"


async def _insert(request: Request) -> JSONResponse:
    raw = await request.body()
    await request.json()
    row_id = uuid4()
    async with request.app.state.database.connection() as connection:
        await connection.execute(_INSERT, row_id, raw.decode(), datetime.now(UTC))
    return JSONResponse({"id": str(row_id)})


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    settings = load_settings(os.environ)
    await _make_table(settings)
    async with opened(settings) as app.state.database:
        # As `proof api` does.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000)
        yield


async def _make_table(settings: Settings) -> None:
    owner = await asyncpg.connect(**arguments(settings, "owner"))
    try:
        await owner.execute(_TABLE)
    finally:
        await owner.close()


def _main() -> None:
    routes = [Route("/{path:path}", _insert, methods=["POST"])]
    listening = listening_socket("127.0.0.1", int(sys.argv[1]))
    uvicorn.Server(server_config(Starlette(routes=routes, lifespan=_lifespan))).run(
        sockets=[listening]
    )


if __name__ == "__main__":
    _main()

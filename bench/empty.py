"""The baseline of the HTTP benchmarks: a Starlette endpoint that parses JSON and answers.

`python -m bench.empty PORT` runs one process; several share the port. uvicorn's settings are those
of `proof api`.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from proof.main.supervise import listening_socket


async def _answer(request: Request) -> JSONResponse:
    await request.json()
    return JSONResponse({"ok": True})


def _main() -> None:
    config = uvicorn.Config(
        Starlette(routes=[Route("/v1/timestamp", _answer, methods=["POST"])]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        backlog=4096,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=30,
    )
    uvicorn.Server(config).run(sockets=[listening_socket("127.0.0.1", int(sys.argv[1]))])


if __name__ == "__main__":
    _main()

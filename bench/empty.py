"""The baseline of the HTTP benchmarks: a Starlette endpoint that parses JSON and answers.

`python -m bench.empty PORT` runs one process; several share the port.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from proof.main.server.processes import server_config
from proof.main.server.supervise import listening_socket


async def _answer(request: Request) -> JSONResponse:
    await request.json()
    return JSONResponse({"ok": True})


def _main() -> None:
    app = Starlette(routes=[Route("/v1/timestamp", _answer, methods=["POST"])])
    listening = listening_socket("127.0.0.1", int(sys.argv[1]))
    uvicorn.Server(server_config(app)).run(sockets=[listening])


if __name__ == "__main__":
    _main()

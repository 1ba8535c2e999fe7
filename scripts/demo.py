"""The whole way of a proof and of a purchase, on this machine: `make demo`.

Starts Proof with its own PostgreSQL, onboards a partner, stamps files of this repository over HTTP,
receives a proof by webhook, buys coins in the sandbox, stops the server, and verifies the proof with the
verifier alone.
`--keep` leaves the server running, and a sample shop beside it that sells coins in the sandbox.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from demo_purchase import Received, Sandbox, purchase
from standardwebhooks import Webhook

ROOT = Path(__file__).resolve().parent.parent
PROOF = str(ROOT / ".venv" / "bin" / "proof")
VERIFIER = ROOT / "proof-verify.pyz"
SHOP = ROOT / "examples" / "shop" / "shop.py"
FILES = ("README.md", "CHANGELOG.md", "pyproject.toml", "Makefile", "docs/openapi.json")
# It ends what hangs: the first start compiles every module, and a busy machine takes many times as long.
PATIENCE_S = 180.0
SERVER_PID = "DEMO_SERVER_PID"
SHOP_PID = "DEMO_SHOP_PID"


def main() -> int:
    """Run the demonstration; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server running")
    keep = parser.parse_args().keep
    folder = Path(tempfile.mkdtemp(prefix="proof-demo-"))
    try:
        with (
            receiver() as (target, received),
            receiver() as (sandbox_target, sandbox_received),
            server(folder / "data", keep=keep) as (url, environment),
        ):
            shop_url = f"http://127.0.0.1:{free_port()}"
            partner = onboard(environment, shop_url, sandbox_target)
            proof_file, key_file, stamped = stamp_and_prove(folder, url, partner, target, received)
            buy(partner, sandbox_received)
            if keep:
                open_shop(environment, partner, shop_url)
                say_how_to_go_on(url, partner, folder, environment, shop_url)
        step("The server is stopped." if not keep else "The verifier asks no server anything.")
        verify(folder, stamped, proof_file, key_file)
    finally:
        if not keep:
            shutil.rmtree(folder)
    print("\nDone: the proof stands without us.")
    return 0


def step(text: str) -> None:
    print(f"\n\033[1m▸ {text}\033[0m" if sys.stdout.isatty() else f"\n> {text}", flush=True)


@contextlib.contextmanager
def server(data: Path, *, keep: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """Proof with its embedded PostgreSQL; its URL and the environment its commands need."""
    step("Start Proof: API, worker and its own PostgreSQL, in a folder of its own.")
    port = free_port()
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(data.parent),
        "PROOF_DATA_DIR": str(data),
        "PROOF_PORT": str(port),
        # The receiver below is on this machine; in production webhooks go to public https only.
        "PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8",
    }
    url = f"http://127.0.0.1:{port}"
    if keep:
        print(f"Its output goes to {data.parent}/server.log.")
    with contextlib.ExitStack() as opened:
        # Left running, it must not hold this program's output open: `make demo KEEP=1 | tee` would not end.
        log = opened.enter_context((data.parent / "server.log").open("w")) if keep else None
        process = subprocess.Popen(
            [PROOF, "serve"],
            env=environment,
            stdin=subprocess.DEVNULL if keep else None,
            stdout=log,
            stderr=log,
            start_new_session=keep,
        )
    environment[SERVER_PID] = str(process.pid)
    try:
        wait_until_ready(url, process)
        yield url, environment
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if not keep:
        process.send_signal(signal.SIGTERM)
        if process.wait(60) != 0:
            raise SystemExit("the server did not stop cleanly")


def onboard(environment: dict[str, str], shop_url: str, sandbox_target: str) -> dict[str, Any]:
    step("Onboard a partner, as the operator does: `proof partner add`.")
    command = [PROOF, "partner", "add", "--name", "Demo", "--email", "ops@demo.example", "--json"]
    addresses = ["--ip", "127.0.0.1", "--sandbox-ip", "127.0.0.1", "--widget-origin", shop_url]
    ramp = ["--off-ramp", "--sandbox-webhook", sandbox_target]
    printed = subprocess.run(
        [*command, *addresses, *ramp], env=environment, check=True, capture_output=True, text=True
    )
    partner: dict[str, Any] = json.loads(printed.stdout)
    print(f"partner {partner['partner_id']}, base URL {partner['production']['base_url']}")
    return partner


def stamp_and_prove(
    folder: Path, url: str, partner: dict[str, Any], target: str, received: "Queue[Received]"
) -> tuple[Path, Path, Path]:
    """The proof file, the key file and the file that was proved."""
    key = partner["production"]["api_key"]
    files = [ROOT / name for name in FILES if (ROOT / name).exists()]
    hashes = {sha256(file.read_bytes()).hexdigest(): file for file in files}
    step(f"Set the proof webhook to {target}, then stamp {len(files)} files of this repository.")
    call("PATCH", f"{url}/v1/api-key/setting", key, {"notification": {"proof": {"target": target}}})
    answer = call("POST", f"{url}/v1/timestamp", key, {"sha256": list(hashes)})
    tree = answer["trees"][0]
    print(f"durable at once: {len(answer['sha256'])} hashes, in the {tree['currency']} tree")
    wanted = next(iter(hashes))
    step(f"Ask for the proof of {hashes[wanted].name}; it comes as soon as its tree is verified.")
    ask_for_proof(url, key, wanted)
    headers, body = receive(received)
    Webhook(partner["production"]["webhook_secret"]).verify(body, headers)
    print(f"received {len(body)} bytes, webhook-id {headers['webhook-id']}; the signature is right")
    stamped, proof_file, key_file = folder / "stamped", folder / "proof.json", folder / "log.key"
    shutil.copyfile(hashes[wanted], stamped)
    proof_file.write_bytes(body)
    # A verifier gets the log's key once, over a way it trusts; here it is the server itself.
    with urllib.request.urlopen(f"{url}/log/key") as reply:
        key_file.write_bytes(reply.read())
    return proof_file, key_file, stamped


def buy(partner: dict[str, Any], received: "Queue[Received]") -> None:
    step("Buy coins in the sandbox, and watch the purchase in three ways.")
    handed = partner["sandbox"]
    names = ("base_url", "client_token", "webhook_secret")
    for line in purchase(Sandbox(*(handed[name] for name in names), received)):
        print(line, flush=True)


def verify(folder: Path, stamped: Path, proof_file: Path, key_file: Path) -> None:
    empty = folder / "empty"
    empty.mkdir()
    command = [sys.executable, "-I", "-S", str(VERIFIER), str(stamped), str(proof_file)]
    step("Verify from an empty folder with one file of standard-library Python and the log's key.")
    if subprocess.run([*command, "--log-key", str(key_file)], cwd=empty).returncode != 0:
        raise SystemExit("the proof was refused")
    step("Alter one byte of the stamped file, and verify again.")
    altered = bytearray(stamped.read_bytes())
    altered[0] ^= 1
    stamped.write_bytes(altered)
    if subprocess.run([*command, "--log-key", str(key_file)], cwd=empty).returncode != 1:
        raise SystemExit("the altered file was not refused")
    print("refused, as it must be")


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, "Queue[Received]"]]:
    """A partner's webhook receiver: its URL, and what comes in."""
    received: Queue[Received] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()
            received.put(({name.lower(): value for name, value in self.headers.items()}, body))

        def log_message(self, *_arguments: object) -> None:
            """The demonstration says itself what came in."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/", received
        listening.shutdown()


def receive(received: "Queue[Received]") -> Received:
    try:
        return received.get(timeout=PATIENCE_S)
    except Empty:
        raise SystemExit("no webhook arrived") from None


def ask_for_proof(url: str, key: str, wanted: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            call("POST", f"{url}/v1/proof", key, {"currencyId": 900, "sha256": wanted})
        except urllib.error.HTTPError as error:
            if error.code != 425 or time.monotonic() > deadline:
                raise
            print("not yet: " + json.loads(error.read())["message"])
            time.sleep(float(error.headers["retry-after"]))
        else:
            return


def call(method: str, url: str, key: str, body: object) -> Any:
    headers = {"x-api-key": key, "content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request) as reply:
        answer = reply.read()
    return json.loads(answer) if answer else None


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz"):
            return
        time.sleep(0.1)
    raise SystemExit("the server did not become ready")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def open_shop(environment: dict[str, str], partner: dict[str, Any], shop_url: str) -> None:
    """The sample shop, as a partner's backend in the sandbox; it goes on with the server."""
    sandbox = partner["sandbox"]
    command = [PROOF, "partner", "edit", partner["partner_id"], "--environment", "sandbox"]
    # The sandbox's webhooks came here so far.
    subprocess.run(
        [*command, "--webhook", f"{shop_url}/webhook"],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shop = subprocess.Popen(
        [sys.executable, str(SHOP)],
        env={
            **os.environ,
            "PROOF_URL": sandbox["base_url"],
            "PROOF_CLIENT_TOKEN": sandbox["client_token"],
            "PROOF_WEBHOOK_SECRET": sandbox["webhook_secret"],
            "SHOP_PORT": shop_url.rpartition(":")[2],
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    environment[SHOP_PID] = str(shop.pid)


def say_how_to_go_on(
    url: str,
    partner: dict[str, Any],
    folder: Path,
    environment: dict[str, str],
    shop_url: str,
) -> None:
    step("The server goes on.")
    print(f"base URL  {url}\nsandbox   {url}/sandbox\ndocs      {url}/docs/")
    print(f"data      {folder}/data\nlog       {folder}/server.log")
    print(f"api key   {partner['production']['api_key']}")
    print(f"token     {partner['sandbox']['client_token']} (the sandbox's client token)")
    print(f"operate   export PROOF_DATA_DIR={folder}/data; {PROOF} tx list")
    print(f"shop      {shop_url}/ (buy and sell coins in the sandbox)")
    print(f"stop them with: kill {environment[SERVER_PID]} {environment[SHOP_PID]}")


if __name__ == "__main__":
    sys.exit(main())

"""A person who is erased is nowhere: not in a row, a file or a line that a real server has written."""

import asyncio
import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from tests.e2e.test_sandbox_purchase import answered, become, call, keys, proved
from tests.support.copying import as_superuser
from tests.support.receiver import Receiver, Reply
from tests.support.served import Server, eventually, served

from proof.core.canonical import canonical_json
from proof.db.embedded import EmbeddedCluster
from proof.verify.receipts.receipt import verify_receipt

USER, EMAIL = "zoë/4711 <lovelace>", "zoe.lovelace+coins@personal.example"
ADDRESS, CLIENT_IP = "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf", "198.51.100.217"
REFERENCE, BACK = 'for Zoë\'s "birthday" of 1815', "https://127.0.0.1:1/back?who=zoe-lovelace-1815"
KEY = "session of zoe.lovelace"
PERSONAL = (USER, EMAIL, ADDRESS, CLIENT_IP, REFERENCE, BACK, KEY, "lovelace")
_OTHERS = "TLyqzVGLV1srkB7dToTAEqgDSfPtXRJZYH"
_WALLET = "TNXcYBwoZdPsAkAExZTfKFP6shBeh4W4Rf"
_SESSION = {
    "partner_user_id": USER,
    "user_email": EMAIL,
    "currency": "USDT",
    "network": "TRC20",
    "amount": "25.5",
    "address": ADDRESS,
    "client_ip": CLIENT_IP,
    "partner_reference": REFERENCE,
    "redirect_url": BACK,
}
_TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""


@pytest.fixture
def server() -> Iterator[Server]:
    settings = {
        "PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8",
        "PROOF_TRUSTED_PROXIES": "127.0.0.1",
    }
    with served(settings) as running:
        yield running


def forms(text: str) -> set[bytes]:
    """How a text may be written, in lower case."""
    utf8 = text.encode()
    escaped = json.dumps(text)[1:-1].encode()
    in_url = quote(text, safe="").encode()
    found = {
        utf8,
        escaped,
        json.dumps(escaped.decode())[1:-1].encode(),
        in_url,
        utf8.hex().encode(),
    }
    for shift in range(3):
        # Wherever the text begins in what was encoded: the middle is the same.
        found.add(base64.b64encode(bytes(shift) + utf8)[4:-4])
        found.add(base64.urlsafe_b64encode(bytes(shift) + utf8)[4:-4])
    # A few characters turn up in random bytes.
    return {form.lower() for form in found if len(form) >= 8}


def naming(content: bytes) -> set[str]:
    """Which of the person's values are in there."""
    lowered = content.lower()
    return {text for text in PERSONAL if any(form in lowered for form in forms(text))}


async def rows(cluster: EmbeddedCluster) -> dict[str, bytes]:
    """Every table with all its rows, as COPY writes them, and `bytea` as the bytes too."""
    connection = await asyncpg.connect(**asdict(cluster.connection("owner")))
    try:
        found: dict[str, bytes] = {}
        for (table,) in await connection.fetch(_TABLES):
            records = await connection.fetch(f"SELECT * FROM {table}")
            raw = [value for record in records for value in record if isinstance(value, bytes)]
            texts = await connection.fetch(f"SELECT t::text AS line FROM {table} t")
            found[table] = b"\n".join([*(row["line"].encode() for row in texts), *raw])
        return found
    finally:
        await connection.close()


def tables(server: Server) -> dict[str, set[str]]:
    found = asyncio.run(rows(EmbeddedCluster(server.data_dir)))
    assert len(found) > 50
    return {table: named for table, content in found.items() if (named := naming(content))}


def files(server: Server, *, pages: bool) -> dict[str, set[str]]:
    """The files of the data folder; with `pages` those in which PostgreSQL keeps rows as well, which have
    deleted ones until a VACUUM. Not the write-ahead log: its segments are used again as they are, and
    overwritten as others write, which no command brings about."""
    found = {}
    left_out = {"pg_wal"} if pages else {"pg_wal", "base"}
    for path in server.data_dir.rglob("*"):
        place = path.relative_to(server.data_dir)
        searched = path.is_file() and not left_out & set(place.parts)
        if searched and (named := naming(path.read_bytes())):
            found[str(place)] = named
    return found


@dataclass
class Person:
    """One who bought: the transaction's name, and the link of their receipt."""

    name: str
    link: str


def page(server: Server, path: str, body: Any, token: str = "") -> Any:
    """What the page asks, from the person's own address."""
    headers = {"content-type": "application/json", "x-forwarded-for": CLIENT_IP}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(
        f"{server.url}/sandbox{path}", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error


def opened(server: Server, token: str) -> Any:
    """The person's session, opened under a key."""
    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "idempotency-key": KEY,
    }
    request = urllib.request.Request(
        f"{server.url}/sandbox/widget/session", json.dumps(_SESSION).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def buy(server: Server, token: str) -> Person:
    """From session to widget to the end."""
    session = opened(server, token)
    name = session["merchant_transaction_id"]
    tab = "wst_" + base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
    opening = {
        each: session[each]
        for each in ("widget_id", "init_token", "merchant_transaction_id", "signature")
    }
    page(server, "/w/api/open", opening | {"options": {"address": ADDRESS}}, tab)
    link = page(server, "/w/api/receipt", {}, tab)["url"].partition("#")[2]
    call(server, token, "POST", f"/simulate/{name}", {"outcome": "success"})
    call(server, token, "POST", "/clock/advance", {"seconds": 60})
    found = become(server, token, f"/widget/transactions/{name}", "completed")
    assert found["status"] == "completed", server.log()
    who = quote(USER, safe="")
    become(server, token, f"/widget/users/{who}/kyc-status", "verified")
    return Person(name, link)


def partner_of(server: Server, receiver: Receiver) -> dict[str, Any]:
    """One whose users bring their wallets, and whose receiver says again what it is sent."""
    partner = server.add_partner(sandbox_ip="127.0.0.1")
    how = ("--environment", "sandbox", "--webhook", receiver.url("/"), "--own-address")
    wallet = ("--wallet", f"USDT:TRC20:{_WALLET}", "--currency", "USDT", "--network", "TRC20")
    edited = server.run("partner", "edit", partner["partner_id"], *how, *wallet)
    assert edited.returncode == 0, edited.stderr
    theirs = {name: _SESSION[name] for name in ("currency", "network", "amount")} | {
        "partner_user_id": "somebody",
        "user_email": "somebody@else.example",
        "address": _OTHERS,
    }
    token = partner["sandbox"]["client_token"]

    def known() -> bool:
        return bool(call(server, token, "POST", "/widget/session", theirs)["address"] == _OTHERS)

    # The server learns what a command wrote a moment later.
    eventually(known)
    return partner


def test_an_erased_person_is_nowhere_and_the_receipts_go_on(server: Server) -> None:
    echo = canonical_json({"partner_user_id": USER, "partner_reference": REFERENCE})
    with Receiver() as receiver:
        receiver.script(otherwise=Reply(body=echo))
        partner = partner_of(server, receiver)
        token, partner_id = partner["sandbox"]["client_token"], partner["partner_id"]
        person = buy(server, token)
        receiver.wait_for(2)
        eventually(lambda: "webhook_deliveries" in str(tables(server)))
    where = f"/widget/transactions/{person.name}/receipt"
    proved(server, token, where)
    before = answered(server, token, "GET", where)
    shown = server.run("tx", "disclose", person.name, "--field", "address")
    assert ADDRESS in shown.stdout
    words = ("--reason", f"as {EMAIL} asked")
    refused = server.run("tx", "resolve", person.name, "completed", *words)
    assert refused.returncode == 1
    assert "the transaction's email" in refused.stderr
    confirmed = server.run("tx", "resolve", person.name, "completed", "--reason", "seen")
    assert confirmed.returncode == 0, confirmed.stderr
    assert set(tables(server)) >= {"public.ramp_users", "public.outbox"}

    erased = server.run("user", "erase", partner_id, USER)
    assert erased.returncode == 0, erased.stderr

    assert tables(server) == {}
    assert files(server, pages=False) == {}
    assert naming(server.log().encode()) == set()

    receipt_keys, log_keys = keys(server, "/receipts/key"), keys(server, "/log/key")
    old = verify_receipt(before, receipt_keys=receipt_keys, log_keys=log_keys)
    new = proved(server, token, where)
    after = answered(server, token, "GET", where)
    assert [json.loads(each)["personal"] for each in (before, after)] == ["held", "erased"]
    assert [each.record.sha256 for each in old.records] == [
        each.record.sha256 for each in new.records
    ][: len(old.records)]
    assert naming(before) == naming(after) == set()
    for field in ("address", "user_email", "partner_user_id", "partner_reference"):
        hidden = server.run("tx", "disclose", person.name, "--field", field)
        assert (hidden.returncode, hidden.stdout) == (1, "")
        assert "erased" in hidden.stderr
    followed = {"merchant_transaction_id": person.name, "token": person.link}
    assert naming(json.dumps(page(server, "/r/api/receipt", followed)).encode()) == set()

    cluster = EmbeddedCluster(server.data_dir)
    asyncio.run(as_superuser(cluster, "VACUUM FULL", "CHECKPOINT", database="proof"))
    assert files(server, pages=True) == {}

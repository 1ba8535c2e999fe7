"""What the client sends, where it refuses to go, and how it fails."""

import asyncio
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.support.certificates import ADDRESS, certificate
from tests.support.receiver import Receiver, Reply

from proof.outbound import (
    InvalidTargetError,
    OutboundClient,
    OutboundError,
    OutboundPolicy,
    OutboundReply,
    Reason,
)

LOOPBACK = OutboundPolicy((ip_network("127.0.0.0/8"),))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as item:
        yield item


def call(
    body: Callable[[OutboundClient], Awaitable[Any]], policy: OutboundPolicy = LOOPBACK, **how: Any
) -> Any:
    async def run() -> Any:
        client = OutboundClient(policy, **how)
        try:
            return await body(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


def post(url: str, policy: OutboundPolicy = LOOPBACK, **how: Any) -> OutboundReply:
    reply: OutboundReply = call(lambda client: client.post(url, b"{}", {}), policy, **how)
    return reply


def failure(url: str, policy: OutboundPolicy = LOOPBACK, **how: Any) -> Reason:
    with pytest.raises(OutboundError) as error:
        post(url, policy, **how)
    assert "secret" not in f"{error.value!r} {error.value}"
    return error.value.reason


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names lead to these addresses, another list at each lookup, the last for ever."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_sends_the_bytes_and_headers_it_is_given_and_no_others(receiver: Receiver) -> None:
    url, started = receiver.url("/a%2Fb?token=%20x"), time.monotonic()
    reply = call(lambda client: client.post(url, b'{"a": 1}', {"x-one": "1", "user-agent": "P"}))
    (request,) = receiver.requests
    assert (request.path, request.body) == ("/a%2Fb?token=%20x", b'{"a": 1}')
    assert request.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "x-one": "1",
        "user-agent": "P",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": "8",
        "content-type": "application/octet-stream",
    }
    assert (reply.status, reply.body, reply.truncated) == (200, b"", False)
    assert 0 < reply.elapsed_s <= time.monotonic() - started


def test_a_redirect_is_the_reply(receiver: Receiver) -> None:
    receiver.script(Reply(302, headers={"location": receiver.url("/other")}))
    assert post(receiver.url()).status == 302
    assert [request.path for request in receiver.requests] == ["/"]


def test_no_proxy_and_no_netrc_of_the_environment(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(receiver.url()).status == 200
    assert "authorization" not in receiver.requests[0].headers


def test_cookies_are_not_kept(receiver: Receiver) -> None:
    receiver.script(Reply(headers={"set-cookie": "a=b"}))

    async def twice(client: OutboundClient) -> None:
        await client.post(receiver.url(), b"", {})
        await client.post(receiver.url(), b"", {})

    call(twice)
    assert "cookie" not in receiver.requests[1].headers


@pytest.mark.parametrize(
    ("size", "truncated"), [(99, False), (100, False), (101, True), (10**6, True)]
)
def test_a_body_is_read_up_to_the_cap(receiver: Receiver, size: int, truncated: bool) -> None:
    receiver.script(Reply(500, body=b"x" * size))
    reply = post(receiver.url(), max_response_bytes=100)
    assert reply.status == 500
    assert (len(reply.body), reply.truncated) == (min(size, 100), truncated)


def test_a_compressed_body_is_not_unpacked(receiver: Receiver) -> None:
    bomb = zlib.compress(bytes(10**6))
    receiver.script(Reply(body=bomb, headers={"content-encoding": "deflate"}))
    assert post(receiver.url()).body == bomb


def test_a_status_counts_when_the_body_stalls(receiver: Receiver) -> None:
    receiver.script(otherwise=Reply(204 + 1, body=b"late", body_delay_s=300))
    reply = None
    # The first of these within which even the status came.
    for timeout_s in (0.3, 3, 30):
        with suppress(OutboundError):
            reply = post(receiver.url(), timeout_s=timeout_s)
            break
    assert reply is not None
    assert (reply.status, reply.body, reply.truncated) == (205, b"", True)


def test_no_answer_in_time(receiver: Receiver) -> None:
    receiver.script(Reply(delay_s=300))
    assert failure(receiver.url("/?secret"), timeout_s=0.3) is Reason.TIMEOUT


def test_a_dropped_connection(receiver: Receiver) -> None:
    receiver.script(Reply(drop=True))
    assert failure(receiver.url("/?secret")) is Reason.PROTOCOL


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/?secret") is Reason.CONNECT


def test_something_that_speaks_no_http() -> None:
    async def run() -> Reason:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = OutboundClient(LOOPBACK)
        try:
            with pytest.raises(OutboundError) as error:
                await client.post(f"http://127.0.0.1:{port}/", b"", {})
        finally:
            await client.aclose()
            server.close()
            await server.wait_closed()
        return error.value.reason

    assert asyncio.run(run()) is Reason.PROTOCOL


def test_a_name_without_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert failure("https://nowhere.example/?secret") is Reason.DNS


def test_a_url_the_policy_refuses_is_not_called() -> None:
    with pytest.raises(InvalidTargetError):
        post("http://example.com/")


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1", "169.254.169.254"],
        ["::1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],
    ],
    ids=" ".join,
)
def test_a_name_that_leads_inside(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    resolve_to(monkeypatch, addresses)
    assert failure("https://inside.example/?secret", OutboundPolicy()) is Reason.ADDRESS


def test_dns_rebinding_between_check_and_dial(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is public when looked up first and leads to loopback when it is dialled."""
    asked = resolve_to(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    policy = OutboundPolicy()
    found = socket.getaddrinfo("rebind.example", receiver.port)
    policy.check_address(str(found[0][4][0]), 443)
    assert failure("https://rebind.example/", policy) is Reason.ADDRESS
    assert asked == ["rebind.example", "rebind.example"]
    assert receiver.requests == []


def test_a_name_over_an_opened_network_needs_tls(receiver: Receiver) -> None:
    with pytest.raises(InvalidTargetError, match="use https"):
        post(f"http://receiver.example:{receiver.port}/")


def test_localhost_reaches_the_opened_address_past_a_closed_one(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, ["::1", "127.0.0.1"])
    assert post(f"http://localhost:{receiver.port}/").status == 200


def test_many_addresses_are_not_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled: list[str] = []

    class Watching(OutboundPolicy):
        __slots__ = ()

        def check_address(self, ip: str, port: int) -> None:
            dialled.append(ip)
            super().check_address(ip, port)

    resolve_to(monkeypatch, [f"10.0.0.{n}" for n in range(1, 255)])
    failure("https://many.example/", Watching())
    assert set(dialled) == {f"10.0.0.{n}" for n in range(1, 9)}


def test_tls_by_an_authority_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = certificate(tmp_path, ADDRESS)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with Receiver(context) as receiver:
        assert post(receiver.url()).status == 200


def test_the_systems_authorities_are_read_once_for_all_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, authority = certificate(tmp_path, ADDRESS)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with Receiver(context) as receiver:
        assert post(receiver.url()).status == 200
        authority.unlink()
        authority.touch()
        assert post(receiver.url()).status == 200


def test_tls_by_an_unknown_authority(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path, ADDRESS)
    with Receiver(context) as receiver:
        assert failure(receiver.url("/?secret")) is Reason.TLS
        assert receiver.requests == []


def test_tls_for_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = certificate(tmp_path, x509.DNSName("other.example"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with Receiver(context) as receiver:
        assert failure(receiver.url()) is Reason.TLS


def test_tls_to_a_port_that_speaks_none(receiver: Receiver) -> None:
    assert failure(receiver.url().replace("http://", "https://")) is Reason.TLS

"""Installs what the tests start besides Proof, before a test's time limit runs."""

from tests.support.tools import aics, anvil, bitcoind, chromium, openssl, ots_clients

openssl.install()
chromium.install()
bitcoind.command()
anvil.command()
ots_clients.javascript()
ots_clients.otskit()
aics.python()

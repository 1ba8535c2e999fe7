"""Installs what the tests start besides Proof, before a test's time limit runs."""

from tests.support.tools import anvil, bitcoind, openssl
from tests.support.tools.chromium import chromium

openssl.install()
chromium()
bitcoind.command()
anvil.command()

"""What the sandbox of a new partner begins with, so that it works at once.

Nobody holds a key to these wallets: each address is made from 20 bytes of a SHA-256 of its own name.
"""

from proof.partners.records.types import EnvironmentRecord, Wallet
from proof.partners.wallets import ChainNetwork

_ADDRESSES = {
    ChainNetwork.TRC20: "TNXcYBwoZdPsAkAExZTfKFP6shBeh4W4Rf",
    ChainNetwork.ERC20: "0x00702E5Ed1Fe0133A311f8773072988A8806C48F",
    ChainNetwork.BEP20: "0x558dD0129671105240A68259f7e78164A12e07ef",
    ChainNetwork.BTC: "mhWseBucNgyoygMNkruJXEMTjaF5ZwZ252",
    ChainNetwork.ETH: "0x1B4239394926d24d9062c4648806F3807da9bFDf",
}
_PAIRS = (
    ("USDT", ChainNetwork.TRC20),
    ("USDT", ChainNetwork.ERC20),
    ("USDT", ChainNetwork.BEP20),
    ("BTC", ChainNetwork.BTC),
    ("ETH", ChainNetwork.ETH),
)

NEW_SANDBOX = EnvironmentRecord(
    currencies=("USDT", "BTC", "ETH"),
    networks=tuple(str(network) for _, network in _PAIRS),
    wallets=tuple(
        Wallet(currency, str(network), _ADDRESSES[network]) for currency, network in sorted(_PAIRS)
    ),
)

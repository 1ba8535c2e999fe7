"""The widget's files as they are served: named by their content, compressed once at the start."""

import gzip
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256, sha384
from importlib.resources import files
from importlib.resources.abc import Traversable

from proof.ramp.providers.registry import providers

LOADER = "widget.2.0.js"
_FOLDER = files("proof.web.widget")
_NAME_DIGITS = 16
_KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, the same gzipped, and its media type."""

    body: bytes
    gzipped: bytes
    content_type: str

    @property
    def integrity(self) -> str:
        """For the `integrity` attribute (Subresource Integrity, section 3.5)."""
        return "sha384-" + b64encode(sha384(self.body).digest()).decode()


@cache
def loader() -> Asset:
    """The script partners put on their pages."""
    return _asset(_FOLDER.joinpath(LOADER))


@cache
def loader_path() -> str:
    """The loader's address that never changes its content: `/widget.2.0.<hash>.js`."""
    return f"/widget.2.0.{_hash(loader().body)}.js"


@cache
def static() -> Mapping[str, Asset]:
    """The hosted page's files by their path in the folder: `main.js`, `i18n/en.json`; and what opens the
    widget of each provider that has one of its own: `provider/<name>.js`."""
    return dict(sorted([*_walk(_FOLDER.joinpath("static"), ""), *_openers()]))


@cache
def release() -> str:
    """A name for all of `static` together: modules name each other by relative path, so they change
    their address together."""
    everything = sha256()
    for name, asset in static().items():
        everything.update(f"{name}:{len(asset.body)}:".encode() + asset.body)
    return everything.hexdigest()[:_NAME_DIGITS]


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Asset]]:
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path, f"{prefix}{path.name}/")
        elif _extension(path.name) in _KINDS:
            yield prefix + path.name, _asset(path)


def _openers() -> Iterator[tuple[str, Asset]]:
    for name, provider in providers().items():
        if provider.widget is not None:
            yield f"provider/{name}.js", _asset(provider.widget.opener)


def _asset(file: Traversable) -> Asset:
    body = file.read_bytes()
    return Asset(body, gzip.compress(body, 9, mtime=0), _KINDS[_extension(file.name)])


def _extension(name: str) -> str:
    return "." + name.rpartition(".")[2]


def _hash(body: bytes) -> str:
    return sha256(body).hexdigest()[:_NAME_DIGITS]

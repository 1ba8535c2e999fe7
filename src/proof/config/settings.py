"""Read settings: the default file, then PROOF_<NAME> from the environment."""

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from proof.core.errors import ProofError
from proof.partners.types import Environment, Network

# `a@b.example` or `Name <a@b.example>`.
_SENDER = re.compile(r"[^@\s<>,]+@[^@\s<>,]+|[^<>,\r\n]+<[^@\s<>,]+@[^@\s<>,]+>")
# The beginning of a message about one setting.
_SETTING = re.compile(r"setting (\w+)")
_ADDRESS = re.compile(r"[^@\s<>,]+@[^@\s<>,]+")
_CALENDAR = re.compile(r"[A-Za-z0-9\-._/:]{1,1000}")
_DEFAULTS = Path(__file__).with_name("defaults.toml")
_LONGEST_SIGNING_KEY_DAYS = 366
# A cosigner's name, which adds to it, has at most 255 (c2sp.org/tlog-cosignature).
_LONGEST_ORIGIN_BYTES = 200
_LONGEST_DELAY_S = 30 * 24 * 3600
_KEY_SOURCES = ("key_encryption_key_file", "key_encryption_key", "key_encryption_key_command")


class SettingsError(ProofError):
    """A setting is unknown, malformed or not allowed in this mode; the message says which."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings as `defaults.toml` explains them, checked and resolved."""

    mode: Literal["development", "live"]
    data_dir: Path
    host: str
    port: int
    public_url: str
    sandbox_public_url: str
    trusted_proxies: tuple[str, ...]
    processes: int
    refusals_days: int
    database_url: str
    database_owner_url: str
    key_encryption_key_file: str
    key_encryption_key: str
    key_encryption_key_command: str
    key_encryption_key_previous_files: tuple[str, ...]
    signing_key_days: int
    unsafe_outbound_networks: tuple[str, ...]
    webhook_schedule_s: tuple[float, ...]
    webhook_disable_after_days: int
    payload_days: int
    smtp_host: str
    smtp_port: int
    smtp_security: Literal["starttls", "tls", "none"]
    smtp_sender: str
    operator_email: str
    smtp_user: str
    smtp_password_file: str
    calendar_url: str
    tsa_enabled: bool
    tsa_certificate_file: str
    tsa_key_file: str
    tsa_policy: str
    tsa_accuracy_ms: int
    anonymous_calls_per_minute: int
    anonymous_calls_per_second: int
    client_ip_days: int
    callback_days: int
    chains_file: str
    log_origin: str
    log_policy_file: str
    sandbox_log_policy_file: str

    def __repr__(self) -> str:
        return f"Settings(mode={self.mode!r}, data_dir={str(self.data_dir)!r})"

    def base_url(self, environment: Environment) -> str:
        """Where an environment's API starts, without a trailing slash."""
        # A URL names a host; an address one listens on everywhere is no name.
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        production = (self.public_url or f"http://{host}:{self.port}").rstrip("/")
        if environment is Environment.PRODUCTION:
            return production
        return (self.sandbox_public_url or f"{production}/sandbox").rstrip("/")

    def origin_of_log(self, environment: Environment) -> str:
        """The log's name at its first start."""
        parts = urlsplit(self.base_url(Environment.PRODUCTION))
        production = self.log_origin or f"{parts.netloc}{parts.path}/log"
        return production if environment is Environment.PRODUCTION else f"{production}/sandbox"

    def log_policy(self, environment: Environment) -> str:
        """The policy file of an environment's log; `none`, or empty where nothing is said."""
        if environment is Environment.SANDBOX and self.sandbox_log_policy_file:
            return self.sandbox_log_policy_file
        return self.log_policy_file

    def key_sources(self) -> list[str]:
        """The settings that give the key-encryption key; at most one."""
        return [name for name in _KEY_SOURCES if getattr(self, name)]

    def proxies(self) -> tuple[Network, ...]:
        return _networks("trusted_proxies", self.trusted_proxies)

    def opened_networks(self) -> tuple[Network, ...]:
        return _networks("unsafe_outbound_networks", self.unsafe_outbound_networks)


def load_settings(environment: Mapping[str, str], **overrides: object) -> Settings:
    """Settings from the defaults, the environment and a command's own options (None: not given).

    Raises SettingsError.
    """
    values: dict[str, Any] = tomllib.loads(_DEFAULTS.read_text())
    for name, default in values.items():
        given = environment.get(f"PROOF_{name.upper()}")
        if given is not None:
            values[name] = _split(given) if isinstance(default, list) else given
    options = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = _converted(values | options)
        _check(settings)
    except SettingsError as error:
        raise SettingsError(_with_variable(error.message, environment, options)) from None
    return msgspec.structs.replace(settings, data_dir=absolute("data_dir", settings.data_dir))


def absolute(name: str, path: Path) -> Path:
    """The path that a setting gives, from this folder and this user's home. Raises SettingsError."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        said = "its user has no home; write the path from / on"
    except OSError:
        said = "this folder is gone; write the path from / on, or go to another folder"
    raise SettingsError(f"setting {name}: {path}: {said}")


def known_variables() -> list[str]:
    """The environment variables that are settings."""
    return [f"PROOF_{name.upper()}" for name in tomllib.loads(_DEFAULTS.read_text())]


def default_processes() -> int:
    """Half the cores this process may use, at least one."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _converted(values: Mapping[str, Any]) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=decode_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"setting {_name_in(str(error))}: {error}") from None


def _with_variable(
    message: str, environment: Mapping[str, str], options: Mapping[str, object]
) -> str:
    """A message about a setting that came from the environment, naming its variable too."""
    found = _SETTING.match(message)
    if found is None or found[1] in options:
        return message
    variable = f"PROOF_{found[1].upper()}"
    return (
        f"{found[0]} ({variable}){message[found.end() :]}" if variable in environment else message
    )


def _check(settings: Settings) -> None:
    # Trusting everybody's X-Forwarded-For lets every caller choose the address it is seen under.
    if any(network.prefixlen == 0 for network in settings.proxies()):
        raise SettingsError(
            "setting trusted_proxies (PROOF_TRUSTED_PROXIES): /0 would believe every caller;"
            " name the proxies' own addresses"
        )
    settings.opened_networks()
    if not 0 <= settings.port < 1 << 16:
        raise SettingsError(f"setting port: {settings.port} is not a port")
    for name in ("public_url", "sandbox_public_url"):
        _check_url(name, getattr(settings, name))
    _check_origin(settings)
    if len(settings.key_sources()) > 1:
        raise SettingsError(f"only one of {' and '.join(settings.key_sources())} may be set")
    if not 1 <= settings.signing_key_days <= _LONGEST_SIGNING_KEY_DAYS:
        raise SettingsError(f"setting signing_key_days: {settings.signing_key_days} is no lifetime")
    if settings.refusals_days < 1:
        raise SettingsError(
            f"setting refusals_days: {settings.refusals_days} is no time to keep them"
        )
    _check_webhooks(settings)
    _check_mail(settings)
    _check_open_to_anybody(settings)
    if settings.mode == "live":
        _check_live(settings)


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if url and (not whole or parts.query or parts.fragment or "@" in parts.netloc):
        raise SettingsError(f"setting {name}: {url!r} is not an http(s) URL of host and path")


def _check_origin(settings: Settings) -> None:
    origin = settings.origin_of_log(Environment.PRODUCTION)
    if not origin.isprintable() or " " in origin or "+" in origin:
        raise SettingsError(
            f"setting log_origin: {origin!r} names no log, for it has a space, a plus sign or a control"
            " character; without it the log is named after public_url"
        )
    if len(origin.encode()) > _LONGEST_ORIGIN_BYTES:
        raise SettingsError(
            f"setting log_origin: {origin[:40]!r}… has over {_LONGEST_ORIGIN_BYTES} bytes, more than its"
            " cosigner's name has room for; choose a shorter one"
        )


def _check_webhooks(settings: Settings) -> None:
    first, *later = settings.webhook_schedule_s or (1,)
    if first != 0 or not all(0 <= delay <= _LONGEST_DELAY_S for delay in later):
        raise SettingsError(
            "setting webhook_schedule_s: it begins with 0, and each delay is at most 30 days"
        )
    for name in ("webhook_disable_after_days", "payload_days", "client_ip_days", "callback_days"):
        if getattr(settings, name) < 1:
            raise SettingsError(f"setting {name}: it is at least 1")


def _check_mail(settings: Settings) -> None:
    if not 0 < settings.smtp_port < 1 << 16:
        raise SettingsError(f"setting smtp_port: {settings.smtp_port} is not a port")
    if settings.smtp_host and not _SENDER.fullmatch(settings.smtp_sender):
        raise SettingsError(
            f"setting smtp_sender: {settings.smtp_sender!r} is not an address to send mail from"
        )
    if settings.operator_email and not _ADDRESS.fullmatch(settings.operator_email):
        raise SettingsError(
            f"setting operator_email: {settings.operator_email!r} is not an address to send mail to"
        )
    if bool(settings.smtp_user) != bool(settings.smtp_password_file):
        raise SettingsError("setting smtp_user: it goes together with smtp_password_file")


def _check_open_to_anybody(settings: Settings) -> None:
    _check_url("calendar_url", settings.calendar_url)
    if settings.calendar_url and not _CALENDAR.fullmatch(settings.calendar_url):
        raise SettingsError(
            f"setting calendar_url: {settings.calendar_url!r} has other characters than letters, digits"
            " and - . _ / : which OpenTimestamps clients do not take, or over 1,000"
        )
    if bool(settings.tsa_certificate_file) != bool(settings.tsa_key_file):
        raise SettingsError("setting tsa_certificate_file: it goes together with tsa_key_file")
    for name in ("tsa_accuracy_ms", "anonymous_calls_per_minute", "anonymous_calls_per_second"):
        if getattr(settings, name) < 1:
            raise SettingsError(f"setting {name}: it is at least 1")


def _is_here(host: str) -> bool:
    return host in {"localhost", "127.0.0.1", "::1"}


def _check_live(settings: Settings) -> None:
    problems = [
        f"{name} must be an https URL"
        for name in ("public_url", "sandbox_public_url")
        if not (getattr(settings, name) or settings.base_url(Environment.SANDBOX)).startswith(
            "https:"
        )
    ]
    if not settings.key_sources():
        problems.append(f"one of {', '.join(_KEY_SOURCES)} must give the operator's own key")
    if settings.smtp_host and settings.smtp_security == "none" and not _is_here(settings.smtp_host):
        problems.append("smtp_security must be starttls or tls for a relay elsewhere")
    if settings.tsa_enabled and not settings.tsa_certificate_file:
        problems.append(
            "tsa_certificate_file and tsa_key_file must be given, or tsa_enabled be off"
        )
    if settings.unsafe_outbound_networks:
        problems.append("unsafe_outbound_networks must be empty")
    if settings.database_url and not settings.log_policy_file:
        problems.append(
            "log_policy_file must name the policy of the log's witnesses, for several machines can write to"
            " that database, or be none"
        )
    if problems:
        raise SettingsError("mode live refuses to start: " + "; ".join(problems))


def _networks(name: str, texts: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(map(ip_network, texts))
    except ValueError as error:
        raise SettingsError(f"setting {name}: {error}") from None


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def decode_path(wanted: type, value: object) -> object:
    if wanted is Path:
        return Path(str(value))
    raise NotImplementedError(f"no setting is a {wanted}")


def _name_in(message: str) -> str:
    _, found, name = message.rpartition("$.")
    return name.rstrip("`") if found else "values"

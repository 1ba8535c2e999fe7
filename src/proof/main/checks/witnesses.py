"""Whether the witnesses of the policies can be asked, sign for our logs, and are others than we."""

import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from proof.cli.installation import Finding
from proof.config import Settings
from proof.config.log_policy import load_log_policy
from proof.core.clock import SystemClock
from proof.core.errors import ProofError
from proof.db import Database
from proof.main.parts import database as databases
from proof.partners.types import Environment
from proof.timestamps.anchors.log import queries
from proof.timestamps.anchors.log.cosigning import WitnessClient, WitnessError
from proof.timestamps.anchors.log.keys import Proposal, public_keys
from proof.timestamps.anchors.log.quorum import Witnesses
from proof.timestamps.anchors.log.service import StoredHistory
from proof.verify.evidence.log.checkpoint import parse_checkpoint_body
from proof.verify.evidence.log.note import parse_note, signature_line, signed_note
from proof.verify.evidence.log.policy import Policy

_HERE = "localhost"


def policies(settings: Settings) -> dict[Environment, Policy]:
    """Those with witnesses. Raises SettingsError."""
    found = {environment: load_log_policy(settings, environment) for environment in Environment}
    return {each: policy for each, policy in found.items() if policy and policy.quorum}


async def witness_findings(settings: Settings) -> AsyncIterator[Finding]:
    """Each witness of each log. It may be started after us, so none that is away is a problem yet."""
    try:
        wanted = policies(settings)
    except ProofError:
        # What the file says wrong is a finding of its own.
        return
    for environment, policy in wanted.items():
        for url, problem in (await _asked(settings, environment, policy)).items():
            subject = f"{environment} witness"
            if problem is None:
                yield Finding(subject, "ok", f"{url} is there")
            else:
                said = problem if url in problem else f"the witness {url}: {problem}"
                yield Finding(subject, "warning", said)


async def _asked(
    settings: Settings, environment: Environment, policy: Policy
) -> Mapping[str, str | None]:
    """Why each witness does not cosign the newest checkpoint, which is published already; None where it
    does, or answers and there is no checkpoint yet."""
    try:
        async with databases.opened(settings) as database:
            return await _cosigning(database, environment, policy)
    except (ProofError, LookupError):
        # There is no database yet, or what is wrong with it is told elsewhere.
        return await _answering(policy)


async def _cosigning(
    database: Database, environment: Environment, policy: Policy
) -> Mapping[str, str | None]:
    async with database.connection() as connection:
        log = await queries.head(connection, environment)
        newest = await queries.newest_checkpoint(connection, log.log_id)
        key = (await public_keys(connection, log.log_id))[0]
        known = await queries.witnesses(connection, log.log_id)
    if newest is None:
        return await _answering(policy)
    note = parse_note(newest["note"].encode())
    body = parse_checkpoint_body(note.body)
    own = [
        signature_line(line.name, line.key_hash, line.payload)
        for line in note.signatures
        if (line.name, line.key_hash) == (key.name, key.key_hash)
    ]
    proposal = Proposal(body.origin, body.size, body.root, note.body, signed_note(note.body, own))
    witnesses = Witnesses(policy, key, SystemClock())
    witnesses.recall(known)
    try:
        return await witnesses.problems(proposal, StoredHistory(database, log.log_id))
    finally:
        await witnesses.close()


async def _answering(policy: Policy) -> Mapping[str, str | None]:
    found: dict[str, str | None] = {}
    for url in dict.fromkeys(witness.url or "" for witness in policy.witnesses):
        client = WitnessClient(url)
        try:
            await client.reach()
        except WitnessError as error:
            found[url] = error.message
        else:
            found[url] = None
        finally:
            await client.close()
    return found


def shared_hosts(settings: Settings) -> Iterator[Finding]:
    """Witnesses that are restored, or fail, together with us or with each other."""
    try:
        wanted = policies(settings)
    except ProofError:
        return
    ours = {_HERE} | _addresses(urlsplit(settings.base_url(Environment.PRODUCTION)).hostname or "")
    ours |= _addresses(socket.gethostname())
    for environment, policy in wanted.items():
        seen: dict[str, str] = {}
        for url in dict.fromkeys(witness.url or "" for witness in policy.witnesses):
            addresses = _addresses(urlsplit(url).hostname or "")
            subject = f"{environment} witness"
            if addresses & ours:
                said = (
                    f"{url} is on the machine of Proof, and is restored with it; let others run it"
                )
                yield Finding(subject, "warning", said)
            elif other := next((seen[each] for each in addresses if each in seen), None):
                said = f"{url} and {other} share a machine, so they may lose their memory together"
                yield Finding(subject, "warning", said)
            seen |= dict.fromkeys(addresses, url)


def _addresses(host: str) -> set[str]:
    """What a host is known by: its addresses, or its name if it has none now."""
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return {host}
    return {_HERE if ip_address(each.partition("%")[0]).is_loopback else each for each in found}

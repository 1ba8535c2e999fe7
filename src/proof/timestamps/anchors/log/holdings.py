"""What witnesses hold of a log, asked outside publishing.

Source: c2sp.org/tlog-witness as of 055270b5928827a49ee84620903e141c2e97d79f.
"""

import asyncio
from collections.abc import Mapping, Sequence

from proof.timestamps.anchors.log.cosigning import WitnessClient, WitnessError
from proof.timestamps.anchors.log.final import Held
from proof.verify.evidence.log.policy import Policy


async def ask_witnesses(policy: Policy, origin: str) -> tuple[Sequence[Held], Mapping[str, str]]:
    """What each witness of a policy with URLs holds of a log; by the policy's names, why those do not say
    it that are not among them."""
    names: dict[str, tuple[str, ...]] = {}
    for witness in policy.counted():
        url = witness.url or ""
        names[url] = (*names.get(url, ()), witness.name)
    answers = await asyncio.gather(*(_ask(url, origin) for url in names))
    held: list[Held] = []
    unanswered: dict[str, str] = {}
    for found, answer in zip(names.values(), answers, strict=True):
        if isinstance(answer, WitnessError):
            unanswered |= dict.fromkeys(found, answer.message)
        else:
            held.append(Held(found, answer))
    return held, unanswered


async def _ask(url: str, origin: str) -> bytes | WitnessError | None:
    client = WitnessClient(url)
    try:
        return await client.checkpoint(origin)
    except WitnessError as error:
        return error
    finally:
        await client.close()

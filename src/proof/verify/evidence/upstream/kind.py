"""An upstream's proof as a kind of evidence. What there is to trust is named for the evidence inside it."""

from proof.verify.evidence.kinds import EvidenceKind
from proof.verify.evidence.upstream.evidence import TYPE, verify_upstream
from proof.verify.evidence.upstream.report import upstream_facts, upstream_steps, upstream_witness

KIND = EvidenceKind(
    type=TYPE,
    verify=verify_upstream,
    facts=upstream_facts,
    steps=upstream_steps,
    witness=upstream_witness,
)

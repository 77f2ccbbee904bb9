"""Proof that nothing was changed, to anybody who holds a signed checkpoint: hash chain, Merkle tree, notes, proofs.

Pure: bytes in, bytes out. Not here: what is proved (the ledger above says what a transfer is in bytes), stores, clocks,
randomness, and where a checkpoint is published. Formats: docs/trust.md; they never change, a new one gets a new name.
"""

from siyu.trust.checkpoint import Checkpoint
from siyu.trust.disclosure import Opened, commit, commits, salt_of
from siyu.trust.invalid import ProofInvalid
from siyu.trust.note import Signer, Verifier
from siyu.trust.proof import Proof

__all__ = ["Checkpoint", "Opened", "Proof", "ProofInvalid", "Signer", "Verifier", "commit", "commits", "salt_of"]

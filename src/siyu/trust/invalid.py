"""What is said when a proof does not prove."""

from __future__ import annotations

from siyu.errors import SiyuError


class ProofInvalid(SiyuError):
    """A proof, a checkpoint or a key that does not hold; the message says which step failed."""

    code = "PROOF_INVALID"
    status = 422

"""The chain over a shard's commits: each names all before it, so that a flipped byte or a missing commit shows."""

import hashlib
from typing import Final

from domain.ports import Corrupt, Head

GENESIS: Final = Head()


def following(head: Head, payload: bytes) -> str:
    """The chain value of a commit behind `head`: SHA-256 over the value before it and its payload."""
    return hashlib.sha256(head.chain.encode() + payload).hexdigest()


def verified(head: Head, seq: int, n: int, chain: str, payload: bytes) -> Head:
    """The head after this commit. Corrupt when it does not follow `head`."""
    if n != head.n + 1 or seq <= head.seq:
        raise Corrupt(f"sequence {seq}: commit {n} follows commit {head.n} (sequence {head.seq}): the journal has a hole")
    if chain != following(head, payload):
        raise Corrupt(f"sequence {seq}: the chain value of commit {n} does not verify: the journal was changed")
    return Head(seq, n, chain)

"""The chain over a shard's commits: each names all before it, so that a flipped byte or a missing commit shows."""

import hashlib
import re
from typing import Final

from domain.order.events import Foreign
from domain.ports import Corrupt, Head, JournalEntry

GENESIS: Final = Head()
_NUMBERED: Final = re.compile(r"\d+-")


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


def is_foreign(commit_id: str, chain: str) -> bool:
    """Is this message no commit? A writer gives every commit a number and a chain value; what has either is judged by `verified`."""
    return not chain and not _NUMBERED.match(commit_id)


def number(commit_id: str) -> int:
    """The n of a commit, first part of its id; -1 (which never verifies) when it is not one of ours."""
    n = commit_id.partition("-")[0]
    return int(n) if n.isdecimal() else -1


class ChainReading:
    """A reader's place in a journal. `head` is the last commit, `at` the last message, which may be foreign."""

    def __init__(self, after: Head) -> None:
        self.head = after
        self.at = after.seq
        self._passed: Foreign | None = None

    def take(self, seq: int, commit_id: str, chain: str, payload: bytes) -> JournalEntry | Foreign:
        """The next message. A foreign one leaves the head where it is, so the commit behind it must chain across it. Corrupt."""
        self.at = seq
        if is_foreign(commit_id, chain):
            found = Foreign(seq, hashlib.sha256(payload).hexdigest())
            self._passed = self._passed or found
            return found
        try:
            self.head = verified(self.head, seq, number(commit_id), chain, payload)
        except Corrupt as trouble:
            if self._passed is None:
                raise
            raise Corrupt(f"sequence {self._passed.seq}: no commit, and the chain does not lead across it: {trouble}") from trouble
        self._passed = None
        return JournalEntry(self.head, payload)

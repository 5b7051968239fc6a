"""The hash chain over a shard's commits: each value covers all before it, so a flipped byte or a missing commit is detected."""

import hashlib
import re
from typing import Final

from domain.order.events import Foreign
from domain.ports import Corrupt, Head, JournalEntry

GENESIS: Final = Head()
_NUMBERED: Final = re.compile(r"\d+-")


def following(head: Head, payload: bytes) -> str:
    """Return the chain value of a commit behind `head`: SHA-256 over the previous value and its payload."""
    return hashlib.sha256(head.chain.encode() + payload).hexdigest()


def verified(head: Head, seq: int, n: int, chain: str, payload: bytes) -> Head:
    """Return the head after this commit. Raises Corrupt if it does not follow `head`."""
    if n != head.n + 1 or seq <= head.seq:
        raise Corrupt(f"sequence {seq}: commit {n} follows commit {head.n} (sequence {head.seq}): the journal has a gap")
    if chain != following(head, payload):
        raise Corrupt(f"sequence {seq}: the chain value of commit {n} does not verify: the journal was changed")
    return Head(seq, n, chain)


def is_foreign(commit_id: str, chain: str) -> bool:
    """Return whether a message is no commit.

    Writers give each commit a number and a chain value; a message with either goes to `verified`.
    """
    return not chain and not _NUMBERED.match(commit_id)


def number(commit_id: str) -> int:
    """Return the n of a commit, the first part of its id; -1 (which never verifies) if the id has another form."""
    n = commit_id.partition("-")[0]
    return int(n) if n.isdecimal() else -1


class ChainReading:
    """A reader's position in a journal. `head` is the last commit, `at` the last message, which may be foreign."""

    def __init__(self, after: Head) -> None:
        self.head = after
        self.at = after.seq
        self._passed: Foreign | None = None

    def take(self, seq: int, commit_id: str, chain: str, payload: bytes) -> JournalEntry | Foreign:
        """Take the next message. A foreign one leaves the head unchanged, so the commit behind it must chain across it. Raises Corrupt."""
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
            raise Corrupt(f"sequence {self._passed.seq}: no commit, and the chain does not continue across it: {trouble}") from trouble
        self._passed = None
        return JournalEntry(self.head, payload)

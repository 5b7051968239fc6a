"""Shards: the parts of the order journal. Each account is in one of them, and so are its orders and lists."""

from typing import Final

import msgspec

from domain.values import order_id_of, shard_of

SHARDS_MAX: Final = 64


class Shards(msgspec.Struct, frozen=True, gc=False):
    """How many shards there are, from 1 to SHARDS_MAX. The number is fixed when the first journal is created.

    With several shards, the first two hexadecimal digits of the id of an order or list are the shard of its account. With one shard an id
    has no such digits.
    """

    count: int = 1

    def of(self, account: str) -> int:
        """Return the shard of an account."""
        return shard_of(account, self.count) if self.count > 1 else 0

    def of_id(self, id_: str) -> int | None:
        """Return the shard that the id of an order or list names; None if it names none."""
        if self.count == 1:
            return 0
        try:
            shard = int(id_[:2], 16)
        except ValueError:
            return None
        return shard if shard < self.count and id_[:2] == f"{shard:02x}" else None

    def name(self, shard: int) -> str:
        """Return the name of a shard's tasks and checks; empty where there is only one."""
        return f"shard {shard}" if self.count > 1 else ""

    def number(self, shard: int) -> int | None:
        """Return the number under which a store keeps the rows and files of a shard; None where there is only one."""
        return shard if self.count > 1 else None

    def field(self, account: str) -> dict[str, int]:
        """Return the field of an answer that says of which shard its sequence is; nothing where there is only one."""
        return {"shard": self.of(account)} if self.count > 1 else {}

    def placed(self, account: str, id_: str) -> str:
        """Return an id, of hexadecimal digits, that names the shard of its account."""
        return id_ if self.count == 1 else f"{self.of(account):02x}{id_[2:]}"

    def order_id(self, account: str, client_order_id: str) -> str:
        """Return the order's id, derived from what the client sent, so that a repeated submit finds the same order."""
        return self.placed(account, order_id_of(account, client_order_id))


ONE_SHARD: Final = Shards()

"""The opening or closing of a session that an order is for. It is fixed when the order is submitted, and recorded with it."""

import msgspec


class Auction(msgspec.Struct, frozen=True, gc=False):
    """The order may be routed from `at` on; what is left of it expires at `ends_at`, the end of the session. Nanoseconds UTC.

    `venue`: whose session it is.
    """

    venue: str
    at: int
    ends_at: int

    def is_on(self, now_ns: int) -> bool:
        """Return whether an order may be routed for it now."""
        return self.at <= now_ns < self.ends_at

"""Headers of every answer that keep browsers from misusing it."""

from typing import Final

ALWAYS: Final = b"x-content-type-options: nosniff\r\nx-frame-options: DENY\r\n"
NOT_KEPT: Final = b"cache-control: no-store\r\n"
FIXED: Final = ALWAYS + NOT_KEPT
"""The answers are JSON about accounts: no browser or proxy may keep them, guess another type for them, or show them in a frame.

As text: uvicorn would check and join each header again in every answer, which costs 1.5 us; adding the text costs a tenth of it.
A file of a page says itself how long it is kept; then its answer has the first two only.
"""

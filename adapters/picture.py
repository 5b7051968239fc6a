"""SVG to PNG with resvg: no browser, no graphviz."""

from functools import cache
from typing import Final

import resvg_py

from domain.ports import Unavailable

FAMILIES: Final = ("DejaVu Sans", "Liberation Sans", "Noto Sans", "Arial", "Helvetica", "Segoe UI", "Ubuntu", "Roboto")
MONOSPACE: Final = ("DejaVu Sans Mono", "Liberation Mono", "Noto Sans Mono", "Menlo", "Consolas", "Courier New", *FAMILIES)


def png(svg: str, *, zoom: int = 2) -> bytes:
    """Render in light colours, `zoom` pixels a unit. Raises Unavailable without a font: resvg would silently leave out all text."""
    plain, mono = _installed(FAMILIES), _installed(MONOSPACE)
    if plain is None or mono is None:
        raise Unavailable("no font was found, so a PNG would have no text: install fonts-dejavu-core, or request svg")
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=zoom, sans_serif_family=plain, monospace_family=mono))


@cache
def _installed(families: tuple[str, ...]) -> str | None:
    """Return the first family that renders a glyph."""
    return next((family for family in families if _rendered(f'<text y="16" font-family="{family}">m</text>') != _rendered("")), None)


def _rendered(content: str) -> bytes:
    return bytes(resvg_py.svg_to_bytes(svg_string=f'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20">{content}</svg>'))

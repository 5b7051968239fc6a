"""`trade diagram`: the order state machine, drawn from the transition table that the system runs."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from apps.cli import show
from apps.cli.addresses import find
from apps.cli.client import Oms
from apps.cli.options import DataDir, PortOffset
from apps.cli.trouble import Refused, WrongUsage
from apps.diagram.diagram import Format, draw
from domain.ports import Unavailable


class Picture(StrEnum):
    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"
    PNG = "png"


DRAWN_AS: Final[dict[Picture, Format]] = {Picture.MERMAID: "mermaid", Picture.DOT: "dot", Picture.SVG: "svg", Picture.PNG: "svg"}


def diagram(
    form: Annotated[Picture | None, typer.Option("--format", "-f", help="By default from the suffix of FILE, else mermaid.")] = None,
    counts: Annotated[bool, typer.Option("--counts", help="Show the live counts of oms on states and transitions.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="By default stdout.")] = None,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Draw the order state machine. Only --counts needs a running oms."""
    picture = form or _named(output)
    if picture is Picture.PNG and output is None and sys.stdout.isatty():
        raise WrongUsage("A PNG cannot be printed to a terminal.", "Name a file: trade diagram --format png -o life.png")
    drawn = _with_counts(DRAWN_AS[picture], data_dir, port_offset) if counts else draw(DRAWN_AS[picture]).encode()
    body = _png(drawn) if picture is Picture.PNG else drawn
    if output is None:
        show.put(body)
        return
    try:
        output.write_bytes(body)
    except OSError as error:
        raise Refused(f"{output} cannot be written: {error.strerror or error}.", "Name another file with -o.") from error
    show.hint(f"{output}: {len(body)} bytes")


def _named(output: Path | None) -> Picture:
    ending = output.suffix.removeprefix(".") if output else ""
    return Picture(ending) if ending in tuple(Picture) else Picture.MERMAID


def _with_counts(drawn_as: Format, data_dir: Path | None, port_offset: int | None) -> bytes:
    with Oms(find(data_dir, port_offset)) as oms:
        return oms.get("/diagram", format=drawn_as, counts=1).body


def _png(svg: bytes) -> bytes:
    from adapters.picture import png  # late: the other formats need no renderer

    try:
        return png(svg.decode())
    except Unavailable as error:
        raise Refused(f"The PNG cannot be made: {error}.") from error

"""`trade diagram`: the machine that runs, drawn from the table that it runs on."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from apps.cli import show
from apps.cli.addresses import find
from apps.cli.client import Oms
from apps.cli.options import DataDir, PortOffset
from apps.cli.trouble import Refused, WrongUsage


class Format(StrEnum):
    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"
    PNG = "png"


def diagram(
    picture: Annotated[Format, typer.Option("--format", "-f")] = Format.MERMAID,
    counts: Annotated[bool, typer.Option("--counts", help="With the live counts of oms on states and arrows.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="Else to stdout.")] = None,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Draw the life of an order. Without --counts nothing needs to run."""
    if picture is Format.PNG and output is None and sys.stdout.isatty():
        raise WrongUsage("A PNG is not for a terminal.", "Name a file: trade diagram --format png -o life.png")
    source = Format.SVG if picture is Format.PNG else picture
    drawn = _with_counts(source, data_dir, port_offset) if counts else _plain(source)
    body = _png(drawn) if picture is Format.PNG else drawn
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(body)
    except OSError as error:
        raise Refused(f"{output} cannot be written: {error.strerror or error}.", "Name another file with -o.") from error
    show.hint(f"{output}: {len(body)} bytes")


def _with_counts(picture: Format, data_dir: Path | None, port_offset: int | None) -> bytes:
    with Oms(find(data_dir, port_offset)["oms"]) as oms:
        return _ended(oms.get("/diagram", format=picture, counts=1).body)


def _plain(picture: Format) -> bytes:
    from domain.drawing import draw

    return _ended(draw(str(picture)).encode())


def _ended(text: bytes) -> bytes:
    return text if text.endswith(b"\n") else text + b"\n"


def _png(svg: bytes) -> bytes:
    from adapters.picture import png  # late: it loads fonts

    return png(svg.decode())

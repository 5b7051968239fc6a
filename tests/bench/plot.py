"""`python -m tests.bench.plot bench.json docs/performance.svg`: latency percentiles by load, and CPU an order by process, drawn."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

PERCENTILES: Final = (("p50_ms", "P50", "#2a9d8f"), ("p90_ms", "P90", "#e9c46a"), ("p99_ms", "P99", "#e76f51"))
COLOURS: Final = {
    "unit": "#1b4965",
    "oms": "#264653",
    "nats": "#2a9d8f",
    "risk": "#8ab17d",
    "exeq": "#e9c46a",
    "live-gateway": "#f4a261",
    "projector": "#e76f51",
    "questdb": "#9d6b99",
    "valkey": "#c44569",
    "generator": "#bbbbbb",
}
WIDTH: Final = 860
ROW: Final = 26
LEFT: Final = 190
RIGHT: Final = 90


def drawn(results: list[dict[str, Any]]) -> str:
    """Two charts of bars, one above the other, as SVG."""
    latency, middle = _latency(results, 40)
    cpu, bottom = _cpu(results, middle + 50)
    style = "text{font:12px sans-serif;fill:#222}.title{font-weight:bold;font-size:14px}.number{font-size:11px;fill:#555}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 20}" viewBox="0 0 {WIDTH} {bottom + 20}">',
            f"<style>{style}</style>",
            f'<rect width="{WIDTH}" height="{bottom + 20}" fill="white"/>',
            *latency,
            *cpu,
            "</svg>",
            "",
        ]
    )


def _name(result: dict[str, Any]) -> str:
    rate = f"{result['load']}/s" if result["load"].isdecimal() else f"{result['load']}, {result['answers_per_s']}/s"
    return f"{rate}, {result['connections']} connections"


def _latency(results: list[dict[str, Any]], top: int) -> tuple[list[str], int]:
    scale = (WIDTH - LEFT - RIGHT) / max(result["p99_ms"] for result in results)
    lines = [f'<text class="title" x="10" y="{top - 16}">Submit latency in ms, from the moment an order was meant to be sent</text>']
    lines += _legend([(name, colour) for _, name, colour in PERCENTILES], top)
    at = top + 22
    for result in results:
        lines.append(f'<text x="{LEFT - 8}" y="{at + 15}" text-anchor="end">{_name(result)}</text>')
        for place, (key, _, colour) in enumerate(PERCENTILES):
            lines.append(f'<rect x="{LEFT}" y="{at + place * 7}" width="{max(result[key] * scale, 1):.1f}" height="6" fill="{colour}"/>')
        said = " / ".join(f"{result[key]:.1f}" for key, _, _ in PERCENTILES)
        lines.append(f'<text class="number" x="{LEFT + result["p99_ms"] * scale + 6:.1f}" y="{at + 19}">{said}</text>')
        at += ROW
    return lines, at


def _cpu(results: list[dict[str, Any]], top: int) -> tuple[list[str], int]:
    scale = (WIDTH - LEFT - RIGHT) / max(result["cpu_us_per_order"]["all"] for result in results)
    lines = [
        f'<text class="title" x="10" y="{top - 16}">CPU microseconds an order, by process</text>',
        *_legend(list(COLOURS.items()), top),
    ]
    at = top + 22
    for result in results:
        lines.append(f'<text x="{LEFT - 8}" y="{at + 14}" text-anchor="end">{_name(result)}</text>')
        x = float(LEFT)
        for process, colour in COLOURS.items():
            width = result["cpu_us_per_order"].get(process, 0) * scale
            lines.append(f'<rect x="{x:.1f}" y="{at}" width="{width:.1f}" height="18" fill="{colour}"><title>{process}</title></rect>')
            x += width
        lines.append(f'<text class="number" x="{x + 6:.1f}" y="{at + 14}">{result["cpu_us_per_order"]["all"]}</text>')
        at += ROW
    return lines, at


def _legend(entries: list[tuple[str, str]], y: int) -> list[str]:
    lines, x = [], 10
    for name, colour in entries:
        lines.append(f'<rect x="{x}" y="{y - 4}" width="10" height="10" fill="{colour}"/><text x="{x + 14}" y="{y + 6}">{name}</text>')
        x += 30 + 8 * len(name)
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path)
    parser.add_argument("drawing", type=Path)
    arguments = parser.parse_args()
    arguments.drawing.write_text(drawn(json.loads(arguments.measured.read_text())))

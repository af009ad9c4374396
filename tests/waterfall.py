"""A trace as a picture: a bar a span, below each other as they hang, coloured by region, to scale in time."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from tests.collector import Seen

WIDTH, LABEL, ROW, TOP = 1_100, 330, 30, 64
COLOURS: Final = ("#3564a8", "#b4552d", "#3c7d4e", "#7a4b93")
"""One a region, by name; told apart by the words beside the bars too."""


def waterfall(spans: Sequence[Seen]) -> str:
    """The spans of one trace as SVG."""
    rows = list(_below(spans, {span.id for span in spans}))
    began_ns = min(span.start_ns for span in spans)
    took_ns = max(span.end_ns for span in spans) - began_ns
    colours = dict(zip(sorted({span.region for span in spans}), COLOURS, strict=False))
    scale = (WIDTH - LABEL - 90) / took_ns
    height = TOP + ROW * len(rows) + 20
    bars = [_bar(depth, span, row, began_ns, scale, colours) for row, (depth, span) in enumerate(rows)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            f'<text x="16" y="26" font-size="16">Trace {spans[0].trace}</text>',
            *_axis(took_ns, scale, height),
            *bars,
            "</svg>",
        ]
    )


def _below(
    spans: Sequence[Seen], known: set[str], parent: str | None = None, depth: int = 0
) -> Iterator[tuple[int, Seen]]:
    """The spans below one, and below each of them theirs, by their begin."""
    for span in sorted(spans, key=lambda span: span.start_ns):
        if span.parent == parent or (parent is None and span.parent not in known):
            yield depth, span
            yield from _below(spans, known, span.id, depth + 1)


def _axis(took_ns: int, scale: float, height: int) -> Iterator[str]:
    for fifth in range(6):
        at_ns = took_ns * fifth / 5
        x = f"{LABEL + at_ns * scale:.1f}"
        yield f'<line x1="{x}" y1="{TOP - 12}" x2="{x}" y2="{height - 14}" stroke="#ddd"/>'
        yield f'<text x="{x}" y="{TOP - 18}" font-size="11" fill="#555" text-anchor="middle">{_ms(at_ns)}</text>'


def _bar(depth: int, span: Seen, row: int, began_ns: int, scale: float, colours: dict[str, str]) -> str:
    took_ns = span.end_ns - span.start_ns
    y, x, width = TOP + ROW * row, LABEL + (span.start_ns - began_ns) * scale, max(took_ns * scale, 2)
    who = escape(f"{span.role}, region {span.region}")
    return (
        f'<text x="{16 + 16 * depth}" y="{y + 14}" font-size="13">{escape(span.name)}'
        f'<tspan fill="#777" font-size="11">  {who}</tspan></text>'
        f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="15" rx="2" fill="{colours[span.region]}"/>'
        f'<text x="{x + width + 5:.1f}" y="{y + 15}" font-size="11" fill="#333">{_ms(took_ns)}</text>'
    )


def _ms(ns: float) -> str:
    return f"{ns / 1e6:,.0f} ms" if ns >= 1e7 else f"{ns / 1e6:.1f} ms"

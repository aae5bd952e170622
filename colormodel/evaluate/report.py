"""The evaluation on paper: a table in Markdown, a reliability plot in SVG, everything in JSON."""

import dataclasses
import json
from collections.abc import Sequence
from html import escape

from colormodel.evaluate.summary import Summary, TableRow
from colormodel.metrics import ReliabilityBin

_HEADER = (
    "| input | row | ΔE₀₀ | MS-SSIM | PSNR dB | colourfulness | of the truth | edge band | LPIPS "
    "| KID ×10³ | recognised | green ground | blotches | dark warmth |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)
_LEGEND = (
    "Chroma is measured under the photograph's own lightness, predicted from plain grey and from "
    "grey degraded as on old film. ΔE₀₀, edge band (a*b* error where true colours meet), LPIPS and "
    "KID: less is better; MS-SSIM of a*b*: more is. Recognised: MobileNetV2 names what it names in "
    "the original. Faults: share of road-like ground painted green; how much chroma varies where "
    "lightness does not, over the truth's; b* of dark places less the truth's."
)
_EDGE, _MARGIN, _GAP = 300, 56, 40  # of a plot, in SVG units
_COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#6d597a")


def to_json(summaries: Sequence[Summary]) -> str:
    """All figures, for programs."""
    return json.dumps([dataclasses.asdict(s) for s in summaries], indent=1, ensure_ascii=False)


def to_markdown(summaries: Sequence[Summary], *, command: str) -> str:
    """The tables, for people, with the command that makes them again."""
    parts = [f"Made by `{command}`. {_LEGEND}"]
    for summary in summaries:
        parts += [f"## {summary.title}", _table(summary.table), *_confidence_lines(summary)]
        if summary.by_source:
            parts += [f"### {summary.title}: ΔE₀₀ by source", _source_table(summary)]
    return "\n\n".join(parts) + "\n"


def reliability_svg(summaries: Sequence[Summary]) -> str:
    """Mean error by confidence: scans on the left, pixels on the right, a line a network."""
    entries = [
        (f"{summary.title}, {entry.row}, {entry.input}", entry)
        for summary in summaries
        for entry in summary.confidence
    ]
    width = 2 * (_EDGE + _MARGIN) + _GAP
    height = _EDGE + 2 * _MARGIN + 16 * len(entries)
    body = [
        _plot("scan: ΔE₀₀", [e.scans for _, e in entries], left=_MARGIN),
        _plot("pixel: a*b* error", [e.pixels for _, e in entries], left=2 * _MARGIN + _EDGE + _GAP),
    ]
    for index, (label, _) in enumerate(entries):
        y = _EDGE + 2 * _MARGIN - 4 + 16 * index
        body.append(
            f'<rect x="{_MARGIN}" y="{y - 8}" width="12" height="8" fill="{_colour(index)}"/>'
        )
        body.append(f'<text x="{_MARGIN + 18}" y="{y}">{escape(label)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(body)}</svg>\n'
    )


def _table(rows: Sequence[TableRow]) -> str:
    return "\n".join([_HEADER, *map(_line, rows)])


def _source_table(summary: Summary) -> str:
    """ΔE₀₀, and in brackets colourfulness over the truth's: a line a source, a column a row."""
    columns = [f"{row.row}, {row.input}" for row in summary.table]
    lines = [
        f"| source | photographs | {' | '.join(columns)} |",
        "|---" + "|--:" * (len(columns) + 1) + "|",
    ]
    for source, rows in summary.by_source.items():
        cells = [f"{row.ciede2000:.2f} ({row.colourfulness_ratio:.2f})" for row in rows]
        lines.append(f"| {source} | {rows[0].photographs} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _line(row: TableRow) -> str:
    cells = [
        row.input,
        row.row,
        f"{row.ciede2000:.2f}",
        f"{row.ms_ssim:.3f}",
        f"{row.psnr:.2f}",
        f"{row.colourfulness:.1f} ({row.colourfulness_difference:+.1f})",
        f"{row.colourfulness_ratio:.2f}",
        _or_dash(row.edge_band, ".2f"),
        _or_dash(row.lpips, ".4f"),
        _or_dash(None if row.kid is None else 1000 * row.kid, ".2f"),
        _or_dash(row.recognised, ".1%"),
        _or_dash(row.green_ground, ".1%"),
        _or_dash(row.blotches, ".2f"),
        _or_dash(row.dark_warmth, "+.1f"),
    ]
    return f"| {' | '.join(cells)} |"


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _confidence_lines(summary: Summary) -> list[str]:
    lines = [
        f"- {g.row} against {g.than}, {g.input}: ΔE₀₀ {g.difference.mean:+.2f}, 95 % interval "
        f"{g.difference.low:+.2f} to {g.difference.high:+.2f} (paired bootstrap)"
        for g in summary.gains
    ]
    lines += [
        f"- Confidence of {c.row}, {c.input}: rank correlation with the true error "
        f"{c.scan_correlation:.2f} by scan, {c.pixel_correlation:.2f} by pixel"
        for c in summary.confidence
    ]
    lines += [
        f"- Review threshold from {t.row}, {t.input}: {t.threshold:.3f}; {t.sent:.0%} of the scans "
        f"are below it, among them {t.found:.0%} of the worst quarter"
        for t in summary.thresholds
    ]
    return ["\n".join(lines)] if lines else []


def _plot(title: str, curves: Sequence[Sequence[ReliabilityBin]], *, left: float) -> str:
    """One plot: confidence from 0 to 1 across, error from 0 up."""
    top, bottom = _MARGIN, _MARGIN + _EDGE
    largest = max((b.error for curve in curves for b in curve), default=1.0) or 1.0
    parts = [
        f'<rect x="{left}" y="{top}" width="{_EDGE}" height="{_EDGE}" fill="none" stroke="#999"/>',
        f'<text x="{left}" y="{top - 8}">mean error by confidence, {title}</text>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = left + share * _EDGE, bottom - share * _EDGE
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{share:g}</text>')
        parts.append(
            f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{share * largest:.1f}</text>'
        )
    for index, curve in enumerate(curves):
        points = [(left + b.confidence * _EDGE, bottom - b.error / largest * _EDGE) for b in curve]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        colour = _colour(index)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    return "".join(parts)


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]

"""What people see of a fine-tuning: the table, the loss curves, a few pictures."""

import io
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from colormodel.checkpoint import Checkpoint
from colormodel.color import srgb_to_lab
from colormodel.evaluate import Photograph
from colormodel.finetune import Look
from colormodel.infer import Colorizer
from colormodel.pictures import encode_srgb, predict_map, put_colour
from tasks.finetune.judging import Judgement, Row

_WIDTH, _HEIGHT, _MARGIN = 720, 300, 48  # of the curves, in SVG units
_PICTURE_PX = 150
_GAP_PX = 4
_QUALITY = 82

Codes = NDArray[np.uint8]


def table_markdown(judgement: Judgement) -> str:
    """Table and questions, for people."""
    lines = [
        "| set | row | n | ΔE₀₀ | change, 95 % interval | MS-SSIM | colour |",
        "|---|---|--:|--:|---|--:|--:|",
        *(_line(row) for row in judgement.table),
    ]
    asked = [f"- {'✓' if check.passed else '✗'} {check.words}" for check in judgement.checks]
    return "\n".join([*(lines if judgement.table else []), "", *asked])


def look_in_words(look: Look) -> str:
    """One line of progress."""
    share = "" if look.share == 1 else f", {look.share:.0%} of the way"
    return f"step {look.step}{share}: ΔE₀₀ {look.references:.2f}, base {look.base:.2f}"


def curves_svg(looks: Sequence[Look]) -> str:
    """Three curves over the steps, each in its own scale: the loss, and both watched errors."""
    looks = [look for look in looks if look.share == 1]
    series = [
        ("loss", "#888888", [(look.step, look.loss) for look in looks if math.isfinite(look.loss)]),
        ("ΔE₀₀, references watched", "#c8553d", [(look.step, look.references) for look in looks]),
        ("ΔE₀₀, base photographs watched", "#1f6f8b", [(look.step, look.base) for look in looks]),
    ]
    last = max((look.step for look in looks), default=0) or 1
    body = [_curve(*one, last=last, place=place) for place, one in enumerate(series)]
    height = _HEIGHT + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>{"".join(body)}'
        f'<text x="{_WIDTH - _MARGIN}" y="{height - 12}" text-anchor="end">step {last}</text>'
        "</svg>\n"
    )


def example_strip(
    photographs: Sequence[Photograph], checkpoints: Mapping[str, Checkpoint], *, device: str
) -> bytes:
    """A JPEG: a row a picture; left grey, coloured by each checkpoint, and as it is."""
    colorizers = [Colorizer(checkpoint, device=device) for checkpoint in checkpoints.values()]
    rows = [_row(photograph, colorizers) for photograph in photographs]
    gap = np.full((_GAP_PX, rows[0].shape[1], 3), 255, np.uint8)
    sheet = np.concatenate([part for row in rows for part in (row, gap)][:-1])
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _line(row: Row) -> str:
    found = row.difference
    against = f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})" if found else ""
    return (
        f"| {row.set} | {row.row} | {row.pictures} | {row.ciede2000:.2f} | {against} | "
        f"{row.likeness:.3f} | {row.colourfulness:.2f} |"
    )


def _curve(
    name: str, colour: str, points: Sequence[tuple[int, float]], *, last: int, place: int
) -> str:
    values = [value for _, value in points] or [0.0]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    across = _WIDTH - 2 * _MARGIN
    line = " ".join(
        f"{_MARGIN + across * step / last:.1f},"
        f"{_MARGIN + _HEIGHT * (1 - 0.9 * (value - low) / span):.1f}"
        for step, value in points
    )
    label = f"{name}: {values[0]:.2f} to {values[-1]:.2f} (least {low:.2f}, most {high:.2f})"
    return (
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        f'<text x="{_MARGIN}" y="{16 + 14 * place}" fill="{colour}">{escape(label)}</text>'
    )


def _row(photograph: Photograph, colorizers: Sequence[Colorizer]) -> Codes:
    truth = _small(photograph.srgb)
    srgb = torch.from_numpy(truth.astype(np.float32)).permute(2, 0, 1) / 255
    lightness = srgb_to_lab(srgb)[0].clamp(0, 100).numpy()
    cells = [_coloured(lightness, None), *(_coloured(lightness, one) for one in colorizers), truth]
    gap = np.full((truth.shape[0], _GAP_PX, 3), 255, np.uint8)
    return np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)


def _small(codes: Codes) -> Codes:
    """The middle of a picture, square: rows are then of one width."""
    height, width = codes.shape[:2]
    side = min(height, width)
    box = ((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2)
    square = Image.fromarray(codes).resize(
        (_PICTURE_PX, _PICTURE_PX), Image.Resampling.LANCZOS, box
    )
    return np.asarray(square)


def _coloured(lightness: NDArray[np.float32], colorizer: Colorizer | None) -> Codes:
    if colorizer is None:
        level = (lightness / 100 * 255).round().astype(np.uint8)
        return np.repeat(level[..., None], 3, axis=2)
    guess = predict_map(colorizer, lightness)
    return encode_srgb(put_colour(guess, lightness), bits=8).astype(np.uint8)

"""A small archive to be corrected, what is said of it, and how near the files come to that."""

from pathlib import Path

import numpy as np
import pyvips
import torch
from skimage import data
from skimage.transform import resize

from colormodel.color import srgb_to_lab
from colormodel.correction import Correction
from colormodel.hints import Stroke, chroma_of
from colormodel.metrics.colour import ciede2000
from colormodel.pictures import encode_srgb
from colormodel.planes import linear_in_gamut
from tasks.ledger.records import DerivativeRow, ItemHistory
from tests.scanfiles import codes_of, write_jpeg, write_tiff

RED, BLUE, GREEN = (190.0, 40.0, 50.0), (50.0, 80.0, 170.0), (70.0, 130.0, 60.0)
HINTS = (
    Stroke(((0.35, 0.85),), RED),
    Stroke(((0.8, 0.2), (0.85, 0.25)), BLUE),
    Stroke(((0.62, 0.9),), GREEN),
)
SAID = Correction(HINTS)
#: What a person does on the correcting page: a click at shares of the picture, a colour, a wait.
CLICK = """(([x, y]) => {
  const board = document.querySelector("[data-canvas]");
  board.setPointerCapture = () => {};
  const box = document.querySelector("[data-picture]").getBoundingClientRect();
  const at = { clientX: box.left + x * box.width, clientY: box.top + y * box.height,
    bubbles: true, button: 0, pointerId: 1 };
  board.dispatchEvent(new PointerEvent("pointerdown", at));
  board.dispatchEvent(new PointerEvent("pointerup", at));
})"""
FREE = """((colour) => {
  const free = document.querySelector("[data-free]");
  free.value = colour;
  free.dispatchEvent(new Event("change"));
})"""
ANSWERED = "document.querySelector('[data-correct]')?.dataset.answered"


def write_correctable(folder: Path) -> None:
    """An astronaut as a 16-bit TIFF, and as a greyscale JPEG."""
    folder.mkdir()
    light = resize(data.astronaut(), (288, 288), anti_aliasing=True).mean(axis=2)
    write_tiff(folder / "deep.tif", codes_of(light, 16))
    write_jpeg(folder / "plain.jpg", codes_of(light[:, 40:]))


def in_use(history: ItemHistory, kind: str = "master") -> DerivativeRow:
    """Its derivative that counts."""
    (found,) = (
        one
        for one in history.derivatives
        if one.kind == kind and one.correction_id == history.item.correction_id
    )
    return found


def path_of(row: DerivativeRow) -> Path:
    """Where it lies."""
    return Path(row.store.removeprefix("file://")) / row.key


def distances(path: Path, strokes: tuple[Stroke, ...] = HINTS) -> list[float]:
    """ΔE₀₀ at each hinted point from the colour asked for, at the lightness there."""
    image = pyvips.Image.new_from_file(str(path))
    codes = image.icc_transform("srgb", depth=16, intent="relative").numpy()
    height, width, _ = codes.shape
    found = []
    for stroke in strokes:
        for x, y in stroke.points:
            here = codes[int(y * height), int(x * width)].astype(np.float32) / 65535
            lab = srgb_to_lab(torch.from_numpy(here).view(3, 1, 1))
            tone = lab[:1, 0].numpy()
            ab = np.array(chroma_of(stroke.rgb), np.float32).reshape(2, 1, 1)
            wanted = encode_srgb(linear_in_gamut(tone, ab), bits=16).astype(np.float32) / 65535
            asked = srgb_to_lab(torch.from_numpy(wanted).permute(2, 0, 1))
            found.append(float(ciede2000(lab, asked)))
    return found

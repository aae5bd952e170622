"""Makes old prints as scanners see them: toned, mounted, aged, and with what people put on them.

All work on encoded red, green and blue in [0, 1], float64 (H, W, 3), and return a new picture.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.float64]
Random = np.random.Generator

#: Colours of shadow, middle and light, of processes that tone a print.
TONES = {
    "sepia": ((40, 25, 15), (150, 116, 84), (243, 232, 209)),
    "albumen": ((62, 38, 34), (158, 122, 96), (240, 228, 190)),
    "gold": ((34, 28, 44), (128, 112, 112), (236, 228, 208)),
    "selenium": ((34, 22, 26), (122, 108, 110), (238, 234, 228)),
    "cyanotype": ((10, 28, 66), (62, 116, 170), (228, 240, 246)),
    "split": ((28, 34, 58), (134, 122, 112), (246, 232, 196)),
    "carbon green": ((18, 34, 26), (100, 122, 100), (232, 236, 214)),
    "faded": ((96, 78, 60), (176, 152, 118), (238, 224, 188)),
}
#: Colours of cards that prints are mounted on.
MOUNTS = {
    "cream": (240, 228, 198),
    "buff": (214, 186, 142),
    "brown": (112, 82, 58),
    "grey-green": (150, 156, 136),
    "slate": (92, 100, 112),
    "rose": (214, 176, 168),
}
INKS = {
    "red": (196, 40, 44),
    "violet": (112, 60, 150),
    "blue": (40, 66, 160),
    "green": (40, 130, 84),
}


def toned(picture: Picture, tone: str) -> Picture:
    """Give grey tone in [0, 1], (H, W), the colours of a process."""
    stops = np.array(TONES[tone]) / 255
    return np.stack([np.interp(picture, [0, 0.5, 1], stops[:, i]) for i in range(3)], axis=2)


def mounted(print_: Picture, mount: str, rng: Random) -> Picture:
    """Lay a print on a larger card, with its grain, its shading and a line of small print."""
    height, width = print_.shape[:2]
    top, bottom, left, right = (int(rng.uniform(0.04, 0.2) * max(height, width)) for _ in "tblr")
    size = height + top + bottom, width + left + right
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    shade = 1 + 0.03 * rng.normal() * x + 0.03 * rng.normal() * y
    grain = rng.normal(0, 0.012, size)
    card = (np.array(MOUNTS[mount]) / 255) * (shade + grain)[..., None]
    card[top : top + height, left : left + width] = print_
    canvas = Image.new("L", size[::-1], 0)
    text, font = "J. Smith & Sons, Photographers", ImageFont.load_default(max(9, bottom // 3))
    ImageDraw.Draw(canvas).text((left, top + height + bottom // 4), text, fill=255, font=font)
    return np.clip(_printed(card, np.asarray(canvas) / 255, (90, 50, 40)), 0, 1)


def stamped(picture: Picture, ink: str, rng: Random, *, share: float = 0.16) -> Picture:
    """Press an oval rubber stamp somewhere on it, *share* of its longer side wide."""
    height, width = picture.shape[:2]
    size = int(share * max(height, width))
    canvas = Image.new("L", (size, size), 0)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(max(6, size // 6))
    line = max(2, size // 22)
    draw.ellipse((line, size // 5, size - line, size - size // 5), outline=255, width=line)
    draw.text((size // 7, size * 0.42), "ARCHIVES", fill=255, font=font, stroke_width=line // 3)
    turned = np.asarray(canvas.rotate(rng.uniform(-40, 40))) / 255
    cover = np.zeros((height, width))
    top, left = rng.integers(0, max(1, height - size)), rng.integers(0, max(1, width - size))
    rows, columns = min(size, height - top), min(size, width - left)
    cover[top : top + rows, left : left + columns] = turned[:rows, :columns]
    worn = np.clip(rng.normal(0.85, 0.12, cover.shape), 0, 1)
    return _printed(picture, cover * worn, INKS[ink])


def stickered(
    picture: Picture, colour: tuple[int, int, int], *, size: float, at: tuple[float, float]
) -> Picture:
    """Stick an even patch on it, *size* of each side large, its middle *at* (down, across)."""
    height, width = picture.shape[:2]
    top, left = (
        round((one - size / 2) * side) for one, side in zip(at, (height, width), strict=True)
    )
    patched = picture.copy()
    patched[max(0, top) : top + round(size * height), max(0, left) : left + round(size * width)] = (
        np.array(colour) / 255
    )
    return patched


def annotated(picture: Picture, ink: str, rng: Random) -> Picture:
    """Write a few words by hand along its lower edge."""
    height, width = picture.shape[:2]
    canvas = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(canvas)
    size = max(6, height // 28)
    for word in range(4):
        x = np.linspace(0, 4 * size, 60)
        phase = rng.uniform(0, 6, 3)
        y = size * (0.5 * np.sin(x / size * 4 + phase[0]) + 0.4 * np.sin(x / size * 9 + phase[1]))
        left, base = width * (0.06 + 0.2 * word), height * 0.93
        points = list(zip((left + x).tolist(), (base + y).tolist(), strict=True))
        draw.line(points, fill=255, width=max(2, height // 220))
    return _printed(picture, np.asarray(canvas) / 255, INKS[ink])


def tinted(picture: Picture, rng: Random) -> Picture:
    """Paint two cheeks and lips on it with a rose glaze, as studios did."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    radius = rng.uniform(0.035, 0.06) * max(height, width)
    cy, cx = rng.uniform(0.3, 0.6) * height, rng.uniform(0.35, 0.65) * width
    cover = np.zeros((height, width))
    for dy, dx, scale in ((0, -2.2, 1.0), (0, 2.2, 1.0), (2.2, 0, 0.6)):
        away = np.hypot(y - cy - dy * radius, x - cx - dx * radius) / (scale * radius)
        cover = np.maximum(cover, np.exp(-(away**4)))
    return _printed(picture, 0.45 * cover, (236, 120, 120))


def beside_target(picture: Picture, rng: Random) -> Picture:
    """Scan it with a colour target below it, on the scanner's black bed."""
    height, width = picture.shape[:2]
    strip = np.full((max(12, height // 9), width, 3), 0.03)
    patches = [(180, 40, 50), (50, 140, 70), (40, 60, 150), (230, 200, 40), (190, 80, 150)]
    patches += [(60, 160, 190), (240, 240, 240), (128, 128, 128), (40, 40, 40)]
    patch = int(width * rng.uniform(0.5, 0.9)) // len(patches)
    for index, colour in enumerate(patches):
        left = width // 20 + index * patch
        strip[len(strip) // 6 : -len(strip) // 6, left : left + patch] = np.array(colour) / 255
    return np.concatenate([picture, strip])


def foxed(picture: Picture, rng: Random) -> Picture:
    """Strew brown spots over it, and a tideline of damp."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    cover = np.zeros((height, width))
    for _ in range(25):
        cy, cx, radius = rng.uniform(0, 1, 3) * (height, width, 0.012 * max(height, width))
        cover = np.maximum(cover, np.exp(-(((y - cy) ** 2 + (x - cx) ** 2) / (radius + 1) ** 2)))
    tide = np.hypot(y - rng.uniform(0, height), x) / max(height, width)
    cover = np.maximum(0.6 * cover, 0.35 * np.exp(-(((tide - 0.4) / 0.02) ** 2)))
    return _printed(picture, cover, (178, 132, 84))


def yellowed(picture: Picture, rng: Random) -> Picture:
    """Fade it unevenly: yellow and lighter towards its edges, and to one side."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    away = np.clip(np.maximum(np.abs(x), np.abs(y)) ** 4 + 0.3 * rng.normal() * x, 0, 1)
    cover = (rng.uniform(0.4, 0.8) * away)[..., None]
    paper = np.array([0.90, 0.80, 0.56])
    return (
        picture * (1 - cover)
        + (0.35 * picture + 0.65 * paper) * cover * 0.5
        + (picture * paper * cover * 0.5)
    )


def mirrored(picture: Picture, rng: Random) -> Picture:
    """Let silver come out along its edges: a bluish sheen on the shadows."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    edge = np.clip(np.maximum(np.abs(x), np.abs(y)) ** 6, 0, 1) * rng.uniform(0.4, 0.8)
    dark = (1 - picture.mean(axis=2)) ** 2
    cover = (edge * dark)[..., None]
    return picture * (1 - cover) + np.array([0.56, 0.60, 0.68]) * cover


def moulded(picture: Picture, rng: Random) -> Picture:
    """Let mould of several colours grow over much of it, in spots with sharp edges."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    for _ in range(40):
        cy, cx, radius = rng.uniform((0, 0, 0.04), (1, 1, 0.12)) * (height, width, width)
        cover = 0.8 * np.exp(-((np.hypot(y - cy, x - cx) / radius) ** 8))
        colour = ((110, 140, 100), (160, 110, 140), (90, 90, 120), (200, 150, 60))[rng.integers(4)]
        picture = _printed(picture, cover, colour)
    return picture


def fringed(picture: Picture, by: int = 1) -> Picture:
    """Let the scanner's three colours miss one another by some pixels."""
    red, green, blue = np.moveaxis(picture, 2, 0)
    return np.stack([np.roll(red, by, 0), green, np.roll(blue, -by, 1)], axis=2)


#: What ages a print, and is no colour that anybody meant.
AGEING: dict[str, Callable[[Picture, Random], Picture]] = {
    "foxed": foxed,
    "yellowed": yellowed,
    "mirrored": mirrored,
    "fringed": lambda picture, _: fringed(picture),
}


def _printed(picture: Picture, cover: Picture, colour: tuple[int, int, int]) -> Picture:
    """Lay a transparent ink over a picture, where *cover*, (H, W), says."""
    dyed = picture * (0.25 + 0.75 * np.array(colour) / 255) * (np.array(colour) / 255) ** 0.5
    return picture * (1 - cover[..., None]) + dyed * cover[..., None]

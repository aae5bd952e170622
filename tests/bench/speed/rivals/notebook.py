"""A notebook: one scan after the other."""

from pathlib import Path

from colormodel.infer import Colorizer
from tests.bench.speed.rivals.steps import decode, encode, load_network, predict


def colour_all(paths: list[Path], out: Path, colorizer: Colorizer | None = None) -> None:
    """Colour scans one after the other."""
    colorizer = colorizer or load_network()
    out.mkdir(parents=True, exist_ok=True)
    for path in paths:
        lab, small = decode(str(path), colorizer.checkpoint.network_px)
        (chroma,) = predict(colorizer, [small])
        encode(str(path), lab, chroma, str(out))

"""Films for tests that are about nights, orders and the desk: small, of several shots."""

from pathlib import Path

from tests.tasks.films.filmmaking import scene, write_film

#: Frames of each shot of `write_reel`.
SHOT_FRAMES = 8


def write_reel(path: Path, *, shots: int = 4, width: int = 96, height: int = 64) -> int:
    """Write a silent grey film of so many shots, FFV1 in Matroska; returns its frames."""
    pictures = [
        picture
        for number in range(shots)
        for picture in scene(SHOT_FRAMES, width=width, height=height, seed=7 * number + 1)
    ]
    write_film(path, pictures, pixel_format="gray")
    return len(pictures)

"""Films for tests that are about nights, orders and the desk: small, of several shots."""

from hashlib import md5
from pathlib import Path

import av
from pydantic import SecretStr

from tasks.batch.children import PixelPool
from tasks.films.luma import luma_of
from tasks.settings import Settings
from tests.desks import LOCAL
from tests.ports import free_port
from tests.tasks.films.filmmaking import scene, write_film
from tests.workers import MakeSettings, colour_missing

#: Frames of each shot of `write_reel`.
SHOT_FRAMES = 8
#: The player of a desk's page.
VIDEO = "document.querySelector('[data-film] video')"
#: Its scripts have run, and it knows its film.
PLAYER_READY = f"document.readyState === 'complete' && {VIDEO}?.readyState >= 1"


def write_reel(path: Path, *, shots: int = 4, width: int = 96, height: int = 64) -> int:
    """Write a silent grey film of so many shots, FFV1 in Matroska; returns its frames."""
    pictures = [
        picture
        for number in range(shots)
        for picture in scene(SHOT_FRAMES, width=width, height=height, seed=7 * number + 1)
    ]
    write_film(path, pictures, pixel_format="gray")
    return len(pictures)


def coloured_reel(make_settings: MakeSettings, folder: Path, pixels: PixelPool) -> Settings:
    """A film of three shots that was coloured, and waits for a curator; settings for a desk."""
    (folder / "reels").mkdir()
    write_reel(folder / "reels" / "newsreel.mkv", shots=3)
    settings = make_settings(
        sources=(str(folder / "reels"),),
        web_port=free_port(),
        api_auth=SecretStr(":".join(LOCAL)),
    )
    colour_missing(settings, pixels)
    return settings


def lumas(path: Path) -> list[str]:
    """A digest of each frame's Y′."""
    with av.open(str(path)) as film:
        return [
            md5(luma_of(frame).tobytes()).hexdigest()  # noqa: S324 - as framemd5 has it
            for frame in film.decode(video=0)
        ]

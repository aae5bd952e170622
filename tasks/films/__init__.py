"""Films: read, parted into shots, coloured shot by shot, put together, and given back."""

from tasks.films.colouring import ShotOutcome, colour_shot
from tasks.films.header import FilmHeader, FilmLimits, Sound, probe
from tasks.films.kinds import is_film
from tasks.films.reel import Reel, assemble
from tasks.films.restore import restore_film
from tasks.films.shots import Shot, find_shots

__all__ = [
    "FilmHeader",
    "FilmLimits",
    "Reel",
    "Shot",
    "ShotOutcome",
    "Sound",
    "assemble",
    "colour_shot",
    "find_shots",
    "is_film",
    "probe",
    "restore_film",
]

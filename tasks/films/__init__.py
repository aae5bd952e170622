"""Films: read, parted into shots, coloured shot by shot, put together, and given back."""

from tasks.films.header import FilmHeader, FilmLimits, Sound, probe
from tasks.films.kinds import is_film
from tasks.films.shots import Shot, find_shots

__all__ = ["FilmHeader", "FilmLimits", "Shot", "Sound", "find_shots", "is_film", "probe"]

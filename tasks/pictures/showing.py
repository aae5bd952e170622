"""From a ledger's item to the tiles of its pictures."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from tasks.batch.children import PixelPool
from tasks.batch.film_files import FilmFiles, OpenFilm
from tasks.batch.pool import open_pool
from tasks.batch.recipe import read_limits
from tasks.errors import UsageError
from tasks.ledger.curating import DeskItem
from tasks.pictures.cache import CachedPyramid, PyramidCache
from tasks.pictures.pyramid import SMALL_PX, Pyramid, PyramidRequest, make_pyramid, make_small
from tasks.pictures.region import cut, read_region
from tasks.scratch import scratch_folder
from tasks.settings import Settings
from tasks.storage import ObjectStore, open_store

Found = TypeVar("Found")
Which = Literal["scan", "colour"]

#: The derivative that is shown, the best first: a master is of the scan's size.
_SHOWN = ("master", "access", "thumbnail")
_SHOWN_SMALL = ("thumbnail", "access", "master")
_CHILDREN = 2


@dataclass(frozen=True)
class FrameAt:
    """A frame of a film, and from where it is found.

    Attributes:
        number: From 0.
        first: The frame that reading begins with.
        seek: The time of that one; None: the film's start.
    """

    number: int
    first: int = 0
    seek: int | None = None


@dataclass(frozen=True)
class PictureFile:
    """A file to be shown: where it lies, and a tag that changes with its bytes."""

    store: str
    key: str
    tag: str
    page: int | None = None  #: of a scan; None of a derivative
    version: str | None = None
    etag: str | None = None
    pixels: int = 0
    frame: FrameAt | None = None  #: of a film
    is_grey: bool = False  #: it is shown without its colours


def picture_file(one: DeskItem, which: Which) -> PictureFile | None:
    """The file of an item's scan or of its derivative; None where there is none."""
    if one.is_film:  # a frame of it; what it was, its Y′ tells
        poster = _derivative_file(one, ("poster",))
        return None if poster is None else replace(poster, is_grey=which == "scan")
    return _scan_file(one) if which == "scan" else _derivative_file(one, _SHOWN)


def frame_file(one: DeskItem, number: int) -> PictureFile:
    """A frame of a film, as its scan has it."""
    shot = one.shot_of(number)
    at = FrameAt(number)
    if shot is not None:
        at = FrameAt(number, shot.first - shot.lead, shot.seek)
    return replace(_scan_file(one), frame=at)


def _scan_file(one: DeskItem) -> PictureFile:
    scan = one.scan
    said = f"{scan.source}\0{scan.key}\0{scan.page}\0{scan.etag}\0{scan.version}\0{scan.sha256}"
    return PictureFile(
        scan.source,
        scan.key,
        hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        page=scan.page,
        version=scan.version,
        etag=scan.etag,
        pixels=(scan.width or 0) * (scan.height or 0),
    )


def small_file(one: DeskItem) -> PictureFile | None:
    """The file that shows an item small: its smallest derivative, or its scan where it has none."""
    kinds = ("poster",) if one.is_film else _SHOWN_SMALL
    return _derivative_file(one, kinds) or (picture_file(one, "scan") if one.is_current else None)


def _derivative_file(one: DeskItem, kinds: Sequence[str]) -> PictureFile | None:
    made = next((found for kind in kinds if (found := one.derivative(kind))), None)
    if made is None:
        return None
    pixels = (one.scan.width or 0) * (one.scan.height or 0)
    return PictureFile(made.store, made.key, made.sha256[:16], pixels=pixels)


class Pictures:
    """Makes pyramids of files in stores, in children with limits, and keeps what was looked at."""

    def __init__(self, settings: Settings, pool: PixelPool, folder: Path) -> None:
        self._settings = settings
        self._pool = pool
        self._folder = folder
        self._stores: dict[str, ObjectStore] = {}
        self._cache = PyramidCache(folder, most_bytes=settings.desk_cache_mb << 20)
        self._films = FilmFiles()

    def pyramid(self, file: PictureFile) -> CachedPyramid:
        """The pyramid of a file; made, if nobody has looked at it lately.

        Raises:
            AutochromeError: The file is not there any more, or cannot be read.
        """
        return self._cache.get(_name(file), partial(self._make, make_pyramid, file))

    def small(self, file: PictureFile) -> bytes:
        """A file as a JPEG of at most `SMALL_PX`: of derivatives without the way over a pyramid.

        Raises:
            AutochromeError: The file is not there any more, or cannot be read.
        """
        kept = self.pyramid(file) if file.page is not None else self.peek(file)
        if kept is None:
            key = f"small\0{file.store}\0{file.key}\0{file.tag}"
            return self._cache.get(key, partial(self._make, make_small, file)).path.read_bytes()
        size = kept.pyramid
        within = f"!{SMALL_PX},{SMALL_PX}" if max(size.width, size.height) > SMALL_PX else "max"
        return cut(kept.path, read_region("full", within, width=size.width, height=size.height))

    def peek(self, file: PictureFile) -> CachedPyramid | None:
        """The pyramid, if somebody has looked at it lately."""
        return self._cache.peek(_name(file))

    @property
    def folder(self) -> Path:
        """Where files may lie while they are worked on; gone when this is closed."""
        return self._folder

    def run(self, work: Callable[[Any], Found], request: object, *, pixels: int = 0) -> Found:
        """Have a child work; see `PixelPool.run`."""
        return self._pool.run(work, request, pixels=pixels)

    def look(
        self, file: PictureFile, work: Callable[[Any], Found], request: Callable[[Path], object]
    ) -> Found:
        """Have a child look at a file, fetched for that alone.

        Args:
            file: The file.
            work: What the child does.
            request: What it is called with, from where the file lies.

        Raises:
            AutochromeError: The file is not there any more, or *work* raises it.
        """
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            fetched = Path(folder) / "scan"
            self._store(file.store).fetch(file.key, fetched, version=file.version, etag=file.etag)
            return self._pool.run(work, request(fetched), pixels=file.pixels)

    @contextmanager
    def film(self, file: PictureFile) -> Iterator[OpenFilm]:
        """A film on the local disk; the one that was asked for last stays there.

        Raises:
            AutochromeError: It is not there any more, or cannot be read.
        """
        from tasks.batch.film_work import ProbeRequest, probe_film  # noqa: PLC0415 - loads FFmpeg

        def fetch() -> OpenFilm:
            folder = Path(tempfile.mkdtemp(dir=self._folder, prefix="film-"))
            try:
                path, store = folder / "scan", self._store(file.store)
                store.fetch(file.key, path, version=file.version, etag=file.etag)
                request = ProbeRequest.under(self._settings, path)
                return OpenFilm(path, self.run(probe_film, request))
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

        with self._films.opened((file.store, file.key, file.tag), fetch) as film:
            yield film

    def _make(
        self, work: Callable[[PyramidRequest], Pyramid], file: PictureFile, into: Path
    ) -> Pyramid:
        limits = read_limits(self._settings)
        return self.look(
            file, work, lambda path: PyramidRequest(path, into, limits, file.page, file.is_grey)
        )

    def _store(self, url: str) -> ObjectStore:
        # Derivatives, too, are only read: their store need not let us write.
        if url not in self._stores:
            self._stores[url] = open_store(url, settings=self._settings)
        return self._stores[url]


def _name(file: PictureFile) -> str:
    return f"{file.store}\0{file.key}\0{file.page}\0{file.tag}\0{file.is_grey}"


@contextmanager
def open_pictures(settings: Settings, pixels: PixelPool | None = None) -> Iterator[Pictures]:
    """A cache, and children, for whoever shows pictures; both are gone with the block.

    Args:
        settings: Where the cache may lie, and how large.
        pixels: Children that their owner ends; none: some are started here.

    Raises:
        OutputFull: No folder can be made for the cache.
    """
    with ExitStack() as opened:
        folder = opened.enter_context(scratch_folder(settings))
        if pixels is None:
            workers = min(_CHILDREN, settings.cores)
            pixels = opened.enter_context(closing(open_pool(settings, workers=workers)))
        yield Pictures(settings, pixels, folder)


def which_of(text: str) -> Which:
    """Which picture a URL names.

    Raises:
        UsageError: It names none.
    """
    if text == "scan":
        return "scan"
    if text == "colour":
        return "colour"
    raise UsageError(f"there is no picture {text[:40]!r} of an item: scan or colour")

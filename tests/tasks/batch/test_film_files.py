"""Films at hand: each fetched once, none waiting for another's, gone when nobody needs them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from tasks.batch.film_files import FilmFiles, OpenFilm
from tasks.films.header import FilmHeader


class Store:
    """A place that films are fetched from, each into a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fetched = folder, list[str]()
        self.asked, self.goes_on = threading.Event(), threading.Event()

    def fetch(self, name: str) -> OpenFilm:
        """One that comes at once."""
        self.fetched.append(name)
        folder = self.folder / f"{name}-{len(self.fetched)}"
        folder.mkdir()
        (folder / "scan").write_text(name)
        return OpenFilm(folder / "scan", cast("FilmHeader", None))

    def fetch_slowly(self, name: str) -> OpenFilm:
        """One that comes when it is let go on."""
        self.asked.set()
        assert self.goes_on.wait(30)
        return self.fetch(name)


def test_one_film_on_its_way_holds_up_no_other(tmp_path: Path) -> None:
    """Another is had meanwhile; who wants the same waits, and it is fetched once."""
    store, files = Store(tmp_path), FilmFiles()

    def slowly() -> str:
        with files.opened("long", lambda: store.fetch_slowly("long")) as film:
            return film.path.read_text()

    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(slowly) for _ in range(2)]
        assert store.asked.wait(30)
        with files.opened("short", lambda: store.fetch("short")) as film:
            assert film.path.read_text() == "short"
        store.goes_on.set()
        assert [one.result(30) for one in both] == ["long", "long"]
    assert sorted(store.fetched) == ["long", "short"]


def test_the_last_film_stays_and_those_before_go(tmp_path: Path) -> None:
    """Not while somebody reads them; one that could not be had is tried again."""
    store, files = Store(tmp_path), FilmFiles()

    def fail() -> OpenFilm:
        raise OSError("away")

    with pytest.raises(OSError, match="away"), files.opened("a", fail):
        pass
    with files.opened("a", lambda: store.fetch("a")) as first:
        with files.opened("b", lambda: store.fetch("b")) as second:
            assert first.path.exists()
        assert second.path.exists(), "it may be wanted again"
    with files.opened("c", lambda: store.fetch("c")) as third:
        assert not first.path.exists()
        assert not second.path.exists()
    with files.opened("c", fail) as again:
        assert again == third


def test_a_lent_film_is_used_and_waited_for(tmp_path: Path) -> None:
    """Its owner goes on once nobody reads it; it is not removed by others."""
    store, files = Store(tmp_path), FilmFiles()
    own, ended = store.fetch("own"), threading.Event()
    reading, leave = threading.Event(), threading.Event()

    def read() -> None:
        with files.opened("own", lambda: store.fetch("other")) as film:
            assert film == own
            reading.set()
            assert leave.wait(30)

    def lend() -> None:
        with files.lent("own", own):
            assert reading.wait(30)
        ended.set()

    with ThreadPoolExecutor(2) as threads:
        owner = threads.submit(lend)
        while not files._films:
            pass
        reader = threads.submit(read)
        assert reading.wait(30)
        assert not ended.wait(0.2)
        leave.set()
        owner.result(30)
        reader.result(30)
    assert own.path.exists()
    assert store.fetched == ["own"]

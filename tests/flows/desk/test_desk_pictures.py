"""Pictures: tiles of scans and derivatives by the IIIF Image API, from a bounded cache."""

import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from tasks.errors import UsageError
from tasks.pictures.cache import PyramidCache
from tasks.pictures.pyramid import Pyramid, PyramidRequest, make_pyramid, make_small
from tasks.pictures.region import cut, describe_service, read_region
from tasks.scans.header import ReadLimits
from tasks.settings import Settings
from tests.desks import House
from tests.scanfiles import codes_of, photograph, write_tiff


def pixels_of(jpeg: bytes) -> np.ndarray:
    """A JPEG's codes."""
    return np.asarray(Image.open(BytesIO(jpeg)))


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Of a scan of 16 bits, and its codes in 8."""
    folder = tmp_path_factory.mktemp("pyramid")
    codes = codes_of(photograph(1100, 1500), 16)
    write_tiff(folder / "scan.tif", codes)
    made = make_pyramid(
        PyramidRequest(folder / "scan.tif", folder / "made.tif", ReadLimits(), page=0)
    )
    assert (made.width, made.height) == (1500, 1100)
    return folder / "made.tif", codes / 257


@pytest.fixture
def archive(coloured: Settings) -> Path:
    """Where the scans lie."""
    return Path(coloured.sources[0])


@pytest.mark.parametrize(
    ("region", "size", "box", "shape"),
    [
        ("full", "max", (0, 0, 1500, 1100), (1100, 1500)),
        ("full", "300,", (0, 0, 1500, 1100), (220, 300)),
        ("full", "!100,100", (0, 0, 1500, 1100), (73, 100)),
        ("512,512,512,512", "512,", (512, 512, 512, 512), (512, 512)),
        ("1024,0,9999,1024", ",256", (1024, 0, 476, 1024), (256, 119)),
        ("0,0,1024,1024", "512,512", (0, 0, 1024, 1024), (512, 512)),
        ("37,41,3,5", "3,", (37, 41, 3, 5), (5, 3)),
        ("square", "110,", (200, 0, 1100, 1100), (110, 110)),
    ],
)
def test_a_piece_is_what_was_asked_for(
    pyramid: tuple[Path, np.ndarray],
    region: str,
    size: str,
    box: tuple[int, int, int, int],
    shape: tuple[int, int],
) -> None:
    """Of the right place, at the right size, in the scan's own tones: JPEG costs 4 codes."""
    path, codes = pyramid
    found = pixels_of(cut(path, read_region(region, size, width=1500, height=1100)))
    assert found.shape[:2] == shape
    left, top, width, height = box
    part = codes[top : top + height, left : left + width]
    assert found.mean() == pytest.approx(part.mean(), abs=1.0)
    if part.shape == found.shape:
        assert np.abs(found - part).mean() < 4


@pytest.mark.parametrize(
    ("region", "size"),
    [
        ("full", "1501,"),
        ("0,0,10,10", "11,"),
        ("full", "0,"),
        ("full", ","),
        ("full", "!5,"),
        ("full", "99999999,"),
        ("full", "pct:50"),
        ("1500,0,1,1", "1,"),
        ("0,0,0,5", "max"),
        ("a,b,c,d", "max"),
        ("-1,0,5,5", "max"),
        ("٣,0,5,5", "max"),
    ],
)
def test_what_makes_no_sense_is_refused(region: str, size: str) -> None:
    """Before anything is read."""
    with pytest.raises(UsageError):
        read_region(region, size, width=1500, height=1100)


def test_much_at_once_is_refused() -> None:
    """Max is as much as there is, up to a screenful; more is asked for in tiles."""
    with pytest.raises(UsageError, match="tiles"):
        read_region("full", "6000,", width=6000, height=4500)
    largest = read_region("full", "max", width=6000, height=4500)
    assert largest.to_width * largest.to_height <= 12_000_000
    told = describe_service("x", width=6000, height=4500)
    assert told["profile"] == "level1"
    assert told["tiles"][0]["scaleFactors"][-1] >= 16
    assert all(size["width"] * size["height"] <= told["maxArea"] for size in told["sizes"])


def test_pictures_of_an_item_are_served(house: House) -> None:
    """Scan and derivative of one size, pixel for pixel; other bytes' addresses lead nowhere."""
    anna = house.signed_in("Anna")
    for item in house.ids():
        told = anna.client.get(f"/api/items/{item}").json()
        sizes = set()
        for which in ("scan", "colour"):
            info = anna.client.get(f"{told[which]}/info.json")
            assert info.status_code == 200, info.text
            sizes.add((info.json()["width"], info.json()["height"]))
            assert info.json()["id"].endswith(told[which])
            behind = anna.client.get(
                f"{told[which]}/info.json", headers={"X-Forwarded-Proto": "https"}
            )
            assert behind.json()["id"].startswith("https://")  # where a proxy speaks TLS for us
            jpeg = anna.client.get(f"{told[which]}/full/max/0/default.jpg")
            assert jpeg.headers["content-type"] == "image/jpeg"
            assert "private" in jpeg.headers["cache-control"]
            assert pixels_of(jpeg.content).shape[:2] == (told["height"], told["width"])
        assert sizes == {(told["width"], told["height"])}
    base = told["scan"]
    for path in (
        "full/max/90/default.jpg",
        "full/max/0/default.png",
        "full/9999999,/0/default.jpg",
    ):
        assert anna.client.get(f"{base}/{path}").status_code == 400
    for other in (
        base[:-4] + "0000",
        base.replace("scan", "odd"),
        "/iiif/x",
        "/iiif/999-scan-" + "0" * 16,
    ):
        assert anna.client.get(f"{other}/info.json").status_code == 404, other
    assert anna.client.get(base).headers["location"] == f"{base}/info.json"


def test_what_a_file_says_is_told(house: House) -> None:
    """Title and rights, as text."""
    anna = house.signed_in("Anna")
    told = anna.client.get(f"/api/items/{house.ids()[0]}/said").json()
    assert set(told) >= {"title", "copyright", "date"}


def test_a_scan_that_is_gone_is_said_to_be(house: House, archive: Path) -> None:
    """With what to do; its derivative is shown all the same."""
    anna = house.signed_in("Anna")
    item = house.ids()[0]
    told = anna.client.get(f"/api/items/{item}").json()
    for path in archive.rglob("*.jpg"):
        path.unlink()
    gone = anna.client.get(f"{told['scan']}/info.json")
    assert gone.status_code == 404
    assert "0.jpg" in gone.json()["detail"]
    assert anna.client.get(f"{told['colour']}/info.json").status_code == 200


def test_a_damaged_scan_costs_itself_alone(house: House, archive: Path) -> None:
    """It is decoded in a child, and refused in a line."""
    anna = house.signed_in("Anna")
    item = house.ids()[0]
    path = archive / "0.jpg"
    path.write_bytes(path.read_bytes()[:300])
    told = anna.client.get(f"/api/items/{item}").json()
    assert anna.client.get(f"{told['scan']}/info.json").status_code == 404
    other = anna.client.get(f"/api/items/{house.ids()[1]}").json()
    assert anna.client.get(f"{other['scan']}/info.json").status_code == 200


def test_the_cache_makes_each_once_and_forgets_the_oldest(tmp_path: Path) -> None:
    """Whoever asks at the same time waits for the one; a failure is forgotten at once."""
    cache = PyramidCache(tmp_path, most_bytes=250)
    made: list[str] = []
    gate = threading.Event()

    def make(key: str) -> Pyramid:
        made.append(key)
        gate.wait(5)
        return Pyramid(1, 1)

    def write(key: str, path: Path) -> Pyramid:
        path.write_bytes(b"x" * 100)
        return make(key)

    threads = [
        threading.Thread(target=lambda: cache.get("a", lambda path: write("a", path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert made == ["a"]

    def fail(path: Path) -> Pyramid:
        path.write_bytes(b"half")
        raise UsageError("no")

    for _ in range(2):
        with pytest.raises(UsageError):
            cache.get("bad", fail)
    for key in ("b", "a", "c"):
        cache.get(key, lambda path, key=key: write(key, path))
    assert cache.peek("b") is None
    assert cache.peek("a") is not None
    assert cache.size_bytes == 200
    assert len(list(tmp_path.iterdir())) == 2


def test_where_the_network_doubts_is_shown(house: House) -> None:
    """As a picture to be laid over the derivative, of its shape; the less sure, the denser."""
    anna = house.signed_in("Anna")
    item = house.ids()[0]
    told = anna.client.get(f"/api/items/{item}").json()
    answer = anna.client.get(f"/items/{item}/doubt.png")
    assert answer.headers["content-type"] == "image/png"
    png = Image.open(BytesIO(answer.content))
    assert png.mode == "RGBA"
    assert png.width / png.height == pytest.approx(told["width"] / told["height"], rel=0.2)
    density = np.asarray(png)[..., 3]
    assert density.max() <= 200
    assert anna.client.get("/items/999/doubt.png").status_code == 404


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("has_profile", [False, True], ids=["plain", "profile"])
def test_a_coloured_scan_is_shown_in_its_colours(
    tmp_path: Path, turn: int, has_profile: bool
) -> None:
    """Upright, and as its profile means them; decoded once: 24 megapixels take a second."""
    light = photograph(90, 130)
    toned = np.stack([codes_of(light**power) for power in (0.8, 1.0, 1.3)], axis=2)
    stored = pyvips.Image.new_from_array(toned).copy(interpretation="srgb")
    if has_profile:
        stored = stored.icc_transform("p3", input_profile="srgb")
    stored = stored.copy()
    stored.set_type(pyvips.GValue.gint_type, "orientation", turn)
    profile = {"profile": "p3"} if has_profile else {}
    stored.tiffsave(str(tmp_path / "scan.tif"), **profile)
    made = make_pyramid(
        PyramidRequest(tmp_path / "scan.tif", tmp_path / "made.tif", ReadLimits(), page=0)
    )
    wanted = pyvips.Image.new_from_array(toned).copy()
    wanted.set_type(pyvips.GValue.gint_type, "orientation", turn)
    upright = wanted.autorot().numpy().astype(int)
    found = pyvips.Image.new_from_file(str(tmp_path / "made.tif")).numpy().astype(int)
    assert (made.height, made.width) == upright.shape[:2] == found.shape[:2]
    assert np.abs(found - upright).mean() < 4


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("profile", ["", "srgb", "p3"])
def test_a_derivative_is_shown_as_its_file_means_it(
    tmp_path: Path, bits: int, profile: str
) -> None:
    """Of either depth, with a profile or without; small among many, too."""
    light = photograph(90, 130)
    colours = np.stack([codes_of(light**power, bits) for power in (0.8, 1.0, 1.3)], axis=2)
    stored = pyvips.Image.new_from_array(colours)
    stored = stored.copy(interpretation="srgb" if bits == 8 else "rgb16")
    if profile:
        stored = stored.icc_transform(profile, input_profile="srgb", depth=bits)
    stored.tiffsave(str(tmp_path / "made.tif"), **({"profile": profile} if profile else {}))
    wanted = np.round(colours / (2**bits - 1) * 255)
    for make, coding in ((make_pyramid, 4), (make_small, 8)):
        make(PyramidRequest(tmp_path / "made.tif", tmp_path / "shown", ReadLimits()))
        shown = pyvips.Image.new_from_file(str(tmp_path / "shown")).numpy().astype(int)
        assert np.abs(shown - wanted).mean() < coding, make

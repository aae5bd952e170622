"""What a film is, told by its content, and the reasons why one is refused."""

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.errors import AutochromeError, Reason, UnsupportedFormat, reason_of
from tasks.films.header import FilmLimits, probe
from tasks.films.kinds import is_film
from tasks.films.luma import luma_of, picture_format
from tasks.films.opening import moments, open_film, pictures_of
from tasks.films.shots import find_shots
from tests.scanfiles import codes_of, photograph, write_jpeg, write_tiff
from tests.tasks.films.filmmaking import coloured, scene, write_film

#: Codec, pixel format, container, what the container is told to be, depth, whether it is lossless.
KINDS = [
    ("ffv1", "gray", "matroska", "matroska", 8, True),
    ("ffv1", "gray10le", "matroska", "matroska", 10, True),
    ("ffv1", "gray12le", "matroska", "matroska", 12, True),
    ("ffv1", "gray14le", "matroska", "matroska", 14, True),
    ("ffv1", "gray16le", "matroska", "matroska", 16, True),
    ("ffv1", "yuv420p", "avi", "avi", 8, True),
    ("ffv1", "yuv422p10le", "matroska", "matroska", 10, True),
    ("ffv1", "bgr0", "matroska", "matroska", 8, True),
    ("ffv1", "gbrp10le", "matroska", "matroska", 10, True),
    ("ffv1", "gbrp16le", "matroska", "matroska", 16, True),
    ("rawvideo", "rgb24", "mov", "mov", 8, True),
    ("rawvideo", "uyvy422", "mov", "mov", 8, True),
    ("r210", "gbrp10le", "mov", "mov", 10, True),
    ("v210", "yuv422p10le", "mov", "mov", 10, True),
    ("png", "rgb48be", "mov", "mov", 16, True),
    ("prores_ks", "yuv422p10le", "mov", "mov", 10, False),
    ("mpeg2video", "yuv420p", "mpeg", "mpeg", 8, False),
    ("mpeg2video", "yuv420p", "mpegts", "mpegts", 8, False),
    ("mpeg2video", "yuv422p", "mxf", "mxf", 8, False),
    ("mpeg2video", "yuv420p", "mpeg2video", "mpegvideo", 8, False),
    ("libx264", "yuv420p", "mp4", "mov", 8, False),
    ("libx264", "yuv420p10le", "matroska", "matroska", 10, False),
    ("mjpeg", "yuvj420p", "avi", "avi", 8, False),
]


@pytest.mark.parametrize(
    ("codec", "pixel_format", "container", "told", "bits", "is_lossless"), KINDS
)
def test_each_kind_is_read_at_its_depth_and_luma_is_the_films_own(
    tmp_path: Path,
    codec: str,
    pixel_format: str,
    container: str,
    told: str,
    bits: int,
    is_lossless: bool,
) -> None:
    """A film of every kind that archives hold, under a name that says nothing."""
    path, pictures = tmp_path / "film.bin", scene(6, bits=bits)
    write_film(path, pictures, codec=codec, pixel_format=pixel_format, container=container)
    assert is_film(path)
    header = probe(path)
    assert (header.container, header.bits, header.frames) == (told, bits, 6)
    assert (header.width, header.height, float(header.rate)) == (96, 64, 25.0)
    assert not header.doubts
    assert sum(shot.frames for shot in find_shots(path, header)) == 6
    with open_film(path) as film:
        found = [luma_of(moment.frame) for moment in moments(film, pictures_of(film))]
    if is_lossless:
        assert all(np.array_equal(one, own) for one, own in zip(found, pictures, strict=True))
    else:  # by another way out of the decoder: FFmpeg's own filter
        assert [one.tobytes() for one in found] == list(extracted(path))


def extracted(path: Path) -> list[bytes]:
    """The Y′ planes as FFmpeg's filter `extractplanes` gives them."""
    planes = []
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(template=stream),
            graph.add("extractplanes", "y"),
            graph.add("buffersink"),
        ).configure()
        for frame in film.decode(stream):
            graph.push(frame)
            planes.append(np.ascontiguousarray(graph.pull().to_ndarray()).tobytes())
    return planes


def test_rgb_that_is_not_quite_grey_has_the_luma_that_is_documented(tmp_path: Path) -> None:
    """Where R′, G′, B′ differ, Y′ is BT.709's, rounded."""
    rng = np.random.default_rng(3)
    grey = scene(1)[0]
    rgb = np.clip(grey[..., None].astype(int) + rng.integers(-3, 4, (*grey.shape, 3)), 0, 255)
    write_film(tmp_path / "f", [rgb.astype(np.uint8)], codec="rawvideo", pixel_format="rgb24",
               container="mov")  # fmt: skip
    with open_film(tmp_path / "f") as film:
        found = luma_of(next(moments(film, pictures_of(film))).frame)
    exact = rgb @ np.array([2126, 7152, 722])
    assert np.array_equal(found, (exact + 5000) // 10_000)


@pytest.mark.parametrize(
    ("container", "codec", "pixel_format", "sound"),
    [
        ("mov", "prores_ks", "yuv422p10le", "pcm_s16le"),
        ("matroska", "ffv1", "gray10le", "flac"),
        ("mp4", "libx264", "yuv420p10le", "aac"),
    ],
)
def test_sound_and_timecode_are_found(
    tmp_path: Path, container: str, codec: str, pixel_format: str, sound: str
) -> None:
    """Each stream of sound, and the first frame's timecode."""
    write_film(tmp_path / "f", scene(10, bits=10), codec=codec, pixel_format=pixel_format,
               container=container, sound=sound, timecode="01:02:03:04")  # fmt: skip
    header = probe(tmp_path / "f")
    assert [(one.codec, one.rate, one.channels) for one in header.sound] == [(sound, 48_000, 1)]
    assert header.timecode == "01:02:03:04"


def test_interlaced_films_and_variable_rates_are_told(tmp_path: Path) -> None:
    """Fields by their order; frames shown for unlike times by their timestamps."""
    fields = {"flags": "+ildct", "field_order": "bb"}
    write_film(tmp_path / "a", scene(4, bits=10), codec="prores_ks", pixel_format="yuv422p10le",
               container="mov", options=fields, rate=Fraction(30_000, 1001))  # fmt: skip
    interlaced = probe(tmp_path / "a")
    assert (interlaced.field_order, interlaced.is_variable) == ("bb", False)
    assert interlaced.rate == Fraction(30_000, 1001)
    write_film(tmp_path / "b", scene(6), times=[0, 40, 100, 300, 340, 1000])
    variable = probe(tmp_path / "b")
    assert (variable.is_variable, variable.frames, variable.field_order) == (True, 6, "")


def test_a_range_that_is_stated_counts(tmp_path: Path) -> None:
    """Else grey and RGB have all codes, and Y′CbCr those from 16 to 235."""
    write_film(tmp_path / "a", scene(2), code_range=1)
    assert probe(tmp_path / "a").code_range == 1
    write_film(tmp_path / "b", scene(2), code_range=2, codec="libx264", pixel_format="yuv420p")
    assert probe(tmp_path / "b").code_range == 2


def refusal(path: Path, limits: FilmLimits | None = None) -> Reason:
    """The reason for which a film is refused, by its header or while its shots are found."""
    with pytest.raises(AutochromeError) as caught:
        find_shots(path, probe(path, limits))
    assert "\n" not in str(caught.value)
    return reason_of(caught.value)


@pytest.mark.parametrize(
    ("container", "codec", "pixel_format"),
    [
        ("matroska", "ffv1", "gray"),
        ("mov", "prores_ks", "yuv422p10le"),
        ("mp4", "libx264", "yuv420p"),
        ("avi", "mjpeg", "yuvj420p"),
        ("mxf", "mpeg2video", "yuv420p"),
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_film_that_is_cut_off_is_told(
    tmp_path: Path, container: str, codec: str, pixel_format: str, share: float
) -> None:
    """Containers that state their size or their length are compared with what is there."""
    whole = tmp_path / "whole"
    bits = 10 if "10" in pixel_format else 8
    write_film(whole, scene(30, bits=bits), codec=codec, pixel_format=pixel_format,
               container=container)  # fmt: skip
    data = whole.read_bytes()
    whole.write_bytes(data[: int(len(data) * share)])
    assert refusal(whole) in {Reason.TRUNCATED, Reason.UNREADABLE}


def test_a_title_in_latin_1_is_no_hindrance(tmp_path: Path) -> None:
    """AVI has no word on how its titles are written."""
    path = tmp_path / "f"
    write_film(path, scene(4), codec="mjpeg", pixel_format="yuvj420p", container="avi")
    titled = tmp_path / "titled"
    with av.open(str(path)) as film, av.open(str(titled), "w", format="avi") as copy:
        copy.metadata["title"] = "Xsterreich"
        into = copy.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = into
                copy.mux(packet)
    titled.write_bytes(titled.read_bytes().replace(b"Xsterreich", b"\xd6sterreich"))
    assert probe(titled).frames == 4


def test_a_film_that_an_edit_list_trims_is_whole(tmp_path: Path) -> None:
    """As `ffmpeg -ss … -c copy` writes it: frames before the cut are there, and not shown."""
    path, cut = tmp_path / "f", tmp_path / "cut"
    write_film(path, scene(60), codec="libx264", pixel_format="yuv420p", container="mp4",
               options={"g": "25", "bf": "2"})  # fmt: skip
    with av.open(str(path)) as film, av.open(str(cut), "w", format="mp4") as copy:
        stream = film.streams.video[0]
        into = copy.add_stream_from_template(stream)
        for packet in film.demux(stream):
            if packet.pts is None or packet.dts is None:
                continue
            if packet.pts * packet.time_base >= 1:
                packet.pts -= int(1.4 / packet.time_base)
                packet.dts -= int(1.4 / packet.time_base)
                packet.stream = into
                copy.mux(packet)
    with av.open(str(cut)) as film:
        assert film.streams.video[0].frames == 35
    header = probe(cut)
    assert header.frames == 25
    assert sum(shot.frames for shot in find_shots(cut, header)) == 25


def test_a_damaged_frame_is_told(tmp_path: Path) -> None:
    """FFV1 has a checksum in each slice."""
    options = {"level": "3", "slicecrc": "1", "slices": "4"}
    write_film(tmp_path / "f", scene(6), options=options)
    data = bytearray((tmp_path / "f").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "f").write_bytes(data)
    assert refusal(tmp_path / "f") is Reason.UNREADABLE


def test_films_that_are_not_ours_have_a_reason(tmp_path: Path) -> None:
    """Colour, nothing to see, no pictures, too long."""
    grey = scene(8)
    write_film(tmp_path / "colour", [coloured(one, seed=0) for one in grey], codec="libx264",
               pixel_format="yuv444p", container="mp4", options={"crf": "8"})  # fmt: skip
    assert refusal(tmp_path / "colour") is Reason.ALREADY_COLOUR
    write_film(tmp_path / "blank", [np.full_like(grey[0], 40)] * 8)
    assert refusal(tmp_path / "blank") is Reason.BLANK
    write_film(tmp_path / "grey", grey)
    assert refusal(tmp_path / "grey", FilmLimits(max_minutes=0.001)) is Reason.TOO_LARGE
    assert refusal(tmp_path / "grey", FilmLimits(max_pixels=1000)) is Reason.TOO_LARGE
    write_film(tmp_path / "large", [np.zeros((5000, 8192), np.uint8)])
    assert refusal(tmp_path / "large", FilmLimits(max_pixels=1 << 40)) is Reason.TOO_LARGE
    with av.open(str(tmp_path / "sound"), "w", format="matroska") as film:
        stream = film.add_stream("flac", rate=48_000)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.ones((1, 4608), np.int16), "s16", "mono")
        frame.sample_rate = 48_000
        film.mux([*stream.encode(frame), *stream.encode(None)])
    assert refusal(tmp_path / "sound") is Reason.UNSUPPORTED_FORMAT
    (tmp_path / "empty").touch()
    assert refusal(tmp_path / "empty") is Reason.TRUNCATED
    (tmp_path / "text").write_text("#EXTM3U\nfile:///etc/hostname\n")
    assert not is_film(tmp_path / "text")
    assert refusal(tmp_path / "text") is Reason.UNSUPPORTED_FORMAT


def test_a_tinted_film_is_coloured_and_looked_at(tmp_path: Path) -> None:
    """One colour for each lightness is a tone, whatever it is from shot to shot."""
    tints = np.array([[255, 190, 120], [120, 190, 255]]) / 255
    pictures = [
        (one[..., None] * tints[number // 4]).astype(np.uint8)
        for number, one in enumerate(scene(8))
    ]
    write_film(tmp_path / "f", pictures, codec="libx264", pixel_format="yuv444p",
               options={"crf": "8"})  # fmt: skip
    assert [doubt.reason for doubt in probe(tmp_path / "f").doubts] == [Reason.TONED]


def test_scans_are_no_films(tmp_path: Path) -> None:
    """Whatever they are called."""
    write_jpeg(tmp_path / "a.mp4", codes_of(photograph(32, 48)))
    write_tiff(tmp_path / "b.mkv", codes_of(photograph(32, 48)))
    assert not is_film(tmp_path / "a.mp4")
    assert not is_film(tmp_path / "b.mkv")
    assert not is_film(b"\0\0\0\x1cftypavif\0\0\0\0")
    assert is_film(b"\0\0\0\x1cftypisom\0\0\0\0")


def test_pixels_of_another_kind_are_refused() -> None:
    """Floating point, one bit, a sensor's mosaic."""
    for name in ("grayf32le", "monob", "bayer_bggr8", "gbrpf32le"):
        with pytest.raises(UnsupportedFormat):
            picture_format(name)


def test_nothing_is_written_to_a_film(tmp_path: Path) -> None:
    """Sources are only read."""
    write_film(tmp_path / "f", scene(4))
    before = hashlib.sha256((tmp_path / "f").read_bytes()).digest()
    (tmp_path / "f").chmod(0o444)
    find_shots(tmp_path / "f", probe(tmp_path / "f"))
    assert hashlib.sha256((tmp_path / "f").read_bytes()).digest() == before

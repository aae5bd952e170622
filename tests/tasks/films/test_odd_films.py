"""Films as other people's machines wrote them: odd times, palettes, fields, turned and of many."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from colormodel.planes import ChromaMap, Plane, network_size
from tasks.batch.film_files import OpenFilm
from tasks.batch.films import film_notes
from tasks.corrections.frames import FrameRequest, look_at_frame
from tasks.errors import Reason, UnreadableScan
from tasks.films import header as header_module
from tasks.films.chroma import Coding, lightness_of, small_luma
from tasks.films.colouring import colour_shot
from tasks.films.header import probe, read_header
from tasks.films.kinds import is_film
from tasks.films.luma import luma_of
from tasks.films.opening import frames_from, moments, open_film, pictures_of
from tasks.films.reel import assemble, join
from tasks.films.restore import restore_film
from tasks.films.segment import open_segment
from tasks.films.shots import find_shots
from tests.tasks.films.filmmaking import Codes, as_frame, scene, write_film
from tests.tasks.films.filmmaking import coloured as in_colour
from tests.tasks.films.networks import RestlessNetwork
from tests.tasks.films.test_reel import PROVENANCE, shown
from tests.tasks.films.test_reel import coloured as made_of

TURNS = {90: 1, -90: 3, 180: 2}


def lumas(path: Path) -> list[Codes]:
    """Y′ of all frames, shot by shot, as colouring reads them."""
    shots = find_shots(path, probe(path))
    return [
        luma_of(moment.frame).copy()
        for shot in shots
        for moment in frames_from(path, shot.first, shot.frames, shot.seek)
    ]


@pytest.mark.parametrize("codec", ["rawvideo", "qtrle"])
def test_a_palette_holds_for_all_shots(tmp_path: Path, codec: str) -> None:
    """Grey in MOV has one, which comes with the first frame: none of the others is black."""
    pictures = [*scene(8, seed=1), *scene(8, seed=2)]
    write_film(tmp_path / "f", pictures, codec=codec, pixel_format="gray", container="mov")
    assert probe(tmp_path / "f").pixel_format == "pal8"
    found = lumas(tmp_path / "f")
    assert all(np.array_equal(one, own) for one, own in zip(found, pictures, strict=True))


def test_times_before_zero_are_no_hindrance(tmp_path: Path) -> None:
    """Before the first time of its index Matroska cannot be sought in."""
    pictures, options = scene(24), {"avoid_negative_ts": "disabled"}
    with av.open(str(tmp_path / "f"), "w", format="matroska", options=options) as film:
        stream = film.add_stream("ffv1", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "gray"
        for number, codes in enumerate(pictures):
            frame = as_frame(codes, "gray")
            frame.pts, frame.time_base = number - 10, Fraction(1, 25)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    found = lumas(tmp_path / "f")
    assert all(np.array_equal(one, own) for one, own in zip(found, pictures, strict=True))
    header = probe(tmp_path / "f")
    (shot,) = find_shots(tmp_path / "f", header)
    colour_shot(tmp_path / "f", header, shot, RestlessNetwork(), tmp_path / "0.mkv")
    reel = assemble(tmp_path / "f", [tmp_path / "0.mkv"], tmp_path, PROVENANCE)
    restore_film(reel.master, tmp_path / "back.mkv")
    for path in (reel.master, tmp_path / "back.mkv"):
        assert shown(path) == [40 * at for at in range(-10, 14)]


def test_frames_that_were_dropped_are_not_missing(tmp_path: Path) -> None:
    """AVI counts them, and shows the one before in their stead, as machines that digitize do."""
    times = [40 * at for at in (0, 1, 3, 7, 8, 9, 15, 16, 40, 41)]
    write_film(tmp_path / "f", scene(10), codec="mjpeg", pixel_format="yuvj420p", container="avi",
               times=times)  # fmt: skip
    header = probe(tmp_path / "f")
    assert (header.frames, header.is_variable) == (10, True)


@pytest.mark.parametrize("matrix", [8, 10, 14])
def test_matrices_that_ffmpeg_cannot_undo_are_read(tmp_path: Path, matrix: int) -> None:
    """YCgCo, BT.2020 of constant luminance, ICtCp: of grey they are all the same."""
    with av.open(str(tmp_path / "f"), "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.codec_context.colorspace = matrix
        for codes in scene(4):
            film.mux(stream.encode(as_frame(codes, "yuv420p")))
        film.mux(stream.encode(None))
    header = probe(tmp_path / "f")
    assert (header.matrix, header.doubts) == (6, ())


def test_a_film_without_times_has_the_rate_that_it_states(tmp_path: Path) -> None:
    """As a raw stream of H.264; not that of its unit of time."""
    write_film(tmp_path / "f", scene(12), codec="libx264", pixel_format="yuv420p", container="h264")
    header = probe(tmp_path / "f")
    assert (header.rate, header.is_variable) == (Fraction(25), False)
    assert header.duration_s == pytest.approx(12 / 25)


@pytest.mark.parametrize("container", ["avi", "mov"])
def test_damage_within_a_jpeg_is_told(tmp_path: Path, container: str) -> None:
    """Its decoder goes on after it, each time with something else in the frame."""
    write_film(tmp_path / "f", scene(60), codec="mjpeg", pixel_format="yuvj420p",
               container=container)  # fmt: skip
    data = bytearray((tmp_path / "f").read_bytes())
    data[len(data) * 6 // 10 : len(data) * 6 // 10 + 200] = bytes(200)
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(UnreadableScan, match="frame 3"):
        find_shots(tmp_path / "f", read_header(tmp_path / "f"))


@pytest.mark.parametrize("container", ["avi", "mov"])
def test_fields_of_dv_begin_at_the_bottom(tmp_path: Path, container: str) -> None:
    """It says so of each frame alone; the copy for browsers would else go back and forth."""
    write_film(tmp_path / "f", scene(4, width=720, height=576), codec="dvvideo",
               pixel_format="yuv420p", container=container)  # fmt: skip
    assert probe(tmp_path / "f").field_order == "bb"


def test_a_transport_stream_of_a_disc_is_a_film(tmp_path: Path) -> None:
    """Blu-ray and AVCHD write four bytes before each packet; Ogg is read, too."""
    for name, container, codec in (("disc", "mpegts", "libx264"), ("web", "ogg", "libvpx")):
        options = {"mpegts_m2ts_mode": "1"} if name == "disc" else {}
        with av.open(str(tmp_path / name), "w", format=container, options=options) as film:
            stream = film.add_stream(codec, rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
            for codes in scene(12):
                film.mux(stream.encode(as_frame(codes, "yuv420p")))
            film.mux(stream.encode(None))
        assert is_film(tmp_path / name)
        header = probe(tmp_path / name)
        assert (header.frames, header.container) == (12, container)


def test_what_is_left_out_of_a_file_is_named(tmp_path: Path) -> None:
    """Other pictures, data and attachments, in the notes of the film's story."""
    with av.open(str(tmp_path / "f"), "w", format="mpegts") as film:
        both = [film.add_stream("libx264", rate=25) for _ in range(2)]
        data = film.add_data_stream("klv")
        for stream, size in zip(both, ((96, 64), (64, 48)), strict=True):
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
        for stream, size in zip(both, ((96, 64), (64, 48)), strict=True):
            assert isinstance(stream, av.VideoStream)
            for codes in scene(6, width=size[0], height=size[1]):
                film.mux(stream.encode(as_frame(codes, "yuv420p")))
            film.mux(stream.encode(None))
        packet = av.Packet(bytes.fromhex("060e2b34020b01010e01030101000000") + b"\x04abcd")
        packet.pts = packet.dts = 0
        packet.time_base, packet.stream = Fraction(1, 90_000), data
        film.mux(packet)
    notes = film_notes(OpenFilm(tmp_path / "f", probe(tmp_path / "f")))
    assert any("further pictures (stream 1, h264, 64 × 48)" in note for note in notes)
    assert any("Data beside the pictures (stream 2" in note for note in notes)
    with av.open(str(tmp_path / "g"), "w", format="matroska") as film:
        stream = film.add_stream("ffv1", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "gray"
        film.add_attachment("notes.txt", "text/plain", b"of the reel")
        for codes in scene(6):
            film.mux(stream.encode(as_frame(codes, "gray")))
        film.mux(stream.encode(None))
    assert probe(tmp_path / "g").notes == ("An attachment (notes.txt) is left out.",)
    write_film(tmp_path / "h", scene(6, bits=10), codec="prores_ks", pixel_format="yuv422p10le",
               container="mov", sound="pcm_s16le", timecode="01:00:00:00")  # fmt: skip
    assert probe(tmp_path / "h").notes == ()


def test_lost_frames_of_a_stream_are_named(tmp_path: Path) -> None:
    """MPEG says nowhere how long it is: the times of its frames tell."""
    write_film(tmp_path / "f", scene(60), codec="mpeg1video", pixel_format="yuv420p",
               container="mpeg")  # fmt: skip
    assert probe(tmp_path / "f").notes == ()
    data = bytearray((tmp_path / "f").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = b"\xff" * 200
    (tmp_path / "f").write_bytes(data)
    (note,) = probe(tmp_path / "f").notes
    assert note.startswith("Frames seem to be lost at 1 place, 0.8")


def test_a_title_in_colour_is_found_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between the frames that are looked at first: all of the film is decoded in the end."""
    monkeypatch.setattr(header_module, "LOOKED_AT", 2)  # frames 0 and 20
    grey = [np.repeat(codes[..., None], 3, axis=2) for codes in scene(40)]
    pictures = [*grey[:22], *(in_colour(one[..., 0]) for one in grey[22:38]), *grey[38:]]
    made = made_of(tmp_path, pictures, codec="libx264", pixel_format="yuv444p",
                   container="mp4", options={"crf": "8"})  # fmt: skip
    assert made.header.doubts == ()
    (doubt,) = made.assembled().doubts
    assert doubt.reason is Reason.NEARLY_COLOUR
    assert "the first at frame 24 (2 of 4 frames that were looked at)" in doubt.words
    (tmp_path / "grey").mkdir()
    assert made_of(tmp_path / "grey", grey, codec="libx264", pixel_format="yuv444p",
                   container="mp4").assembled().doubts == ()  # fmt: skip


def test_a_master_has_its_films_rate(tmp_path: Path) -> None:
    """As the film states it: in whole milliseconds it would be a little another."""
    rate = Fraction(30_000, 1001)
    write_film(tmp_path / "f", scene(8), rate=rate)
    header = read_header(tmp_path / "f")
    (shot,) = find_shots(tmp_path / "f", header)
    colour_shot(tmp_path / "f", header, shot, None, tmp_path / "0.mkv")
    join(tmp_path / "f", [tmp_path / "0.mkv"], tmp_path / "master.mkv", header=header, tags={})
    with av.open(str(tmp_path / "master.mkv")) as master:
        assert master.streams.video[0].average_rate == rate


class WatchfulNetwork(RestlessNetwork):
    """Keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Plane] = []

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Half of a small film's size."""
        return height // 2, width // 2

    def predict(self, lightness: Sequence[Plane]) -> list[ChromaMap | Exception]:
        """Maps of frames."""
        self.seen += lightness
        return super().predict(lightness)


@pytest.mark.parametrize("rotation", TURNS)
def test_the_network_sees_a_turned_film_upright(tmp_path: Path, rotation: int) -> None:
    """So do people who give hints; and chroma lies where the picture's own luma does."""
    pictures = [one // 2 + 64 for one in scene(6, width=128, height=64)]  # its colours have room
    write_film(tmp_path / "f", pictures)
    own = replace(read_header(tmp_path / "f"), rotation=rotation)
    with open_segment(tmp_path / "turned", own, is_grey=True) as made:
        for number, codes in enumerate(pictures):
            made.add((codes,), number * 40)
    header, network = probe(tmp_path / "turned"), WatchfulNetwork()
    turns = TURNS[header.rotation if header.rotation != -180 else 180]
    (shot,) = find_shots(tmp_path / "turned", header)
    colour_shot(tmp_path / "turned", header, shot, network, tmp_path / "0.mkv")
    with open_film(tmp_path / "turned") as film:
        first = luma_of(next(moments(film, pictures_of(film))).frame)
    height, width = network.seen[0].shape
    assert (height > width) == (turns % 2 == 1)
    upright = np.ascontiguousarray(np.rot90(first, turns))
    expected = lightness_of(small_luma(upright, Coding.of(header), height, width))
    assert np.abs(network.seen[0] - expected).mean() < 0.5
    with av.open(str(tmp_path / "0.mkv")) as segment:
        y, blue, _ = next(segment.decode(video=0)).to_ndarray(channel_last=False)
    assert np.corrcoef(y.ravel(), blue.ravel())[0, 1] > 0.8
    view = look_at_frame(FrameRequest(OpenFilm(tmp_path / "turned", header), 0, 0, None, 64, 4096))
    assert view.screen.shape == upright.shape
    assert view.lightness.shape == network_size(*upright.shape, network_px=64)
    whole = lightness_of(small_luma(upright, Coding.of(header), *upright.shape))
    assert np.abs(view.screen - whole).max() < 1


def test_the_network_sees_square_pixels(tmp_path: Path) -> None:
    """Of an anamorphic film, whose stored frames are squeezed; of what nobody shows, a bound."""
    write_film(tmp_path / "f", scene(3))
    header = read_header(tmp_path / "f")
    assert replace(header, pixel_aspect=Fraction(2)).shown_size == (64, 192)
    assert replace(header, pixel_aspect=Fraction(2), rotation=90).shown_size == (192, 64)
    assert replace(header, pixel_aspect=Fraction(9000)).shown_size == (64, 384)

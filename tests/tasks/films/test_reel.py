"""A film coloured from end to end: its luma, times, sound and timecode are its own; and back."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.audit import app
from tasks.batch.film_work import PosterRequest, make_poster
from tasks.errors import ToneGateFailed, TruncatedScan, UnreadableScan, UsageError, WriteUnverified
from tasks.films.colouring import ShotOutcome, colour_shot
from tasks.films.gate import check_reel
from tasks.films.header import FilmHeader, probe, read_header
from tasks.films.reel import Reel, assemble, join
from tasks.films.restore import restore_film
from tasks.films.segment import open_segment
from tasks.films.shots import Shot, find_shots
from tasks.films.viewing import AccessWriter
from tasks.provenance import DIGITAL_SOURCE_TYPE, Provenance
from tests.packets import read_xmp
from tests.tasks.films.filmmaking import Codes, as_frame, scene, write_film
from tests.tasks.films.networks import RestlessNetwork

PROVENANCE = Provenance(
    scan_uri="file:///archive/reel%207.mov",
    scan_sha256="ab" * 32,
    checkpoint_digest="cd" * 32,
    recipe_digest="ef" * 32,
    model_name="a network",
    software="Autochrome 0",
    created_at=datetime(2026, 11, 30, 9, 30, tzinfo=UTC),
    confidence=0.6,
)


@dataclass(frozen=True)
class Coloured:
    """A film and what was made of it."""

    path: Path
    header: FilmHeader
    shots: tuple[Shot, ...]
    outcomes: Sequence[ShotOutcome]
    segments: Sequence[Path]
    folder: Path

    def assembled(self) -> Reel:
        """Its reel."""
        return assemble(self.path, self.segments, self.folder, PROVENANCE)


def coloured(  # what `write_film` takes
    folder: Path,
    pictures: Sequence[Codes],
    **film: Any,  # noqa: ANN401
) -> Coloured:
    """Make a film of pictures and colour its shots."""
    path = folder / "film"
    write_film(path, pictures, **film)
    header = probe(path)
    shots = find_shots(path, header)
    segments = [folder / f"{number}.mkv" for number in range(len(shots))]
    outcomes = [
        colour_shot(path, header, shot, RestlessNetwork(), segment)
        for shot, segment in zip(shots, segments, strict=True)
    ]
    return Coloured(path, header, shots, outcomes, segments, folder)


def two_takes(bits: int = 8) -> list[Codes]:
    """Two shots of eight frames."""
    return [*scene(8, seed=1, bits=bits), *scene(8, seed=2, bits=bits)]


def framemd5(path: Path) -> list[str]:
    """MD5 of each frame's Y′, by PyAV's arrays: neither the gate's way nor that of colouring."""
    digests = []
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            if frame.format.is_rgb:
                rgb = frame.to_ndarray(format="rgb48le").astype(np.int64)
                if max(one.bits for one in frame.format.components) < 16:
                    rgb = frame.reformat(format=frame.format.name).to_ndarray().astype(np.int64)
                assert (rgb == rgb[..., :1]).all()
                luma = rgb[..., 0].astype(np.uint8 if rgb.max() < 256 else np.uint16)
            else:
                is_deep = frame.format.components[0].bits > 8
                kind: np.dtype[Any] = np.dtype("<u2" if is_deep else "u1")
                data = bytes(frame.planes[0])
                rows = [
                    data[at : at + frame.width * kind.itemsize]
                    for at in range(0, frame.height * frame.planes[0].line_size,
                                    frame.planes[0].line_size)
                ]  # fmt: skip
                luma = np.frombuffer(b"".join(rows), kind)
            digests.append(hashlib.md5(luma.tobytes()).hexdigest())  # noqa: S324
    return digests


KINDS: dict[str, dict[str, Any]] = {
    "grey, 8 bits": {"codec": "ffv1", "pixel_format": "gray"},
    "grey, 10 bits": {"codec": "ffv1", "pixel_format": "gray10le"},
    "grey, 12 bits": {"codec": "ffv1", "pixel_format": "gray12le"},
    "grey, 14 bits": {"codec": "ffv1", "pixel_format": "gray14le"},
    "grey, 16 bits": {"codec": "ffv1", "pixel_format": "gray16le", "sound": "flac"},
    "H.264": {"codec": "libx264", "pixel_format": "yuv420p", "container": "mp4", "sound": "aac"},
    "MPEG-2": {
        "codec": "mpeg2video", "pixel_format": "yuv420p", "container": "mpegts", "sound": "mp2"
    },
    "ProRes, interlaced": {
        "codec": "prores_ks", "pixel_format": "yuv422p10le", "container": "mov",
        "sound": "pcm_s16le", "timecode": "10:20:30:15", "rate": Fraction(30_000, 1001),
        "options": {"flags": "+ildct", "field_order": "bb"},
    },
    "RGB from DPX": {"codec": "r210", "pixel_format": "gbrp10le", "container": "mov"},
    "RGB, 8 bits": {"codec": "rawvideo", "pixel_format": "rgb24", "container": "mov"},
    "MJPEG": {"codec": "mjpeg", "pixel_format": "yuvj420p", "container": "avi"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_luma_sound_and_times_are_the_films_bit_for_bit(tmp_path: Path, kind: str) -> None:
    """In the master, and in the film that is given back."""
    film = KINDS[kind]
    bits = next((n for n in (10, 12, 14, 16) if str(n) in film["pixel_format"]), 8)
    made = coloured(tmp_path, two_takes(bits), **film)
    assert [(one.first, one.frames) for one in made.shots] == [(0, 8), (8, 8)]
    reel = made.assembled()
    own = [digest for outcome in made.outcomes for digest in outcome.digests]
    assert reel.frames == len(own) == 16
    if not made.header.is_rgb:  # whose own way of comparing is in test_probe
        assert framemd5(made.path) == own
    assert framemd5(reel.master) == own
    assert [line.split(", ")[-1] for line in lines_of(reel.framemd5)] == own
    restore_film(reel.master, tmp_path / "back.mkv")
    assert framemd5(tmp_path / "back.mkv") == own
    for path in (reel.master, tmp_path / "back.mkv"):
        assert sounds(path) == sounds(made.path)
        with av.open(str(path)) as opened:
            stream = opened.streams.video[0]
            said = {key.lower(): value for key, value in stream.metadata.items()}
            assert said.get("timecode") == film.get("timecode")
            assert stream.codec_context.color_range == made.header.code_range
            shape = "yuv444p" if path == reel.master else "gray"
            assert stream.codec_context.pix_fmt == (shape if bits == 8 else f"{shape}{bits}le")
            fields = [frame.interlaced_frame for frame in opened.decode(stream)]
            assert all(fields) if "interlaced" in kind else not any(fields)


def lines_of(path: Path) -> list[str]:
    """The lines of a framemd5 file that are about frames."""
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def sounds(path: Path) -> list[bytes]:
    """All of each stream of sound, as it is coded."""
    with av.open(str(path)) as film:
        return [
            b"".join(bytes(packet) for packet in film.demux(stream) if packet.size)
            for stream in film.streams.audio[:1]
        ]


def test_a_variable_rate_is_kept_to_the_millisecond(tmp_path: Path) -> None:
    """Frames are shown when the film shows them, in the master and in the copy for browsers."""
    times = [0, 40, 100, 300, 340, 1000, 1033, 1066, 1100, 1500, 1600, 1700, 1750, 1790, 1900, 1955]
    made = coloured(tmp_path, two_takes(), times=times)
    reel = made.assembled()
    assert shown(reel.master) == times
    assert shown(reel.access) == times
    assert [int(line.split(", ")[2]) for line in lines_of(reel.framemd5)] == times


def shown(path: Path) -> list[int]:
    """When each frame is shown, in milliseconds."""
    with av.open(str(path)) as film:
        return [round((frame.time or 0) * 1000) for frame in film.decode(video=0)]


def test_all_files_say_what_they_are(tmp_path: Path) -> None:
    """Container tags and XMP in the master, XMP in MP4 and JPEG."""
    made = coloured(tmp_path, two_takes(), codec="libx264", pixel_format="yuv420p",
                    container="mp4", sound="aac")  # fmt: skip
    reel = made.assembled()
    with av.open(str(reel.master)) as master:
        tags, attached = (
            master.metadata,
            [one for one in master.streams if one.type == "attachment"],
        )
        assert tags["DIGITAL_SOURCE_TYPE"] == DIGITAL_SOURCE_TYPE
        assert tags["SOURCE_SHA256"] == "ab" * 32
        assert "a machine's guess" in tags["COMMENT"]
        packet = read_xmp(attached[0].data)  # type: ignore[attr-defined]
    assert packet["Iptc4xmpExt:DigitalSourceType"] == (DIGITAL_SOURCE_TYPE,)
    data = reel.access.read_bytes()
    box = data[data.index(bytes.fromhex("be7acfcb97a942e89c71999491e3afac")) + 16 :]
    assert read_xmp(box)["autochrome:ScanSha256"] == ("ab" * 32,)
    with av.open(str(reel.access)) as access:
        assert "a machine's guess" in access.metadata["comment"]
        assert [one.codec_context.name for one in access.streams] == ["h264", "aac"]
        frames = list(access.decode(video=0))
    assert (frames[0].format.name, len(frames)) == ("yuv420p", 16)
    with Image.open(reel.poster) as poster:
        assert poster.size == (96, 64)
        assert b"compositeWithTrainedAlgorithmicMedia" in poster.info["xmp"]
        red, _, blue = (np.asarray(plane, int) for plane in poster.convert("RGB").split())
    assert np.abs(red - blue).mean() > 5  # it is in colour


def test_colours_are_those_of_the_network_and_none_leaves_the_gamut(tmp_path: Path) -> None:
    """Light things one way, dark ones another; R′G′B′ of the master within its range."""
    made = coloured(tmp_path, two_takes(12), codec="ffv1", pixel_format="gray12le")
    with av.open(str(made.segments[0])) as segment:
        frame = next(segment.decode(video=0))
        y, blue, red = (
            np.frombuffer(bytes(plane), "<u2").reshape(64, -1)[:, :96].astype(float)
            for plane in frame.planes
        )
    y, blue, red = y / 4095, (blue - 2048) / 4095, (red - 2048) / 4095
    r, b = y + 1.402 * red, y + 1.772 * blue
    g = (y - 0.299 * r - 0.114 * b) / 0.587
    assert min(r.min(), g.min(), b.min()) > -1e-3
    assert max(r.max(), g.max(), b.max()) < 1 + 1e-3
    light, dark = (y > 0.7) & (y < 0.85), (y > 0.15) & (y < 0.35)
    assert red[light].mean() > red[dark].mean() + 0.02
    assert blue[light].mean() > blue[dark].mean() + 0.02


def test_a_shot_comes_out_the_same_whoever_colours_it(tmp_path: Path) -> None:
    """Another process gives the same bytes, and needs no other shot for it."""
    made = coloured(tmp_path, two_takes())
    again = tmp_path / "again.mkv"
    colour_shot(made.path, made.header, made.shots[1], RestlessNetwork(), again)
    with av.open(str(made.segments[1])) as one, av.open(str(again)) as other:
        packets = [[bytes(packet) for packet in film.demux(video=0)] for film in (one, other)]
    assert packets[0] == packets[1]
    unsought = replace(made.shots[1], seek=None)
    colour_shot(made.path, made.header, unsought, RestlessNetwork(), again)
    assert framemd5(again) == list(made.outcomes[1].digests)


def test_a_shot_that_is_kept_grey_fits_in(tmp_path: Path) -> None:
    """Without a network chroma is neutral, and the reel can be put together."""
    made = coloured(tmp_path, two_takes())
    outcome = colour_shot(made.path, made.header, made.shots[0], None, made.segments[0])
    assert (outcome.keys, outcome.confidence) == (0, 0.0)
    with av.open(str(made.segments[0])) as segment:
        frame = next(segment.decode(video=0))
    assert {bytes(frame.planes[1])[0], bytes(frame.planes[2])[0]} == {128}
    assert made.assembled().frames == 16


def test_the_network_looks_at_a_third_of_the_frames(tmp_path: Path) -> None:
    """By their numbers in the film."""
    made = coloured(tmp_path, two_takes())
    network = RestlessNetwork()
    for shot in made.shots:
        colour_shot(made.path, made.header, shot, network, tmp_path / "x.mkv")
    assert network.asked == 6  # frames 0, 3, 6 and 9, 12, 15


def test_the_gate_sees_one_code_in_one_frame(tmp_path: Path) -> None:
    """A master with another Y′, a frame too few, shots in the wrong order: none passes."""
    made = coloured(tmp_path, two_takes())
    pictures = two_takes()
    pictures[11] = pictures[11].copy()
    pictures[11][40, 50] ^= 1
    other = tmp_path / "other"
    other.mkdir()
    wrong = coloured(other, pictures)
    with pytest.raises(ToneGateFailed, match="frame 11"):
        assemble(made.path, wrong.segments, other, PROVENANCE)
    with pytest.raises(ToneGateFailed, match="fewer"):
        assemble(made.path, made.segments[:1], other, PROVENANCE)
    with pytest.raises(WriteUnverified, match=r"0\.mkv"):
        assemble(made.path, made.segments[::-1], other, PROVENANCE)


def test_segments_of_another_coding_are_not_joined(tmp_path: Path) -> None:
    """Their frames could not be decoded together."""
    made = coloured(tmp_path, two_takes())
    deep = tmp_path / "deep"
    deep.mkdir()
    other = coloured(deep, two_takes(10), codec="ffv1", pixel_format="gray10le")
    with pytest.raises(WriteUnverified):
        assemble(made.path, [made.segments[0], other.segments[1]], deep, PROVENANCE)


def test_sound_that_is_not_the_films_does_not_pass(tmp_path: Path) -> None:
    """The gate compares it byte by byte."""
    made = coloured(tmp_path, two_takes(), sound="flac")
    reel = made.assembled()
    silent = tmp_path / "silent"
    write_film(silent, two_takes())
    with pytest.raises(WriteUnverified, match="sound"):
        check_reel(silent, reel.master, made.header, tmp_path / "md5")


def test_a_film_that_has_become_shorter_meanwhile_is_told(tmp_path: Path) -> None:
    """A shot's frames are all there, or it is not coloured."""
    made = coloured(tmp_path, two_takes())
    long = replace(made.shots[1], frames=20)
    with pytest.raises(TruncatedScan):
        colour_shot(made.path, made.header, long, RestlessNetwork(), tmp_path / "x.mkv")


def test_restore_is_a_command(tmp_path: Path) -> None:
    """It writes a new file, and leaves nothing where it cannot."""
    made = coloured(tmp_path, two_takes(), sound="flac")
    reel, back = made.assembled(), tmp_path / "back.mkv"
    runner = CliRunner()
    done = runner.invoke(app, ["restore", str(reel.master), str(back)], catch_exceptions=False)
    assert done.exit_code == 0
    assert framemd5(back) == framemd5(made.path)
    with pytest.raises(UsageError, match="exists"):
        runner.invoke(app, ["restore", str(reel.master), str(back)], catch_exceptions=False)
    with pytest.raises(UsageError):
        runner.invoke(app, ["restore", str(back), str(tmp_path / "no")], catch_exceptions=False)
    assert not (tmp_path / "no").exists()


def test_only_masters_are_restored(tmp_path: Path) -> None:
    """Another film has no record of what it was."""
    write_film(tmp_path / "f", scene(3))
    with pytest.raises(UsageError):
        restore_film(tmp_path / "f", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    """Frames of FFV1 carry their shape, and a tag of the container; H.264 has it, too."""
    made = coloured(tmp_path, two_takes())
    wide = replace(made.header, pixel_aspect=Fraction(16, 15))
    for shot, segment in zip(made.shots, made.segments, strict=True):
        colour_shot(made.path, wide, shot, None, segment)
    join(made.path, made.segments, tmp_path / "wide.mkv", header=wide, tags={})
    assert read_header(tmp_path / "wide.mkv").pixel_aspect == Fraction(16, 15)
    with av.open(str(tmp_path / "wide.mkv")) as master, av.logging.Capture() as said:
        stream, graph = master.streams.video[0], av.filter.Graph()
        nodes = graph.add_buffer(template=stream), graph.add("showinfo"), graph.add("buffersink")
        graph.link_nodes(*nodes).configure()
        before = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        graph.push(next(master.decode(stream)))
        graph.pull()
        av.logging.set_level(before)
    assert any("sar:16/15" in message for _, _, message in said)


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_a_film_that_is_shown_turned_stays_so(tmp_path: Path, rotation: int) -> None:
    """Its pixels are not turned, and all that is made of it tells players; posters are upright."""
    (tmp_path / "stored").mkdir()
    write_film(tmp_path / "stored" / "f", scene(4, width=96, height=64))
    with av.open(str(tmp_path / "stored" / "f")) as stored:
        frames = [frame.to_ndarray() for frame in stored.decode(video=0)]
    turned = tmp_path / "turned"
    with open_segment(
        turned, replace(read_header(tmp_path / "stored" / "f"), rotation=rotation), is_grey=True
    ) as made:
        for number, codes in enumerate(frames):
            made.add((codes,), number * 40)
    header = probe(turned)
    assert abs(header.rotation) == abs(rotation)
    (shot,) = find_shots(turned, header)
    colour_shot(turned, header, shot, RestlessNetwork(), tmp_path / "0.mkv")
    reel = assemble(turned, [tmp_path / "0.mkv"], tmp_path, PROVENANCE)
    for path in (reel.master, reel.access):
        assert read_header(path).rotation == header.rotation, path
    across, down = Image.open(reel.poster).size
    assert (across > down) == (rotation == 180)
    make_poster(PosterRequest(tmp_path / "0.mkv", 1, tmp_path / "shot.jpg"))
    across, down = Image.open(tmp_path / "shot.jpg").size
    assert (across // 2 > down) == (rotation == 180)
    restore_film(reel.master, tmp_path / "back.mkv")
    assert read_header(tmp_path / "back.mkv").rotation == header.rotation
    assert framemd5(tmp_path / "back.mkv") == framemd5(turned)


def test_sound_whose_times_go_back_is_the_films_own_fault(tmp_path: Path) -> None:
    """Not the disk's, which would be tried again."""
    made = coloured(tmp_path, two_takes(), codec="mpeg2video", pixel_format="yuv420p",
                    container="mpegts", sound="mp2")  # fmt: skip
    made.path.write_bytes(made.path.read_bytes() * 2)
    with pytest.raises(UnreadableScan, match="its sound has times that Matroska does not take"):
        join(made.path, made.segments, tmp_path / "master.mkv", header=made.header, tags={})


def test_damaged_sound_costs_the_copy_that_packet_alone(tmp_path: Path) -> None:
    """The master has it as it is; what browsers play goes on behind it."""
    source, damaged = tmp_path / "film", tmp_path / "damaged"
    write_film(source, scene(25), sound="mp2")
    with av.open(str(source)) as film, av.open(str(damaged), "w", format="matroska") as copy:
        into = {one.index: copy.add_stream_from_template(one) for one in film.streams}
        number = 0
        for packet in film.demux():
            if not packet.size:
                continue
            if packet.stream.type == "audio":
                number += 1
                if number == 5:
                    packet.update(b"\xab" * packet.size)
            packet.stream = into[packet.stream_index]
            copy.mux(packet)
    with av.open(str(damaged)) as film, pytest.raises(av.error.InvalidDataError):
        list(film.decode(audio=0))
    header = read_header(damaged)
    with AccessWriter(tmp_path / "access.mp4", damaged, header, PROVENANCE) as access:
        for number, codes in enumerate(scene(25)):
            access.add(as_frame(codes, "yuv444p"), 40 * number)
    with av.open(str(tmp_path / "access.mp4")) as film:
        heard = sum(frame.samples for frame in film.decode(audio=0))
    assert heard > 0.8 * 48_000

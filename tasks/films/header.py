"""What a film is: read from its header and packets, and a few frames, before it is coloured."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tasks.errors import ScanTooLarge, TruncatedScan, UnreadableScan, UnsupportedFormat
from tasks.films.hue import judge_films_hue
from tasks.films.kinds import SEEKABLE, check_whole
from tasks.films.luma import LUMA_SHARES, picture_format, range_of
from tasks.films.opening import Moment, is_copied, moments, open_film, pictures_of, step_of, takes
from tasks.scans.findings import Doubt
from tasks.words import count

#: Frames that are looked at for what they hold, spread over the film.
LOOKED_AT = 12
#: The tag of our masters that says the shape of pixels.
PIXEL_ASPECT = "PIXEL_ASPECT"
#: Pixels of a frame that a worker decodes and colours in its own process, several at once.
_MOST_PIXELS = 40_000_000
_NEAR = 32  # frames decoded for each of them at most
#: A film's end may be so much before what its header says, in seconds: sound is padded, too.
_MISSING_S = 1.5
_MOST_ASPECT = 4.0  # of pixels; what says more is in error
#: What states neither its size nor its length; of what is lost in it, times tell.
MPEG = {"mpeg", "mpegts"}
_GAP = 3  # times the usual step from frame to frame
_RATE = 0.02  # by which a rate that is stated may differ from that of the timestamps
_FIELD_ORDERS = {2: "tt", 3: "bb", 4: "tb", 5: "bt"}  # FFmpeg's numbers, and its words


@dataclass(frozen=True)
class FilmLimits:
    """What a film may ask for before it is refused.

    Attributes:
        max_minutes: How long it may be.
        max_pixels: Of a frame; never more than 40 megapixels, whatever it says.
    """

    max_minutes: float = 240.0
    max_pixels: int = _MOST_PIXELS


@dataclass(frozen=True)
class Sound:
    """One stream of sound: FFmpeg's name of its coding, samples a second, channels, language."""

    codec: str
    rate: int
    channels: int
    language: str = ""


@dataclass(frozen=True)
class FilmHeader:
    """What is known of a film before it is coloured.

    Attributes:
        container: FFmpeg's name of what it is stored in; told by content, never by its name.
        codec: Of the pictures, as FFmpeg calls it.
        width: Pixels across, as stored.
        height: Pixels down, as stored.
        frames: Packets of pictures: frames, but where fields are stored one by one.
        rate: Frames a second, on average.
        is_variable: Whether frames are shown for unlike times.
        time_base: Unit of timestamps, in seconds.
        pixel_format: FFmpeg's name.
        bits: Of a luma sample; those of the derivative, too.
        code_range: 1: luma is from 16 to 235, at 8 bits; 2: all codes.
        matrix: FFmpeg's number of what Y′CbCr is made with: what is stated, else the usual.
        transfer: FFmpeg's number of the tone curve, as stated; 2 where it is not.
        field_order: tt, bb, tb or bt of interlaced films, else empty.
        pixel_aspect: Width of a pixel over its height.
        rotation: Degrees counter-clockwise by which players turn the picture.
        sound: Its streams of sound.
        timecode: Of the first frame, as stated; empty where there is none.
        duration_s: How long it is.
        is_rgb: Whether the pictures are stored as R′G′B′.
        is_seekable: Whether reading may begin in its midst.
        notes: What of the file is left out, a sentence each.
        doubts: Why a person should look at it.
    """

    container: str
    codec: str
    width: int
    height: int
    frames: int
    rate: Fraction
    is_variable: bool
    time_base: Fraction
    pixel_format: str
    bits: int
    code_range: int
    matrix: int
    transfer: int
    field_order: str
    pixel_aspect: Fraction
    rotation: int
    sound: tuple[Sound, ...]
    timecode: str
    duration_s: float
    is_rgb: bool
    is_seekable: bool
    notes: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def is_interlaced(self) -> bool:
        """Whether each frame holds two moments."""
        return bool(self.field_order)

    @property
    def quarter_turns(self) -> int:
        """By how many quarters, counter-clockwise, a frame is turned to stand upright."""
        return round(self.rotation / 90) % 4

    @property
    def shown_size(self) -> tuple[int, int]:
        """Height and width of a frame as it is shown: upright, its pixels square."""
        aspect = min(max(float(self.pixel_aspect), 1 / _MOST_ASPECT), _MOST_ASPECT)
        height, width = self.height, round(self.width * aspect)
        return (width, height) if self.quarter_turns % 2 else (height, width)


def probe(path: Path, limits: FilmLimits | None = None) -> FilmHeader:
    """Read what a film is, and see that it is all there and ours to colour.

    Every packet is read and `LOOKED_AT` frames are decoded; memory is that of a few frames.

    Args:
        path: The file; its name plays no part.
        limits: What it may ask for.

    Raises:
        UnsupportedFormat: Not a film, one without pictures, or of a kind that is not read.
        TruncatedScan: It ends early.
        UnreadableScan: It is damaged.
        ScanTooLarge: It is longer, or its frames are larger, than *limits* allow.
        AlreadyColour: It is in colour.
        BlankScan: It shows nothing.
        OSError: It cannot be read.
    """
    header, frames = _read(path, limits or FilmLimits())
    return replace(header, doubts=judge_films_hue(frames))


def read_header(path: Path) -> FilmHeader:
    """Read what a film is, whatever it shows and however long it is; the errors are `probe`'s."""
    header, _ = _read(path, FilmLimits(max_minutes=math.inf, max_pixels=1 << 40))
    return header


def _read(path: Path, limits: FilmLimits) -> tuple[FilmHeader, list[VideoFrame]]:
    """A film's header, and frames from all over it."""
    container = check_whole(path)
    with open_film(path) as film:
        stream = pictures_of(film)
        _check_size(stream.codec_context.width, stream.codec_context.height, limits)
        packets = _read_packets(film, stream, limits)
        sound = tuple(_sound(one) for one in film.streams.audio)
        timecode, notes = _timecode(film), tuple(left_out(film, stream))
    with open_film(path) as film:
        stream = pictures_of(film)
        first = next(moments(film, stream), None)
        if first is None:
            raise UnreadableScan("no frame of the film can be decoded; take another copy of it")
        _check_size(first.frame.width, first.frame.height, limits)
        stored = picture_format(first.frame.format.name)
        # A palette comes with the first frame alone, in MOV.
        has_palette = first.frame.format.has_palette
        is_seekable = container in SEEKABLE and first.is_stated and not has_palette
        header = FilmHeader(
            container=container,
            codec=stream.codec_context.name,
            width=first.frame.width,
            height=first.frame.height,
            frames=len(packets.times),
            rate=packets.rate(stream),
            is_variable=packets.is_variable,
            time_base=stream.time_base or Fraction(1, 1000),
            pixel_format=stored.name,
            bits=stored.bits,
            code_range=range_of(first.frame),
            matrix=_matrix(first.frame),
            transfer=first.frame.color_trc or 2,
            field_order=_field_order(stream, first.frame),
            pixel_aspect=_pixel_aspect(film, stream),
            rotation=first.frame.rotation,
            sound=sound,
            timecode=timecode,
            duration_s=packets.duration_s(stream),
            is_rgb=stored.is_rgb,
            is_seekable=is_seekable,
            notes=(*notes, *packets.gaps(stream)) if container in MPEG else notes,
        )
        return header, _samples(film, stream, first.frame, packets if is_seekable else None)


def _sound(stream: AudioStream) -> Sound:
    """A stream of sound that can be copied.

    Raises:
        UnsupportedFormat: Matroska does not take it.
    """
    codec = stream.codec_context
    name = codec.name if codec is not None else "unknown"
    if codec is None or not takes(stream, "matroska"):
        raise UnsupportedFormat(
            f"the film's sound, {name}, cannot be copied into Matroska as it is; supply the film "
            "with sound as PCM, FLAC or AAC"
        )
    return Sound(name, stream.rate or 0, stream.channels or 0, stream.language or "")


@dataclass(frozen=True)
class _Packets:
    """When packets of pictures are shown, in units of the time base, sorted."""

    times: Sequence[int]

    @property
    def is_variable(self) -> bool:
        steps = np.diff(self.times)
        return bool(steps.size and steps.max() - steps.min() > max(1, steps.min() // 50))

    def rate(self, stream: VideoStream) -> Fraction:
        """Frames a second: as stated, where that is so."""
        span = (self.times[-1] - self.times[0]) * (stream.time_base or 1)
        found = Fraction((len(self.times) - 1) / span) if span else None
        for stated in (stream.average_rate, stream.guessed_rate):
            if stated and (found is None or abs(stated / found - 1) < _RATE):
                return Fraction(stated)
        return found.limit_denominator(1001) if found else Fraction(25)

    def gaps(self, stream: VideoStream) -> Iterator[str]:
        """Where frames seem to be lost, in words."""
        steps = np.diff(self.times)
        usual = float(np.median(steps)) if steps.size else 0.0
        far = np.flatnonzero(steps > _GAP * usual)
        if far.size and usual:
            missing_s = float((steps[far] - usual).sum() * (stream.time_base or 1))
            yield (
                f"Frames seem to be lost at {count(far.size, 'place')}, {missing_s:.2f} s in all, "
                f"the first after frame {far[0]}: see whether another copy has them."
            )

    def duration_s(self, stream: VideoStream) -> float:
        span = float((self.times[-1] - self.times[0]) * (stream.time_base or 1))
        return span + float(1 / self.rate(stream))


def _check_size(width: int, height: int, limits: FilmLimits) -> None:
    most = min(limits.max_pixels, _MOST_PIXELS)
    if width * height > most:
        raise ScanTooLarge(
            f"frames of {width:,} × {height:,} pixels are over the limit of {most:,}; "
            "supply a smaller copy"
        )


def _read_packets(film: InputContainer, stream: VideoStream, limits: FilmLimits) -> _Packets:
    """Read all packets: that the film is as long as it says, and not too long."""
    times: list[int] = []
    end_s, unit = 0.0, stream.time_base or Fraction(1, 1000)
    for packet in film.demux():
        if not packet.size:
            continue
        if packet.is_corrupt:
            raise TruncatedScan(f"the film is cut off within frame {len(times)}; take another copy")
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None and packet.time_base:
            end_s = max(end_s, float((time + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != stream.index or packet.is_discard:
            continue
        if time is None:
            time = times[-1] + step_of(stream) if times else 0
        times.append(time)
        length_s = float((times[-1] - times[0]) * unit)
        if length_s > 60 * limits.max_minutes:
            raise ScanTooLarge(
                f"the film is longer than {limits.max_minutes:g} minutes; raise "
                "AUTOCHROME_MAX_FILM_MINUTES, or cut it into parts"
            )
    if not times:
        raise TruncatedScan("the film ends before its first frame; take another copy of it")
    begin_s = (film.start_time or 0) / av.time_base
    stated_s = (film.duration or 0) / av.time_base + begin_s
    # An edit list leaves out frames that MOV counts, and AVI counts frames that were never written,
    # in whose stead the one before is shown; their boxes and chunks tell where they are cut off.
    is_counted = not film.format.name.startswith(("mov", "avi"))
    # What MPEG states of itself is guessed by FFmpeg from its size.
    is_stated = film.format.name not in MPEG | {"mpegvideo", "h264", "dv"}
    is_short = is_counted and len(times) < stream.frames
    if (is_stated and end_s < stated_s - _MISSING_S) or is_short:
        raise TruncatedScan(
            f"the film ends after {len(times):,} frames, {end_s:.1f} s; its header says "
            f"{stream.frames or 'more'} frames, {stated_s:.1f} s; take another copy of it"
        )
    return _Packets(sorted(times))


def left_out(film: InputContainer, pictures: VideoStream) -> Iterator[str]:
    """What a file holds beside its first pictures and is not in what is made of it, in words."""
    covers = av.stream.Disposition.attached_pic
    for one in film.streams:
        coding = one.codec_context.name if one.codec_context is not None else "of unknown coding"
        what = f"stream {one.index}, {coding}"
        if isinstance(one, VideoStream) and one.disposition & covers:
            yield f"A cover picture ({what}) is left out."
        elif isinstance(one, VideoStream) and one.index != pictures.index:
            size = one.codec_context
            yield (
                f"The film holds further pictures ({what}, {size.width} × {size.height}), which "
                "are left out: of several streams the first is coloured."
            )
        elif one.type == "subtitle" and not is_copied(one):
            yield f"Subtitles ({what}) are left out: Matroska does not take them as they are."
        elif one.type == "data" and not one.metadata.get("timecode"):
            yield f"Data beside the pictures ({what}) are left out."
        elif one.type == "attachment":
            yield f"An attachment ({one.metadata.get('filename') or what}) is left out."


def _timecode(film: InputContainer) -> str:
    """The timecode of the first frame, wherever the film states it."""
    said = [film.metadata, *(one.metadata for one in film.streams)]
    found = ({key.lower(): value for key, value in one.items()} for one in said)
    return next((one["timecode"] for one in found if one.get("timecode")), "")


def _pixel_aspect(film: InputContainer, stream: VideoStream) -> Fraction:
    """What the container states; of our masters a tag, for PyAV does not write Matroska's own."""
    said = {key.upper(): value for key, value in film.metadata.items()}.get(PIXEL_ASPECT, "")
    across, _, down = said.partition(":")
    if across.isdecimal() and down.isdecimal() and int(across) * int(down):
        return Fraction(int(across), int(down))
    return stream.sample_aspect_ratio or Fraction(1)


def _matrix(frame: VideoFrame) -> int:
    """What is stated, as FFmpeg numbers it, else what players take for that height."""
    if frame.colorspace in LUMA_SHARES and not picture_format(frame.format.name).is_rgb:
        return int(frame.colorspace)
    return 1 if frame.height >= 720 else 6


def _field_order(stream: VideoStream, frame: VideoFrame) -> str:
    order = _FIELD_ORDERS.get(stream.codec_context.field_order, "")
    if order or not frame.interlaced_frame:
        return order
    # DV and others say it of each frame alone, and PyAV does not hand that on: a filter does.
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(template=stream),
        graph.add("select", "eq(interlace_type,BOTTOMFIRST)"),
        graph.add("buffersink"),
    ).configure()
    graph.push(frame)
    try:
        graph.pull()
    except av.error.BlockingIOError:
        return "tt"
    return "bb"


def _samples(
    film: InputContainer, stream: VideoStream, first: VideoFrame, packets: _Packets | None
) -> list[VideoFrame]:
    """Frames from all over the film; from its beginning alone where it cannot be sought in."""
    if packets is None:
        few = zip(range(LOOKED_AT), moments(film, stream), strict=False)
        return [first, *(moment.frame for _, moment in few)]
    found, times, here = [first], packets.times, Moment(0, first, is_stated=True)
    for number in range(1, LOOKED_AT):
        wanted = times[number * len(times) // LOOKED_AT]
        # From the key frame before it on, but not for long: what is near will do.
        for moment in islice(moments(film, stream, seek=wanted), _NEAR):
            here = moment
            if moment.pts >= wanted:
                break
        if here.frame.pts != found[-1].pts:
            found.append(here.frame)
    return found

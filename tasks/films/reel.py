"""A reel put together: its segments joined as they are, with the film's sound; gated, and shown."""

import errno
import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.frame import VideoFrame

from tasks.errors import UnreadableScan, WriteUnverified
from tasks.films.gate import check_reel
from tasks.films.header import PIXEL_ASPECT, FilmHeader, read_header
from tasks.films.hue import HueWatch
from tasks.films.opening import OWN_TIMES, AnyPacket, is_copied, open_film, unfit_sound
from tasks.films.tags import master_tags
from tasks.films.viewing import AccessWriter, write_poster
from tasks.provenance import Provenance
from tasks.provenance.xmp import build_xmp
from tasks.scans.findings import Doubt


@dataclass(frozen=True)
class Reel:
    """A film's derivatives on the local disk, gated.

    Attributes:
        master: FFV1 in Matroska.
        access: H.264 in MP4.
        poster: JPEG.
        framemd5: A digest of each frame's Y′, as FFmpeg's muxer of that name writes them.
        note: How the master was made.
        frames: How many there are.
        doubts: Why a person should look at it, of what only the whole film shows.
    """

    master: Path
    access: Path
    poster: Path
    framemd5: Path
    note: str
    frames: int
    doubts: tuple[Doubt, ...] = ()


def assemble(source: Path, segments: Sequence[Path], folder: Path, provenance: Provenance) -> Reel:
    """Put a film together; memory is that of a few frames, whatever its length.

    Args:
        source: The film.
        segments: Those of all its shots, in order.
        folder: Where the files are written.
        provenance: What they say of their origin.

    Raises:
        ToneGateFailed: Y′ of a frame is not the film's, or a frame is missing.
        WriteUnverified: The segments do not belong together, or sound was not copied as it is.
        UnreadableScan: The film or a segment is damaged.
        OSError: A file cannot be read or written.
    """
    header = read_header(source)
    reel = Reel(
        folder / "master.mkv",
        folder / "access.mp4",
        folder / "poster.jpg",
        folder / "master.framemd5",
        "FFV1 in Matroska: the film's own luminance, bit for bit, with chroma added",
        header.frames,
    )
    join(source, segments, reel.master, header=header, tags=master_tags(source, provenance),
         xmp=build_xmp(provenance))  # fmt: skip
    watch = HueWatch(header.rate)
    with AccessWriter(reel.access, source, header, provenance) as access:

        def seen(own: VideoFrame, made: VideoFrame, pts: int) -> None:
            watch.add(own)
            access.add(made, pts)

        checked = check_reel(source, reel.master, header, reel.framemd5, seen=seen)
    write_poster(reel.poster, access.poster, header, provenance)
    return replace(reel, frames=checked, doubts=watch.doubts())


def join(  # noqa: PLR0913 -- each is a different thing, and the last are named
    source: Path,
    segments: Sequence[Path],
    master: Path,
    *,
    header: FilmHeader,
    tags: dict[str, str],
    xmp: bytes | None = None,
) -> None:
    """Write a master of segments and of the source's sound, chapters and timecode.

    Coded frames and sound are copied; a frame is shown when the source shows it, in whole
    milliseconds, as Matroska counts.

    Raises:
        WriteUnverified: The segments do not belong together.
        UnreadableScan: The source or a segment is damaged.
        OSError: A file cannot be read or written.
    """
    with ExitStack() as open_:
        film = open_.enter_context(open_film(source))
        first = open_.enter_context(open_film(segments[0]))
        # Sound that begins before the pictures does not push these back.
        file = open_.enter_context(
            av.open(f"file:{master}", "w", format="matroska", options=OWN_TIMES)
        )
        pictures = file.add_stream_from_template(first.streams.video[0])
        if header.timecode:
            pictures.metadata["timecode"] = header.timecode
        if not header.is_variable:
            pictures.codec_context.framerate = header.rate  # which a template does not hand on
        copied = [one for one in film.streams if is_copied(one)]
        copies = {one.index: file.add_stream_from_template(one) for one in copied}
        for index, copy in copies.items():
            copy.metadata.update(film.streams[index].metadata)
            copy.disposition = film.streams[index].disposition
        if xmp is not None:
            file.add_attachment("master.xmp", "application/rdf+xml", xmp)
        aspect = header.pixel_aspect
        shape = {PIXEL_ASPECT: f"{aspect.numerator}:{aspect.denominator}"} if aspect != 1 else {}
        file.metadata.update({**tags, **shape})
        file.set_chapters(film.chapters())
        coding = first.streams.video[0].codec_context.extradata
        _mux(file, _pictures(segments, pictures, coding), copied_packets(film, copies))


def copied_packets(film: InputContainer, copies: dict[int, Stream]) -> Iterator[AnyPacket]:
    """Packets of the streams that are copied, for the streams that take them."""
    if not copies:
        return
    for packet in film.demux([film.streams[index] for index in copies]):
        if packet.size:
            packet.stream = copies[packet.stream_index]
            yield packet


def _mux(file: OutputContainer, pictures: Iterator[AnyPacket], copied: Iterator[AnyPacket]) -> None:
    """Write packets by their time, so that none has to wait for others."""
    for packet in heapq.merge(pictures, copied, key=_time):
        try:
            file.mux_one(packet)
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            if error.errno == errno.EINVAL:
                raise UnreadableScan(unfit_sound("Matroska")) from error
            raise OSError(errno.EIO, f"the master cannot be written: {error.strerror}") from error


def _time(packet: AnyPacket) -> Fraction:
    time = packet.dts if packet.dts is not None else packet.pts
    return (time or 0) * packet.time_base


def _pictures(segments: Sequence[Path], into: Stream, coding: bytes | None) -> Iterator[AnyPacket]:
    last: int | None = None
    for segment in segments:
        with open_film(segment) as part:
            stream = part.streams.video[0]
            if stream.codec_context.extradata != coding:
                raise WriteUnverified(
                    f"{segment.name} is coded otherwise than the first segment; colour it anew"
                )
            for packet in part.demux(stream):
                if packet.size:
                    if last is not None and (packet.pts or 0) <= last:
                        raise WriteUnverified(f"{segment.name} is not where it belongs in the film")
                    last = packet.pts
                    packet.stream = into  # type: ignore[assignment]
                    yield packet

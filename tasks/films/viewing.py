"""What people are shown of a film: a copy that browsers play, and a poster."""

import errno
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from tasks.derivatives.segments import insert_segments, xmp_segments
from tasks.errors import UnreadableScan
from tasks.films.header import FilmHeader
from tasks.films.luma import LIMITED, planes_of
from tasks.films.opening import AnyPacket, open_film, unfit_sound
from tasks.films.tags import note_of, source_tags
from tasks.provenance import Provenance
from tasks.provenance.xmp import build_xmp, compose_xmp

#: What MP4 takes and browsers play; other sound is coded anew, as AAC.
_PLAYED = {"aac", "mp3", "mp3float", "ac3", "eac3", "alac", "flac", "opus"}
_OPTIONS = {"preset": "veryfast", "crf": "20"}
_POSTER_PX = 1280
_POSTER_QUALITY = 88
_LOOKED_AT = 24  # frames, one of which becomes the poster
#: XMP in MP4 lies in a box of this type (ISO 16684-3, MPEG-4).
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


class AccessWriter:
    """Writes an H.264 copy of frames that are given one by one, with the source's sound."""

    def __init__(
        self, path: Path, source: Path, header: FilmHeader, provenance: Provenance
    ) -> None:
        self._path, self._source, self._header = path, source, header
        self._provenance = provenance
        self._every = max(1, header.frames // _LOOKED_AT)
        self._number, self._spread = 0, -1.0
        self.poster = Image.new("RGB", (1, 1))

    def __enter__(self) -> Self:
        header, self._open = self._header, ExitStack()
        options = {"movflags": "+faststart"}
        with self._open:
            self._file = self._open.enter_context(
                av.open(f"file:{self._path}", "w", format="mp4", options=options)
            )
            added = self._file.add_stream("libx264", rate=header.rate, options=_OPTIONS)
            assert isinstance(added, VideoStream)  # noqa: S101 -- what H.264 is
            self._stream = added
            if header.rotation:
                added.set_display_rotation(header.rotation)
            coder = added.codec_context
            coder.width, coder.height = header.width & ~1, header.height & ~1
            coder.pix_fmt, coder.time_base = "yuv420p", header.time_base
            coder.color_range, coder.color_trc = LIMITED, header.transfer
            coder.colorspace, coder.color_primaries = header.matrix, 1
            coder.sample_aspect_ratio = header.pixel_aspect
            self._sound = _Sound(self._source, self._file, self._open)
            self._file.metadata.update(self._tags())
            self._graph = _graph(header)
            self._open = self._open.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._open:
            if error is None:
                self._graph.push(None)
                self._encode()
                self._mux(self._stream.encode(None))
                self._mux(self._sound.until(None))
        if error is None:
            packet = build_xmp(self._provenance, kind="access")
            with self._path.open("ab") as file:
                size = 8 + len(_XMP_BOX) + len(packet)
                file.write(struct.pack(">I4s", size, b"uuid") + _XMP_BOX + packet)

    def add(self, frame: VideoFrame, pts: int) -> None:
        """Write a frame of the master; *pts* is in units of the source's time base.

        Raises:
            OSError: The file cannot be written.
        """
        if self._number % self._every == self._every // 2:
            self._consider(frame)
        self._number += 1
        frame.pts, frame.time_base = pts, self._header.time_base
        self._graph.push(frame)
        self._encode()
        self._mux(self._sound.until(float(pts * self._header.time_base)))

    def _encode(self) -> None:
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, VideoFrame)  # noqa: S101 -- what went in
            self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[AnyPacket]) -> None:
        try:
            self._file.mux(packets)
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            if error.errno == errno.EINVAL:
                raise UnreadableScan(unfit_sound("MP4")) from error
            words = f"{self._path.name} cannot be written: {error.strerror}"
            raise OSError(errno.EIO, words) from error

    def _consider(self, frame: VideoFrame) -> None:
        """Take a frame for the poster that shows more than the one before: the darkest do least."""
        spread = float(planes_of(frame, 1)[0][::4, ::4].std())
        if spread > self._spread:
            self._spread = spread
            self.poster = Image.fromarray(frame.reformat(format="rgb24").to_ndarray())

    def _tags(self) -> dict[str, str]:
        own, said = source_tags(self._source), self._provenance.descriptive
        title = own.get("title") or said.title or said.identifier
        tags = {
            "title": title,
            "artist": own.get("artist") or said.artist,
            "copyright": own.get("copyright") or said.copyright,
            "description": own.get("description") or said.description,
            "comment": note_of(self._provenance),
        }
        return {key: value for key, value in tags.items() if value}


class _Sound:
    """The sound of a source, for MP4: copied where browsers play it, else coded anew."""

    def __init__(self, source: Path, file: av.container.OutputContainer, open_: ExitStack) -> None:
        film = open_.enter_context(open_film(source))
        self._into: dict[int, AudioStream] = {}
        self._coded: dict[int, av.AudioResampler] = {}
        for one in film.streams.audio:
            if one.codec_context.name in _PLAYED:
                self._into[one.index] = file.add_stream_from_template(one)
                continue
            coded = file.add_stream("aac", rate=min(one.rate or 48_000, 48_000))
            assert isinstance(coded, AudioStream)  # noqa: S101 -- what AAC is
            coded.layout = "mono" if one.channels == 1 else "stereo"
            self._into[one.index] = coded
            self._coded[one.index] = av.AudioResampler("fltp", coded.layout, coded.rate, 1024)
        self._packets = self._all(film) if self._into else iter(())
        self._next: AnyPacket | None = None

    def until(self, time_s: float | None) -> list[AnyPacket]:
        """Packets that begin before a time, or all that are left."""
        found: list[AnyPacket] = []
        while True:
            self._next = self._next or next(self._packets, None)
            if self._next is None:
                return found
            begins = self._next.dts if self._next.dts is not None else self._next.pts or 0
            if time_s is not None and begins * self._next.time_base > time_s:
                return found
            found.append(self._next)
            self._next = None

    def _all(self, film: av.container.InputContainer) -> Iterator[AnyPacket]:
        streams = [film.streams[index] for index in self._into]
        for packet in film.demux(streams):
            index = packet.stream.index  # packets that flush a decoder know no other
            if index not in self._coded:
                if packet.size:
                    packet.stream = self._into[index]
                    yield packet
                continue
            for frame in _heard(packet):
                for part in self._coded[index].resample(frame):
                    yield from self._into[index].encode(part)
        for index, resampler in self._coded.items():
            for part in resampler.resample(None):
                yield from self._into[index].encode(part)
            yield from self._into[index].encode(None)


def _heard(packet: AnyPacket) -> list[Any]:
    """The sound of a packet; none of one that is damaged, which the master keeps as it is."""
    try:
        return list(packet.decode())
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        return []


def _graph(header: FilmHeader) -> av.filter.Graph:
    """Turns frames of the master into what H.264 takes: without fields, of even sides, 4:2:0."""
    graph = av.filter.Graph()
    kind = "yuv444p" if header.bits == 8 else f"yuv444p{header.bits}le"
    nodes = [
        graph.add_buffer(
            width=header.width,
            height=header.height,
            format=av.VideoFormat(kind),
            time_base=header.time_base,
        )
    ]
    if header.is_interlaced:
        parity = "tff" if header.field_order in {"tt", "tb"} else "bff"
        nodes.append(graph.add("bwdif", f"mode=send_frame:parity={parity}:deint=all"))
    ranges = f"in_range={'tv' if header.code_range == LIMITED else 'pc'}:out_range=tv"
    nodes.append(graph.add("crop", f"{header.width & ~1}:{header.height & ~1}:0:0"))
    nodes.append(graph.add("scale", ranges))
    nodes.append(graph.add("format", "yuv420p"))
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph


def write_poster(
    path: Path, picture: Image.Image, header: FilmHeader, provenance: Provenance
) -> None:
    """Write a JPEG of a frame, upright, with square pixels, that says what its colours are.

    Raises:
        OSError: It cannot be written.
    """
    wide = picture.width * float(header.pixel_aspect)
    scale = min(1.0, _POSTER_PX / max(wide, picture.height))
    size = max(1, round(wide * scale)), max(1, round(picture.height * scale))
    shown = picture.resize(size, Image.Resampling.LANCZOS).rotate(header.rotation, expand=True)
    shown.save(path, "JPEG", quality=_POSTER_QUALITY)
    insert_segments(path, xmp_segments(compose_xmp(provenance, kind="thumbnail")))

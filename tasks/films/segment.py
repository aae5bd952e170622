"""Segments: the coloured frames of one shot as FFV1 in Matroska, joined later as they are."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tasks.films.header import FilmHeader
from tasks.films.luma import Codes
from tasks.films.opening import OWN_TIMES

#: FFV1 version 3: every frame alone, with checksums, in slices that are coded beside each other.
_OPTIONS = {"level": "3", "g": "1", "slicecrc": "1", "coder": "rice", "context": "0"}
_LARGE_PX = 1_500_000  # a frame from which there are more slices
_FIELDS = {"tt": "tff", "tb": "tff", "bb": "bff", "bt": "bff"}
_PRIMARIES = 1  # BT.709's, which are sRGB's


class SegmentWriter:
    """Writes frames; `open_segment` makes one."""

    def __init__(self, container: OutputContainer, header: FilmHeader, *, is_grey: bool) -> None:
        kind = "gray" if is_grey else "yuv444p"
        self._format = kind if header.bits == 8 else f"{kind}{header.bits}le"
        self._container, self._header = container, header
        slices = "4" if header.width * header.height < _LARGE_PX else "12"
        options = {**_OPTIONS, "slices": slices}
        added = container.add_stream("ffv1", rate=header.rate, options=options)
        assert isinstance(added, VideoStream)  # noqa: S101 -- what FFV1 is
        self._stream = added
        if header.rotation:
            added.set_display_rotation(header.rotation)  # the master takes it from here
        coder = added.codec_context
        coder.width, coder.height, coder.pix_fmt = header.width, header.height, self._format
        coder.time_base = header.time_base
        coder.color_range, coder.color_trc = header.code_range, header.transfer
        if not is_grey:
            coder.colorspace, coder.color_primaries = header.matrix, _PRIMARIES
        if header.is_interlaced:
            coder.field_order = {"tt": 2, "bb": 3, "tb": 4, "bt": 5}[header.field_order]
        self._marks = _marks(header, self._format)

    def add(self, planes: tuple[Codes, ...], pts: int) -> None:
        """Write a frame: Y′, and Cb and Cr of one in colour, (H, W) each, and when it is shown."""
        frame = VideoFrame(self._header.width, self._header.height, self._format)
        for plane, codes in zip(frame.planes, planes, strict=True):
            row = plane.line_size // codes.dtype.itemsize
            into = np.frombuffer(memoryview(plane), codes.dtype)[: plane.height * row]
            into.reshape(plane.height, row)[:, : plane.width] = codes
        frame.pts, frame.time_base = pts, self._header.time_base
        if self._marks is not None:
            self._marks.push(frame)
            marked = self._marks.pull()
            assert isinstance(marked, VideoFrame)  # noqa: S101 -- what went in
            frame = marked
        self._container.mux(self._stream.encode(frame))

    def end(self) -> None:
        """Write what the coder still holds."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def open_segment(
    path: Path, header: FilmHeader, *, is_grey: bool = False
) -> Iterator[SegmentWriter]:
    """Write a file of frames in the film's depth and size.

    Args:
        path: The file to write.
        header: The film's.
        is_grey: Whether it has no chroma; else chroma at full size.

    Raises:
        OSError: It cannot be written.
    """
    try:
        with av.open(f"file:{path}", "w", format="matroska", options=OWN_TIMES) as container:
            writer = SegmentWriter(container, header, is_grey=is_grey)
            yield writer
            writer.end()
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OSError(errno.EIO, f"{path.name} cannot be written: {error.strerror}") from error


def _marks(header: FilmHeader, pixel_format: str) -> av.filter.Graph | None:
    """What marks frames with their pixels' shape and their fields, where there is something to."""
    if header.pixel_aspect == 1 and not header.is_interlaced:
        return None
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=header.width,
        height=header.height,
        format=av.VideoFormat(pixel_format),
        time_base=header.time_base,
    )
    aspect = header.pixel_aspect
    nodes = [source, graph.add("setsar", f"{aspect.numerator}/{aspect.denominator}")]
    if header.is_interlaced:
        nodes.append(graph.add("setfield", _FIELDS[header.field_order]))
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph

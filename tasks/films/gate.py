"""The gate of films: a master decoded whole, and each frame's Y′ compared with the source's.

It goes a way of its own: FFmpeg's filter `extractplanes` takes planes out of frames on both sides,
where colouring reads them from the decoder's memory.
"""

import hashlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame

from tasks.errors import ToneGateFailed, WriteUnverified
from tasks.films.header import FilmHeader
from tasks.films.luma import Codes, picture_format
from tasks.films.opening import Moment, moments, open_film, pictures_of

#: Matroska counts milliseconds; sources may count finer.
_TICK_S = Fraction(1, 1000)


def check_reel(
    source: Path,
    master: Path,
    header: FilmHeader,
    framemd5: Path,
    *,
    seen: Callable[[VideoFrame, VideoFrame, int], None] | None = None,
) -> int:
    """Compare a master with its source, frame by frame, and its sound byte by byte.

    Args:
        source: The film.
        master: What was made of it: in colour, or grey again.
        header: The source's.
        framemd5: The file to write the digests to.
        seen: Is given each frame of the source and of the master, and when the source shows it, in
            units of its time base.

    Returns:
        How many frames there are.

    Raises:
        ToneGateFailed: Y′ of a frame is not the source's, or there are more or fewer frames.
        WriteUnverified: A frame is shown at another time, or sound was not copied as it is.
        UnreadableScan: One of them is damaged.
        OSError: A file cannot be read or written.
    """
    number = 0
    with open_film(source) as film, open_film(master) as made, framemd5.open("w") as lines:
        lines.write(_head(header))
        ours = pictures_of(made)
        unit = ours.time_base or _TICK_S
        pairs = zip_longest(_lumas(film), _lumas(made))
        for number, (theirs, own) in enumerate(pairs):
            if theirs is None or own is None:
                raise ToneGateFailed(
                    f"the master has {'more' if theirs is None else 'fewer'} frames than the film, "
                    f"from {number} on; this is a fault of ours, report it with the film"
                )
            (moment, digest, size), (shown, found, _) = theirs, own
            if digest != found:
                raise ToneGateFailed(
                    f"Y′ of frame {number} is not the film's ({found}, not {digest}); this is a "
                    "fault of ours, report it with the film"
                )
            if abs(moment.pts * header.time_base - shown.pts * unit) > _TICK_S:
                raise WriteUnverified(
                    f"frame {number} is shown at {float(shown.pts * unit):.3f} s, in the film at "
                    f"{float(moment.pts * header.time_base):.3f} s; colour it anew"
                )
            lines.write(f"0, {moment.pts}, {moment.pts}, 1, {size}, {digest}\n")
            if seen is not None:
                seen(moment.frame, shown.frame, moment.pts)
    _compare_sound(source, master)
    return number + 1


def _lumas(film: InputContainer) -> Iterator[tuple[Moment, str, int]]:
    """Each frame, the digest of its Y′, and the bytes of that."""
    take = None
    for moment in moments(film, pictures_of(film)):
        take = take or _Extraction(moment.frame)
        data = take.luma(moment.frame).tobytes()
        yield moment, hashlib.md5(data, usedforsecurity=False).hexdigest(), len(data)


class _Extraction:
    """FFmpeg's filter that takes planes out of frames."""

    def __init__(self, frame: VideoFrame) -> None:
        stored = picture_format(frame.format.name)
        self._is_rgb = stored.is_rgb
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base,
        )
        # A palette, or what is packed, first lies apart; of all else this does nothing.
        apart = self._graph.add("format", stored.planar)
        planes = self._graph.add("extractplanes", "r+g+b" if stored.is_rgb else "y")
        self._graph.link_nodes(source, apart, planes)
        self._ends = []
        for number in range(3 if stored.is_rgb else 1):
            end = self._graph.add("buffersink")
            planes.link_to(end, number, 0)
            self._ends.append(end)
        self._graph.configure()

    def luma(self, frame: VideoFrame) -> Codes:
        self._graph.push(frame)
        planes: list[Codes] = [end.pull().to_ndarray() for end in self._ends]  # type: ignore[attr-defined]
        if not self._is_rgb:
            return planes[0]
        red, green, blue = (plane.astype(np.float64) for plane in planes)
        exact = (2126 * red + 7152 * green + 722 * blue) / 10_000
        luma: Codes = np.floor(exact + 0.5).astype(planes[0].dtype)
        return luma


def _head(header: FilmHeader) -> str:
    unit, aspect = header.time_base, header.pixel_aspect
    return (
        "#format: frame checksums\n#version: 2\n#hash: MD5\n"
        f"#tb 0: {unit.numerator}/{unit.denominator}\n#media_type 0: video\n"
        f"#codec_id 0: rawvideo\n#dimensions 0: {header.width}x{header.height}\n"
        f"#sar 0: {aspect.numerator}/{aspect.denominator}\n"
        "#stream#, dts,        pts, duration,     size, hash\n"
    )


def _compare_sound(source: Path, master: Path) -> None:
    for number, (theirs, own) in enumerate(zip_longest(_sounds(source), _sounds(master))):
        if theirs != own:
            raise WriteUnverified(
                f"stream of sound {number} is not the film's; colour the film anew"
            )


def _sounds(path: Path) -> list[str]:
    """A digest of each stream of sound: of all its packets, one after the other."""
    with open_film(path) as film:
        digests = {one.index: hashlib.sha256() for one in film.streams.audio}
        if digests:
            for packet in film.demux(*film.streams.audio):
                if not packet.size:
                    continue
                is_adts = packet.stream.codec_context.name == "aac" and _is_adts(bytes(packet)[:2])
                digests[packet.stream_index].update(_payload(bytes(packet), is_adts=is_adts))
    return [digest.hexdigest() for digest in digests.values()]


def _is_adts(head: bytes) -> bool:
    return len(head) == 2 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def _payload(packet: bytes, *, is_adts: bool) -> bytes:
    """A packet without ADTS's header (ISO/IEC 13818-7, 6.2), which Matroska has no use for."""
    return packet[7 if packet[1] & 1 else 9 :] if is_adts else packet

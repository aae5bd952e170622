"""Films opened and decoded: FFmpeg through PyAV, with its failures told as reasons."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tasks.errors import TruncatedScan, UnreadableScan, UnsupportedFormat
from tasks.films.ffv1 import is_sound
from tasks.films.kinds import kind_of

if TYPE_CHECKING:
    AnyPacket = av.Packet[Any]
else:
    AnyPacket = av.Packet  # it takes no parameters

#: For files that are written: times are the film's, before zero, too.
OWN_TIMES = {"avoid_negative_ts": "disabled"}
_REMEDY = "take another copy of it"


class Moment(NamedTuple):
    """A frame and when it is shown.

    Attributes:
        pts: In units of the stream's time base; each frame's is larger than the one's before.
        frame: As decoded.
        is_stated: Whether the film says *pts*; else it was made up to come after the one before.
    """

    pts: int
    frame: VideoFrame
    is_stated: bool


@contextmanager
def open_film(path: Path) -> Iterator[InputContainer]:
    """Open a film as what its content says that it is, and nothing else with it.

    Raises:
        UnsupportedFormat: It is no film.
        UnreadableScan: It is damaged, there or where it is read meanwhile.
        OSError: It cannot be read.
    """
    kind = kind_of(path)
    if kind is None:
        raise UnsupportedFormat("no film that is known")
    try:
        with av.open(
            f"file:{path}",
            format=kind,
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",  # AVI's titles are in whatever the maker's machine wrote
        ) as film:
            yield film
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise UnreadableScan(f"the film cannot be read ({error.strerror}); {_REMEDY}") from error


def pictures_of(film: InputContainer) -> VideoStream:
    """The stream of moving pictures.

    Raises:
        UnsupportedFormat: There is none, or none that can be decoded.
    """
    attached = av.stream.Disposition.attached_pic
    found = [one for one in film.streams.video if not one.disposition & attached]
    if not found:
        raise UnsupportedFormat("the film holds no pictures; sound alone cannot be coloured")
    stream = found[0]
    if stream.codec_context is None or not stream.codec_context.width:
        raise UnsupportedFormat(
            f"the film's pictures are coded in a way that is not read; {_REMEDY} as FFV1 or ProRes"
        )
    stream.thread_type = "AUTO"
    if stream.codec_context.name == "mjpeg":
        # Where an entropy-coded part is damaged, what is left in the frame is chance otherwise.
        stream.codec_context.options = {"err_detect": "explode"}
    return stream


def moments(
    film: InputContainer, stream: VideoStream, *, seek: int | None = None
) -> Iterator[Moment]:
    """Decode frames one by one, each whole and of one size and format.

    Args:
        film: Where from.
        stream: Its pictures.
        seek: Begin with what can be decoded alone before this time; from the start otherwise. What
            comes before it may be damaged: it may need frames that were passed over. Where the film
            cannot be sought in there, as before zero, there are no frames.

    Raises:
        UnreadableScan: A frame is damaged, or unlike the others.
    """
    if seek is not None:
        try:
            film.seek(seek, stream=stream)
        except av.error.PermissionError:  # -1: FFmpeg's readers cannot go there
            return
    number, last, like = 0, None, None
    try:
        for frame in _decoded(film, stream):
            here = (frame.width, frame.height, frame.format.name)
            like = like or here
            is_wanted = seek is None or frame.pts is None or frame.pts >= seek
            if frame.is_corrupt and is_wanted:
                raise UnreadableScan(f"frame {number} is damaged; {_REMEDY}")
            if here != like:
                raise UnreadableScan(
                    f"frame {number} is {here[0]} × {here[1]} {here[2]}, those before it "
                    f"{like[0]} × {like[1]} {like[2]}; cut the film there"
                )
            pts = frame.pts
            is_stated = pts is not None and (last is None or pts > last)
            if pts is None or not is_stated:
                pts = 0 if last is None else last + step_of(stream)
            yield Moment(pts, frame, is_stated)
            last, number = pts, number + 1
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise UnreadableScan(
            f"frame {number} cannot be decoded ({error.strerror}); {_REMEDY}"
        ) from error


def _decoded(film: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    is_ffv1 = stream.codec_context.name == "ffv1"
    for number, packet in enumerate(film.demux(stream)):
        if is_ffv1 and packet.size and not is_sound(bytes(packet)):
            raise UnreadableScan(f"frame {number} is not what its checksum says; {_REMEDY}")
        yield from packet.decode()


def step_of(stream: VideoStream) -> int:
    """How long a frame is shown, in units of the time base, where the film does not say."""
    rate = stream.guessed_rate or stream.average_rate or 25
    return max(1, round(1 / (rate * stream.time_base))) if stream.time_base else 1


def frames_from(path: Path, first: int, count: int, seek: int | None) -> Iterator[Moment]:
    """Decode some frames of a film.

    Args:
        path: The film.
        first: The first one's number, from 0.
        count: How many.
        seek: Its time, by which it is found without decoding all before it.

    Raises:
        TruncatedScan: The film ends before the last of them.
        UnreadableScan: One is damaged.
        OSError: It cannot be read.
    """
    left = count
    if seek is not None:
        with open_film(path) as film:
            for moment in moments(film, pictures_of(film), seek=seek):
                if moment.pts < seek:
                    continue
                if left == count and moment.pts != seek:
                    break  # sought past it: the film's index is wrong
                yield moment
                left -= 1
                if not left:
                    return
    if left == count:
        with open_film(path) as film:
            for moment in islice(moments(film, pictures_of(film)), first, first + count):
                yield moment
                left -= 1
    if left:
        raise TruncatedScan(f"the film ends {left} frames before frame {first + count}; {_REMEDY}")


def is_copied(stream: Stream) -> bool:
    """Whether a stream goes into a master as it is: sound and subtitles that Matroska takes."""
    is_ours = stream.type in {"audio", "subtitle"} and stream.codec_context is not None
    return is_ours and takes(stream, "matroska")


def takes(stream: Stream, container: str) -> bool:
    """Whether a container of that name takes what a stream holds as it is."""
    try:
        with av.open(BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def unfit_sound(container: str) -> str:
    """What is said of a film whose sound a container refuses: its pictures' times are ours."""
    return (
        f"its sound has times that {container} does not take; write its sound anew (PCM or FLAC) "
        "and hand the film in again"
    )

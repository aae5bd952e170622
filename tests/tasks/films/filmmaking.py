"""Makes films by code: pictures that move, in any coding, with sound, timecode and odd times."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tests.scanfiles import photograph

Codes = NDArray[np.unsignedinteger[Any]]


def scene(
    frames: int = 8, *, width: int = 96, height: int = 64, seed: int = 0, bits: int = 8
) -> list[Codes]:
    """A pan over a drawn photograph: codes of full range, (height, width) each."""
    wide = photograph(height + 8, width + frames, seed=seed)
    most = (1 << bits) - 1
    sample = np.uint8 if bits == 8 else np.uint16
    return [
        np.rint(wide[4 : 4 + height, at : at + width] * most).astype(sample) for at in range(frames)
    ]


def coloured(codes: Codes, *, seed: int = 0) -> Codes:
    """RGB of a picture with colours of its own, uint8 (h, w, 3)."""
    hue = np.random.default_rng(seed).integers(0, 255, (4, 6, 3)).astype(np.uint8)
    patches = cv2.resize(hue, codes.shape[::-1], interpolation=cv2.INTER_NEAREST)
    mixed: Codes = (codes[..., None] // 2 + patches // 2).astype(np.uint8)
    return mixed


def as_frame(codes: Codes, pixel_format: str) -> av.VideoFrame:
    """A frame whose Y′, or each of R′, G′, B′, holds the codes; chroma is neutral.

    Codes of three channels are RGB of 8 bits.
    """
    if codes.ndim == 3:
        return av.VideoFrame.from_ndarray(codes, format="rgb24").reformat(format=pixel_format)
    found = av.VideoFormat(pixel_format, 16, 16)
    bits = found.components[0].bits
    kind = "gbrp" if found.is_rgb else "gray" if len(found.components) == 1 else "yuv444p"
    planar = kind if bits == 8 else f"{kind}{bits}le"
    frame = av.VideoFrame(codes.shape[1], codes.shape[0], planar)
    for number, plane in enumerate(frame.planes):
        row = plane.line_size // codes.dtype.itemsize
        whole = np.full((plane.height, row), 1 << (bits - 1), codes.dtype)
        if number == 0 or found.is_rgb:
            whole[:, : plane.width] = codes
        plane.update(whole.tobytes()[: plane.buffer_size])
    return frame if planar == pixel_format else frame.reformat(format=pixel_format)


def write_film(
    path: Path,
    pictures: Sequence[Codes],
    *,
    codec: str = "ffv1",
    pixel_format: str = "gray",
    container: str = "matroska",
    rate: int | Fraction = 25,
    times: Sequence[int] | None = None,
    sound: str | None = None,
    timecode: str | None = None,
    options: dict[str, str] | None = None,
    code_range: int = 0,
) -> None:
    """Write a film.

    Args:
        path: The file to write.
        pictures: Codes of Y′ (h, w), or RGB (h, w, 3).
        codec: FFmpeg's name.
        pixel_format: FFmpeg's name.
        container: FFmpeg's name.
        rate: Frames a second.
        times: When each is shown, in 1/1000 s; evenly otherwise.
        sound: A codec for a stream of sound; none otherwise.
        timecode: Of the first frame.
        options: Of the coding.
        code_range: 1: limited, 2: full, as the file states it; 0: it states none.
    """
    with av.open(str(path), "w", format=container) as film:
        stream = film.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        if code_range:
            stream.codec_context.color_range = code_range
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if timecode:
            stream.metadata["timecode"] = timecode
        heard = film.add_stream(sound, rate=48_000) if sound else None
        if isinstance(heard, av.AudioStream):
            heard.layout = "mono"
        for number, codes in enumerate(pictures):
            frame = as_frame(codes, pixel_format)
            frame.pts = number if times is None else times[number]
            frame.time_base = 1 / Fraction(rate) if times is None else Fraction(1, 1000)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
        if isinstance(heard, av.AudioStream):
            film.mux(_tone(heard, seconds=len(pictures) / float(rate)))


def _tone(stream: av.AudioStream, *, seconds: float) -> "list[av.Packet[Any]]":
    packets = []
    stream.codec_context.open(strict=False)
    size = stream.codec_context.frame_size or 1024
    for number in range(max(1, int(seconds * 48_000) // size)):
        wave = np.sin(np.arange(number * size, (number + 1) * size) * 0.05)[None]
        form = stream.codec_context.format.name
        samples = (
            wave.astype(np.float32) if form.startswith("flt") else (wave * 9000).astype(np.int16)
        )
        frame = av.AudioFrame.from_ndarray(samples, format=form, layout="mono")
        frame.sample_rate, frame.pts = 48_000, number * size
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]

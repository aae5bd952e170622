"""The luma splice: a greyscale JPEG becomes a colour JPEG, and its coded luminance is not touched.

In a frame of three components whose scans are not interleaved, the data units of Y are exactly
those of the greyscale file: ceil(width / 8) × ceil(height / 8) blocks, whatever the sampling
factors (ITU-T T.81, A.2.2). So the grey file's entropy-coded data is copied as the scan of Y, bit
for bit, and the coded data of two half-size greyscale files follows as the scans of Cb and Cr.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tasks.derivatives.jpegfile import (
    BASELINE,
    EXTENDED,
    FRAMES,
    PAYLOAD_BYTES,
    PROGRESSIVE,
    JpegFile,
    JpegLayoutError,
    Segment,
    encoded,
    parse_jpeg,
)
from tasks.derivatives.restore import restore_segments
from tasks.scans.formats.markers import (
    ADOBE,
    APP0,
    APP1,
    APP2,
    APP8,
    APP11,
    APP13,
    APP14,
    COM,
    DAC,
    DHP,
    DHT,
    DNL,
    DQT,
    DRI,
    EXP,
    ICC,
    JFIF,
    MPF,
    PHOTOSHOP,
    SOS,
    SPIFF,
    XMP,
    XMP_MORE,
)

#: Decoders refuse files with very many scans (libvips over 100) as attacks.
MAX_SCANS = 64

#: Component ids. Decoders that find neither JFIF nor Adobe markers take 1, 2, 3 for Y, Cb, Cr.
Y, CB, CR = 1, 2, 3

_ADOBE_YCBCR = ADOBE + struct.pack(">HHHB", 100, 0, 0, 1)
_ICC_PART_BYTES = PAYLOAD_BYTES - len(ICC) - 2


@dataclass(frozen=True)
class GreyJpeg:
    """A greyscale JPEG file that can be spliced.

    Attributes:
        data: The whole file.
        parsed: Its segments.
        width: Columns as stored, before any EXIF orientation.
        height: Rows as stored.
        progressive: Whether its scans refine each other.
    """

    data: bytes
    parsed: JpegFile
    width: int
    height: int
    progressive: bool

    @property
    def chroma_size(self) -> tuple[int, int]:
        """Rows and columns of the chroma planes that belong to it."""
        return -(-self.height // 2), -(-self.width // 2)


def read_grey_jpeg(data: bytes) -> GreyJpeg:
    """Take a greyscale JPEG apart, and make sure that splicing it is safe.

    Raises:
        JpegLayoutError: It cannot be spliced into a file that every decoder reads; the message
            says why.
    """
    parsed = parse_jpeg(data)
    frame = parsed.frame
    _check_segments(parsed.segments)
    if frame.marker not in {BASELINE, EXTENDED, PROGRESSIVE}:
        raise JpegLayoutError(
            f"its coding process is SOF{frame.marker & 0x0F}, not Huffman with DCT"
        )
    if len(frame.payload) < 6:
        raise JpegLayoutError("its frame header is too short")
    bits, height, width, components = struct.unpack_from(">BHHB", frame.payload)
    if bits != 8 or components != 1:
        raise JpegLayoutError(f"it has {components} components of {bits} bits, not one of 8")
    if not height or not width or len(frame.payload) != 9:
        raise JpegLayoutError("its frame header gives no size")
    progressive = frame.marker == PROGRESSIVE
    _check_scans(parsed, progressive=progressive)
    return GreyJpeg(data, parsed, width, height, progressive)


def splice_luma(
    grey: GreyJpeg,
    chroma: tuple[bytes, bytes],
    *,
    icc_profile: bytes | None,
    xmp: Sequence[Segment] = (),
) -> bytes:
    """Add colour to a greyscale JPEG file without touching its coded luminance.

    Args:
        grey: The greyscale file.
        chroma: Cb and Cr as greyscale JPEG files of `grey.chroma_size`, progressive if *grey* is.
        icc_profile: Takes the place of the file's own profile; None leaves no profile.
        xmp: Segments that take the place of the file's own XMP.

    Returns:
        A JPEG file of three components. All metadata that is still true is kept; `restore_original`
        gives the greyscale file back from it.

    Raises:
        JpegLayoutError: The chroma files do not fit, or there is too much metadata.
    """
    planes = [_chroma_plane(data, grey) for data in chroma]
    before, luma = _split_at_first_scan(grey.parsed.segments)
    before = _photoshop_joined(before)
    leading = _count_leading_apps(before)
    table = next(number for number in range(4) if number != grey.parsed.frame.payload[8])
    segments = [
        *_kept(before[:leading]),
        *_colour_space(before),
        *xmp,
        *_icc_segments(icc_profile),
        *restore_segments(grey.data, grey.parsed),
        *[_in_colour(segment, table) for segment in _kept(before[leading:])],
        _quantization(planes, table),
    ]
    if grey.progressive:  # tables may come and go between scans, as they do in every such file
        segments += _luma_scans(luma) + _end_of_restarts(grey.parsed.segments)
        for plane, component in zip(planes, (CB, CR), strict=True):
            segments += _chroma_scans(plane, component, tables=None)
    else:  # all tables first and each under an id of its own, as decoders expect it here
        dc, ac = (0 if used else 1 for used in divmod(luma[0].payload[2], 16))
        segments += _huffman(planes, dc, ac) + _luma_scans(luma)
        segments += _end_of_restarts(grey.parsed.segments)
        for plane, component in zip(planes, (CB, CR), strict=True):
            segments += _chroma_scans(plane, component, tables=dc << 4 | ac)
    return b"".join(encoded(segments))


def coded_data(data: bytes) -> list[memoryview]:
    """The coded data of each scan of a JPEG file; a splice begins with those of the luminance."""
    return [scan.data for scan in parse_jpeg(data).scans]


def _check_segments(segments: Sequence[Segment]) -> None:
    seen_scan = False
    for segment in segments:
        if segment.marker == DAC:
            raise JpegLayoutError("its coding is arithmetic, which many decoders lack")
        if segment.marker in {DHP, EXP, DNL}:
            raise JpegLayoutError(f"it uses the rare marker FF{segment.marker:02X}")
        if segment.is_app(APP8, SPIFF):
            raise JpegLayoutError("a SPIFF header states that it is greyscale")
        if segment.marker == DRI and len(segment.payload) != 2:
            raise JpegLayoutError("its restart interval is malformed")
        if seen_scan and segment.marker in {DQT, *FRAMES}:
            raise JpegLayoutError(f"marker FF{segment.marker:02X} stands behind its first scan")
        seen_scan = seen_scan or segment.marker == SOS


def _check_scans(parsed: JpegFile, *, progressive: bool) -> None:
    scans = parsed.scans
    if not 1 <= len(scans) <= (MAX_SCANS if progressive else 1):
        raise JpegLayoutError(f"it has {len(scans)} scans")
    component = parsed.frame.payload[6]
    for scan in scans:
        if len(scan.payload) != 6 or scan.payload[0] != 1 or scan.payload[1] != component:
            raise JpegLayoutError("a scan header does not name the frame's one component")
        if not progressive and scan.payload[3:] != b"\x00\x3f\x00":
            raise JpegLayoutError("its scan does not hold all coefficients")
    tables = {segment.marker for segment in parsed.segments}
    if parsed.frame.payload[8] > 3 or not {DQT, DHT} <= tables:
        raise JpegLayoutError("tables are missing from it")


def _split_at_first_scan(segments: Sequence[Segment]) -> tuple[list[Segment], list[Segment]]:
    first = next(number for number, segment in enumerate(segments) if segment.marker == SOS)
    return list(segments[:first]), list(segments[first:])


def _count_leading_apps(segments: Sequence[Segment]) -> int:
    """How many application and comment segments stand before anything else."""
    others = (n for n, s in enumerate(segments) if s.marker != COM and not 0xE0 <= s.marker <= 0xEF)
    return next(others, len(segments))


def _kept(segments: Sequence[Segment]) -> list[Segment]:
    """Leave out what is replaced, or is bound to the bytes of the greyscale file.

    Profile and XMP are replaced. A multi-picture index (MPF) points into the file by offsets, and a
    C2PA manifest (APP11) signs its bytes: both would be lies in the spliced file. The record of the
    original keeps them all.
    """
    replaced = ((APP2, ICC), (APP1, XMP), (APP1, XMP_MORE), (APP2, MPF), (APP11, b"JP"))
    kept = [s for s in segments if not any(s.is_app(marker, name) for marker, name in replaced)]
    return [_as_ycbcr(s) if s.is_app(APP14, ADOBE) else s for s in kept]


def _photoshop_joined(segments: Sequence[Segment]) -> list[Segment]:
    """Photoshop's resources in one segment, where they fit: many readers join no two of them."""
    ours = [segment for segment in segments if segment.is_app(APP13, PHOTOSHOP)]
    whole = PHOTOSHOP + b"".join(segment.payload[len(PHOTOSHOP) :] for segment in ours)
    if len(ours) < 2 or len(whole) > PAYLOAD_BYTES:
        return list(segments)
    others = {id(segment) for segment in ours[1:]}
    joined = (replace(one, payload=whole) if one is ours[0] else one for one in segments)
    return [one for one in joined if id(one) not in others]


def _as_ycbcr(adobe: Segment) -> Segment:
    """Adobe's marker with transform 1: on a greyscale file it says 0, which would mean RGB."""
    if len(adobe.payload) < len(_ADOBE_YCBCR):
        return replace(adobe, payload=_ADOBE_YCBCR)
    return replace(adobe, payload=adobe.payload[:11] + b"\x01" + adobe.payload[12:])


def _colour_space(segments: Sequence[Segment]) -> list[Segment]:
    """Adobe's marker where nothing else states YCbCr: decoders would have to guess from ids."""
    stated = any(s.is_app(APP0, JFIF) or s.is_app(APP14, ADOBE) for s in segments)
    return [] if stated else [Segment(APP14, _ADOBE_YCBCR)]


def _icc_segments(profile: bytes | None) -> list[Segment]:
    whole = profile or b""
    parts = [whole[at : at + _ICC_PART_BYTES] for at in range(0, len(whole), _ICC_PART_BYTES)]
    if len(parts) > 255:
        raise JpegLayoutError(f"{len(parts)} segments of ICC profile are more than can be numbered")
    return [
        Segment(APP2, ICC + bytes((number, len(parts))) + part)
        for number, part in enumerate(parts, 1)
    ]


def _in_colour(segment: Segment, table: int) -> Segment:
    """The frame header with Y at 2 × 2 samples for each one of Cb and Cr; others as they are."""
    if segment.marker not in FRAMES:
        return segment
    size, luma_table = segment.payload[:5], segment.payload[8]
    components = bytes((3, Y, 0x22, luma_table, CB, 0x11, table, CR, 0x11, table))
    return replace(segment, payload=size + components)


def _luma_scans(segments: Sequence[Segment]) -> list[Segment]:
    return [
        replace(s, payload=s.payload[:1] + bytes((Y,)) + s.payload[2:]) if s.marker == SOS else s
        for s in _kept(segments)
    ]


def _end_of_restarts(segments: Sequence[Segment]) -> list[Segment]:
    """A restart interval of 0 for the chroma scans, where the luminance had another."""
    return [Segment(DRI, b"\0\0")] if any(s.marker == DRI for s in segments) else []


def _chroma_plane(data: bytes, grey: GreyJpeg) -> GreyJpeg:
    plane = read_grey_jpeg(data)
    if (plane.height, plane.width) != grey.chroma_size or plane.progressive != grey.progressive:
        raise JpegLayoutError(
            f"a chroma plane of {plane.width} × {plane.height} (progressive: {plane.progressive}) "
            f"does not belong to {grey.width} × {grey.height} (progressive: {grey.progressive})"
        )
    if any(segment.marker == DRI for segment in plane.parsed.segments):
        raise JpegLayoutError("a chroma plane has restart intervals")
    return plane


def _quantization(planes: Sequence[GreyJpeg], table: int) -> Segment:
    """The planes' common quantization table under the id *table*."""
    found = [s for plane in planes for s in plane.parsed.segments if s.marker == DQT]
    if any(s.payload != found[0].payload for s in found) or len(found[0].payload) != 65:
        raise JpegLayoutError("the chroma planes do not share one quantization table of 8 bits")
    return replace(found[0], payload=bytes((table,)) + found[0].payload[1:])


def _huffman(planes: Sequence[GreyJpeg], dc: int, ac: int) -> list[Segment]:
    """The planes' common Huffman tables under the ids *dc* and *ac*."""
    first, second = ([s for s in plane.parsed.segments if s.marker == DHT] for plane in planes)
    if [s.payload for s in first] != [s.payload for s in second] or len(first) != 2:
        raise JpegLayoutError("the chroma planes do not share one pair of Huffman tables")
    return [
        replace(s, payload=bytes((0x10 | ac if s.payload[0] & 0x10 else dc,)) + s.payload[1:])
        for s in first
    ]


def _chroma_scans(plane: GreyJpeg, component: int, *, tables: int | None) -> list[Segment]:
    """The plane's scans as those of *component*, with its own tables where none are given."""
    carried = []
    for segment in plane.parsed.segments:
        if segment.marker == SOS:
            ids = segment.payload[2] if tables is None else tables
            named = segment.payload[:1] + bytes((component, ids)) + segment.payload[3:]
            carried.append(replace(segment, payload=named))
        elif segment.marker == DHT and tables is None:
            carried.append(segment)
    return carried

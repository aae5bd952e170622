"""All files of one item: written, gated, digested; or none of them."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from colormodel.planes import ChromaMap
from tasks.derivatives.access import MAX_JPEG_PX, is_whole, write_access, write_thumbnail
from tasks.derivatives.chroma import chroma_planes, encode_plane, stored
from tasks.derivatives.colour import (
    OwnColour,
    coloured_strips,
    is_coarse_in_eight_bits,
    output_tone,
)
from tasks.derivatives.gate import check_files, check_splice, decoded_luma
from tasks.derivatives.jpegfile import JpegLayoutError
from tasks.derivatives.master import TILE_PX, write_master
from tasks.derivatives.policy import Kind, OutputPolicy, ToneCheck, WrittenFile, WrittenMetadata
from tasks.derivatives.segments import xmp_segments
from tasks.derivatives.sidecar import write_sidecar
from tasks.derivatives.splice import read_grey_jpeg, splice_luma
from tasks.provenance import Provenance, compose_xmp
from tasks.scans.metadata.packet import Packet
from tasks.scans.metadata.read import Metadata
from tasks.scans.reader import Scan

#: Decoders hold three bytes a pixel of a JPEG whose scans are not interleaved: above this, a
#: spliced file would ask for more memory than its users have.
MAX_SPLICE_PIXELS = 150_000_000

_SPLICED = "luma splice: the scan's own luminance, bit for bit, with chroma added"


@dataclass(frozen=True)
class _Item:
    """What all of an item's files are made from."""

    path: Path
    scan: Scan
    chroma_map: ChromaMap
    provenance: Provenance
    policy: OutputPolicy
    folder: Path
    own_colour: OwnColour | None = None

    @property
    def own(self) -> Metadata:
        """What the scan's own file says."""
        return self.scan.metadata

    def said(self, kind: Kind) -> WrittenMetadata:
        """What one kind of file says of itself."""
        return WrittenMetadata(self.provenance, self.packet(kind), self.own)

    def packet(self, kind: Kind) -> Packet:
        """The properties of XMP for one kind of file."""
        rights, existing = self.policy.rights, self.own.packet
        return compose_xmp(self.provenance, kind=kind, rights=rights, existing=existing)


def write_derivatives(  # noqa: PLR0913 -- each is a different thing, and the last are named
    path: Path,
    scan: Scan,
    chroma_map: ChromaMap,
    *,
    provenance: Provenance,
    policy: OutputPolicy,
    folder: Path,
    own_colour: OwnColour | None = None,
) -> list[WrittenFile]:
    """Write every file that the policy asks for, and gate each one by reading it back.

    Args:
        path: The scan's file.
        scan: The same, opened.
        chroma_map: What the network says of it, upright.
        provenance: What the files say of their origin.
        policy: Which files, and how.
        folder: Where a folder with the files is made; it is gone if anything fails.
        own_colour: Where the scan's own colours are kept.

    Returns:
        The files: first the master (or what stands for it), then access copy, thumbnail, sidecar.

    Raises:
        ToneGateFailed: A file does not keep the scan's tone.
        WriteUnverified: A file cannot be read back.
        UnreadableScan: The scan's data is damaged.
        OSError: The disk is full, or a file cannot be written.
    """
    made = Path(tempfile.mkdtemp(prefix="derivatives-", dir=folder))
    try:
        item = _Item(path, scan, chroma_map, provenance, policy, made, own_colour)
        files = list(_pictures(item))
        if policy.thumbnail_px:
            files.append(_thumbnail(item, files[0]))
        if policy.sidecar:
            files.append(_sidecar(item, files))
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return files


def _pictures(item: _Item) -> Iterator[WrittenFile]:
    header = item.scan.header
    is_small = max(header.width, header.height) <= MAX_JPEG_PX
    if item.policy.grey_jpeg == "interleaved" and header.is_grey_jpeg and is_small:
        master = _interleaved(item)
        yield from _with_smaller_copy(item, master)
        return
    why = _why_not_spliced(item)
    if why is None:
        try:
            master = _spliced(item)
        except JpegLayoutError as error:
            why = str(error)
        else:
            yield from _with_smaller_copy(item, master)
            return
    yield from _plain(item, f"not spliced: {why}")


def _with_smaller_copy(item: _Item, master: WrittenFile) -> Iterator[WrittenFile]:
    """A JPEG that is master and access copy in one, and a smaller one if the policy has a size."""
    yield master
    policy, header = item.policy, item.scan.header
    if policy.access and policy.access_px and not is_whole(header, policy):
        access = item.folder / "access.jpg"
        said = item.said("access")
        write_access(master.path, access, header=header, policy=policy, said=said, in_srgb=False)
        note = f"JPEG of quality {policy.jpeg_quality}, made from {master.path.name}"
        yield _file("access", access, None, note)


def _why_not_spliced(item: _Item) -> str | None:
    header = item.scan.header
    if item.policy.grey_jpeg != "splice":
        return "the policy asks for plain files"
    if not header.is_grey_jpeg:
        kind = f"{header.format} of {header.channels} channels, {header.stored_bits} bits each"
        return f"the scan is {kind}, no greyscale JPEG of 8 bits"
    if header.pixels > MAX_SPLICE_PIXELS:
        return f"{header.pixels:,} pixels are more than decoders should hold at once"
    return None


def _spliced(item: _Item) -> WrittenFile:
    """The scan's JPEG with chroma added.

    Raises:
        JpegLayoutError: It cannot be done; nothing was written.
    """
    grey = read_grey_jpeg(item.path.read_bytes())
    try:
        luma = decoded_luma(grey.data)
    except ValueError as error:
        raise JpegLayoutError(f"libjpeg warns of it: {error}") from error
    lightness_of = item.scan.tone.lightness
    chroma_map = stored(item.chroma_map, item.scan.header.orientation)
    planes = chroma_planes(luma, chroma_map, lightness_of=lightness_of)
    cb, cr = (
        encode_plane(plane, item.policy.chroma_quality, progressive=grey.progressive)
        for plane in planes
    )
    profile, packet = item.scan.tone.rgb_profile(), item.packet("master")
    target = item.folder / "master.jpg"
    target.write_bytes(splice_luma(grey, (cb, cr), icc_profile=profile, xmp=xmp_segments(packet)))
    tone = check_splice(target, item.scan, grey, luma)
    return _file("master", target, tone, _SPLICED)


def _interleaved(item: _Item) -> WrittenFile:
    """The scan's JPEG coded anew in colour, of the scan's size."""
    lossless, target = item.folder / "lossless.tif", item.folder / "master.jpg"
    policy = replace(item.policy, access_px=0)
    _write_lossless(item, lossless)
    header, said = item.scan.header, item.said("master")
    coarse = is_coarse_in_eight_bits(output_tone(item.scan))
    write_access(lossless, target, header=header, policy=policy, said=said, in_srgb=coarse)
    _, check = check_files(lossless, item.scan, copy=target)
    lossless.unlink()
    return _file("master", target, check, "interleaved JPEG, coded anew, as the policy asks")


def _write_lossless(item: _Item, path: Path) -> None:
    tone = output_tone(item.scan)
    strips = coloured_strips(
        item.scan, item.chroma_map, tone=tone, rows=TILE_PX, own_colour=item.own_colour
    )
    write_master(path, strips, header=item.scan.header, tone=tone, said=item.said("master"))


def _plain(item: _Item, why: str) -> Iterator[WrittenFile]:
    """A lossless TIFF of the scan's depth and a JPEG made from it, as the policy has it."""
    policy, scan = item.policy, item.scan
    master = item.folder / "master.tif"
    _write_lossless(item, master)
    access = item.folder / "access.jpg"
    if policy.access:
        said = item.said("access")
        coarse = is_coarse_in_eight_bits(output_tone(scan))
        write_access(master, access, header=scan.header, policy=policy, said=said, in_srgb=coarse)
    is_copy = policy.access and is_whole(scan.header, policy)
    check, own = check_files(master, scan, copy=access if is_copy else None)
    if policy.master:
        yield _file("master", master, check, f"lossless TIFF; {why}")
    if policy.access:
        yield _file("access", access, own, f"JPEG of quality {policy.jpeg_quality}; {why}")
    if not policy.master:
        master.unlink()


def _thumbnail(item: _Item, source: WrittenFile) -> WrittenFile:
    path, header, said = item.folder / "thumbnail.jpg", item.scan.header, item.said("thumbnail")
    longest_px = item.policy.thumbnail_px
    write_thumbnail(source.path, path, header=header, longest_px=longest_px, said=said)
    return _file("thumbnail", path, None, f"made from {source.path.name}")


def _sidecar(item: _Item, files: Sequence[WrittenFile]) -> WrittenFile:
    path = item.folder / "sidecar.json"
    write_sidecar(path, files, provenance=item.provenance)
    return _file("sidecar", path, None, "what is known of the other files")


def _file(kind: Kind, path: Path, tone: ToneCheck | None, note: str) -> WrittenFile:
    doubtful = f"{note}. {tone.doubt}" if tone and tone.doubt else note
    return WrittenFile.of(kind, path, doubtful, tone=tone)

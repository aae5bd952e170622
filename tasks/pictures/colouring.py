"""One picture in, a coloured one out, by the pipeline's own steps, beside any ledger.

Read, judged, written and gated in child processes, as a scan is; nothing of it is kept.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from colormodel.correction import Correction
from colormodel.device import DeviceError
from colormodel.infer import Colorizer
from colormodel.networks import NetworkFault
from colormodel.planes import ChromaMap
from colormodel.session import PictureSession
from tasks.batch.pixel_work import (
    ReadRequest,
    ReadScan,
    WriteRequest,
    read_in_child,
    write_scan,
)
from tasks.batch.recipe import output_policy, read_limits, recipe_of
from tasks.derivatives import OutputPolicy
from tasks.derivatives.colour import OwnColour
from tasks.errors import InvalidPrediction, NoDevice
from tasks.pictures.showing import Pictures
from tasks.provenance import CorrectionStatement, Provenance, this_program
from tasks.settings import Settings
from tasks.storage.streams import file_chunks, sha256_of


@dataclass(frozen=True)
class ColourRequest:
    """What somebody asks for.

    Attributes:
        uri: Where the picture comes from, for its provenance; empty: its digest.
        correction: What is said of its colours.
        who: Says it.
        is_master: The lossless file, where there is one; else a JPEG.
    """

    uri: str
    correction: Correction
    who: str
    is_master: bool = False


@dataclass(frozen=True)
class ColourPicture:
    """A coloured picture, gated.

    Attributes:
        path: In the folder of the picture that it was made of.
        content_type: Its media type.
        confidence: The network's own, in [0, 1].
        notes: What a person should know, a sentence each.
    """

    path: Path
    content_type: str
    confidence: float
    notes: tuple[str, ...]


def colour_picture(
    settings: Settings, pictures: Pictures, colorizer: Colorizer, path: Path, wanted: ColourRequest
) -> ColourPicture:
    """Colour one picture.

    Args:
        settings: Limits, and how files are coded.
        pictures: Whose children do the work.
        colorizer: The network.
        path: The picture's file, alone in its folder.
        wanted: What is asked for.

    Raises:
        AutochromeError: It cannot be read, need not be coloured, or would not keep its tone; the
            reason says which.
    """
    request = ReadRequest(path, 0, read_limits(settings), colorizer.checkpoint.network_px)
    read = read_in_child(pictures.run, request)
    chroma_map = _map(colorizer, read, wanted.correction)
    made = WriteRequest(
        path=path,
        page=0,
        limits=request.limits,
        chroma_map=chroma_map,
        provenance=_provenance(settings, colorizer, read, path, wanted, chroma_map.score),
        policy=_policy(settings),
        own_colour=OwnColour.of(read.findings.own_colour, wanted.correction, chroma_map),
    )
    written = pictures.run(write_scan, made, pixels=read.header.pixels)
    files = {file.kind: file for file in written}
    chosen = files["master"] if wanted.is_master else files.get("access", files["master"])
    return ColourPicture(chosen.path, chosen.content_type, chroma_map.score, read.notes)


def _map(colorizer: Colorizer, read: ReadScan, correction: Correction) -> ChromaMap:
    try:
        return PictureSession(colorizer, read.lightness, neutral=read.neutral).colours(correction)
    except NetworkFault as error:
        raise InvalidPrediction(str(error)) from error
    except DeviceError as error:
        raise NoDevice(str(error)) from error


def _policy(settings: Settings) -> OutputPolicy:
    whole = replace(output_policy(settings), master=True, access=True, access_px=0)
    return replace(whole, thumbnail_px=0, sidecar=False)


def _provenance(  # noqa: PLR0913, PLR0917 - each is said in it
    settings: Settings,
    colorizer: Colorizer,
    read: ReadScan,
    path: Path,
    wanted: ColourRequest,
    confidence: float,
) -> Provenance:
    digest, card, now = sha256_of(file_chunks(path)), colorizer.checkpoint.card, datetime.now(UTC)
    said, correction = None, wanted.correction
    if not correction.is_empty:
        hints, masks = len(correction.hints), len(correction.masks)
        said = CorrectionStatement(0, wanted.who, now, hints, masks, correction.strength)
    return Provenance(
        scan_uri=wanted.uri or f"urn:sha256:{digest}",
        scan_sha256=digest,
        checkpoint_digest=colorizer.checkpoint.digest,
        recipe_digest=recipe_of(colorizer.checkpoint.digest, settings).digest,
        model_name=f"{card.name} {card.version}",
        software=this_program(),
        created_at=now,
        confidence=confidence,
        descriptive=read.header.descriptive,
        notes=read.notes,
        correction=said,
    )
